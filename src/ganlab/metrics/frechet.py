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

SINGULAR = 1e-6  # relative to the largest pivot; its square, 1e-12, is lost in rounding errors


def frechet_distance(a: Moments, b: Moments) -> float:
    """|mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)), in float64.

    tr (S_a S_b)^(1/2) is the sum of the singular values of A^T B with A A^T = S_a, B B^T = S_b.
    This is exact for singular covariances (fewer images than dimensions) without any epsilon.
    For equal sets, rounding may make the result slightly negative.  For 2,048 dimensions it takes
    2 s on one thread, and 8 s if a covariance is singular.

    Raises:
        ValueError: a set has fewer than two features, or the widths differ.
    """
    same_width(len(a.sum), len(b.sum))
    # On the CPU, because eigenvalues are many times slower on recent GPUs (pytorch#183806).
    cov_a, cov_b = a.covariance.cpu(), b.covariance.cpu()
    common = trace_of_common_root(cov_a, cov_b)
    return without_covariance(a, b) + float(cov_a.trace() + cov_b.trace() - 2 * common)


def trace_of_common_root(a: Tensor, b: Tensor) -> Tensor:
    """tr (A B)^(1/2) of covariances (d, d).

    It is the sum of the singular values of M = L_a^T L_b.  Cholesky factors take a sixteenth of the
    time of symmetric roots, and the eigenvalues of M M^T half the time of singular values.  Both
    lose small values, so singular covariances use symmetric roots and singular values instead.
    Features that are constant in one set, which occur after ReLUs, contribute 0 and are left out.
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
    """Lower triangular L with L L^T = covariance; None if it is singular up to rounding."""
    found = torch.linalg.cholesky_ex(covariance)
    pivots = found.L.diagonal()
    singular = found.info or pivots.min() < SINGULAR * pivots.max()
    return None if singular else found.L


def without_covariance(a: Moments, b: Moments) -> float:
    """|mu_a - mu_b|^2."""
    return float((a.mean.cpu() - b.mean.cpu()).square().sum())


def square_root(covariance: Tensor) -> Tensor:
    """R (d, r) with R R^T = covariance; directions without variance are left out."""
    values, vectors = torch.linalg.eigh(covariance)
    kept = values > values[-1] * len(values) * torch.finfo(values.dtype).eps
    return vectors[:, kept] * values[kept].sqrt()


class Extrapolation(NamedTuple):
    """value: the expected distance for infinitely many generated images.

    low, high: its 95% confidence interval.
    points: (number of images, mean distance) of the points to which the line was fitted.
    """

    value: float
    low: float
    high: float
    points: tuple[tuple[float, float], ...]


def frechet_infinity(real: Moments, blocks: Sequence[Moments]) -> Extrapolation:
    """The Frechet distance without the bias of few generated images (Chong & Forsyth 2020).

    The bias is about c / n (section 3), so a line is fitted by least squares to the distance over
    1 / n and extrapolated to 0.  n is a fifth, a half and all of the images.  The distances of the
    first two are means over all cyclic runs of as many blocks.  The interval uses Student's t and
    the jackknife over blocks.  It covers the sampling error of generated images only; sampling
    error and bias of the real images remain.  A fifth of the images should exceed the dimension.

    B blocks need 3 B + 1 eigenvalue problems and one root of the real covariance: for ten blocks,
    31 problems of about 2 s each at 2,048 dimensions on one thread.

    Args:
        real: moments of the real images.
        blocks: moments of random parts of the generated images; 4 or more, of about equal size.

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
    """The `count` cyclic runs of `length` neighbouring blocks."""
    return [frozenset((first + i) % count for i in range(length)) for first in range(count)]


def mean_point(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The mean of points (number of images, distance)."""
    n, distance = (math.fsum(column) / len(points) for column in zip(*points, strict=True))
    return n, distance


def intercept(points: Sequence[tuple[float, float]]) -> float:
    """The least-squares fit of y over 1 / n to points (n, y), at 1 / n = 0."""
    n, y = torch.tensor(points, dtype=torch.float64).unbind(dim=1)
    x = 1 / n - (1 / n).mean()
    slope = (x * y).sum() / x.square().sum()
    return float(y.mean() - slope * (1 / n).mean())


def distance_from(real: Moments) -> Callable[[Moments], float]:
    """A function for Frechet distances from the real set, whose root is computed only once.

    The other set needs no root: tr (S_a S_b)^(1/2) is the sum of the square roots of the
    eigenvalues of A^T S_b A.  For singular covariances these have an error of 1e-8 of the largest
    root, far below the sampling error.
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
