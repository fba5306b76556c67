"""Pictures inside of pages."""

import base64
import io
from typing import Literal

import numpy as np
from PIL import Image

Format = Literal["png", "webp", "jpeg"]


def data_url(pixels: np.ndarray, kind: Format = "png", quality: int = 80) -> str:
    """A picture as a URL that holds it.

    Args:
        pixels: uint8 (H, W), (H, W, 1) or (H, W, 3).
        kind: png keeps every pixel, webp and jpeg are smaller.
        quality: of webp and jpeg, in 1..100.
    """
    file = io.BytesIO()
    options = {} if kind == "png" else {"quality": quality}
    picture = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)
    picture.save(file, format=kind, **options)
    return encoded(file.getvalue(), f"image/{kind}")


def encoded(content: bytes, kind: str) -> str:
    """Bytes of a media type as a data URL."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
