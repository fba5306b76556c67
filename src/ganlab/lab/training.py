"""Training for laboratories: ordinary runs, composed, checked and resumed like any other."""

import io
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from omegaconf import DictConfig
from pytorch_lightning import Callback, Trainer
from torch import Tensor

from ganlab import train
from ganlab.callbacks.base import ModelCallback
from ganlab.commands import command_line
from ganlab.commands.composition import Composer, without_hydra
from ganlab.commands.preflight import checked, rehearse
from ganlab.errors import ConfigError
from ganlab.experiments.experiment import Experiment
from ganlab.gan import GAN
from ganlab.runs.folder import Run
from ganlab.storage import files
from ganlab.sweeps.study import Point

STILL = ("g_optimizer.lr=0",)  # G takes part in every iteration but does not change


class Planned(NamedTuple):
    """A checked run, as `ganlab train` would start it with the same overrides."""

    config: dict[str, Any]
    run: Run
    overrides: tuple[str, ...]

    @property
    def experiment(self) -> Experiment:
        """The experiment of the run."""
        return Experiment(**self.config)


def planned(
    overrides: Sequence[str], composer: Composer | None = None, *, by_clock: bool = False
) -> Planned:
    """Composes and rehearses a run; writes nothing.

    Args:
        overrides: as `ganlab train` takes them.
        composer: of several runs, the same one.
        by_clock: whether the run has `minutes` in place of iterations.

    Raises:
        ConfigError: the overrides are invalid; lists all mistakes.
    """
    cfg, config = composed(overrides, composer or Composer())
    if config["minutes"] is not None and not by_clock:
        raise ConfigError(["minutes: a laboratory counts iterations; set iterations=... instead"])
    run = rehearse(cfg, config, Point(list(overrides))).run
    return Planned(config, run, tuple(overrides))


def composed(overrides: Sequence[str], composer: Composer) -> tuple[DictConfig, dict[str, Any]]:
    """A run's config, as Hydra composes it and completed.

    Raises:
        ConfigError: the overrides are invalid; lists all mistakes.
    """
    if varying := [o for o in overrides if composer.varies(o)]:
        raise ConfigError([f"'{o}': a laboratory takes one value, not a sweep" for o in varying])
    cfg, mistakes = composer.compose(list(overrides))
    try:
        config = checked(without_hydra(cfg))
    except ConfigError as error:
        raise ConfigError(mistakes + error.problems) from error
    if mistakes:
        raise ConfigError(mistakes)
    return cfg, config


def trained(plan: Planned, callbacks: Sequence[Callback] = ()) -> Run:
    """Trains or resumes a planned run until it is finished; does nothing if it is.

    Raises:
        SystemExit: with code 130 if a signal stopped it; the same command resumes it.
        JobFailedError: training failed; the reason has been printed.
    """
    name = plan.run.path.parent.name
    with train.failures_said(swept=False):
        run = train.train(plan.config, name, callbacks=callbacks)
    if not run.finished:
        train.say("stopped after a checkpoint; to go on: the same command")
        raise SystemExit(command_line.INTERRUPTED)
    return run


class Snapshots(ModelCallback):
    """Saves all weights at given iterations, for pictures of them.

    Args:
        folder: where they go, RUN/snapshots.
        iterations: at which to save; 0 is before the first.
    """

    def __init__(self, folder: Path, iterations: Collection[int]) -> None:
        self.folder, self.iterations = folder, sorted(set(iterations))

    def on_train_start(self, trainer: Trainer, gan: GAN) -> None:
        if gan.iterations == 0:
            self.keep(gan)

    def on_train_batch_end(self, trainer: Trainer, gan: GAN, *_: Any) -> None:
        self.keep(gan)

    def keep(self, gan: GAN) -> None:
        """Saves the weights if this iteration is one of the given ones."""
        if gan.iterations in self.iterations:
            self.folder.mkdir(exist_ok=True)
            file = io.BytesIO()
            torch.save(gan.state_dict(), file)
            files.write(self._file(gan.iterations), file.getbuffer())

    def read(self) -> list[tuple[int, dict[str, Tensor]]]:
        """(iteration, weights), in order.

        Raises:
            ConfigError: some are missing.
        """
        if missing := [i for i in self.iterations if not self._file(i).exists()]:
            raise ConfigError(
                [f"'{self.folder}' has no iteration {missing[0]}; set resume=never to train again"]
            )
        return [(i, torch.load(self._file(i), weights_only=True)) for i in self.iterations]

    def _file(self, iteration: int) -> Path:
        return self.folder / f"iteration-{iteration:07d}.pt"
