"""Turns any picture into pixels of one shape: its bits, its transparency, its colours, its size."""

import re
from dataclasses import dataclass

from PIL import Image, ImageColor, ImageOps

from ganlab.spec import ImageSpec, at_least, one_of

BANDS = {1: "L", 3: "RGB", 4: "RGBA"}  # channels -> Pillow's mode, whose letters are the bands
GREY = {"1", "L", "LA", "La", "I;16", "I;16B", "I;16L", "I;16N", "I", "F"}
FITS = ("crop", "pad", "squeeze")
DEEP, PLAIN = "had 16 bits per channel and were reduced to 8", "were grey and became RGB"


@dataclass(frozen=True)
class Conversion:
    """What is asked for.

    Args:
        size: pixels to resize to; None: do not resize.
        channels: 1 (grey), 3 (RGB) or 4 (RGB and transparency); None: 3 if any picture has
            colours, else 1.
        fit: how pictures become square: crop (the centre), pad (with `background`) or squeeze.
        background: a colour to lay transparent pictures on, as `white` or `#ffffff`; None: drop
            transparency if `channels` is 1 or 3.

    Raises:
        ValueError: a value is out of range.
    """

    size: int | None = None
    channels: int | None = None
    fit: str = "crop"
    background: str | None = None

    def __post_init__(self) -> None:
        at_least(4, size=self.size)
        one_of(FITS, fit=self.fit)
        if self.channels not in (None, *BANDS):
            raise ValueError(f"channels must be 1, 3 or 4, got {self.channels}")
        if self.fit != "crop" and self.size is None:
            raise ValueError(f"fit={self.fit} needs a size, as size=64")
        if self.background is not None:
            if self.channels == 4:
                raise ValueError("background: channels=4 keeps transparency; set one of them")
            require_colour(self.background)

    def channels_of(self, image: Image.Image) -> int:
        """Channels that a picture needs; its header is enough."""
        if self.channels is not None:
            return self.channels
        return 3 if self._coloured(image) else 1

    def pixels(self, image: Image.Image, spec: ImageSpec) -> tuple[bytes, list[str]]:
        """A loaded picture as bytes (C, H, W), and what has been done to it unasked.

        Raises:
            ValueError: it needs a conversion that was not asked for.
        """
        self._refuse(image, spec)
        remarks = [DEEP] if image.info.get("deep") else []
        if self.channels is None and spec.channels == 3 and not self._coloured(image):
            remarks.append(PLAIN)
        image = self._opaque(of_8_bits(image), spec.channels)
        mode = BANDS[spec.channels]
        image = image if image.mode == mode else image.convert(mode)
        image = self._square(image, spec.size)
        return b"".join(image.tobytes("raw", band) for band in mode), remarks

    def _coloured(self, image: Image.Image) -> bool:
        if image.mode not in GREY:
            return True
        behind = ImageColor.getrgb(self.background or "black")
        return image.has_transparency_data and len(set(behind)) > 1

    def _refuse(self, image: Image.Image, spec: ImageSpec) -> None:
        """Raises ValueError for a picture that needs a conversion that was not asked for."""
        if self.channels_of(image) > spec.channels:
            raise ValueError(
                f"mode {image.mode}, but those looked at first are grey; "
                "set data.channels=3 or 1 to convert all"
            )
        width, height = image.size
        if self.size is None and width != height:
            fitting = max(16, 2 ** (min(width, height).bit_length() - 1))
            raise ValueError(
                f"{width} x {height} pixels, not square; "
                f"set data.size={fitting} data.fit=pad (or crop, or squeeze)"
            )
        if self.size is None and width != spec.size:
            raise ValueError(
                f"{width} x {height} pixels, expected {spec.size} x {spec.size}; "
                "set data.size to resize all images"
            )

    def _opaque(self, image: Image.Image, channels: int) -> Image.Image:
        """Without transparency, unless it is kept."""
        if not image.has_transparency_data or channels == 4:
            return image
        full = image.convert("RGBA")
        lowest, _ = full.getchannel("A").getextrema()
        if lowest == 255 or (self.channels is not None and self.background is None):
            image.info.pop("transparency", None)  # Pillow would warn about it
            return image
        if self.background is None:
            raise ValueError(
                "transparent; set data.background=white (or another colour) to lay it on, "
                "data.channels=4 to keep transparency, or data.channels=3 to drop it"
            )
        canvas = Image.new("RGBA", image.size, self.background)
        canvas.alpha_composite(full)
        return canvas.convert("RGB")

    def _square(self, image: Image.Image, size: int) -> Image.Image:
        shape, method = (size, size), Image.Resampling.LANCZOS
        if image.size == shape:
            return image
        if self.fit == "crop":
            return ImageOps.fit(image, shape, method)
        if self.fit == "squeeze":
            return image.resize(shape, method)
        behind = self.background or ("#00000000" if image.mode == "RGBA" else "black")
        return ImageOps.pad(image, shape, method, color=ImageColor.getcolor(behind, image.mode))


def is_deep(image: Image.Image) -> bool:
    """Whether a picture that is not yet loaded has 16 bits per channel."""
    if image.mode == "I":
        return image.format == "PPM"  # other files have 32 bits in this mode
    return image.mode.startswith("I;16") or bool(
        re.search(r";16[BLN]", str(getattr(image, "tile", "")))
    )


def of_8_bits(image: Image.Image) -> Image.Image:
    """The upper 8 of 16 bits; Pillow has done so already where there are colours.

    Raises:
        ValueError: there are 32 bits, of an unknown range.
    """
    if image.mode == "I" and image.info.get("deep"):
        image = image.convert("I;16")
    if image.mode.startswith("I;16"):
        big = image.mode == "I;16B"
        return Image.frombytes("L", image.size, image.tobytes()[not big :: 2])
    if image.mode in "IF":
        raise ValueError(f"mode {image.mode} (32 bits); save it with 8 bits per channel")
    return image


def require_colour(text: str) -> None:
    """Raises ValueError unless a text is a colour without transparency."""
    try:
        solid = len(ImageColor.getrgb(text)) == 3
    except ValueError:
        solid = False
    if not solid:
        raise ValueError(f"background must be a colour as white or #ffffff, got '{text}'")
