"""The Frechet distance between two sets of features (Heusel et al. 2017, eq. 6)."""

from collections.abc import Callable

import torch
from torch import Tensor

from ganlab.metrics.checks import same_width
from ganlab.metrics.moments import Moments

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
