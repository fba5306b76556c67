"""What pip installs works by itself: without the checkout, with the user's own YAML and classes."""

import json
import os
import runpy
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from commands import runs_in
from conftest import ROOT
from ganlab.__main__ import COMMANDS, main

MY_LOSSES = '''
from ganlab.losses import NonSaturating


class Softplus(NonSaturating):
    """Non-saturating with a temperature."""

    def __init__(self, t: float = 1.0) -> None:
        self.t = t

    def g_loss(self, fake, real=None):
        return super().g_loss(fake / self.t)
'''


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built as pip builds it, outside the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--wheel", "--no-isolation", "--outdir", str(folder)]
    command = [sys.executable, "-m", "build", *options, str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """A folder with ganlab and nothing else, as pip installs it."""
    target = tmp_path_factory.mktemp("installed")
    options = ["--no-deps", "--no-compile", "--quiet", "--disable-pip-version-check"]
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        *options,
        "--target",
        str(target),
        str(wheel),
    ]
    subprocess.run(command, check=True, timeout=120)
    return target


def run(target: Path, *command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
    """A command in a process that finds the installed ganlab before the checkout's."""
    env = {**os.environ, "PYTHONPATH": str(target), "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_wheel_has_every_yaml_and_module_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    conf = {f"ganlab/{p.relative_to(ROOT).as_posix()}" for p in (ROOT / "conf").rglob("*.yaml")}
    source = ROOT / "src"
    modules = {p.relative_to(source).as_posix() for p in source.rglob("*.py")}
    assert {name for name in names if name.endswith((".yaml", ".py"))} == conf | modules
    assert names - conf - modules <= {"ganlab/py.typed"}


def test_an_installed_ganlab_trains_in_an_empty_folder(installed, tmp_path):
    """The console script too: it is what pip puts on the user's path."""
    script = [sys.executable, str(installed / "bin" / "ganlab")]
    words = ["trainer=smoke", "logger=csv", "model.generator.width=8"]
    done = run(installed, *script, "train", *words, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    (trained,) = runs_in(tmp_path / "outputs")
    assert json.loads((trained / "summary.json").read_text())["status"] == "finished"
    assert [path.name for path in tmp_path.iterdir()] == ["outputs"]


def test_a_users_own_yaml_names_a_class_from_the_folder_where_they_stand(installed, tmp_path):
    (tmp_path / "my_losses.py").write_text(MY_LOSSES)
    (tmp_path / "my_conf" / "loss").mkdir(parents=True)
    yaml = tmp_path / "my_conf" / "loss" / "softplus.yaml"
    yaml.write_text("_target_: my_losses.Softplus\nt: 0.5\n")
    words = ["trainer=smoke", "logger=csv", "model=vanilla", "loss=softplus"]
    program = "import sys, runpy, ganlab; print(ganlab.__file__); runpy.run_module('ganlab.train'"
    program += ", run_name='__main__', alter_sys=True)"
    command = [sys.executable, "-c", program, "--config-dir", "my_conf", *words]
    done = run(installed, *command, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == str(installed / "ganlab" / "__init__.py")
    (trained,) = runs_in(tmp_path / "outputs")
    assert trained.parent.name == "digits-vanilla-softplus"
    assert "t: 0.5" in (trained / "config.yaml").read_text()


def ganlab(target: Path, *words: str, cwd: Path, **environment: str) -> tuple[int, str, str]:
    done = run(target, sys.executable, "-m", "ganlab", *words, cwd=cwd, **environment)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]], ids=str)
def test_help_lists_every_command_without_waiting_for_torch(installed, tmp_path, words):
    code, out, err = ganlab(installed, *words, cwd=tmp_path, PYTHONPROFILEIMPORTTIME="1")
    assert code == 0
    assert "import time:" in err
    assert "torch" not in err, "torch was imported"
    assert out.startswith("usage: ganlab COMMAND")
    commands = [line.split()[0] for line in out.splitlines() if line.startswith("  ")]
    assert {"train", "sample"} <= set(commands)


def test_an_unknown_command_is_refused_with_the_list_of_commands(installed, tmp_path):
    code, out, err = ganlab(installed, "trian", cwd=tmp_path)
    assert (code, out) == (2, "")
    assert err.startswith("ganlab: there is no command 'trian'\n")
    assert "usage: ganlab COMMAND" in err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ganlab train model=", {"model=dcgan", "model=vanilla", "model=infogan"}),
        ("ganlab train trainer=sm", {"trainer=smoke"}),
        ("ganlab train -m loss=hinge batch_", {"batch_size="}),
    ],
)
def test_the_shell_completes_groups_choices_and_keys(installed, tmp_path, line, words):
    point = {"COMP_LINE": line, "COMP_POINT": str(len(line))}
    code, out, _ = ganlab(installed, "-sc", "query=bash", cwd=tmp_path, **point)
    assert code == 0
    assert set(out.split()) == words


@pytest.mark.parametrize("command", COMMANDS)
def test_ganlab_command_is_python_m_ganlab_command(monkeypatch, command):
    ran = []
    monkeypatch.setattr(sys, "argv", ["ganlab", command, "a=1", "-m"])
    monkeypatch.setattr(runpy, "run_module", lambda *a, **k: ran.append((a, k, sys.argv[1:])))
    main()
    ((name,), options, words) = ran.pop()
    assert (name, options["run_name"], words) == (f"ganlab.{command}", "__main__", ["a=1", "-m"])
