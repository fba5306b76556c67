"""`make` says what it is about to do, and how long that takes, before it does it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import ROOT

INSTALLING, TRAINING = "Installing into .venv", "Training on 1,797 handwritten digits"


@pytest.fixture
def checkout(tmp_path) -> Path:
    """The Makefile beside a .venv whose Python only says what it is asked to run."""
    if shutil.which("make") is None:
        pytest.skip("there is no make")
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "pyproject.toml").touch()
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "python $@"\n')
    python.chmod(0o755)
    return tmp_path


def said(checkout: Path, target: str = "demo") -> list[str]:
    """What is printed by a target: its own sentences, and what its Python is asked to run."""
    command = ["make", target, "PYTHON=true"]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True)
    starts = (INSTALLING, TRAINING, "python ", "Open ")
    return [line for line in done.stdout.splitlines() if line.startswith(starts)]


def test_a_fresh_checkout_hears_of_the_installation_and_then_of_the_training(checkout):
    installing, *pip, training, run = said(checkout)
    assert installing.startswith(INSTALLING)
    assert "GB to download" in installing
    assert all(line.startswith("python -m pip install") for line in pip)
    assert len(pip) == 2
    assert training.startswith(TRAINING)
    assert "on two cores" in training
    assert run == "python -m ganlab.train"


def test_the_second_time_there_is_nothing_to_install(checkout):
    said(checkout)
    training, run = said(checkout)
    assert training.startswith(TRAINING)
    assert run == "python -m ganlab.train"


def test_docs_are_built_without_warnings_and_it_says_where_they_are(checkout):
    *_, build, where = said(checkout, "docs")
    assert build.startswith("python -m sphinx ")
    assert "--fail-on-warning" in build
    assert where == f"Open {build.split()[-1]}/index.html"
