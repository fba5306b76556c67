"""Ctrl-C and a cluster's signals end a run between two iterations, with a checkpoint."""

import signal
import threading
from types import FrameType
from typing import Any

import torch
from pytorch_lightning import Trainer

from ganlab.callbacks.base import ModelCallback
from ganlab.callbacks.checkpoints import Checkpoints
from ganlab.generative import Generative

# Not every system has the last two, by which Slurm and submitit announce that time is up.
NAMES = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2")


class Interruption(ModelCallback):
    """Saves and stops at the end of the iteration in which a signal came; a second one kills.

    Saving inside a handler would catch D stepped and G not (pytorch-lightning#21406).  Whoever
    handled the signal before gets it afterwards, from `pass_on`: submitit requeues the job then.
    Before training starts and after it ends signals are not ours: the default is to terminate,
    and nothing is lost by it.

    Args:
        checkpoints: saves before the run stops.
    """

    SIGNALS = tuple(number for number in signal.Signals if number.name in NAMES)

    def __init__(self, checkpoints: Checkpoints) -> None:
        self.checkpoints = checkpoints
        self.received: signal.Signals | None = None
        self._handlers: dict[signal.Signals, Any] = {}

    def on_train_start(self, trainer: Trainer, model: Generative) -> None:
        if threading.current_thread() is threading.main_thread():  # only it may handle signals
            # What no Python handles, some library does: it could not be given back.
            mine = [s for s in self.SIGNALS if signal.getsignal(s) is not None]
            self._handlers = {s: signal.signal(s, self._receive) for s in mine}

    def on_train_batch_end(self, trainer: Trainer, model: Generative, *_: Any) -> None:
        # All ranks stop after the same iteration, whichever of them was told to.
        if trainer.strategy.reduce_boolean_decision(self.received is not None, all=False):
            self._agree(trainer)
            self.checkpoints.save(trainer, model)
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, model: Generative) -> None:
        self._restore()

    def on_exception(self, trainer: Trainer, model: Generative, exception: BaseException) -> None:
        self._restore()

    def pass_on(self) -> None:
        """Calls whoever handles the signal that stopped training, if anyone does.

        To be called when everything is written down: submitit's handler ends the process.
        """
        if self.received is None:
            return
        handler = signal.getsignal(self.received)
        if callable(handler) and handler is not signal.default_int_handler:
            # Slurm ends all processes of a job that it requeues, and submitit takes it for a
            # failure if among them is the command with which it has asked for that.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            handler(self.received, None)

    def _agree(self, trainer: Trainer) -> None:
        """All ranks know the signal: it is the first one's business to requeue the job."""
        number = torch.tensor(self.received or 0, device=trainer.strategy.root_device)
        self.received = signal.Signals(int(trainer.strategy.reduce(number, reduce_op="max")))

    def _restore(self) -> None:
        """Before Lightning restores its own: in reverse order of taking."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number)
        signal.signal(number, self._handlers[self.received])
