"""Ends a run by the clock, and tells schedules how far it is."""

from typing import Any

import torch
from pytorch_lightning import Trainer

from ganlab.callbacks.base import ModelCallback
from ganlab.generative import Generative
from ganlab.training.stopwatch import Stopwatch


class Minutes(ModelCallback):
    """Makes an iteration the last one if another one after it would end too late.

    It decides before an iteration, so that all others see in time which one is the last: it comes
    first in the order of callbacks.  Each is taken to last as long as the one before; where it
    lasts longer, the run ends late by that much.  A session trains for one iteration at least.

    A GPU works behind the clock of the CPU.  Here it is never more than one iteration behind:
    before an iteration the CPU waits for the end of the last but one.  On several devices all go by
    the time of the slowest.

    Args:
        minutes: length of the run, greater than 0.
        stopwatch: the time of the run.
    """

    def __init__(self, minutes: float, stopwatch: Stopwatch) -> None:
        self.limit, self.stopwatch = 60 * minutes, stopwatch
        self.last: int | None = None  # the last iteration, once it is known
        self.each = 0.0  # seconds of the iteration before
        self._begun: float | None = None  # when it began
        self._mark: torch.cuda.Event | None = None  # on the GPU, at that time

    def state_dict(self) -> dict[str, Any]:
        return {"last": self.last, "each": self.each}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.last, self.each = state_dict["last"], state_dict["each"]

    def on_train_start(self, trainer: Trainer, model: Generative) -> None:
        if self.last is not None:  # the run was killed after it saved its last checkpoint
            model.total_iterations, trainer.should_stop = self.last, True

    def on_train_batch_start(self, trainer: Trainer, model: Generative, *_: Any) -> None:
        self._wait(trainer)
        seconds = self._agreed(trainer)
        if self._begun is not None:
            self.each = seconds - self._begun
        self._begun = seconds
        ahead = 2 if self._mark is None else 3  # this one, the next, and the GPU's
        model.progress = min(1.0, seconds / self.limit)
        if seconds + ahead * self.each > self.limit:
            self.last = model.total_iterations = model.iterations + 1

    def on_train_batch_end(self, trainer: Trainer, model: Generative, *_: Any) -> None:
        trainer.should_stop |= model.iterations == model.total_iterations

    def _wait(self, trainer: Trainer) -> None:
        """Waits until the GPU has done all that was asked of it before the last iteration."""
        if trainer.strategy.root_device.type == "cuda":
            if self._mark is not None:
                self._mark.synchronize()
            self._mark = torch.cuda.Event()
            self._mark.record()

    def _agreed(self, trainer: Trainer) -> float:
        """Seconds so far, the same on all devices."""
        seconds = self.stopwatch.seconds()
        if trainer.world_size == 1:
            return seconds
        mine = torch.tensor(seconds, dtype=torch.float64, device=trainer.strategy.root_device)
        return float(trainer.strategy.reduce(mine, reduce_op="max"))
