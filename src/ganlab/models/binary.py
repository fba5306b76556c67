"""What models of binary units share: units that tell nothing."""

from torch import Tensor

RARE = 0.01  # of images: a unit that is on, or off, for fewer of them tells nothing


def dead(means: Tensor) -> Tensor:
    """The share of units that are on, or off, for less than 1% of the images (N, units)."""
    share = means.float().mean(dim=0)
    return ((share < RARE) | (share > 1 - RARE)).float().mean()
