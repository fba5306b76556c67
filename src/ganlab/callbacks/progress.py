"""One line that says how far the run is; it costs a microsecond per iteration."""

import sys
import time
from typing import Any

from pytorch_lightning import Callback, Trainer
from tqdm import tqdm

from ganlab.callbacks.journal import Journal
from ganlab.gan import GAN

QUIET_SECONDS = 30.0  # between two lines where there is no terminal


class Progress(Callback):
    """A bar with time left and images per second; in a log file, a line every half minute.

    Lightning's own bars redraw per iteration or from a thread of their own, which costs up to as
    much as a small GAN's iteration.

    Args:
        journal: whose latest reading is shown.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.bar: tqdm[Any] | None = None
        self._said_at = 0.0

    def on_train_start(self, trainer: Trainer, gan: GAN) -> None:  # type: ignore[override]
        if trainer.is_global_zero:
            self._said_at = time.monotonic()
            self.bar = tqdm(
                total=gan.total_iterations,
                initial=gan.iterations,
                disable=not sys.stderr.isatty(),
                unit="it",
                mininterval=0.5,
                dynamic_ncols=True,
            )

    def on_train_batch_end(self, trainer: Trainer, gan: GAN, *_: Any) -> None:  # type: ignore[override]
        if self.bar is None:
            return
        if self.bar.disable:
            self._say(gan)
        elif gan.iterations % self.journal.every == 0:
            self.bar.set_postfix_str(self._reading(), refresh=False)
        self.bar.update()

    def on_train_end(self, trainer: Trainer, gan: GAN) -> None:  # type: ignore[override]
        self._close()

    def on_exception(self, trainer: Trainer, gan: GAN, exception: BaseException) -> None:  # type: ignore[override]
        self._close()

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()

    def _say(self, gan: GAN) -> None:
        if time.monotonic() - self._said_at > QUIET_SECONDS:
            self._said_at = time.monotonic()
            print(
                f"iteration {gan.iterations} of {gan.total_iterations}, {self._reading()}",
                flush=True,
            )

    def _reading(self) -> str:
        shown = {"images_per_second": "{:.0f} images/s", "loss/d": "D {:.3f}", "loss/g": "G {:.3f}"}
        latest = self.journal.latest
        return ", ".join(text.format(latest[k]) for k, text in shown.items() if k in latest)
