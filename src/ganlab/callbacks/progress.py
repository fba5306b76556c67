"""Progress on one line; it costs a microsecond per iteration."""

import sys
import time
from typing import Any

from pytorch_lightning import Trainer
from tqdm import tqdm

from ganlab.callbacks.base import ModelCallback
from ganlab.callbacks.journal import Journal
from ganlab.generative import Generative

FIRST_SECONDS = 5.0  # from the start of training to the first line in a log file
QUIET_SECONDS = 30.0  # between two lines


class Progress(ModelCallback):
    """A bar with time left and images per second; in a log file, a line every half minute.

    Lightning's own bars redraw per iteration or from a separate thread, which can cost as much as
    an iteration of a small GAN.

    Args:
        journal: its latest reading is shown.
        limit: seconds after which the clock ends the run; None: its iterations do.
    """

    def __init__(self, journal: Journal, limit: float | None = None) -> None:
        self.journal, self.limit = journal, limit
        self.bar: tqdm[Any] | None = None
        self._began: tuple[float, int] | None = None  # time and number of the first iteration
        self._says_at = 0.0

    def on_train_start(self, trainer: Trainer, model: Generative) -> None:
        if trainer.is_global_zero:
            self._began, self._says_at = None, time.monotonic() + FIRST_SECONDS
            self.bar = tqdm(
                total=model.total_iterations if self.limit is None else None,
                initial=model.iterations,
                disable=not sys.stderr.isatty(),
                unit="it",
                mininterval=0.5,
                dynamic_ncols=True,
            )

    def on_train_batch_end(self, trainer: Trainer, model: Generative, *_: Any) -> None:
        if self.bar is None:
            return
        if self.bar.disable:
            self._say(model)
        elif model.iterations % self.journal.every == 0:
            self.bar.set_postfix_str(
                ", ".join([*self._by_clock(), *self._readings()]), refresh=False
            )
        self.bar.update()

    def on_train_end(self, trainer: Trainer, model: Generative) -> None:
        self._close()

    def on_exception(self, trainer: Trainer, model: Generative, exception: BaseException) -> None:
        self._close()

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()

    def _say(self, model: Generative) -> None:
        """Prints a line if one is due; the slow first iteration does not count for the pace."""
        now = time.monotonic()
        if self._began is None:
            self._began = (now, model.iterations)
        elif now > self._says_at:
            self._says_at = now + QUIET_SECONDS
            done, left = f"iteration {model.iterations}", self._by_clock()
            if self.limit is None:
                done = f"{done} of {model.total_iterations}"
                left = time_left(model, now, *self._began)
            print(", ".join([done, *left, *self._readings()]), flush=True)

    def _by_clock(self) -> list[str]:
        """The time left of a run that the clock ends."""
        if self.limit is None:
            return []
        return [f"{spoken(max(0.0, self.limit - self.journal.stopwatch.seconds()))} left"]

    def _readings(self) -> list[str]:
        shown = {"images_per_second": "{:.0f} images/s", "loss/d": "D {:.3f}", "loss/g": "G {:.3f}"}
        latest = self.journal.latest
        return [text.format(latest[k]) for k, text in shown.items() if k in latest]


def time_left(model: Generative, now: float, began: float, start: int) -> list[str]:
    """The time that the iterations left will take; empty if none are left.

    The pace is measured from iteration `start`, which ended at time `began`.  Earlier parts of a
    resumed run do not count, because they may have run on another machine.
    """
    left, done = model.total_iterations - model.iterations, model.iterations - start
    return [f"about {spoken(left * (now - began) / done)} left"] if left else []


def spoken(seconds: float) -> str:
    """A duration in a readable unit: 8 s, 75 s, 25 min, 7 h, 3 days."""
    for unit, length in (("s", 1), ("min", 60), ("h", 3600)):
        if seconds < 120 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 86400:.0f} days"
