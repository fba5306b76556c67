"""Precision, recall, density and coverage: which images lie among the others' neighbours."""

from typing import NamedTuple

import torch
from torch import Tensor

from ganlab.metrics.checks import finite_rows, same_width
from ganlab.spec import at_least


class Neighbourhood(NamedTuple):
    """Shares in [0, 1]; density may exceed 1.

    precision: of generated images inside some ball of a real one (Kynkaanniemi et al. 2019, eq. 2).
    recall: of real images inside some ball of a generated one (eq. 3).
    density: mean number of real balls, over k, that hold a generated image (Naeem et al. 2020).
    coverage: of real balls that hold a generated image (Naeem et al. 2020).
    """

    precision: float
    recall: float
    density: float
    coverage: float


def neighbourhood(real: Tensor, fake: Tensor, k: int = 5, rows: int = 2048) -> Neighbourhood:
    """All four of features (N, d), by balls that reach to the k-th nearest of the same kind.

    Balls are open, as in Naeem et al.'s code; Kynkaanniemi et al. count the edge as inside.

    Args:
        k: 3 in Kynkaanniemi et al. 2019, 5 in Naeem et al. 2020.
        rows: features compared at once, to bound memory.

    Raises:
        ValueError: a kind has no more than k features, the widths differ, or one is not finite.
    """
    at_least(1, k=k, rows=rows)
    real, fake = finite_rows("features", real), finite_rows("features", fake)
    same_width(real.shape[1], fake.shape[1])
    if min(len(real), len(fake)) <= k:
        raise ValueError(f"k = {k} needs more images of each kind, got {len(real)} and {len(fake)}")
    real, fake = real.double(), fake.double()
    real_reach, fake_reach = reach(real, k, rows), reach(fake, k, rows)
    held = torch.zeros(len(fake), device=real.device)  # real balls that hold each generated image
    recalled, covered = [], []
    for part, part_reach in zip(real.split(rows), real_reach.split(rows), strict=True):
        apart = distances(part, fake)
        inside = apart < part_reach.unsqueeze(1)
        held += inside.sum(dim=0)
        covered.append(inside.any(dim=1))
        recalled.append((apart < fake_reach.unsqueeze(0)).any(dim=1))
    return Neighbourhood(
        (held > 0).double().mean().item(),
        torch.cat(recalled).double().mean().item(),
        held.double().mean().item() / k,
        torch.cat(covered).double().mean().item(),
    )


def reach(features: Tensor, k: int, rows: int) -> Tensor:
    """Distance (N,) of each feature to its k-th nearest other one."""
    parts = [distances(part, features) for part in features.split(rows)]
    return torch.cat([part.kthvalue(k + 1, dim=1).values for part in parts])  # 1: itself


def distances(a: Tensor, b: Tensor) -> Tensor:
    """(N, M), by differences: the default's |a|^2 + |b|^2 - 2 a b loses what is near."""
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
