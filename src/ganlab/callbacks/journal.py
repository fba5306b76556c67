"""Reads the model's observations at intervals and sends them to the loggers."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import inf
from typing import Any

from pytorch_lightning import Trainer

from ganlab.callbacks.base import ModelCallback
from ganlab.callbacks.intervals import due
from ganlab.errors import NonFiniteError
from ganlab.generative import Generative
from ganlab.loggers import MetricsFile, WandbRun
from ganlab.storage.background import Background


class Journal(ModelCallback):
    """Logs losses, D(x), D(G(z)), gradient norms and speed against three axes.

    The axes are iterations, images seen and seconds of training (over all parts of a resumed run).

    Args:
        every: iterations between two readings; each waits once for the device.
        background: makes pictures; they are logged before any later row.  None: there are none.
    """

    def __init__(self, every: int, background: Background | None = None) -> None:
        self.every, self.background = every, background or Background()
        self.seconds = 0.0
        self.latest: dict[str, float] = {}
        self._read_at: tuple[float, int] = (inf, 0)  # training has not begun

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self._elapsed(), "latest": self.latest}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds, self.latest = state_dict["seconds"], state_dict["latest"]

    def on_train_start(self, trainer: Trainer, model: Generative) -> None:
        for logger in trainer.loggers:
            if isinstance(logger, MetricsFile | WandbRun):
                logger.go_on(model.iterations, model.attempt)
        self._read_at = (time.monotonic(), model.images_seen)

    def on_train_batch_start(self, trainer: Trainer, model: Generative, *_: Any) -> None:
        model.observations.norms = due(model, self.every, ahead=1)

    def on_train_batch_end(self, trainer: Trainer, model: Generative, *_: Any) -> None:
        if due(model, self.every):
            self.read(trainer, model)

    def read(self, trainer: Trainer, model: Generative) -> None:
        """Reads, checks and logs the means since the last reading.

        Raises:
            NonFiniteError: with a diagnosis.
        """
        try:
            metrics = model.observations.read()
        except NonFiniteError as error:
            raise NonFiniteError(self._diagnosis(error, model)) from error
        if not metrics:
            return
        now, (before, images) = time.monotonic(), self._read_at
        metrics["images_per_second"] = (model.images_seen - images) / max(now - before, 1e-9)
        self.seconds += now - before
        self._read_at = (now, model.images_seen)
        self.latest = metrics
        self.record(trainer, model, metrics)

    def record(self, trainer: Trainer, model: Generative, metrics: Mapping[str, float]) -> None:
        """Sends metrics to all loggers, with the current values of the three axes."""
        self.background.deliver()
        axes = {
            "iterations": model.iterations,
            "images_seen": model.images_seen,
            "seconds": round(self._elapsed(), 3),
        }
        for logger in trainer.loggers:
            logger.log_metrics(axes | dict(metrics), step=model.iterations)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Excludes the time spent in the context from the time of training."""
        started = time.monotonic()
        try:
            yield
        finally:
            before, images = self._read_at
            self._read_at = (before + time.monotonic() - started, images)

    def _elapsed(self) -> float:
        """Seconds of training so far, over all parts of a resumed run."""
        return self.seconds + max(0.0, time.monotonic() - self._read_at[0])

    def _diagnosis(self, error: NonFiniteError, model: Generative) -> str:
        known = ", ".join(f"{name} {value:.3g}" for name, value in self.latest.items())
        before = f"; the reading before: {known}" if known else ""
        return f"by iteration {model.iterations}, {error}{before}"
