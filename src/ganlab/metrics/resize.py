"""Resizing of images for the Inception network, by two matrix products."""

import functools
from typing import Literal

import torch
from torch import Tensor

from ganlab.spec import one_of

Kind = Literal["tf1_bilinear", "pil_bicubic"]


def resize(images: Tensor, kind: Kind = "tf1_bilinear", size: int = 299) -> Tensor:
    """uint8 (N, C, H, W) -> float32 (N, C, size, size) in grey levels, not rounded.

    Images that already have this size keep their values.

    Args:
        images: uint8 (N, C, H, W).
        kind: tf1_bilinear: as in TensorFlow 1, without half-pixel centres and antialiasing; the
            reference FID uses it.  pil_bicubic: as in Pillow for float images, antialiased, clipped
            to 0..255 ("clean-fid", Parmar et al. 2022).
        size: of the result, in pixels.

    Raises:
        ValueError: there is no such kind.
    """
    one_of(("tf1_bilinear", "pil_bicubic"), kind=kind)
    rows, columns = (matrix(kind, n, size, images.device) for n in images.shape[-2:])
    return (rows @ (images.float() @ columns.T)).clamp(0, 255)  # bilinear never leaves 0..255


@functools.lru_cache(maxsize=32)
def matrix(kind: Kind, before: int, after: int, device: torch.device) -> Tensor:
    """Weights float32 (after, before) of the old pixels in each new one."""
    made = tf1_bilinear(before, after) if kind == "tf1_bilinear" else pil_bicubic(before, after)
    return made.float().to(device)


def tf1_bilinear(before: int, after: int) -> Tensor:
    """Weights float32 (after, before): pixel i is at i * before / after; the edge is repeated.

    Positions are computed in float32, as in TensorFlow; exact ones change grey levels by 0.01.
    """
    places = torch.arange(after, dtype=torch.float32) * torch.tensor(before / after)
    low = places.long()
    weights = torch.zeros(after, before)
    rows, share = torch.arange(after), places - low
    weights[rows, low] = 1 - share
    weights[rows, (low + 1).clamp_max(before - 1)] += share
    return weights


def pil_bicubic(before: int, after: int) -> Tensor:
    """Weights float64 (after, before): the cubic of Keys (1981, eq. 4) with a = -1/2.

    The kernel is widened for shrinking.  Pixels have half-pixel centres.  Weights outside of the
    image are dropped, and the rest is normalised to a sum of 1.
    """
    scale = before / after
    centers = (torch.arange(after, dtype=torch.float64) + 0.5) * scale
    pixels = torch.arange(before, dtype=torch.float64) + 0.5
    x = ((pixels - centers.unsqueeze(1)) / max(scale, 1)).abs()
    near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    weights = torch.where(x < 1, near, torch.where(x < 2, far, 0))
    return weights / weights.sum(dim=1, keepdim=True)
