"""Checkpoints of tensors and plain data, written atomically."""

import contextlib
import io
from collections.abc import Iterator
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

    The callback Scores uses it to save best.ckpt, too.

    A GAN with a NaN or infinite weight is never saved, so the newest file is always usable.
    A background thread writes the files; at the end of training all are written.

    Args:
        folder: where checkpoints go.
        every: iterations between two checkpoints.
        keep: number of checkpoints to keep.
        background: writes the files; None: a new one.
    """

    def __init__(
        self, folder: Path, every: int, keep: int = 2, background: Background | None = None
    ) -> None:
        self.folder, self.every, self.keep = folder, every, keep
        self.background = background or Background()
        self.pinned: int | None = None  # iteration of a checkpoint that is kept in addition
        self._saved = -1

    def setup(self, trainer: Trainer, model: Generative, stage: str) -> None:
        trainer.strategy.checkpoint_io = WholeFiles(self.background, self.folder)

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
        if isinstance(exception, Exception):  # do not wait after a second Ctrl-C
            self.background.settle()

    def save(self, trainer: Trainer, model: Generative) -> None:
        """Saves now, unless this iteration has been saved.

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
        """Replaces best.ckpt by the current weights.

        Raises:
            NonFiniteError: a weight is NaN or infinite.
        """
        self.keep_as(trainer, model, self.folder / BEST)

    @contextlib.contextmanager
    def best_weights(self, model: Generative) -> Iterator[None]:
        """The model has the weights of best.ckpt within the context, and its own again after it."""
        self.background.drain()
        own = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        model.load_state_dict(checkpoint.read(self.folder / BEST)["state_dict"])
        try:
            yield
        finally:
            model.load_state_dict(own)

    def drop_after(self, iteration: int) -> None:
        """Removes checkpoints of later iterations, also best.ckpt if it is from one."""
        for path in checkpoint.listed(self.folder):
            if checkpoint.iteration(path) > iteration:
                path.unlink()
        if not self.best_is_by(iteration):
            (self.folder / BEST).unlink()

    def best_is_by(self, iteration: int) -> bool:
        """Whether best.ckpt is missing or from this iteration or an earlier one."""
        return not self.has_best or checkpoint.read(self.folder / BEST)["iterations"] <= iteration

    @property
    def has_best(self) -> bool:
        """Whether best.ckpt exists."""
        return (self.folder / BEST).exists()

    def keep_as(self, trainer: Trainer, model: Generative, path: Path) -> None:
        """Saves now to `path`; unless the name is that of a regular checkpoint, the file is kept.

        Raises:
            NonFiniteError: a weight is NaN or infinite.
        """
        require_finite(model)
        self.background.deliver()  # log earlier pictures first: a resumed run does not redraw them
        trainer.save_checkpoint(path)  # all ranks call it, rank 0 writes


class WholeFiles(TorchCheckpointIO):
    """Copies a checkpoint when it is saved and writes the copy in the background.

    Of another run's checkpoint, the state of callbacks is left out: a run that starts from it has
    its own time, verdicts and best score.

    Args:
        background: writes the files.
        own: the folder of the run's own checkpoints.
    """

    def __init__(self, background: Background, own: Path) -> None:
        self.background, self.own = background, own

    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        content = super().load_checkpoint(path, *args, **kwargs)
        return content if Path(path).parent == self.own else {**content, "callbacks": {}}

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        now = Snapshot(checkpoint)
        self.background.submit(lambda: write(now.arrived(), Path(path)))


def write(content: dict[str, Any], path: Path) -> None:
    """Writes a checkpoint atomically.

    Lightning writes to the system's temporary folder first.  That folder may be small, and moving a
    file from another disk is not atomic.
    """
    file = io.BytesIO()  # torch's file writer hides the error of a full disk
    torch.save(content, file)
    files.write(path, file.getbuffer())


def require_finite(model: Generative) -> None:
    """Raises NonFiniteError that names the first non-finite tensor of the GAN.

    Synchronises with the device once.
    """
    floats = {name: t for name, t in model.state_dict().items() if t.is_floating_point()}
    finite = torch.stack([torch.isfinite(tensor).all() for tensor in floats.values()]).tolist()
    if not all(finite):
        first = next(name for name, good in zip(floats, finite, strict=True) if not good)
        raise NonFiniteError(f"by iteration {model.iterations}, {first} is not finite")
