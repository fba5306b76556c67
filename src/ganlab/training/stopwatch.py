"""The time that a run has taken, over all its sessions."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


def now() -> float:
    """Seconds of a clock that only goes forward."""
    return time.monotonic()


class Stopwatch:
    """Seconds since a session began, without its pauses, and those of the sessions before it.

    Args:
        began: when the session began, by `now`; None: at `start`.
    """

    def __init__(self, began: float | None = None) -> None:
        self.began, self.before = began, 0.0

    def start(self) -> None:
        """Starts it, if it has not been started."""
        if self.began is None:
            self.began = now()

    def seconds(self) -> float:
        """Seconds so far."""
        return self.before + (0.0 if self.began is None else now() - self.began)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The time spent in the context does not count."""
        at = now()
        try:
            yield
        finally:
            if self.began is not None:
                self.began += now() - at
