"""What the page gets of an image: its pixels, by one way for real and for generated images."""

import functools
import io
import statistics

import numpy as np
from PIL import Image
from torch import Tensor

from ganlab.data import Folder
from ganlab.data.images import Source
from ganlab.plots import pictures
from ganlab.storage import decoding

LOOKED_AT = 16  # files that say how the data was compressed


def encoded(images: Tensor, quality: int | None = None) -> list[bytes]:
    """Each image as bytes (H, W, C), so all have the same length and no header.

    Args:
        images: float (N, C, H, W) in [-1, 1].
        quality: of the JPEG that the pixels pass through, in 1..100; None: they do not.
    """
    pixels = pictures.to_pixels(images)
    if quality is not None:
        pixels = np.stack([compressed(one, quality) for one in pixels])
    return [one.tobytes() for one in pixels]


def compressed(pixels: np.ndarray, quality: int) -> np.ndarray:
    """uint8 (H, W, 1) or (H, W, 3) after a JPEG of this quality, in the same shape."""
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(
        file, format="JPEG", quality=quality
    )
    return np.asarray(Image.open(file)).reshape(pixels.shape)


def quality_of(source: Source) -> int | None:
    """The JPEG quality of the files that a data set is read from, in 1..100.

    None if they are no JPEGs, or were resized, which leaves nothing of a JPEG's blocks.
    """
    if not isinstance(source, Folder) or source.arrays is not None or source.spec.channels == 4:
        return None
    step = -(-len(source.names) // LOOKED_AT)
    found = [quality_in(source, name) for name in source.names[::step]]
    known = [quality for quality in found if quality is not None]
    return statistics.median_low(known) if len(known) == len(found) else None


def quality_in(source: Folder, name: str) -> int | None:
    """The JPEG quality of one file; None if it is no JPEG of the data's size."""
    with decoding.opened(source.decoder.archive.read(name)) as image:
        if image.format != "JPEG" or image.size != 2 * (source.spec.size,):
            return None
        table = image.quantization[0]  # type: ignore[attr-defined]
    distance = [sum(abs(a - b) for a, b in zip(table, own, strict=True)) for own in tables()]
    return 1 + distance.index(min(distance))


@functools.cache
def tables() -> list[list[int]]:
    """The quantisation of brightness, 64 numbers, that Pillow writes for each quality from 1."""
    found = []
    for quality in range(1, 101):
        file = io.BytesIO()
        Image.new("L", (8, 8)).save(file, format="JPEG", quality=quality)
        found.append(Image.open(file).quantization[0])  # type: ignore[attr-defined]
    return found
