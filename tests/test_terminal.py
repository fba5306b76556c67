"""Output cannot end a run, and names from files cannot control a terminal."""

import io
import json
import signal
import subprocess
import sys
import time

import pytest

from commands import run_sweep, smoke, summary, trained
from ganlab.commands.terminal import Output, escaped

TRICK = "\x1b]0;title\x07\x1b[2J\u202egnp.\x9b31m"


def test_control_characters_are_spelled_out():
    assert escaped(TRICK) == r"\x1b]0;title\x07\x1b[2J\u202egnp.\x9b31m"
    assert escaped("a\tb\r\nä ± 中") == "a\tb\r\nä ± 中"


def test_what_a_stranger_wrote_does_not_reach_the_terminal_raw(tmp_path):
    run = trained(tmp_path)
    moved = run.parent / f"a{TRICK.replace('/', '')}"
    run.rename(moved)
    job = {"run": f"../../digits-dcgan-nonsaturating/{moved.name}", "overrides": [f"x={TRICK}"]}
    sweep = tmp_path / "sweeps" / "1"
    sweep.mkdir(parents=True)
    (sweep / "sweep.json").write_text(json.dumps({"jobs": [job]}))
    told = {**summary(moved), "status": "failed", "error": TRICK}
    (moved / "summary.json").write_text(json.dumps(told))
    for words in (["status", str(sweep)], ["table", str(tmp_path)], ["best", str(sweep)]):
        outcome = run_sweep(*words)
        assert not set("\x1b\x07\u202e\x9b") & set(outcome.out + outcome.err)


def test_characters_that_a_terminal_lacks_are_spelled_out():
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, "ascii")
    output = Output(file, escape=True)
    output.write("1.0 ± 0.1")
    output.flush()
    assert raw.getvalue() == rb"1.0 \xb1 0.1"


@pytest.fixture
def command(tmp_path):
    """A training of a process of its own, which prints often."""
    words = smoke(tmp_path / "o", "iterations=40", "log_every=1", "checkpoint_every=5")
    words = [word for word in words if word != "trainer=smoke"] + ["trainer=cpu", "health=none"]
    return [sys.executable, "-m", "ganlab.train", *words]


@pytest.mark.long
def test_a_run_goes_on_without_a_reader_and_without_standard_error(command, tmp_path):
    """`ganlab train ... 2>&- | head -1`: the file that is opened next must not become stderr."""
    program = "import os, sys; os.close(2); os.execv(sys.argv[1], sys.argv[1:])"
    training = subprocess.Popen([sys.executable, "-c", program, *command], stdout=subprocess.PIPE)
    training.stdout.readline()
    training.stdout.close()
    assert training.wait() == 0
    (run,) = (tmp_path / "o").glob("*/*")
    assert summary(run)["status"] == "finished"
    assert summary(run)["iterations"] == 40


@pytest.mark.long
@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
def test_a_closed_terminal_saves_as_a_termination_does(command, tmp_path):
    command[command.index("iterations=40")] = "iterations=1000000"
    told = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it would be ignored
    try:
        training = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    finally:
        signal.signal(signal.SIGHUP, told)
    run = wait_for(lambda: next((tmp_path / "o").glob("*/*/checkpoints/*.ckpt"), None)).parents[1]
    training.send_signal(signal.SIGHUP)
    out = training.communicate()[0]
    assert training.returncode == 130, out
    assert "stopped after a checkpoint" in out
    assert summary(run)["status"] == "interrupted"


def wait_for(found, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if result := found():
            return result
        time.sleep(0.05)
    raise AssertionError("it never came")
