"""Pictures of samples from fixed noise, so that only the generator changes between them."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from pytorch_lightning import Trainer
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from ganlab.callbacks.base import ModelCallback
from ganlab.callbacks.intervals import due
from ganlab.generative import Generative
from ganlab.plots import pictures
from ganlab.sampler import Sampler
from ganlab.spec import PointSpec
from ganlab.storage.background import Background, Snapshot

Painter = Callable[[Tensor], np.ndarray]  # samples -> uint8 (H, W, 3)
ROWS = 8  # of a sheet that shows the effect of a code


class SampleGrids(ModelCallback):
    """Saves and logs samples/iteration-N.png at intervals.  `animate` makes films of them.

    If G gets a code, such as a class, there are also sheets with one code per column:
    samples/classes/iteration-N.png.  Drawing does not change training: it
    uses no shared random numbers and leaves the networks' modes alone.  A background thread makes
    the pictures.

    Args:
        folder: where the pictures go.
        every: iterations between two pictures; the start and the end have one, too.
        n: samples per picture.
        paint: makes a picture of samples: a grid of images, or a cloud of points (cloud.Cloud).
        background: makes the pictures; None: a new one.
        paused: excludes the time spent in it from the time of training.
    """

    def __init__(
        self,
        folder: Path,
        every: int,
        n: int = 64,
        paint: Painter = pictures.grid,
        background: Background | None = None,
        paused: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
    ) -> None:
        self.folder, self.every, self.n, self.paint = folder, every, n, paint
        self.background, self.paused = background or Background(), paused

    def on_train_start(self, trainer: Trainer, model: Generative) -> None:
        if model.iterations == 0:
            self.draw(trainer, model)

    def on_train_batch_end(self, trainer: Trainer, model: Generative, *_: Any) -> None:
        if due(model, self.every):
            self.draw(trainer, model)

    def on_train_end(self, trainer: Trainer, model: Generative) -> None:
        self.background.drain()

    @rank_zero_only
    def animate(self) -> None:
        """Saves the films: samples/samples.gif, and one of each kind of sheet."""
        for folder, name in [(self.folder, "samples"), *((f, f.name) for f in self._sheets())]:
            frames, film = sorted(folder.glob("iteration-*.png")), self.folder / f"{name}.gif"
            pictures.animate(frames, film)
            if len(frames) > pictures.MOST:
                print(f"{film} shows {pictures.MOST} of {len(frames):,} pictures", flush=True)

    def draw(self, trainer: Trainer, model: Generative) -> None:
        """Saves and logs one picture of each kind."""
        if not trainer.is_global_zero:
            return
        with self.paused():
            images = model.sample(self.n)
        self._draw(trainer, model, "samples", self.folder, images, self.paint)
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
        """Copies images now; makes and logs their picture in the background."""
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


def sheets(
    model: Sampler, seed: int = 0, truncation: float | None = None
) -> Iterator[tuple[str, Tensor, Painter]]:
    """(name, images, painter) of each sheet of codes; within a row the noise is the same."""
    if isinstance(model.spec, PointSpec):
        return
    for name, latents in model.sheets(ROWS, seed, truncation).items():
        paint = functools.partial(pictures.grid, columns=len(latents) // ROWS)
        with model.truncating(truncation):
            images = model.generate(latents, truncation=truncation)
        yield name, images, paint
