"""The error rate of a person, and how sure it is."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

RESAMPLES, LEVEL = 10_000, 0.95


class Rate(NamedTuple):
    """A share in [0, 1], the ends of its interval, and how that was found."""

    value: float
    low: float
    high: float
    method: str


def error_rate(wrong: Sequence[bool], seed: int = 0) -> Rate:
    """The share of wrong answers with its 95% interval.

    The interval is the percentile bootstrap over trials (Efron 1979), with 10,000 resamples.  If
    all answers are equal, every resample is, too, and the interval is the exact one (Clopper &
    Pearson 1934).

    Args:
        wrong: of each trial, at least one.
        seed: of the resamples.
    """
    errors, n = int(sum(wrong)), len(wrong)
    tail = (1 - LEVEL) / 2
    if errors in (0, n):
        most = 1 - tail ** (1 / n)
        low, high = (0.0, most) if errors == 0 else (1 - most, 1.0)
        return Rate(errors / n, low, high, "exact")
    random = np.random.default_rng(seed)
    drawn = random.choice(np.asarray(wrong, dtype=bool), size=(RESAMPLES, n))
    low, high = np.quantile(drawn.mean(axis=1), [tail, 1 - tail])
    return Rate(errors / n, float(low), float(high), "bootstrap")
