"""The Frechet distance between two sets of features (Heusel et al. 2017, eq. 6)."""

import functools
import math
import operator
import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from scipy.special import stdtrit  # quantiles of Student's t
from torch import Tensor

from ganlab.metrics.checks import same_width
from ganlab.metrics.moments import Moments
from ganlab.spec import at_least

SINGULAR = 1e-6  # of the largest root: below it a square, 1e-12, drowns in the sums' rounding


def frechet_distance(a: Moments, b: Moments) -> float:
    """|mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)), in float64.

    tr (S_a S_b)^(1/2) is the sum of the singular values of A^T B with A A^T = S_a, B B^T = S_b:
    exact for singular covariances (fewer images than dimensions), which need no epsilon.
    Equal sets may be a rounding error below 0.  Of 2,048 dimensions it takes 2 s of one thread, and
    8 s where a covariance is singular.

    Raises:
        ValueError: a set has fewer than two features, or the widths differ.
    """
    same_width(len(a.sum), len(b.sum))
    # On the CPU: eigenvalues are many times slower on recent GPUs (pytorch#183806).
    cov_a, cov_b = a.covariance.cpu(), b.covariance.cpu()
    common = trace_of_common_root(cov_a, cov_b)
    return without_covariance(a, b) + float(cov_a.trace() + cov_b.trace() - 2 * common)


def trace_of_common_root(a: Tensor, b: Tensor) -> Tensor:
    """tr (A B)^(1/2) of covariances (d, d).

    With M = L_a^T L_b it is the sum of M's singular values.  Cholesky's factors take a sixteenth of
    the time of symmetric roots, and the eigenvalues of M M^T half of that of singular values.  Both
    lose what is small beside the largest, so singular covariances are taken the longer way; but a
    feature that one set has constant, as networks with ReLUs do, adds nothing and is left out.
    """
    varied = (a.diagonal() > 0) & (b.diagonal() > 0)
    if not varied.any():
        return a.new_zeros(())
    a, b = a[varied][:, varied], b[varied][:, varied]
    lower = cholesky(a), cholesky(b)
    if lower[0] is None or lower[1] is None:
        return torch.linalg.svdvals(square_root(a).T @ square_root(b)).sum()
    m = lower[0].T @ lower[1]
    return torch.linalg.eigvalsh(m @ m.T).clamp(min=0).sqrt().sum()


def cholesky(covariance: Tensor) -> Tensor | None:
    """Lower triangular L with L L^T the covariance; None where it is singular but for rounding."""
    found = torch.linalg.cholesky_ex(covariance)
    pivots = found.L.diagonal()
    singular = found.info or pivots.min() < SINGULAR * pivots.max()
    return None if singular else found.L


def without_covariance(a: Moments, b: Moments) -> float:
    """|mu_a - mu_b|^2."""
    return float((a.mean.cpu() - b.mean.cpu()).square().sum())


def square_root(covariance: Tensor) -> Tensor:
    """R (d, r) with R R^T the covariance; directions without variance are left out."""
    values, vectors = torch.linalg.eigh(covariance)
    kept = values > values[-1] * len(values) * torch.finfo(values.dtype).eps
    return vectors[:, kept] * values[kept].sqrt()


class Extrapolation(NamedTuple):
    """value: the distance that infinitely many generated images are expected to have.

    low, high: its 95% interval.
    points: (number of images, mean distance of as many) on which the line was fitted.
    """

    value: float
    low: float
    high: float
    points: tuple[tuple[float, float], ...]


def frechet_infinity(real: Moments, blocks: Sequence[Moments]) -> Extrapolation:
    """The Frechet distance without the bias of few generated images (Chong & Forsyth 2020).

    The bias is near c / n (section 3), so a line is fitted by least squares to the distance over
    1 / n and read at 0.  n is a fifth, a half and all of the images; the first two are means over
    the runs of so many blocks, around the end.  The interval is Student's t on the jackknife that
    leaves each block out in turn; it knows the chance of the generated images, not of the real
    ones, whose bias stays as well.  A fifth of the images should be more than the dimensions.

    Of B blocks this costs 3 B + 1 eigenvalue problems, and one root of the real covariance: 31 of
    ten blocks, about 2 s each for 2,048 dimensions on one thread.

    Args:
        real: moments of the real images.
        blocks: moments of random shares of the generated images, 4 or more of about equal size.

    Raises:
        ValueError: there are fewer than 4 blocks, one or the real set has fewer than two features,
            or the widths differ.
    """
    at_least(4, blocks=len(blocks))
    distance, count = distance_from(real), len(blocks)
    fifth, half = max(count // 5, 1), count // 2
    runs = [run for length in (fifth, half) for run in runs_of(length, count)]
    most = [frozenset(range(count)) - {i} for i in range(count)]
    known = {}
    for chosen in [*runs, *most, frozenset(range(count))]:
        union = functools.reduce(operator.add, (blocks[i] for i in sorted(chosen)))
        known[chosen] = (union.n, distance(union))

    def points(among: frozenset[int]) -> list[tuple[float, float]]:
        sizes = [[known[run] for run in runs_of(m, count) if run <= among] for m in (fifth, half)]
        return [mean_point(found) for found in [*sizes, [known[among]]]]

    found = points(frozenset(range(count)))
    value, without = intercept(found), [intercept(points(rest)) for rest in most]
    error = math.sqrt(count - 1) * statistics.pstdev(without)
    reach = float(stdtrit(count - 1, 0.975)) * error
    return Extrapolation(value, value - reach, value + reach, tuple(found))


def runs_of(length: int, count: int) -> list[frozenset[int]]:
    """The `count` runs of so many neighbours on a ring."""
    return [frozenset((first + i) % count for i in range(length)) for first in range(count)]


def mean_point(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    n, distance = (math.fsum(column) / len(points) for column in zip(*points, strict=True))
    return n, distance


def intercept(points: Sequence[tuple[float, float]]) -> float:
    """Where the line through (n, y), by least squares of y on 1 / n, meets 1 / n = 0."""
    n, y = torch.tensor(points, dtype=torch.float64).unbind(dim=1)
    x = 1 / n - (1 / n).mean()
    slope = (x * y).sum() / x.square().sum()
    return float(y.mean() - slope * (1 / n).mean())


def distance_from(real: Moments) -> Callable[[Moments], float]:
    """The Frechet distance from the real set: its root is taken once.

    Of the other set no root is needed: tr (S_a S_b)^(1/2) is the sum of the roots of A^T S_b A's
    eigenvalues.  Those of singular covariances are right to 1e-8 of the largest root, which is far
    below the chance of the draw.
    """
    covariance = real.covariance.cpu()
    root, variance = square_root(covariance), covariance.trace()

    def distance(fake: Moments) -> float:
        same_width(len(real.sum), len(fake.sum))
        other = fake.covariance.cpu()
        values = torch.linalg.eigvalsh(root.T @ other @ root)
        common = values.clamp(min=0).sqrt().sum()
        return without_covariance(real, fake) + float(variance + other.trace() - 2 * common)

    return distance
