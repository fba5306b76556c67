"""Decodes image files into pixels, and rejects files that do not match the expected format.

`python -m ganlab.storage.decoding` runs a worker process for this.  It imports neither torch nor
numpy, so it starts in a tenth of a second.
"""

import contextlib
import io
import json
import signal
import socket
import sys
import zipfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from ganlab.errors import DataError
from ganlab.spec import ImageSpec

CHANNELS = {"1": 1, "L": 1, "P": 3, "RGB": 3}
BANDS = {1: ("L",), 3: ("R", "G", "B")}  # Pillow's names of the channels
ENDINGS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")  # left to the parent process

Refused = list[tuple[int, str]]  # (index in the batch, reason) of images that cannot be used


class Decoder:
    """Reads images below a folder or inside a zip by their names.

    Args:
        root: the folder or the zip.
        size: crop to the centre square and resize to this many pixels; None: do not resize.
        channels: 1 or 3: convert to grey or RGB (drops transparency); None: do not convert.
    """

    def __init__(self, root: Path, size: int | None, channels: int | None) -> None:
        self.root, self.size, self.channels = root, size, channels

    @cached_property
    def archive(self) -> zipfile.ZipFile | None:
        """The zip, opened once because its directory may be long; None for a folder.

        Raises:
            DataError: the root is neither a folder nor a zip.
        """
        if self.root.is_dir():
            return None
        try:
            return zipfile.ZipFile(self.root)
        except Exception as error:
            text = f"data.root: '{self.root}' is neither a folder nor a zip: {error}"
            raise DataError(text) from error

    def spec(self, name: str) -> ImageSpec:
        """Channels and size of an image after any conversion.

        Raises:
            Exception: the image cannot be used; damaged files make decoders raise anything.
        """
        with self._open(name) as image:
            channels = self.channels or CHANNELS.get(image.mode, 0)
            size = self.size or image.width
            self._refuse(image, channels, size)
        return ImageSpec(channels, size)

    def batch(self, names: Sequence[str], spec: ImageSpec) -> tuple[bytes, Refused]:
        """Pixels (n, C, H, W) of n images, 0 for images that cannot be used; and the latter."""
        found, refused = [], []
        for place, name in enumerate(names):
            try:
                found.append(self.pixels(name, spec))
            except Exception as error:  # noqa: BLE001 - damaged files make decoders raise anything
                found.append(bytes(spec.channels * spec.size**2))
                refused.append((place, reason(error)))
        return b"".join(found), refused

    def pixels(self, name: str, spec: ImageSpec) -> bytes:
        """One image as bytes (C, H, W).

        Raises:
            Exception: the image cannot be used; damaged files make decoders raise anything.
        """
        with self._open(name) as image:
            self._refuse(image, spec.channels, spec.size)
            image.info.pop("transparency", None)  # dropped on purpose; Pillow would warn about it
            mode, shape = "L" if spec.channels == 1 else "RGB", (spec.size, spec.size)
            converted = image if image.mode == mode else image.convert(mode)
            if converted.size != shape:
                converted = ImageOps.fit(converted, shape, Image.Resampling.LANCZOS)
            return b"".join(converted.tobytes("raw", band) for band in BANDS[spec.channels])

    def _open(self, name: str) -> Image.Image:
        """The image, rotated as its EXIF orientation says."""
        archive = self.archive
        content = archive.read(name) if archive else read(f"{self.root}/{name}")
        image: Image.Image = Image.open(io.BytesIO(content))
        image.load()  # may raise, while damaged EXIF data is ignored
        with contextlib.suppress(Exception):
            image = ImageOps.exif_transpose(image)
        return image

    def _refuse(self, image: Image.Image, channels: int, size: int) -> None:
        """Raises ValueError for an image that needs a conversion that was not requested."""
        if image.mode.startswith(("I", "F")):
            raise ValueError(f"mode {image.mode} (16 or 32 bits); save it with 8 bits per channel")
        clear = " with transparency" if "transparency" in image.info else ""
        if self.channels is None and (clear or CHANNELS.get(image.mode) != channels):
            known = {0: "grey or RGB", 1: "grey", 3: "RGB"}[channels]
            raise ValueError(
                f"mode {image.mode}{clear}, expected {known}; set data.channels=1 or 3 to convert"
            )
        if self.size is None and image.size != (size, size):
            found = f"{image.width} x {image.height} pixels"
            raise ValueError(
                f"{found}, expected {size} x {size}; set data.size to resize all images"
            )


def read(path: str) -> bytes:
    """The bytes of a file; `Path.read_bytes` takes twice as long for a small one."""
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123
        return file.read()


def reason(error: Exception) -> str:
    """An error in one line; Pillow's message for an unknown file has the repr of an object."""
    if isinstance(error, UnidentifiedImageError) or not str(error):
        return "not an image, or damaged"
    return str(error).splitlines()[0]


def answer(connection: socket.socket) -> None:
    """Answers requests until the other end is closed, at the latest when its process ends.

    The first line is JSON: the arguments of a Decoder and of an ImageSpec.  Each further line is a
    JSON list of names.  The answer is a JSON line of refused images, followed by the pixels.
    """
    with connection, connection.makefile("rwb") as file, contextlib.suppress(ConnectionError):
        (root, *asked), spec = json.loads(file.readline())
        decoder, spec = Decoder(Path(root), *asked), ImageSpec(*spec)
        for line in file:
            pixels, refused = decoder.batch(json.loads(line), spec)
            file.write(json.dumps(refused).encode() + b"\n")
            file.write(pixels)
            file.flush()


if __name__ == "__main__":
    for name in ENDINGS:
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    answer(socket.socket(fileno=int(sys.argv[1])))
