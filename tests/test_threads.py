"""Threads that wait sleep soon, unless someone has said otherwise or it is too late to say it."""

import pytest

from commands import run_train, runs_in, shell, smoke
from ganlab.__main__ import COMMANDS
from ganlab.devices.threads import SPINS, wait_briefly

TWO = {"OMP_NUM_THREADS": "2"}
ASKED = """\
import atexit, os, runpy, sys

def tell():
    print("told:", os.environ.get("GOMP_SPINCOUNT"), "torch" in sys.modules)

atexit.register(tell)
sys.argv = ["ganlab", "--help"]
runpy.run_module("ganlab.{}", run_name="__main__")
"""


@pytest.fixture(autouse=True)
def nobody_has_said(monkeypatch):
    for name in ("GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("command", [*COMMANDS, "__main__"])
def test_every_command_says_it_before_torch_is_loaded(command):
    done = shell("-c", ASKED.format(command.replace("-", "_")), **TWO)
    assert done.stdout.splitlines()[-1] == f"told: {SPINS} False", done.stderr


@pytest.mark.parametrize("said", [{}, {"GOMP_SPINCOUNT": "77"}])
def test_torch_hears_it(said):
    """OpenMP tells what it has heard, where it is libgomp."""
    done = shell("-c", "import ganlab, torch", OMP_DISPLAY_ENV="VERBOSE", **TWO, **said)
    heard = [line.split("'")[1] for line in done.stderr.splitlines() if "GOMP_SPINCOUNT" in line]
    if not heard:
        pytest.skip("this torch has another OpenMP than libgomp")
    assert set(heard) == {said.get("GOMP_SPINCOUNT", SPINS)}


SAID = [
    *({"GOMP_SPINCOUNT": "300000"}, {"OMP_WAIT_POLICY": "ACTIVE"}, {"KMP_BLOCKTIME": "0"}),
    *({"GOMP_CPU_AFFINITY": "0 1"}, {"OMP_NUM_THREADS": "1"}),
]


@pytest.mark.parametrize("said", SAID, ids=lambda said: next(iter(said)))
def test_what_the_user_has_said_stands(said):
    environment = dict(said)
    wait_briefly(environment, loaded=())
    assert environment == said


@pytest.mark.parametrize("environment", [{}, TWO, {"OMP_NUM_THREADS": "16", "KMP_AFFINITY": ""}])
def test_where_nobody_has_said_anything_it_is_said(environment):
    after = dict(environment)
    wait_briefly(after, loaded=("ganlab",))
    assert after == environment | {"GOMP_SPINCOUNT": SPINS}


def test_a_program_that_has_loaded_torch_is_left_alone():
    environment = {}
    wait_briefly(environment, loaded=("torch",))
    assert environment == {}
    tell = "import os, torch; import ganlab; print(os.environ.get('GOMP_SPINCOUNT'))"
    assert shell("-c", tell, **TWO).stdout == "None\n"


def test_a_run_does_not_depend_on_it(tmp_path, monkeypatch):
    """It is no part of the run's identity, nor noted in its folder."""
    for spins in ("2000", "4321"):
        monkeypatch.setenv("GOMP_SPINCOUNT", spins)
        assert run_train(*smoke(tmp_path)).code == 0
    (run,) = runs_in(tmp_path)
    texts = [file.read_text() for file in run.iterdir() if file.suffix in {".json", ".yaml"}]
    assert len(texts) >= 3
    assert not any("SPINCOUNT" in text for text in texts)
