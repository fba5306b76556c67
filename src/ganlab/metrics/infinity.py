"""The Frechet distance for infinitely many generated images (Chong & Forsyth 2020)."""

import functools
import math
import operator
import statistics
import warnings
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from scipy.special import stdtrit  # quantiles of Student's t
from torch import Tensor

from ganlab.metrics.frechet import distance_from
from ganlab.metrics.moments import Moments
from ganlab.spec import at_least

FEWEST, ENOUGH = 1, 3  # a fifth of the images over the dimensions: refused below, warned below

Run = frozenset[int]  # which blocks


class Extrapolation(NamedTuple):
    """value: the expected distance for infinitely many generated images.

    low, high: its 95% confidence interval.
    points: (number of images, mean distance) of the points to which the curve was fitted.
    """

    value: float
    low: float
    high: float
    points: tuple[tuple[float, float], ...]


def frechet_infinity(real: Moments, blocks: Sequence[Moments]) -> Extrapolation:
    """The Frechet distance without the bias of few generated images.

    The bias is a series in (dimensions / images).  Chong & Forsyth (2020, section 3) fit a line
    over 1 / n, which takes off its first term; the quadratic through three points takes off two.
    n is half of the images, all but two blocks, and all.  The distances of the first two are means
    over all cyclic runs of as many blocks, so that the sampling error of the mean and covariance is
    the same at all points and is not enlarged by the extrapolation.

    The interval uses Student's t and `variance`.  It covers the sampling error of generated images
    only; sampling error and bias of the real images remain.  By simulation it holds the truth in 93
    to 97% of cases from a fifth of the images per dimension on (`benchmarks/infinity.py`, which
    also shows where it does not).

    B blocks need 3 B + 1 eigenvalue problems and one root of the real covariance: for 20 blocks, 61
    problems of about 2 s each at 2,048 dimensions on one thread.

    Args:
        real: moments of the real images.
        blocks: moments of random parts of the generated images; 6 or more, of about equal size.

    Raises:
        ValueError: there are fewer than 6 blocks, a fifth of the images is less than the
            dimensions, the real set has fewer than two features, or the widths differ.
    """
    at_least(6, blocks=len(blocks))
    if doubt := doubtful(sum(block.n for block in blocks), len(real.sum)):
        warnings.warn(doubt, stacklevel=2)
    distance, count = distance_from(real), len(blocks)
    lengths = (count // 2, count - 2, count)
    known: dict[Run, tuple[float, float]] = {}
    for run in (run for length in (*lengths, count - 1) for run in runs_of(length, count)):
        if run not in known:
            union = functools.reduce(operator.add, (blocks[i] for i in sorted(run)))
            known[run] = (union.n, distance(union))
    points = [mean_point([known[run] for run in runs_of(m, count)]) for m in lengths]
    shares = at_zero([1 / n for n, _ in points])
    value = math.fsum(share * y for share, (_, y) in zip(shares, points, strict=True))
    spread, freedom = variance({run: y for run, (_, y) in known.items()}, count, lengths, shares)
    reach = float(stdtrit(freedom, 0.975)) * math.sqrt(spread)
    return Extrapolation(value, value - reach, value + reach, tuple(points))


def doubtful(images: int, dimensions: int) -> str:
    """Why the extrapolation from so many images is doubtful; empty: it is not.

    Raises:
        ValueError: there are too few.
    """
    ratio = images / 5 / dimensions
    if ratio < FEWEST:
        wanted = 5 * FEWEST * dimensions
        raise ValueError(
            f"frechet_infinity of {dimensions:,} dimensions needs at least {wanted:,} images, got "
            f"{images:,}"
        )
    if ratio >= ENOUGH:
        return ""
    return (
        f"frechet_infinity of {dimensions:,} dimensions is safe from {5 * ENOUGH * dimensions:,} "
        f"images on, got {images:,}: where the features vary alike in all directions it is "
        f"{remainder(ratio) * dimensions:.2g} of their variance too large"
    )


def remainder(ratio: float) -> float:
    """The bias per dimension that the quadratic leaves for white features of variance 1.

    A fit, within 5% for ratios of 1 to 3, to the bias by the law of Marchenko and Pastur: 2.6e-4 at
    a ratio of 1, 2.6e-5 at 2, 7.3e-6 at 3.
    """
    return 2.6e-4 / ratio**3.3


def variance(
    distances: Mapping[Run, float], count: int, lengths: Sequence[int], shares: Sequence[float]
) -> tuple[float, float]:
    """The variance of the extrapolated distance, and its degrees of freedom.

    The jackknife over blocks counts the part of the variance that comes from single blocks once,
    but the part that comes from pairs of blocks about twice (Efron & Stein 1981).  Near the truth a
    distance is quadratic, so pairs matter.  Their variance is estimated by second differences, each
    with two neighbouring blocks left out, and the excess is taken off.  Degrees of freedom are
    those of the jackknife, reduced for the difference (Satterthwaite).

    Args:
        distances: of the runs of `count`, `count - 1` and `count - 2` blocks.
        count: B.
        lengths, shares: numbers of blocks of the points, and the points' shares in the value.
    """
    everything = frozenset(range(count))
    apart = [everything - {i} for i in range(count)]
    without = [distances[run] for run in apart]
    jackknife = (count - 1) * statistics.pvariance(without)
    if jackknife == 0:
        return 0.0, float(count - 1)
    seen = [of_pairs({run: 1.0}, count) for run in apart]
    middle = torch.stack(seen).mean(dim=0)
    counted = (count - 1) / count * sum(size(one - middle) for one in seen)

    second = []
    for i in range(count):
        j = (i + 1) % count
        kept = {everything: count, apart[i]: 1 - count, apart[j]: 1 - count}
        kept[everything - {i, j}] = count - 2
        difference = math.fsum(share * distances[run] for run, share in kept.items())
        second.append(difference**2 / size(of_pairs(kept, count)))
    pair = statistics.fmean(second)

    known: dict[Run, float] = {}
    for length, share in zip(lengths, shares, strict=True):
        runs = set(runs_of(length, count))
        known |= {run: share / len(runs) for run in runs}
    excess = (counted - size(of_pairs(known, count))) * pair
    found = max(jackknife - excess, jackknife / 2)  # no quadratic has less
    return found, (count - 1) * min(found / jackknife, 1) ** 2


def of_pairs(shares: Mapping[Run, float], count: int) -> Tensor:
    """What each pair of blocks contributes to a sum of distances, float64 (B, B).

    The quadratic part of the distance of a run of m blocks is a mean over all m^2 pairs.
    """
    total = torch.zeros(count, count, dtype=torch.float64)
    for run, share in shares.items():
        member = torch.zeros(count, dtype=torch.float64)
        member[list(run)] = 1 / len(run)
        total += share * torch.outer(member, member)
    return total


def size(contributions: Tensor) -> float:
    """The variance of a sum over pairs, in units of the variance of a pair of blocks.

    A pair of two blocks occurs twice; a block with itself has twice the variance of a pair.
    """
    return 2 * float(contributions.square().sum())


def runs_of(length: int, count: int) -> list[Run]:
    """The `count` cyclic runs of `length` neighbouring blocks."""
    return [frozenset((first + i) % count for i in range(length)) for first in range(count)]


def mean_point(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The mean of points (number of images, distance)."""
    n, distance = (math.fsum(column) / len(points) for column in zip(*points, strict=True))
    return n, distance


def at_zero(x: Sequence[float]) -> list[float]:
    """Shares of the values at x in the value at 0 of the polynomial through them (Lagrange)."""
    return [math.prod(b / (b - a) for b in x if b != a) for a in x]
