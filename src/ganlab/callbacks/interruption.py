"""On Ctrl-C or a cluster's signal, saves a checkpoint and stops between two iterations."""

import signal
import threading
from types import FrameType
from typing import Any

import torch
from pytorch_lightning import Trainer

from ganlab.callbacks.base import ModelCallback
from ganlab.callbacks.checkpoints import Checkpoints
from ganlab.generative import Generative

# A closed terminal sends SIGHUP; Slurm and submitit send the last two before the time limit.  Not
# every system has them.
NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")


class Interruption(ModelCallback):
    """Saves and stops at the end of the iteration in which a signal arrives; a second one kills.

    A checkpoint saved inside the handler could have D updated but not G
    (pytorch-lightning#21406).  After training, `pass_on` calls the handler that was installed
    before, such as submitit's, which requeues the job.  Signals before and after training keep
    their own handlers; the default terminates the process, and nothing is lost.

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
            # None: the handler was not installed from Python and could not be restored.
            mine = [s for s in self.SIGNALS if signal.getsignal(s) is not None]
            # nohup ignores SIGHUP, and means it; a shell ignores SIGINT for all that it starts in
            # the background.
            mine = [s for s in mine if s.name != "SIGHUP" or signal.getsignal(s) != signal.SIG_IGN]
            self._handlers = {s: signal.signal(s, self._receive) for s in mine}

    def on_train_batch_end(self, trainer: Trainer, model: Generative, *_: Any) -> None:
        # All ranks stop after the same iteration, even if only one got the signal.
        if trainer.strategy.reduce_boolean_decision(self.received is not None, all=False):
            self._agree(trainer)
            self.checkpoints.save(trainer, model)
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, model: Generative) -> None:
        self._restore()

    def on_exception(self, trainer: Trainer, model: Generative, exception: BaseException) -> None:
        self._restore()

    def pass_on(self) -> None:
        """Calls the original handler of the signal that stopped training, if there is one.

        Call this after everything is saved: submitit's handler ends the process.
        """
        if self.received is None:
            return
        handler = signal.getsignal(self.received)
        if callable(handler) and handler is not signal.default_int_handler:
            # When Slurm requeues a job, it sends SIGTERM to all its processes, including the
            # requeue command that submitit started; submitit would report that as a failure.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            handler(self.received, None)

    def _agree(self, trainer: Trainer) -> None:
        """Shares the signal with all ranks: rank 0 has to requeue the job."""
        number = torch.tensor(self.received or 0, device=trainer.strategy.root_device)
        self.received = signal.Signals(int(trainer.strategy.reduce(number, reduce_op="max")))

    def _restore(self) -> None:
        """Restores the handlers; runs before Lightning restores its own, in reverse order."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number)
        signal.signal(number, self._handlers[self.received])
