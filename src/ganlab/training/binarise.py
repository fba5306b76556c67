"""Binary pixels: grey values as probabilities, drawn anew or once for each image; or cut at 1/2."""

import functools
from typing import Literal

import torch
from torch import Tensor

from ganlab.training.chance import Chance, drawn
from ganlab.training.streams import Stream, stream

Binarise = Literal["none", "fixed", "dynamic", "threshold"]
# The multipliers and shifts of splitmix64 (Steele et al. 2014), as signed integers.
FIRST, SECOND = 0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64
MANTISSA = 24  # bits of a float32 in [0, 1)


def binarised(images: Tensor, how: Binarise, chance: Chance | None = None) -> Tensor:
    """Pixels in [0, 1] of images in [-1, 1]; 0 or 1 if they are binarised.

    - none: grey values.
    - dynamic: each pixel is drawn anew, 1 with the probability of its grey value (Salakhutdinov &
      Murray 2008, section 4).
    - fixed: the same drawn once: the draw is a function of the image, so that every epoch, every
      process, every run and every evaluation sees the same pixels.
    - threshold: 1 where the grey value is at least 1/2.

    Args:
        images: (N, ...) of 8 bits per value.
        how: to binarise.
        chance: random numbers for dynamic pixels, a row for each image.

    Raises:
        ValueError: dynamic pixels have no random numbers.
    """
    grey = (images + 1) / 2
    if how == "none":
        return grey
    if how == "threshold":
        return (grey >= 0.5).to(grey.dtype)
    if how == "fixed":
        unit = drawn_once(images)
    elif chance is None:
        raise ValueError("dynamic pixels need random numbers")
    else:
        unit = chance(images[0].numel()).view(images.shape)
    return (unit < grey).to(grey.dtype)


def binarised_each(images: Tensor, how: Binarise, seed: int) -> Tensor:
    """As `binarised`, of held-out images: what is drawn is a function of the seed and of each.

    Args:
        images: (N, ...) of 8 bits per value.
        how: to binarise.
        seed: of dynamic pixels, together with the image's number.
    """
    if how != "dynamic":
        return binarised(images, how)
    random = functools.partial(stream, images.device, seed, Stream.BINARISED)
    each = enumerate(images.split(1))
    return torch.cat([binarised(image, how, drawn(1, random(number))) for number, image in each])


def log_odds(mean: Tensor) -> Tensor:
    """Those of means of binary pixels; means nearer than 0.001 to 0 or 1 are moved there.

    In float32 at least: half precision rounds 0.999 to 1.
    """
    exact = mean.to(torch.promote_types(mean.dtype, torch.float32))
    return torch.logit(exact, eps=1e-3).to(mean)


def drawn_once(images: Tensor) -> Tensor:
    """Uniform numbers in [0, 1) of the images' shape, a function of each image.

    An image is hashed to 64 bits by a random linear function of its values, and the number of a
    pixel is a hash of that and of the pixel's place.  All is in integers, so that it is the same
    on every device.
    """
    values = ((images + 1) * 127.5).round().long().flatten(1)
    random, width = stream("cpu", 0, Stream.FIXED_PIXELS), values.shape[1]
    weights, places = torch.randint(-(2**63), 2**63 - 1, (2, width), generator=random)
    weights, places = weights.to(images.device), places.to(images.device)
    of_image = scrambled((values * weights).sum(dim=1, keepdim=True))
    bits = scrambled(of_image + places) >> (64 - MANTISSA)  # with the sign's copies
    return ((bits % 2**MANTISSA).float() / 2**MANTISSA).view(images.shape)


def scrambled(x: Tensor) -> Tensor:
    """A bijection of int64 that makes neighbours unlike: the last step of splitmix64."""
    x = (x ^ shifted(x, 30)) * FIRST
    x = (x ^ shifted(x, 27)) * SECOND
    return x ^ shifted(x, 31)


def shifted(x: Tensor, bits: int) -> Tensor:
    """x >> bits as of an unsigned integer."""
    return (x >> bits) & (2 ** (64 - bits) - 1)
