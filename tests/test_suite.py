"""What the suite promises on machines unlike the one that it was written on."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from lightning_fabric.accelerators import MPSAccelerator

import conftest
from commands import completed, shell
from conftest import NO_GPU, ROOT
from ganlab.experiments.experiment import Experiment
from ganlab.experiments.session import quiet_lightning

ECHO = f"import os; print([os.environ.get(name) for name in {[*NO_GPU]}])"


def test_no_test_sees_a_gpu():
    quiet_lightning()
    assert NO_GPU.items() <= os.environ.items()
    assert not torch.cuda.is_available()
    trainer = Experiment(**completed("trainer=auto")).trainer_with([], [])
    assert trainer.strategy.root_device.type == "cpu"


def test_lightning_hides_the_gpu_of_a_mac_when_it_is_told(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr("platform.processor", lambda: "arm")
    found = MPSAccelerator.is_available.__wrapped__  # it remembers its answer
    assert not found()
    monkeypatch.delenv("DISABLE_MPS")
    assert found()


def test_no_process_of_a_test_sees_a_gpu():
    inherited = subprocess.check_output([sys.executable, "-c", ECHO], text=True)
    assert inherited == shell("-c", ECHO).stdout == f"{[*NO_GPU.values()]}\n"


@pytest.mark.parametrize("name", NO_GPU)
def test_a_process_that_would_see_a_gpu_is_not_started(name):
    others = {key: value for key, value in os.environ.items() if key != name}
    for environment in (others, {**os.environ, name: "0"}):
        with pytest.raises(RuntimeError, match="would see a GPU: begin its environment with os"):
            subprocess.run([sys.executable, "-c", ""], env=environment, check=True)


@pytest.mark.parametrize(("markers", "hidden"), [("cuda", False), ("", True), ("not cuda", True)])
def test_the_gpu_is_shown_to_what_needs_it_and_to_nothing_else(monkeypatch, markers, hidden):
    hooks = []
    monkeypatch.setattr(sys, "addaudithook", hooks.append)
    for name in NO_GPU:
        monkeypatch.setenv(name, "as it was")
    conftest.pytest_configure(SimpleNamespace(option=SimpleNamespace(markexpr=markers)))
    assert ({os.environ[name] for name in NO_GPU} == {"as it was"}) != hidden
    assert len(hooks) == hidden


@pytest.mark.parametrize(("gpu", "marks"), [(False, {}), (True, {"cuda": True}), (True, {})])
def test_what_needs_a_gpu_is_run_where_there_is_one(monkeypatch, gpu, marks):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    conftest.pytest_runtest_setup(SimpleNamespace(get_closest_marker=marks.get))


def test_what_needs_a_gpu_is_skipped_where_there_is_none():
    with pytest.raises(pytest.skip.Exception, match="needs a CUDA GPU"):
        conftest.pytest_runtest_setup(SimpleNamespace(get_closest_marker={"cuda": True}.get))


PLUGIN = """
import warnings

warnings.warn("is imported")

def pytest_configure():
    warnings.warn("is configured")

def pytest_collection():
    warnings.warn("collects")
"""
TESTS = """
import warnings

def test_nothing():
    pass

def test_that_warns():
    warnings.warn("of the test itself")
"""


def test_plugins_of_others_may_warn_and_tests_may_not(tmp_path):
    """pytest-benchmark does so beside pytest-xdist, pytest-asyncio anyway."""
    about = tmp_path / "plugins" / "talkative-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: talkative\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[pytest11]\ntalkative = pytest_talkative\n")
    (about.parent / "pytest_talkative.py").write_text(PLUGIN)
    (tmp_path / "test_something.py").write_text(TESTS)
    path = os.pathsep.join([str(about.parent), os.environ.get("PYTHONPATH", "")])
    words = ["-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml"), str(tmp_path)]
    said = shell("-m", "pytest", *words, PYTHONPATH=path).stdout
    assert "UserWarning: collects" in said
    assert "test_that_warns - UserWarning: of the test itself" in said
    assert " 1 failed, 1 passed" in said


def test_modules_of_tests_and_benchmarks_have_different_names():
    """Both folders are searched for modules: of two of one name the second is never found."""
    tests, benchmarks = ({p.name for p in (ROOT / f).glob("*.py")} for f in ("tests", "benchmarks"))
    assert tests & benchmarks == set()
