"""The kernel distance, KID (Binkowski et al. 2018, section 4)."""

import torch
from torch import Tensor

from ganlab.metrics.checks import finite_rows, same_width
from ganlab.spec import at_least


def kernel_distance(
    real: Tensor, fake: Tensor, subsets: int = 100, size: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Squared MMD with the kernel (x y / d + 1)^3: mean and standard deviation over subsets.

    The estimate is unbiased, so it may be negative.  Subsets are drawn without replacement.

    Args:
        real, fake: features (N, d).
        subsets, size: number of subsets, and features of each kind in one; usually 100 and 1,000.
        seed: of the draws.

    Raises:
        ValueError: there are fewer features than `size`, the widths differ, or one is not finite.
    """
    at_least(1, subsets=subsets)
    at_least(2, size=size)
    real, fake = finite_rows("features", real), finite_rows("features", fake)
    same_width(real.shape[1], fake.shape[1])
    if min(len(real), len(fake)) < size:
        raise ValueError(f"subsets of {size} are too large for {len(real)} and {len(fake)} images")
    drawn = draws(len(real), len(fake), subsets, size, seed)
    drawn = drawn.to(real.device)  # in one copy, because each copy synchronises with a GPU
    found = torch.stack([squared_mmd(real[a].double(), fake[b].double()) for a, b in drawn])
    return found.mean().item(), found.std(correction=0).item()


def draws(real: int, fake: int, subsets: int, size: int, seed: int = 0) -> Tensor:
    """Indices of the features in each subset, int64 (subsets, 2, size); 2: real, fake."""
    generator = torch.Generator().manual_seed(seed)
    orders = [
        torch.randperm(n, generator=generator)[:size] for _ in range(subsets) for n in (real, fake)
    ]
    return torch.stack(orders).view(subsets, 2, size)


def squared_mmd(a: Tensor, b: Tensor) -> Tensor:
    """The unbiased estimate from n features (n, d) of each kind (Gretton et al. 2012, eq. 3)."""
    n = len(a)
    within = sum(k.sum() - k.diagonal().sum() for k in (kernel(a, a), kernel(b, b)))
    return within / (n * (n - 1)) - 2 * kernel(a, b).mean()


def kernel(a: Tensor, b: Tensor) -> Tensor:
    """(x y / d + 1)^3 of all pairs: (n, d), (m, d) -> (n, m)."""
    return (a @ b.T / a.shape[1] + 1) ** 3
