"""Commands run in this process: starting Python with torch, Lightning and W&B takes seconds."""

import contextlib
import copy
import csv
import functools
import importlib
import io
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig


class Outcome(NamedTuple):
    """What a command leaves on a terminal."""

    code: int
    out: str
    err: str


def run_main(main, *words: str, program: str = "ganlab") -> Outcome:
    """Calls a command's main() on the given words of sys.argv; undoes what Hydra leaves behind."""
    out, err, root = io.StringIO(), io.StringIO(), logging.getLogger()
    argv, handlers, level = sys.argv, root.handlers[:], root.level
    sys.argv, code = [program, *words], 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as stop:
        code = stop.code or 0
    finally:
        sys.argv, root.handlers[:] = argv, handlers
        root.setLevel(level)
        GlobalHydra.instance().clear()
        HydraConfig.instance().cfg = None
    return Outcome(code, out.getvalue(), err.getvalue())


def run_train(*overrides: str) -> Outcome:
    """`python -m ganlab.train OVERRIDES`."""
    return run_main(importlib.import_module("ganlab.train").main, *overrides)


def run_sample(*words: str) -> Outcome:
    """`python -m ganlab.sample WORDS`."""
    from ganlab.commands import command_line
    from ganlab.sample import sample

    return run_main(lambda: command_line.call(sample, lambda w: print(*w, sep="\n")), *words)


def run_evaluate(*words: str) -> Outcome:
    """`python -m ganlab.evaluate WORDS`."""
    from ganlab.commands import command_line
    from ganlab.evaluate import evaluate

    return run_main(lambda: command_line.call(evaluate), *words)


def run_sweep(*words: str) -> Outcome:
    """`python -m ganlab.sweep WORDS`."""
    from ganlab.commands import command_line
    from ganlab.sweep import VERBS

    return run_main(lambda: command_line.call_one_of(VERBS), *words)


@functools.cache
def composer():
    """Hydra's composition, set up once."""
    from ganlab.commands.composition import Composer

    return Composer()


def completed(*overrides: str) -> dict[str, Any]:
    """The completed config of a command line that must have no mistakes."""
    return copy.deepcopy(composed(*overrides))


@functools.cache
def composed(*overrides: str) -> dict[str, Any]:
    """Composing takes a tenth of a second, and many tests want the same config."""
    from ganlab.commands.composition import without_hydra
    from ganlab.commands.preflight import checked

    cfg, found = composer().compose(list(overrides))
    assert found == []
    return checked(without_hydra(cfg))


def smoke(output_dir: Path, *overrides: str) -> list[str]:
    """Overrides of a run that takes half a second: 3 iterations of narrow networks."""
    narrow = [f"model.{player}.width=8" for player in ("generator", "discriminator")]
    return ["trainer=smoke", "logger=csv", *narrow, f"output_dir={output_dir}", *overrides]


def stop_after(iterations: int, monkeypatch) -> None:
    """Lightning's Trainer stops after so many iterations, as a callback of somebody's may want."""
    from ganlab.callbacks import Journal

    for name in ("on_train_start", "on_train_batch_end"):
        before = getattr(Journal, name)

        def stopping(self, trainer, model, *rest, before=before):
            before(self, trainer, model, *rest)
            trainer.should_stop |= model.iterations >= iterations

        monkeypatch.setattr(Journal, name, stopping)


def runs_in(output_dir: Path) -> list[Path]:
    """The run folders below output_dir."""
    return sorted(file.parent for file in output_dir.glob("*/*/config.yaml"))


def trained(output_dir: Path, *overrides: str) -> Path:
    """The folder of the one run that the overrides make."""
    outcome = run_train(*smoke(output_dir, *overrides))
    assert (outcome.code, outcome.err) == (0, "")
    (run,) = runs_in(output_dir)
    return run


def summary(run: Path) -> dict[str, Any]:
    """What a run's summary.json says."""
    return json.loads((run / "summary.json").read_text())


def rows(run: Path) -> list[dict[str, str]]:
    """The rows of a run's metrics.csv."""
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def shell(*words: str, timeout: float = 120, **environment: str) -> subprocess.CompletedProcess:
    """A real process of this Python; `cwd` is part of the environment given by name."""
    cwd = environment.pop("cwd", None)
    env = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    command = [sys.executable, *words]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, cwd=cwd, env=env, check=False
    )
