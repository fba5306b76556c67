"""Checkpoints of tensors and plain data, written whole or not at all."""

import io
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Trainer
from pytorch_lightning.plugins.io import TorchCheckpointIO

from ganlab.callbacks.base import ModelCallback
from ganlab.callbacks.intervals import due
from ganlab.errors import NonFiniteError
from ganlab.generative import Generative
from ganlab.runs.folder import BEST
from ganlab.storage import checkpoint, files
from ganlab.storage.background import Background, Snapshot


class Checkpoints(ModelCallback):
    """Saves checkpoints/iteration-N.ckpt at intervals and at the end; keeps the last few.

    best.ckpt beside them is for whoever scores the GAN.

    A GAN with a weight that is NaN or infinite is never saved, so the newest file is always good.
    Files are written while training goes on; when it ends they are there.

    Args:
        folder: where checkpoints go.
        every: iterations between two checkpoints.
        keep: how many to keep.
        background: writes the files; None: one for this callback alone.
    """

    def __init__(
        self, folder: Path, every: int, keep: int = 2, background: Background | None = None
    ) -> None:
        self.folder, self.every, self.keep = folder, every, keep
        self.background = background or Background()
        self.pinned: int | None = None  # the iteration of one more that is kept
        self._saved = -1

    def setup(self, trainer: Trainer, model: Generative, stage: str) -> None:
        trainer.strategy.checkpoint_io = WholeFiles(self.background)

    def on_train_start(self, trainer: Trainer, model: Generative) -> None:
        first = trainer.strategy.broadcast(model.iterations)
        if model.iterations != first:
            raise RuntimeError(
                f"process {trainer.global_rank} would go on from iteration {model.iterations}, the "
                f"first one from {first}: do all of them see the same '{self.folder}'?"
            )

    def on_train_batch_end(self, trainer: Trainer, model: Generative, *_: Any) -> None:
        if due(model, self.every):
            self.save(trainer, model)

    def on_train_end(self, trainer: Trainer, model: Generative) -> None:
        self.save(trainer, model)
        self.background.drain()

    def on_exception(self, trainer: Trainer, model: Generative, exception: BaseException) -> None:
        if isinstance(exception, Exception):  # who presses Ctrl-C twice does not want to wait
            self.background.settle()

    def save(self, trainer: Trainer, model: Generative) -> None:
        """Saves now, unless this iteration is saved already.

        Raises:
            NonFiniteError: a weight is NaN or infinite.
        """
        if model.iterations == self._saved:
            return
        self.keep_as(trainer, model, self.folder / checkpoint.name(model.iterations))
        self._saved = model.iterations
        if trainer.is_global_zero:
            pinned = checkpoint.name(self.pinned) if self.pinned is not None else ""
            self.background.submit(lambda: self._remove_old(pinned))

    def _remove_old(self, pinned: str) -> None:
        for old in checkpoint.listed(self.folder)[: -self.keep]:
            if old.name != pinned:
                old.unlink()

    def save_best(self, trainer: Trainer, model: Generative) -> None:
        """Saves best.ckpt in place of the one before, which these weights have outdone.

        Raises:
            NonFiniteError: a weight is NaN or infinite.
        """
        self.keep_as(trainer, model, self.folder / BEST)

    def drop_after(self, iteration: int) -> None:
        """Removes the checkpoints of later iterations, the best among them."""
        for path in checkpoint.listed(self.folder):
            if checkpoint.iteration(path) > iteration:
                path.unlink()
        if not self.best_is_by(iteration):
            (self.folder / BEST).unlink()

    def best_is_by(self, iteration: int) -> bool:
        """Whether best.ckpt is of an iteration up to this one, or there is none."""
        return not self.has_best or checkpoint.read(self.folder / BEST)["iterations"] <= iteration

    @property
    def has_best(self) -> bool:
        """Whether there is a best.ckpt."""
        return (self.folder / BEST).exists()

    def keep_as(self, trainer: Trainer, model: Generative, path: Path) -> None:
        """Saves now, under any name: nothing removes it.

        Raises:
            NonFiniteError: a weight is NaN or infinite.
        """
        require_finite(model)
        self.background.deliver()  # who goes on from here need not make what came before
        trainer.save_checkpoint(path)  # all ranks call it, the first one writes


class WholeFiles(TorchCheckpointIO):
    """Has checkpoints written in the background, as they are when it is asked.

    Args:
        background: writes them.
    """

    def __init__(self, background: Background) -> None:
        self.background = background

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        now = Snapshot(checkpoint)
        self.background.submit(lambda: write(now.arrived(), Path(path)))


def write(content: dict[str, Any], path: Path) -> None:
    """Writes a checkpoint whole or not at all.

    Lightning writes to the machine's temporary folder first, which may be small, and from another
    disk a checkpoint does not arrive whole or not at all.
    """
    file = io.BytesIO()  # torch's own writer does not say that a disk is full
    torch.save(content, file)
    files.write(path, file.getbuffer())


def require_finite(model: Generative) -> None:
    """Raises NonFiniteError, naming the first tensor of the GAN that is not finite.

    Waits for the device once.
    """
    floats = {name: t for name, t in model.state_dict().items() if t.is_floating_point()}
    finite = torch.stack([torch.isfinite(tensor).all() for tensor in floats.values()]).tolist()
    if not all(finite):
        first = next(name for name, good in zip(floats, finite, strict=True) if not good)
        raise NonFiniteError(f"by iteration {model.iterations}, {first} is not finite")
