"""The Frechet distance between two sets of features (Heusel et al. 2017, eq. 6)."""

import torch
from torch import Tensor

from ganlab.metrics.checks import same_width
from ganlab.metrics.moments import Moments


def frechet_distance(a: Moments, b: Moments) -> float:
    """|mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)), in float64.

    tr (S_a S_b)^(1/2) is the sum of the singular values of A^T B with A A^T = S_a, B B^T = S_b:
    exact for singular covariances (fewer images than dimensions), which need no epsilon.
    Equal sets may be a rounding error below 0.

    Raises:
        ValueError: a set has fewer than two features, or the widths differ.
    """
    same_width(len(a.sum), len(b.sum))
    # On the CPU: eigenvalues are many times slower on recent GPUs (pytorch#183806).
    cov_a, cov_b = a.covariance.cpu(), b.covariance.cpu()
    common = torch.linalg.svdvals(square_root(cov_a).T @ square_root(cov_b)).sum()
    apart = (a.mean.cpu() - b.mean.cpu()).square().sum()
    return float(apart + cov_a.trace() + cov_b.trace() - 2 * common)


def square_root(covariance: Tensor) -> Tensor:
    """R (d, r) with R R^T the covariance; directions without variance are left out."""
    values, vectors = torch.linalg.eigh(covariance)
    kept = values > values[-1] * len(values) * torch.finfo(values.dtype).eps
    return vectors[:, kept] * values[kept].sqrt()
