"""Runs that are stopped and go on, and the checkpoints that they end with."""

from pathlib import Path

import pytest

from commands import run_train, runs_in, stop_after
from conftest import differing
from ganlab.runs.folder import Run
from ganlab.storage import checkpoint

QUICK = ("trainer=smoke", "logger=csv", "iterations=9", "health=null")
COUNTED = ("/epoch", "/loops")  # Lightning counts an epoch each time that it stops


def ended(folder: Path, *words: str, stop: int | None = None) -> dict:
    """The last checkpoint of a run of nine iterations, stopped once after `stop` of them."""
    command = [*QUICK, f"output_dir={folder}", *words]
    if stop is not None:
        with pytest.MonkeyPatch.context() as patch:
            stop_after(stop, patch)
            run_train(*command)
    outcome = run_train(*command)
    assert outcome.code == 0, outcome.err
    (run,) = runs_in(folder)
    return checkpoint.read(Run(run).last_checkpoint())


def assert_goes_on(folder: Path, *words: str) -> dict:
    """A run that was stopped after 4 of 9 iterations ends as one that was not, bit for bit."""
    parts, whole = ended(folder / "parts", *words, stop=4), ended(folder / "whole", *words)
    assert parts["iterations"] == 9
    found = [n for n in differing(parts, whole) if not n.startswith(COUNTED)]
    assert not found, found
    return whole
