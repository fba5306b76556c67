"""One line that says how far the run is; it costs a microsecond per iteration."""

import sys
import time
from typing import Any

from pytorch_lightning import Trainer
from tqdm import tqdm

from ganlab.callbacks.base import ModelCallback
from ganlab.callbacks.journal import Journal
from ganlab.generative import Generative

FIRST_SECONDS = 5.0  # of training, after which a log file has its first line
QUIET_SECONDS = 30.0  # between two lines


class Progress(ModelCallback):
    """A bar with time left and images per second; a line soon and every half minute in a log file.

    Lightning's own bars redraw per iteration or from a thread of their own, which costs up to as
    much as a small GAN's iteration.

    Args:
        journal: whose latest reading is shown.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.bar: tqdm[Any] | None = None
        self._began: tuple[float, int] | None = None  # when the first iteration here was done
        self._says_at = 0.0

    def on_train_start(self, trainer: Trainer, model: Generative) -> None:
        if trainer.is_global_zero:
            self._began, self._says_at = None, time.monotonic() + FIRST_SECONDS
            self.bar = tqdm(
                total=model.total_iterations,
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
            self.bar.set_postfix_str(", ".join(self._readings()), refresh=False)
        self.bar.update()

    def on_train_end(self, trainer: Trainer, model: Generative) -> None:
        self._close()

    def on_exception(self, trainer: Trainer, model: Generative, exception: BaseException) -> None:
        self._close()

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()

    def _say(self, model: Generative) -> None:
        """A line, where one is due; the first iteration, which takes longer, sets no pace."""
        now = time.monotonic()
        if self._began is None:
            self._began = (now, model.iterations)
        elif now > self._says_at:
            self._says_at = now + QUIET_SECONDS
            done = f"iteration {model.iterations} of {model.total_iterations}"
            left = time_left(model, now, *self._began)
            print(", ".join([done, *left, *self._readings()]), flush=True)

    def _readings(self) -> list[str]:
        shown = {"images_per_second": "{:.0f} images/s", "loss/d": "D {:.3f}", "loss/g": "G {:.3f}"}
        latest = self.journal.latest
        return [text.format(latest[k]) for k, text in shown.items() if k in latest]


def time_left(model: Generative, now: float, began: float, start: int) -> list[str]:
    """What the iterations left take at the pace since `start`, which was done when it `began`.

    A run that goes on is judged by what it does here: what it did before may have been elsewhere.
    """
    left, done = model.total_iterations - model.iterations, model.iterations - start
    return [f"about {spoken(left * (now - began) / done)} left"] if left else []


def spoken(seconds: float) -> str:
    """A length of time as people say it: 8 s, 75 s, 25 min, 7 h, 3 days."""
    for unit, length in (("s", 1), ("min", 60), ("h", 3600)):
        if seconds < 120 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 86400:.0f} days"
