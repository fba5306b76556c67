"""A chart of a run's metrics, drawn when the run ends."""

import contextlib
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Trainer

from ganlab.callbacks.base import ModelCallback
from ganlab.generative import Generative
from ganlab.plots import figures, pictures


class Curves(ModelCallback):
    """Draws RUN/curves.png from RUN/metrics.csv, which has all parts of a resumed run.

    It draws at the end of training, after an interruption and after a failure.

    Args:
        folder: the run's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_end(self, trainer: Trainer, model: Generative) -> None:
        self.draw(trainer, model)

    def on_exception(self, trainer: Trainer, model: Generative, exception: BaseException) -> None:
        if isinstance(exception, Exception):  # do not wait after a second Ctrl-C
            with contextlib.suppress(OSError):  # on a full disk, the first error is the one to show
                self.draw(trainer, model)

    def draw(self, trainer: Trainer, model: Generative) -> None:
        """Saves and logs the chart, if there are any metrics."""
        if not trainer.is_global_zero:
            return
        readings = figures.read(self.folder / "metrics.csv")
        if not readings:
            return
        likely = is_probability(model.observations.score)
        name = self.folder.absolute().parent.name
        pixels = figures.to_pixels(figures.curves(readings, name, probability=likely))
        file = self.folder / "curves.png"
        pictures.save(file, pixels)
        last = int(readings["iterations"][1][-1])  # may be before the iteration of a failure
        for logger in trainer.loggers:
            if hasattr(logger, "log_picture"):
                logger.log_picture("curves", file, last)


def is_probability(score: Any) -> bool:
    """Whether a loss's score maps even extreme logits into [0, 1]."""
    low, high = score(torch.tensor([-1e4, 1e4])).tolist()
    return 0 <= low < high <= 1
