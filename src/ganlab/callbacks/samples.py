"""Pictures of samples from fixed noise: how the generator changes, and only it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pytorch_lightning import Callback, Trainer
from torch import Tensor

from ganlab import pictures
from ganlab.callbacks.intervals import due
from ganlab.gan import GAN
from ganlab.spec import PointSpec

Painter = Callable[[Tensor], np.ndarray]  # samples -> uint8 (H, W, 3)
ROWS = 8  # of a sheet that shows what a code does


class SampleGrids(Callback):
    """Saves samples/iteration-N.png at intervals and samples.gif at the end; tells the loggers.

    Where G is told a code, its sheets go beside it: samples/classes/iteration-N.png, classes.gif.
    Drawing does not disturb training: it uses no shared random numbers and leaves modes alone.

    Args:
        folder: where the pictures go.
        every: iterations between two pictures; there is one before the first and after the last.
        n: samples in each.
        paint: makes a picture of samples: a grid of images; of points a cloud (figures.Cloud).
    """

    def __init__(
        self, folder: Path, every: int, n: int = 64, paint: Painter = pictures.grid
    ) -> None:
        self.folder, self.every, self.n, self.paint = folder, every, n, paint

    def on_train_start(self, trainer: Trainer, gan: GAN) -> None:  # type: ignore[override]
        if gan.iterations == 0:
            self.draw(trainer, gan)

    def on_train_batch_end(self, trainer: Trainer, gan: GAN, *_: Any) -> None:  # type: ignore[override]
        if due(gan, self.every):
            self.draw(trainer, gan)

    def on_train_end(self, trainer: Trainer, gan: GAN) -> None:  # type: ignore[override]
        if not trainer.is_global_zero:
            return
        for folder, name in [(self.folder, "samples"), *((f, f.name) for f in self._sheets())]:
            frames = sorted(folder.glob("iteration-*.png"))
            pictures.animate(frames, self.folder / f"{name}.gif")

    def draw(self, trainer: Trainer, gan: GAN) -> None:
        """Saves and logs one picture of each kind."""
        if not trainer.is_global_zero:
            return
        self._save(trainer, gan, "samples", self.folder, self.paint(gan.sample(self.n)))
        for name, pixels in sheets(gan):
            self._save(trainer, gan, name, self.folder / name, pixels)

    def _save(
        self, trainer: Trainer, gan: GAN, name: str, folder: Path, pixels: np.ndarray
    ) -> None:
        folder.mkdir(exist_ok=True)
        pictures.save(folder / f"iteration-{gan.iterations:07d}.png", pixels)
        for logger in trainer.loggers:
            if hasattr(logger, "log_picture"):
                logger.log_picture(name, pixels, gan.iterations)

    def _sheets(self) -> list[Path]:
        return sorted(folder for folder in self.folder.iterdir() if folder.is_dir())


def sheets(gan: GAN, seed: int = 0) -> Iterator[tuple[str, np.ndarray]]:
    """(name, picture) of what each code does to images: in a row the noise is the same."""
    if isinstance(gan.spec, PointSpec):
        return
    for name, latents in gan.sheets(ROWS, seed).items():
        yield name, pictures.grid(gan.generate(latents), columns=len(latents) // ROWS)
