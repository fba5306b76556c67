"""A run's folder from a stranger runs no code, sends no key, and hangs nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import ganlab
from commands import completed, run_sample, shell, trained
from ganlab.errors import ConfigError
from ganlab.experiments.restore import known_classes, require_known
from ganlab.runs import environment, plain_yaml
from ganlab.runs.folder import Run

HIDDEN = {
    "omap": "loss: !!omap [_target_: os.system, command: touch hacked]\n",
    "pairs": "loss: !!pairs [_target_: os.system, command: touch hacked]\n",
    "set": "loss: !!set {a, b}\n",
    "python": "loss: !!python/object/apply:os.system [touch hacked]\n",
    "tag of a text": "loss: !!str x\n",
    "binary": "loss: !!binary aGFja2Vk\n",
    "anchor": "a: &a [1]\nb: 2\n",
    "date": "loss: 2026-01-01\n",
    "number as a key": "1: a\n",
    "no mapping": "[1, 2]\n",
    "two documents": "a: 1\n---\nb: 2\n",
    "no YAML": "a: [\n",
    "deep": "a: " + "[" * 40 + "]" * 40 + "\n",
    "deep enough to overflow": "a: " + "[" * 100_000 + "\n",
    "aliases that grow": "a: &a [x]\n" + "".join(f"b{i}: &b{i} [*a, *a]\n" for i in range(40)),
    "large": "a: " + "x" * (plain_yaml.LARGEST + 1),
}


@pytest.mark.parametrize("text", HIDDEN.values(), ids=HIDDEN)
def test_a_config_that_is_not_plain_data_is_refused(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"config\.yaml' is damaged: "):
        Run(tmp_path).config()
    assert [file.name for file in tmp_path.iterdir()] == ["config.yaml"]


def test_the_usual_reader_would_hide_a_target():
    """What PyYAML's safe loader makes of it, a list of pairs, became a node once more."""
    found = yaml.safe_load(HIDDEN["pairs"])["loss"]
    assert dict(found)["_target_"] == "os.system"


def test_a_config_that_is_no_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "config.yaml")
    with pytest.raises(ConfigError, match="it is no regular file"):
        Run(tmp_path).config()


def test_plain_data_is_read_as_it_was_written(tmp_path):
    config = completed("logger=[csv,wandb]", "metrics=classifier", "regularizer=[lecam]")
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    assert plain_yaml.read(file) == config


@pytest.mark.parametrize("key", ["ema", "g_schedule", "gan", "conditioning"])
def test_every_key_that_is_built_is_checked(key):
    with pytest.raises(ConfigError, match=r"names os\.system; set trust=true"):
        require_known({key: {"_target_": "os.system"}})


def test_what_may_be_built_is_a_list_of_classes():
    """A name that only begins like ganlab's is not enough, nor is a class that ganlab imports."""
    known = known_classes()
    assert ganlab.losses.Hinge in known
    assert Path not in known
    assert subprocess.Popen not in known
    for name in ("ganlab.runs.folder.Run", "ganlab.storage.background.Background"):
        with pytest.raises(ConfigError, match="set trust=true"):
            require_known({"loss": {"_target_": name}})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("outputs"))


EVIL = "import os\nopen(os.path.join({folder!r}, 'hacked'), 'w').close()\n"


@pytest.mark.long
@pytest.mark.parametrize("command", ["sample n=4 run=.", "evaluate run=. n=20", "sweep status ."])
def test_modules_in_a_folder_are_not_imported(command, finished, tmp_path):
    """The console script leaves the working folder off the path, but for training."""
    evil = [finished / f"{name}.py" for name in ("yaml", "numpy", "torch", "PIL")]
    for file in evil:
        file.write_text(EVIL.format(folder=str(tmp_path)))
    try:
        program = "import sys; sys.path.remove(''); from ganlab.__main__ import main; main()"
        shell("-c", program, *command.split(), cwd=str(finished))
    finally:
        for file in evil:
            file.unlink()
    assert list(tmp_path.iterdir()) == []


def test_git_runs_no_program_of_a_strangers_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q"], check=True)
    program = tmp_path / "evil.sh"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/hacked\n")
    program.chmod(0o755)
    subprocess.run(["git", "config", "core.fsmonitor", str(program)], check=True)
    subprocess.run(["git", "status"], check=True, capture_output=True)
    assert (tmp_path / "hacked").exists(), "git itself would run it"
    (tmp_path / "hacked").unlink()
    assert environment.git("status", "--porcelain") is not None
    assert not (tmp_path / "hacked").exists()


def test_uploads_start_in_an_empty_folder(tmp_path, monkeypatch):
    """W&B would read `wandb/settings` of the folder, and send the key to the address there."""
    from ganlab import wandb

    seen = []

    def run(command, cwd, **_):
        seen.append((command[-1], list(Path(cwd).iterdir())))
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(wandb.subprocess, "run", run)
    wandb.upload([Path("a.wandb")])
    assert seen == [(str(tmp_path / "a.wandb"), [])]


def test_a_strangers_folder_is_sampled_only_by_known_classes(finished, tmp_path):
    config = Run(finished).config()
    copy = tmp_path / "run"
    copy.mkdir()
    (copy / "checkpoints").symlink_to(finished / "checkpoints")
    config["ema"] = {"_target_": "os.mkdir", "path": str(tmp_path / "hacked")}
    (copy / "config.yaml").write_text(yaml.safe_dump(config))
    outcome = run_sample(f"run={copy}", "n=4")
    assert outcome.code == 2
    assert "names os.mkdir; set trust=true if you trust the folder" in outcome.err
    assert sorted(file.name for file in tmp_path.iterdir()) == ["run"]
    assert sys.modules["os"] is os
