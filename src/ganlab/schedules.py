"""Schedules: numbers that change as a run goes on.

A schedule is a pure function of how far the run is.  It has no state, so there is nothing to save
in a checkpoint, and a resumed run continues exactly.  It stands wherever a term, an optimizer or
the averaged weights take a number; as `g_schedule` or `d_schedule` it is a factor of the learning
rate.
"""

import math
from typing import NamedTuple

from ganlab.spec import at_least, positive


class Clock(NamedTuple):
    """How far a run is.

    Args:
        progress: iterations done / iterations in all, in [0, 1]; of a run that the clock ends,
            minutes / minutes in all.
        images: real images that the run has trained on.
        images_per_iteration: by how many that number grows.
    """

    progress: float
    images: int
    images_per_iteration: int


START = Clock(0.0, 0, 1)
STEEPEST = math.log(2) / 9  # the ramp of `HalfLife` at which its decay is that of t / (t + 9)


class Schedule:
    """A number over time: `value` times a factor of the progress.  Base class of all schedules.

    Args:
        value: the number itself, where the factor is 1.
        until: share of the run after which the factor stays as it is, in (0, 1].
        images: the same as a number of real images; replaces `until`.
    """

    def __init__(self, value: float = 1.0, until: float = 1.0, images: int | None = None) -> None:
        if not 0 < until <= 1:
            raise ValueError(f"until must be greater than 0 and at most 1, got {until}")
        positive(images=images)
        self.value, self.until, self.images = value, until, images

    def factor(self, progress: float) -> float:
        """The factor at a progress in [0, 1]."""
        return 1.0

    def number(self, progress: float) -> float:
        """The number at a progress in [0, 1]."""
        return self.value * self.factor(progress)

    def __call__(self, clock: Clock) -> float:
        """The number at a moment of the run."""
        if self.images is not None:
            done = clock.images / self.images
        else:
            done = clock.progress / self.until
        return self.number(min(1.0, done))


class Constant(Schedule):
    """factor = 1.

    Args:
        value: the number.
    """

    def __init__(self, value: float = 1.0) -> None:
        super().__init__(value)


class Linear(Schedule):
    """factor = 1 until `start`, then straight to `end` (Miyato et al. 2018 decay to 0).

    Args:
        start: progress at which the change begins, in [0, 1).
        end: factor at the end, at least 0.
        value, until, images: as in Schedule.
    """

    def __init__(
        self,
        start: float = 0.0,
        end: float = 0.0,
        value: float = 1.0,
        until: float = 1.0,
        images: int | None = None,
    ) -> None:
        super().__init__(value, until, images)
        at_least(0, start=start, end=end)
        if start >= 1:
            raise ValueError(f"start must be less than 1, got {start}")
        self.start, self.end = start, end

    def factor(self, progress: float) -> float:
        done = max(0.0, progress - self.start) / (1 - self.start)
        return 1 + (self.end - 1) * done


class Cosine(Schedule):
    """factor = end + (1 - end) (1 + cos(pi progress)) / 2 (Loshchilov & Hutter 2017, eq. 5).

    Args:
        end: factor at the end, at least 0.
        value, until, images: as in Schedule.
        to: the number at the end, in place of `end`; so a number may rise from 0, as the half-life
            of R3GAN's averaged weights does.
    """

    def __init__(
        self,
        end: float = 0.0,
        value: float = 1.0,
        until: float = 1.0,
        images: int | None = None,
        to: float | None = None,
    ) -> None:
        super().__init__(value, until, images)
        at_least(0, end=end)
        self.end, self.to = end, to

    def factor(self, progress: float) -> float:
        return self.end + (1 - self.end) * (1 + math.cos(math.pi * progress)) / 2

    def number(self, progress: float) -> float:
        if self.to is None:
            return super().number(progress)
        return self.to + (self.value - self.to) * (1 + math.cos(math.pi * progress)) / 2


class HalfLife(Schedule):
    """The decay of averaged weights that halves the past every so many images.

    decay = 0.5^(images of an iteration / h) with h = min(half_life, ramp * images so far), as in
    StyleGAN2-ADA (Karras et al. 2020), whose ramp is 0.05.  With the ramp alone the average covers
    the same share of every run, however long it is or will be.

    Args:
        half_life: in real images; may follow a schedule, from 0 on, where nothing is averaged;
            None: the ramp alone decides.
        ramp: the half-life as a share of the real images so far, at most ln 2 / 9 = 0.077, since
            the average has a ramp of its own, t / (t + 9); None: no ramp.

    Raises:
        ValueError: both are None, or one is out of range.
    """

    def __init__(
        self, half_life: "float | Schedule | None" = None, ramp: float | None = None
    ) -> None:
        if half_life is None and ramp is None:
            raise ValueError("half_life, in images, or ramp, a share of the images so far: set one")
        if half_life is not None:
            least, greatest = bounds(half_life)
            at_least(0, half_life=least)
            positive(half_life=greatest)
        positive(ramp=ramp)
        if ramp is not None and ramp > STEEPEST:
            raise ValueError(f"ramp must be at most ln 2 / 9 = {STEEPEST:.3f}, got {ramp}")
        super().__init__()
        self.half_life, self.ramp = half_life, ramp

    def __call__(self, clock: Clock) -> float:
        half_life = math.inf if self.half_life is None else at(self.half_life, clock)
        if self.ramp is not None:
            half_life = min(half_life, self.ramp * clock.images)
        return 0.5 ** (clock.images_per_iteration / half_life) if half_life else 0.0


Number = float | Schedule


def at(number: Number, clock: Clock) -> float:
    """The number at a moment of the run."""
    return number(clock) if isinstance(number, Schedule) else number


def bounds(number: Number) -> tuple[float, float]:
    """The least and the greatest value over the run."""
    if not isinstance(number, Schedule):
        return number, number
    values = [number.number(step / 100) for step in range(101)]
    return min(values), max(values)
