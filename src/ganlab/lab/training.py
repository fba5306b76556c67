"""What laboratories train: ordinary runs, composed, checked and resumed as any other."""

import io
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
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

STILL = ("g_optimizer.lr=0",)  # G takes part in every iteration, and stays where it is


class Planned(NamedTuple):
    """A run that can be made: what `ganlab train` would do with the same overrides."""

    config: dict[str, Any]
    run: Run

    @property
    def experiment(self) -> Experiment:
        """What it trains."""
        return Experiment(**self.config)


def planned(overrides: Sequence[str], composer: Composer | None = None) -> Planned:
    """Composes and rehearses a run; nothing is written.

    Raises:
        ConfigError: all mistakes.
    """
    composer = composer or Composer()
    if varying := [o for o in overrides if composer.varies(o)]:
        raise ConfigError([f"'{o}': one value; a laboratory is no sweep" for o in varying])
    cfg, mistakes = composer.compose(list(overrides))
    try:
        config = checked(without_hydra(cfg))
    except ConfigError as error:
        raise ConfigError(mistakes + error.problems) from error
    if mistakes:
        raise ConfigError(mistakes)
    return Planned(config, rehearse(cfg, config, Point(list(overrides))).run)


def trained(plan: Planned, callbacks: Sequence[Callback] = ()) -> Run:
    """Trains a planned run to its end, goes on with it, or finds it finished.

    Raises:
        SystemExit: with 130 where a signal stopped it; the same command goes on.
        JobFailedError: training cannot go on; the reason has been said.
    """
    name = plan.run.path.parent.name
    with train.failures_said(swept=False):
        run = train.train(plan.config, name, callbacks=callbacks)
    if not run.finished:
        train.say("stopped after a checkpoint; to go on: the same command")
        raise SystemExit(command_line.INTERRUPTED)
    return run


class Snapshots(ModelCallback):
    """Keeps all weights of chosen iterations, without which no film of them can be drawn.

    Args:
        folder: where they go, RUN/snapshots.
        iterations: when; 0 is before the first.
    """

    def __init__(self, folder: Path, iterations: Collection[int]) -> None:
        self.folder, self.iterations = folder, sorted(set(iterations))

    def on_train_start(self, trainer: Trainer, gan: GAN) -> None:
        if gan.iterations == 0:
            self.keep(gan)

    def on_train_batch_end(self, trainer: Trainer, gan: GAN, *_: Any) -> None:
        self.keep(gan)

    def keep(self, gan: GAN) -> None:
        """Saves the weights if it is time."""
        if gan.iterations in self.iterations:
            self.folder.mkdir(exist_ok=True)
            file = io.BytesIO()
            torch.save(gan.state_dict(), file)
            files.write(self._file(gan.iterations), file.getbuffer())

    def read(self) -> list[tuple[int, dict[str, Tensor]]]:
        """(iteration, weights), in order.

        Raises:
            ConfigError: some are not there.
        """
        if missing := [i for i in self.iterations if not self._file(i).exists()]:
            raise ConfigError(
                [f"'{self.folder}' has no iteration {missing[0]}; set resume=never to train anew"]
            )
        return [(i, torch.load(self._file(i), weights_only=True)) for i in self.iterations]

    def _file(self, iteration: int) -> Path:
        return self.folder / f"iteration-{iteration:07d}.pt"
