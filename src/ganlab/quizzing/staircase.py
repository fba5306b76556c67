"""Exposures that follow a person's answers to the least at which they are still right."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Staircase:
    """A weighted up-down staircase (Kaernbach 1991), in milliseconds.

    A right answer shortens the exposure, a wrong one lengthens it by three times as much.  It comes
    to rest where three of four answers are right: there 3/4 `down` = 1/4 `up`.

    Args:
        start: the first exposure.
        floor: the shortest.
        top: the longest.
        down: what a right answer takes away.
        up: what a wrong answer adds.
    """

    start: int = 500
    floor: int = 100
    top: int = 1000
    down: int = 10
    up: int = 30

    def after(self, exposure: int, *, correct: bool) -> int:
        """The exposure that follows an answer at another exposure."""
        step = -self.down if correct else self.up
        return min(max(exposure + step, self.floor), self.top)

    def exposure(self, answers: Sequence[bool]) -> int:
        """The exposure that follows all answers, right or wrong."""
        exposure = self.start
        for correct in answers:
            exposure = self.after(exposure, correct=correct)
        return exposure


def threshold(exposures: Sequence[int]) -> float:
    """The exposure at which a staircase has stayed most often; the mean of several such ones.

    Args:
        exposures: of the trials, in their order.
    """
    return statistics.fmean(statistics.multimode(exposures))
