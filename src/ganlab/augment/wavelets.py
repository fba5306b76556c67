"""Orthogonal wavelets' low-pass filters (Daubechies 1992), and filters as matrices.

A filter of a row of pixels is a linear map.  As a matrix it has the reflection at the edges in it,
however short the row is.
"""

import torch
from torch import Tensor

SYM2 = (-0.12940952255092145, 0.22414386804185735, 0.836516303737469, 0.48296291314469025)
SYM6 = (
    *(0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633),
    *(0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252),
    *(-0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148),
)


def taken(taps: Tensor, index: Tensor) -> Tensor:
    """taps[..., index] of taps (..., K), 0 where an index is outside of 0 ... K - 1."""
    last = taps.shape[-1] - 1
    inside = (index >= 0) & (index <= last)
    return torch.where(inside, taps[..., index.clamp(0, last)], 0.0)


def reflection(places: Tensor, size: int, like: Tensor) -> Tensor:
    """(len(places), size): the pixel at each place of a row that is reflected on and on."""
    period = max(1, 2 * (size - 1))
    pixel = (size - 1) - ((size - 1) - places.remainder(period)).abs()
    return (pixel[:, None] == torch.arange(size, device=places.device)).to(like)
