"""Learning-rate schedules: factors of the base rate as functions of the run's progress.

A schedule is a pure function of progress = iterations done / iterations in all, in [0, 1]: it has
no state, so there is nothing to checkpoint and a resumed run cannot drift.
"""

import math
from typing import Protocol

from ganlab.spec import at_least


class Schedule(Protocol):
    """Maps progress in [0, 1] to a factor of the base learning rate."""

    def __call__(self, progress: float) -> float: ...


class Constant:
    """factor = 1."""

    def __call__(self, progress: float) -> float:
        return 1.0


class Linear:
    """factor = 1 until `start`, then straight down to `end` (Miyato et al. 2018 decay to 0).

    Args:
        start: progress at which the decay begins, in [0, 1).
        end: factor at the end of the run, at least 0.
    """

    def __init__(self, start: float = 0.0, end: float = 0.0) -> None:
        at_least(0, start=start, end=end)
        if start >= 1:
            raise ValueError(f"start must be less than 1, got {start}")
        self.start, self.end = start, end

    def __call__(self, progress: float) -> float:
        done = max(0.0, progress - self.start) / (1 - self.start)
        return 1 + (self.end - 1) * done


class Cosine:
    """factor = end + (1 - end) (1 + cos(pi progress)) / 2 (Loshchilov & Hutter 2017, eq. 5).

    Args:
        end: factor at the end of the run, at least 0.
    """

    def __init__(self, end: float = 0.0) -> None:
        at_least(0, end=end)
        self.end = end

    def __call__(self, progress: float) -> float:
        return self.end + (1 - self.end) * (1 + math.cos(math.pi * progress)) / 2
