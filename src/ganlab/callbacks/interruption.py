"""Ctrl-C and a cluster's SIGTERM end a run between two iterations, with a checkpoint."""

import signal
import threading
from types import FrameType
from typing import Any

from pytorch_lightning import Callback, Trainer

from ganlab.callbacks.checkpoints import Checkpoints
from ganlab.gan import GAN


class Interruption(Callback):
    """Saves and stops at the end of the iteration in which a signal came; a second one kills.

    Saving inside a handler would catch D stepped and G not (pytorch-lightning#21406).

    Args:
        checkpoints: saves before the run stops.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, checkpoints: Checkpoints) -> None:
        self.checkpoints = checkpoints
        self.received: signal.Signals | None = None
        self._handlers: dict[signal.Signals, Any] = {}

    def on_train_start(self, trainer: Trainer, gan: GAN) -> None:  # type: ignore[override]
        if threading.current_thread() is threading.main_thread():  # only it may handle signals
            self._handlers = {s: signal.signal(s, self._receive) for s in self.SIGNALS}

    def on_train_batch_end(self, trainer: Trainer, gan: GAN, *_: Any) -> None:  # type: ignore[override]
        # All ranks stop after the same iteration, whichever of them was told to.
        if trainer.strategy.reduce_boolean_decision(self.received is not None, all=False):
            self.checkpoints.save(trainer, gan)
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, gan: GAN) -> None:  # type: ignore[override]
        self._restore()

    def on_exception(self, trainer: Trainer, gan: GAN, exception: BaseException) -> None:  # type: ignore[override]
        self._restore()

    def _restore(self) -> None:
        """Before Lightning restores its own: in reverse order of taking."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number)
        signal.signal(number, self._handlers[self.received])
