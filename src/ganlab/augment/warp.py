"""Images under any matrix, resampled without aliases (Karras et al. 2020a, appendix B).

Each axis is doubled by the low-pass filter of a wavelet, sampled bilinearly where the matrix says,
and halved by the same filter.  As the wavelet is orthogonal, doubling and halving alone gives the
image back, and whole shifts are exact.  Outside of an image are its reflections, on and on.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import grid_sample

from ganlab.augment.wavelets import reflection, taken

CENTRE = 5  # of SYM6's taps: the nearest to its centre of mass, 5.1


def warp(images: Tensor, inverse: Tensor, taps: Tensor) -> Tensor:
    """What comes of images under matrices.

    Args:
        images: (N, C, H, W).
        inverse: (N, 3, 3), from a place in the result to the place in the image: (x, y, 1) in
            pixels right of and below the centre.
        taps: SYM6.
    """
    height, width = images.shape[2:]
    periods = doubling(taps, height) @ (images @ doubling(taps, width).mT)
    x, y = (half_pixels(size, taps) / 2 - (size - 1) / 2 for size in (width, height))
    columns = inverse[:, :2, :, None, None]
    places = columns[:, :, 0] * x + columns[:, :, 1] * y[:, None] + columns[:, :, 2]
    grid = [
        # From pixels to samples of the period, and to the -1 ... 1 of `grid_sample`.
        (2 * (2 * place + size - 1).remainder(n - 1) + 1) / n - 1
        for place, size, n in zip(
            places.unbind(1), (width, height), periods.shape[:1:-1], strict=True
        )
    ]
    sampled = Sampled.apply(periods, torch.stack(grid, dim=-1))
    return halving(taps, height) @ (sampled @ halving(taps, width).mT)


def half_pixels(size: int, taps: Tensor) -> Tensor:
    """The places, in half pixels from a row's first, that halving it looks at."""
    numbers = torch.arange(2 * size + len(taps) - 2, device=taps.device)
    return (numbers - CENTRE).to(taps)


def doubling(taps: Tensor, size: int) -> Tensor:
    """(L + 1, size): one period of the reflected row at twice the resolution, and its first again.

    L = 4 (size - 1): a row and its reflection, without the two pixels that they share.
    """
    samples = torch.arange(4 * max(size - 1, 0.5) + 1, device=taps.device).long()
    reach = len(taps) // 2
    pixels = torch.arange(-reach, len(samples) // 2 + reach + 1, device=taps.device)
    weights = taken(taps, samples[:, None] - 2 * pixels + CENTRE)
    return 2**0.5 * weights @ reflection(pixels, size, taps)


def halving(taps: Tensor, size: int) -> Tensor:
    """(size, 2 size + 10): pixels of a row from `half_pixels`."""
    numbers = torch.arange(2 * size + len(taps) - 2, device=taps.device)
    pixels = torch.arange(size, device=taps.device)
    return taken(taps, numbers - 2 * pixels[:, None]) / 2**0.5


class Sampled(Function):
    """Bilinear samples of images (N, C, H, W) at grid (N, H', W', 2): any derivative by images.

    Not all versions of torch differentiate `grid_sample` twice.
    """

    @staticmethod
    def forward(ctx: Any, images: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        ctx.shape = images.shape
        return grid_sample(images, grid, padding_mode="border", align_corners=False)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return Spread.apply(gradient, *ctx.saved_tensors, ctx.shape), None


class Spread(Function):
    """The transpose of `Sampled`, which is linear in the images."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, grid: Tensor, shape: torch.Size) -> Tensor:
        ctx.save_for_backward(grid)
        images = gradient.new_zeros(()).expand(shape)  # only their shape matters
        backward = torch.ops.aten.grid_sampler_2d_backward
        spread: Tensor = backward(gradient, images, grid, 0, 1, False, [True, False])[0]
        return spread

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return Sampled.apply(gradient, *ctx.saved_tensors), None, None
