"""Images of any size as the Inception network wants them, by two matrix products."""

import functools
from typing import Literal

import torch
from torch import Tensor

from ganlab.spec import one_of

Kind = Literal["tf1_bilinear", "pil_bicubic"]


def resize(images: Tensor, kind: Kind = "tf1_bilinear", size: int = 299) -> Tensor:
    """uint8 (N, C, H, W) -> float32 (N, C, size, size) in grey levels, not rounded.

    Images that have the size already keep their values.

    Args:
        kind: tf1_bilinear: TensorFlow 1's, without half-pixel centres and without antialiasing,
            which the reference FID is computed with.  pil_bicubic: Pillow's on float images,
            antialiased, clipped to 0..255 ("clean-fid", Parmar et al. 2022).

    Raises:
        ValueError: there is no such kind.
    """
    one_of(("tf1_bilinear", "pil_bicubic"), kind=kind)
    rows, columns = (matrix(kind, n, size, images.device) for n in images.shape[-2:])
    return (rows @ (images.float() @ columns.T)).clamp(0, 255)  # bilinear never leaves 0..255


@functools.lru_cache(maxsize=32)
def matrix(kind: Kind, before: int, after: int, device: torch.device) -> Tensor:
    """float32 (after, before): what each new pixel takes of the old ones."""
    made = tf1_bilinear(before, after) if kind == "tf1_bilinear" else pil_bicubic(before, after)
    return made.float().to(device)


def tf1_bilinear(before: int, after: int) -> Tensor:
    """float32 (after, before): pixel i lies at i * before / after, the last one repeats.

    Places are in float32 as TensorFlow has them: exact ones differ by 0.01 grey levels.
    """
    places = torch.arange(after, dtype=torch.float32) * torch.tensor(before / after)
    low = places.long()
    weights = torch.zeros(after, before)
    rows, share = torch.arange(after), places - low
    weights[rows, low] = 1 - share
    weights[rows, (low + 1).clamp_max(before - 1)] += share
    return weights


def pil_bicubic(before: int, after: int) -> Tensor:
    """float64 (after, before): Keys's cubic with a = -1/2 (Keys 1981, eq. 4), widened to shrink.

    Pixels have half-pixel centres; what lies outside is left out and the rest made up to 1.
    """
    scale = before / after
    centers = (torch.arange(after, dtype=torch.float64) + 0.5) * scale
    pixels = torch.arange(before, dtype=torch.float64) + 0.5
    x = ((pixels - centers.unsqueeze(1)) / max(scale, 1)).abs()
    near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    weights = torch.where(x < 1, near, torch.where(x < 2, far, 0))
    return weights / weights.sum(dim=1, keepdim=True)
