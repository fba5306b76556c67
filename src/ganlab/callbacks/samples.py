"""Pictures of samples from fixed noise: how the generator changes, and only it."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pytorch_lightning import Trainer
from torch import Tensor

from ganlab.callbacks.base import ModelCallback
from ganlab.callbacks.intervals import due
from ganlab.generative import Generative
from ganlab.plots import pictures
from ganlab.spec import PointSpec
from ganlab.storage.background import Background, Snapshot

Painter = Callable[[Tensor], np.ndarray]  # samples -> uint8 (H, W, 3)
ROWS = 8  # of a sheet that shows what a code does


class SampleGrids(ModelCallback):
    """Saves samples/iteration-N.png at intervals and samples.gif at the end; tells the loggers.

    Where G is told a code, its sheets go beside it: samples/classes/iteration-N.png, classes.gif.
    Drawing does not disturb training: it uses no shared random numbers and leaves modes alone, and
    pictures are made while training goes on.

    Args:
        folder: where the pictures go.
        every: iterations between two pictures; there is one before the first and after the last.
        n: samples in each.
        paint: makes a picture of samples: a grid of images; of points a cloud (figures.Cloud).
        background: makes the pictures; None: one for this callback alone.
    """

    def __init__(
        self,
        folder: Path,
        every: int,
        n: int = 64,
        paint: Painter = pictures.grid,
        background: Background | None = None,
    ) -> None:
        self.folder, self.every, self.n, self.paint = folder, every, n, paint
        self.background = background or Background()

    def on_train_start(self, trainer: Trainer, model: Generative) -> None:
        if model.iterations == 0:
            self.draw(trainer, model)

    def on_train_batch_end(self, trainer: Trainer, model: Generative, *_: Any) -> None:
        if due(model, self.every):
            self.draw(trainer, model)

    def on_train_end(self, trainer: Trainer, model: Generative) -> None:
        if not trainer.is_global_zero:
            return
        self.background.drain()
        for folder, name in [(self.folder, "samples"), *((f, f.name) for f in self._sheets())]:
            frames = sorted(folder.glob("iteration-*.png"))
            pictures.animate(frames, self.folder / f"{name}.gif")

    def draw(self, trainer: Trainer, model: Generative) -> None:
        """Saves and logs one picture of each kind."""
        if not trainer.is_global_zero:
            return
        self._draw(trainer, model, "samples", self.folder, model.sample(self.n), self.paint)
        for name, images, paint in sheets(model):
            self._draw(trainer, model, name, self.folder / name, images, paint)

    def _draw(
        self,
        trainer: Trainer,
        model: Generative,
        name: str,
        folder: Path,
        images: Tensor,
        paint: Painter,
    ) -> None:
        """Has a picture made of images as they are now, and told to the loggers afterwards."""
        iteration, now = model.iterations, Snapshot(images)
        file = folder / f"iteration-{iteration:07d}.png"

        def make() -> None:
            folder.mkdir(exist_ok=True)
            pictures.save(file, paint(now.arrived()))

        def tell(_: None) -> None:
            for logger in trainer.loggers:
                if hasattr(logger, "log_picture"):
                    logger.log_picture(name, file, iteration)

        self.background.submit(make, then=tell)

    def _sheets(self) -> list[Path]:
        return sorted(folder for folder in self.folder.iterdir() if folder.is_dir())


def sheets(model: Generative, seed: int = 0) -> Iterator[tuple[str, Tensor, Painter]]:
    """(name, images, painter) of what each code does to images: in a row the noise is the same."""
    if isinstance(model.spec, PointSpec):
        return
    for name, latents in model.sheets(ROWS, seed).items():
        paint = functools.partial(pictures.grid, columns=len(latents) // ROWS)
        yield name, model.generate(latents), paint
