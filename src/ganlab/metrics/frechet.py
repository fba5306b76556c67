"""The Frechet distance between two sets of features (Heusel et al. 2017, eq. 6)."""

import torch
from torch import Tensor

from ganlab.metrics.moments import Moments


def frechet_distance(a: Moments, b: Moments) -> float:
    """|mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)), in float64.

    tr (S_a S_b)^(1/2) is the sum of the roots of the eigenvalues of R^T S_b R with R R^T = S_a:
    symmetric, so that singular covariances (fewer images than dimensions) need no epsilon.

    Raises:
        ValueError: a set has fewer than two features, or the widths differ.
    """
    if len(a.sum) != len(b.sum):
        raise ValueError(f"features have {len(a.sum)} and {len(b.sum)} dimensions")
    # On the CPU: eigenvalues are many times slower on recent GPUs (pytorch#183806).
    cov_a, cov_b = a.covariance.cpu(), b.covariance.cpu()
    root = square_root(cov_a)
    common = torch.linalg.eigvalsh(root.T @ cov_b @ root).clamp_min(0).sqrt().sum()
    apart = (a.mean - b.mean).square().sum().cpu()
    return float(apart + cov_a.trace() + cov_b.trace() - 2 * common)


def square_root(covariance: Tensor) -> Tensor:
    """R (d, r) with R R^T the covariance; directions without variance are left out."""
    values, vectors = torch.linalg.eigh(covariance)
    kept = values > values[-1] * len(values) * torch.finfo(values.dtype).eps
    return vectors[:, kept] * values[kept].sqrt()
