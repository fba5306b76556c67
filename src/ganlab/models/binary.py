"""What models of binary units share: pixels as bits, and units that tell nothing."""

import functools

import torch
from torch import Tensor

from ganlab.training.binarise import Binarise, binarised
from ganlab.training.streams import Stream, stream

RARE = 0.01  # of images: a unit that is on, or off, for fewer of them tells nothing


def bits(images: Tensor, how: Binarise, generator: torch.Generator | None, seed: int) -> Tensor:
    """Binary pixels (N, C * H * W) of images (N, C, H, W) in [-1, 1]; see training/binarise.py."""
    return binarised(images, how, generator, seed).flatten(1)


def held_out_bits(images: Tensor, how: Binarise, seed: int, of_pixels: int) -> Tensor:
    """Binary pixels of held-out images: what is drawn is a function of the seed and their number.

    Args:
        images: (N, C, H, W) in [-1, 1].
        how: to binarise.
        seed: of dynamic pixels.
        of_pixels: the seed of fixed ones.
    """
    each = enumerate(images.split(1))
    random = functools.partial(stream, images.device, seed, Stream.BINARISED)
    return torch.cat([bits(image, how, random(number), of_pixels) for number, image in each])


def dead(means: Tensor) -> Tensor:
    """The share of units that are on, or off, for less than 1% of the images (N, units)."""
    share = means.float().mean(dim=0)
    return ((share < RARE) | (share > 1 - RARE)).float().mean()
