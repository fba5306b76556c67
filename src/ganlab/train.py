"""Trains a GAN: `python -m ganlab.train [overrides]`, and with -m a sweep.

What needs torch is imported where it is used: help, and what is misspelt, is answered without.
"""

import functools
import gc
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from ganlab.commands import command_line
from ganlab.commands.composition import looks_for_scores
from ganlab.commands.preflight import checked
from ganlab.config.secrets import redacted_words
from ganlab.errors import ConfigError, DataError, DiskFullError, JobFailedError, RunBusyError
from ganlab.runs.folder import Run, folder_name
from ganlab.sweeps.record import Job, Sweep, objective
from ganlab.training import stopwatch

if TYPE_CHECKING:
    from pytorch_lightning import Callback


def main() -> None:
    """The command, on sys.argv."""
    command_line.main(functools.partial(job, began=stopwatch.now()))


def job(cfg: DictConfig, began: float) -> float | None:
    """Hydra's task: one run of the command line, or one of a sweep's.

    Args:
        cfg: as composed.
        began: when the command did, before it imported what takes seconds; the clock of a single
            run goes from there, that of a sweep's job from its own start.

    Returns:
        The score of the run's best checkpoint, for sweepers that look for a better one.  None if
        it has none, or another process works in the run.
    """
    hydra = HydraConfig.get()
    sweep = Sweep(Path(hydra.sweep.dir)) if hydra.mode == RunMode.MULTIRUN else None
    config, said = checked(cfg), hydra.job.override_dirname.replace("+", "")
    title = ",".join(redacted_words(said.split(",")))
    name = folder_name(hydra.runtime.choices, config)
    if sweep is not None:  # sweepers that choose their points as they go have not told of this one
        sweep.add([Job(Run.find(config, name), tuple(hydra.overrides.task))])
        say(f"\njob {hydra.job.num + 1}: {title}")
        gc.collect()  # the job before: Lightning's cycles would keep its images for a while
    group = sweep.path.name if sweep is not None else None
    alone = (
        command_line.exit_with_message() if sweep is None else nullcontext()
    )  # before Hydra adds a line
    run: Run | None = None
    with alone, failures_said(swept=sweep is not None):
        run = train(config, name, title, group, began=began if sweep is None else None)
    if run is None:  # it is left to another process
        if looks_for_scores(hydra.sweeper):
            raise JobFailedError
        return None
    if is_first() and run.summary().get("status") == "interrupted":
        saved = "after a checkpoint" if run.last_checkpoint() else "without a checkpoint"
        here = f"resume={run.path}"  # `never` would start anew once more, `last` may be another
        passing = ("resume=never", "resume=last")
        words = [here if word in passing else word for word in sys.argv[1:]]
        command = shlex.join(["python", "-m", "ganlab.train", *words])
        say(f"stopped {saved}; to go on: {command if sweep is None else 'start the sweep again'}")
        raise SystemExit(command_line.INTERRUPTED)
    return objective(run)


@contextmanager
def failures_said(*, swept: bool) -> Iterator[None]:
    """Says what ended a run, where that is no error of the program.

    Of a sweep, a run in which another process works is left to that one.

    Raises:
        JobFailedError: a sweep's other jobs go on.
        ConfigError, DataError: alone; another process works in the run, or it cannot begin here.
    """
    from ganlab.errors import ADVICE, NonFiniteError, UnhealthyError

    try:
        yield
    except NonFiniteError as error:
        say(f"training failed: {error}. {ADVICE}")
        raise JobFailedError from error
    except (DiskFullError, UnhealthyError) as error:
        say(f"training stopped: {error}")
        raise JobFailedError from error
    except RunBusyError as error:
        if not swept:
            raise
        say(f"{error}; it is left to that one")
    except (ConfigError, DataError) as error:
        if not swept:
            raise
        say(f"{error}; this job has not begun")
        raise JobFailedError from error


def train(
    config: dict[str, Any],
    name: str,
    title: str = "",
    group: str | None = None,
    callbacks: "Sequence[Callback]" = (),
    began: float | None = None,
) -> Run:
    """Trains what a completed config says, goes on with it, or finds it finished.

    Args:
        config: completed by `preflight.checked`.
        name: folder between output_dir and the run's id.
        title: the run's name in dashboards; empty: its folder.
        group: the sweep that the run belongs to, if any.
        callbacks: who else looks on, after every iteration's reading and before its checkpoint.
        began: when the clock of a run of so many minutes began, by `stopwatch.now`; None: now.

    Raises:
        ConfigError: the config cannot be run here; nothing was touched.
        DataError: the data is missing or unsuitable.
        NonFiniteError: a loss or a weight became NaN or infinite; the last checkpoint is good.
        UnhealthyError: health.action wants a run to end that ails as this one does.
        DiskFullError: there is no room for what the run writes; the last checkpoint is good.
    """
    from ganlab.experiments.experiment import Experiment
    from ganlab.experiments.session import TrainingSession

    began = stopwatch.now() if began is None else began
    experiment, run = Experiment(**config), Run.find(config, name)
    if run.finished:
        say(f"finished already: {run.path}")
        if experiment.metrics and not run.summary().get("scores"):
            say(f"it has no scores; to score it: python -m ganlab.evaluate run={run.path}")
        return run
    title = title or f"{name}/{run.path.name}"
    stretch = functools.partial(TrainingSession, experiment, run, title, group, callbacks)
    session = stretch(began)
    with run.working(config) if is_first() else nullcontext():  # the others only compute
        if run.finished:  # by another process, while this one was reading the data
            say(f"finished already: {run.path}")
            return run
        say(session.introduction())
        while not session.work():  # it has gone back to a healthy checkpoint
            session = stretch(stopwatch.now())
    if run.finished:
        say(ending(run))
        if session.health is not None:
            say(session.health.conclusion())
        if session.scores is not None:
            say(session.scores.conclusion())
    session.interruption.pass_on()
    return run


def is_first() -> bool:
    """Whether this is the first of the processes that train together."""
    from pytorch_lightning.utilities import rank_zero_only

    return getattr(rank_zero_only, "rank", 0) == 0


def ending(run: Run) -> str:
    """What a finished run has to show, in two lines."""
    summary = run.summary()
    done, seconds = summary["iterations"], summary["seconds"]
    last = max(run.samples.glob("iteration-*.png"))
    return f"{done} iterations in {seconds:.0f} s; samples in\n{last}"


def say(text: str) -> None:
    """Prints at once, from the first process only."""
    if is_first():
        print(text, flush=True)


if __name__ == "__main__":
    main()
