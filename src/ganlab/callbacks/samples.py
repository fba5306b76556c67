"""Grids of images from fixed noise: how the generator changes, and only it."""

from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, Trainer

from ganlab import pictures
from ganlab.callbacks.intervals import due
from ganlab.gan import GAN


class SampleGrids(Callback):
    """Saves samples/iteration-N.png at intervals and samples.gif at the end; tells the loggers.

    Drawing does not disturb training: it uses no shared random numbers and leaves modes alone.

    Args:
        folder: where the pictures go.
        every: iterations between two grids; there is one before the first and after the last.
        n: images in a grid.
    """

    def __init__(self, folder: Path, every: int, n: int = 64) -> None:
        self.folder, self.every, self.n = folder, every, n

    def on_train_start(self, trainer: Trainer, gan: GAN) -> None:  # type: ignore[override]
        if gan.iterations == 0:
            self.draw(trainer, gan)

    def on_train_batch_end(self, trainer: Trainer, gan: GAN, *_: Any) -> None:  # type: ignore[override]
        if due(gan, self.every):
            self.draw(trainer, gan)

    def on_train_end(self, trainer: Trainer, gan: GAN) -> None:  # type: ignore[override]
        if trainer.is_global_zero:
            frames = sorted(self.folder.glob("iteration-*.png"))
            pictures.animate(frames, self.folder / "samples.gif")

    def draw(self, trainer: Trainer, gan: GAN) -> None:
        """Saves and logs one grid."""
        if not trainer.is_global_zero:
            return
        pixels = pictures.grid(gan.sample(self.n))
        pictures.save(self.folder / f"iteration-{gan.iterations:07d}.png", pixels)
        for logger in trainer.loggers:
            if hasattr(logger, "log_picture"):
                logger.log_picture("samples", pixels, gan.iterations)
