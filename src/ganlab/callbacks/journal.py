"""Reads the model's observations at intervals and sends them to the loggers."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from pytorch_lightning import Trainer

from ganlab.callbacks.base import ModelCallback
from ganlab.callbacks.intervals import due
from ganlab.errors import NonFiniteError
from ganlab.generative import Generative
from ganlab.loggers import MetricsFile, WandbRun
from ganlab.storage.background import Background
from ganlab.training.stopwatch import Stopwatch


class Journal(ModelCallback):
    """Logs losses, D(x), D(G(z)), gradient norms and speed against three axes.

    The axes are iterations, images seen and seconds of training (over all parts of a resumed run).

    Args:
        every: iterations between two readings; each waits once for the device.
        background: makes pictures; they are logged before any later row.  None: there are none.
        stopwatch: the time of the run; None: it starts with the first iteration.
    """

    def __init__(
        self,
        every: int,
        background: Background | None = None,
        stopwatch: Stopwatch | None = None,
    ) -> None:
        self.every, self.background = every, background or Background()
        self.stopwatch = stopwatch or Stopwatch()
        self.seconds = 0.0  # at the latest reading
        self.latest: dict[str, float] = {}
        self._read_at: tuple[float, int] = (0.0, 0)  # seconds and images then

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.stopwatch.seconds(), "latest": self.latest}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds, self.latest = state_dict["seconds"], state_dict["latest"]
        self.stopwatch.before = self.seconds

    def on_train_start(self, trainer: Trainer, model: Generative) -> None:
        for logger in trainer.loggers:
            if isinstance(logger, MetricsFile | WandbRun):
                logger.go_on(model.iterations, model.attempt)
        self.stopwatch.start()
        self._read_at = (self.stopwatch.seconds(), model.images_seen)

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
        self.seconds, (before, images) = self.stopwatch.seconds(), self._read_at
        took = max(self.seconds - before, 1e-9)
        metrics["images_per_second"] = (model.images_seen - images) / took
        self._read_at = (self.seconds, model.images_seen)
        self.latest = metrics
        self.record(trainer, model, metrics)

    def record(self, trainer: Trainer, model: Generative, metrics: Mapping[str, float]) -> None:
        """Sends metrics to all loggers, with the current values of the three axes."""
        self.background.deliver()
        axes = {
            "iterations": model.iterations,
            "images_seen": model.images_seen,
            "seconds": round(self.stopwatch.seconds(), 3),
        }
        for logger in trainer.loggers:
            logger.log_metrics(axes | dict(metrics), step=model.iterations)

    def paused(self) -> AbstractContextManager[None]:
        """Excludes the time spent in the context from the time of training."""
        return self.stopwatch.paused()

    def _diagnosis(self, error: NonFiniteError, model: Generative) -> str:
        known = ", ".join(f"{name} {value:.3g}" for name, value in self.latest.items())
        before = f"; the reading before: {known}" if known else ""
        return f"by iteration {model.iterations}, {error}{before}"
