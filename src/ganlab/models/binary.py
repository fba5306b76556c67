"""What models of binary units share: pixels as bits, and units that tell nothing."""

import torch
from torch import Tensor

from ganlab.training.binarise import Binarise, binarised

RARE = 0.01  # of images: a unit that is on, or off, for fewer of them tells nothing


def bits(images: Tensor, how: Binarise, generator: torch.Generator | None, seed: int) -> Tensor:
    """Binary pixels (N, C * H * W) of images (N, C, H, W) in [-1, 1]; see training/binarise.py."""
    return binarised(images, how, generator, seed).flatten(1)


def dead(means: Tensor) -> Tensor:
    """The share of units that are on, or off, for less than 1% of the images (N, units)."""
    share = means.float().mean(dim=0)
    return ((share < RARE) | (share > 1 - RARE)).float().mean()
