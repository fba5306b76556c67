"""What pip installs works by itself: without the checkout, with the user's own YAML and classes."""

import json
import os
import runpy
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from commands import runs_in
from conftest import ROOT
from ganlab.__main__ import COMMANDS, main
from test_readme import write_examples


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
    files = {path for path in source.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert names == conf | {path.relative_to(source).as_posix() for path in files}


@pytest.mark.long
def test_an_installed_ganlab_trains_with_the_yaml_and_the_class_of_a_user(installed, tmp_path):
    """By the console script, as pip puts it on the user's path, from the folder of the class."""
    write_examples((ROOT / "docs" / "extend.md").read_text(), tmp_path)
    before = {path.name for path in tmp_path.iterdir()}
    where = [sys.executable, "-c", "import ganlab; print(ganlab.__file__)"]
    found = run(installed, *where, cwd=tmp_path).stdout
    assert found == f"{installed / 'ganlab' / '__init__.py'}\n", "this is the checkout's"
    script = [sys.executable, str(installed / "bin" / "ganlab")]
    words = ["--config-dir", "my_conf", "loss=softplus", "model=vanilla", "trainer=smoke"]
    clean = {"PYTHONDONTWRITEBYTECODE": "1"}
    done = run(installed, *script, "train", *words, "logger=csv", cwd=tmp_path, **clean)
    assert (done.returncode, done.stderr) == (0, "")
    (trained,) = runs_in(tmp_path / "outputs")
    assert trained.parent.name == "digits-vanilla-softplus"
    assert json.loads((trained / "summary.json").read_text())["status"] == "finished"
    assert yaml.safe_load((trained / "config.yaml").read_text())["loss"]["t"] == 0.9
    assert {path.name for path in tmp_path.iterdir()} == before | {"outputs"}


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
    assert err.startswith("ganlab: unknown command 'trian'\n")
    assert "usage: ganlab COMMAND" in err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ganlab train model=", {f"model={p.stem}" for p in (ROOT / "conf" / "model").iterdir()}),
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
    module = f"ganlab.{command.replace('-', '_')}"
    assert (name, options["run_name"], words) == (module, "__main__", ["a=1", "-m"])


def too_large(files: list[Path]) -> list[str]:
    """Names of files over 1 MiB: nothing that people write or draw is."""
    return [file.name for file in files if file.stat().st_size > 2**20]


def test_the_repository_holds_no_data_and_no_weights(tmp_path):
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert too_large([ROOT / name for name in listed.stdout.split("\0") if name]) == []
    (tmp_path / "images.pt").write_bytes(bytes(2**20 + 1))
    assert too_large([tmp_path / "images.pt"]) == ["images.pt"]
