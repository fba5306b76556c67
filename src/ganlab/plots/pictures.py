"""Pictures: grids, single images, animations."""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ganlab.storage import files

if TYPE_CHECKING:  # charts of scores are saved without torch, which takes seconds to import
    from torch import Tensor

TILE = 56  # pixels; smaller images are enlarged by an integer factor, without smoothing
MOST = 300  # frames of a film: a minute


def quantised(images: "Tensor") -> "Tensor":
    """Float (N, C, H, W) in [-1, 1] -> uint8 in 0..255; the inverse of `images.normalised`."""
    import torch

    return images.detach().float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)


def to_pixels(images: "Tensor") -> np.ndarray:
    """Float (N, C, H, W) in [-1, 1] -> uint8 (N, H, W, C)."""
    return quantised(images).permute(0, 2, 3, 1).cpu().numpy()


def grid(images: "Tensor", columns: int | None = None) -> np.ndarray:
    """Float (N, C, H, W) in [-1, 1] -> one uint8 RGB picture (H, W, 3).

    Args:
        images: generated or real images.
        columns: images per row; None: sqrt(N), rounded up.
    """
    from torch.nn.functional import interpolate
    from torchvision.utils import make_grid

    factor = max(1, round(TILE / images.shape[-1]))
    images = interpolate(images.detach().float().cpu(), scale_factor=factor, mode="nearest")
    columns = columns or int(np.ceil(np.sqrt(len(images))))
    sheet = make_grid(images, nrow=columns, padding=2, pad_value=1.0)
    return to_pixels(sheet.unsqueeze(0))[0]


def save(path: Path, pixels: np.ndarray) -> None:
    """Writes uint8 (H, W, C) as PNG, atomically."""
    file = io.BytesIO()  # if Pillow writes to a full disk itself, its error does not say so
    Image.fromarray(pixels.squeeze()).save(file, format="PNG")
    files.write(path, file.getbuffer())


def animate(frames: Iterable[Path], path: Path, seconds: float = 0.2) -> None:
    """Writes a looping GIF of PNG files, `seconds` per frame and 8 times as long on the last.

    Writes nothing without frames.  Of more than MOST, it shows so many, the first and the last
    among them.
    """
    shown = thinned(list(frames))
    if not shown:
        return
    milliseconds = [int(1000 * seconds)] * len(shown)
    milliseconds[-1] *= 8
    file = io.BytesIO()
    opened(shown[0]).save(
        file,
        format="GIF",
        save_all=True,
        append_images=map(opened, shown[1:]),  # one at a time
        duration=milliseconds,
        loop=0,
    )
    files.write(path, file.getbuffer())


def thinned(frames: Sequence[Path]) -> list[Path]:
    """At most MOST frames, evenly spaced; the first and the last stay."""
    n = min(len(frames), MOST)
    return [frames[i] for i in np.linspace(0, len(frames) - 1, n).round().astype(int)] if n else []


def opened(frame: Path) -> Image.Image:
    """A PNG file as a picture in memory."""
    with Image.open(frame) as picture:
        return picture.convert("RGB")
