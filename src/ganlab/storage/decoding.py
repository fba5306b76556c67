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
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image, ImageOps, UnidentifiedImageError, features

from ganlab.errors import DataError
from ganlab.spec import ImageSpec
from ganlab.storage import tables
from ganlab.storage.archive import Archive, Directory
from ganlab.storage.conversion import Conversion, is_deep
from ganlab.storage.tables import Tables
from ganlab.storage.tars import Tar
from ganlab.storage.zips import Zip

# Pillow's formats that are opened, whatever a file's suffix; others may run programs, as EPS does.
AVIF = ("AVIF",) if features.check("avif") else ()
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM", *AVIF)
PIXELS = 10**8  # of one image
TARS = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")
SUFFIXES = {
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".tif", ".tiff", ".webp"),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
    *(f".{name.lower()}" for name in AVIF),
}
KINDS: dict[str, Callable[..., Archive]] = {
    "folder": Directory,
    "zip": Zip,
    "tar": Tar,
    "tables": Tables,
}
ENDINGS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")  # left to the parent process

# PIXELS is the bound, with a sentence; Pillow's own are near it.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

Refused = list[tuple[int, str]]  # (index in the batch, reason) of images that cannot be used


class Decoded(NamedTuple):
    """pixels: bytes (n, C, H, W).  remarks: what was done unasked, and to how many images."""

    pixels: bytes
    refused: Refused
    remarks: dict[str, int]


class Decoder:
    """Reads the images of an archive by their names.

    Args:
        archive: where they are.
        conversion: what they are to become.
    """

    def __init__(self, archive: Archive, conversion: Conversion) -> None:
        self.archive, self.conversion = archive, conversion

    @classmethod
    def opened(cls, described: list[Any]) -> "Decoder":
        """The decoder that `described` has described."""
        (kind, *arguments), conversion = described
        return cls(KINDS[kind](*arguments), Conversion(*conversion))

    def described(self) -> list[Any]:
        """All that another process needs, as plain data."""
        return [self.archive.described(), astuple(self.conversion)]

    def spec(self, name: str) -> ImageSpec:
        """Channels and size of an image after any conversion.

        Raises:
            Exception: the image cannot be used; damaged files make decoders raise anything.
        """
        with self._loaded(name) as image:
            channels = self.conversion.channels_of(image)
            spec = ImageSpec(channels, self.conversion.size or image.width)
            self.conversion.pixels(image, spec)
        return spec

    def channels(self, name: str) -> int:
        """Channels of an image after any conversion, by its header; 0 if it cannot be read."""
        with contextlib.suppress(Exception), opened(self.archive.read(name)) as image:
            return self.conversion.channels_of(image)
        return 0

    def batch(self, names: Sequence[str], spec: ImageSpec) -> Decoded:
        """n images; pixels are 0 for images that cannot be used."""
        found, refused, remarks = list[bytes](), Refused(), Counter[str]()
        for place, name in enumerate(names):
            try:
                pixels, said = self.pixels(name, spec)
            except Exception as error:  # noqa: BLE001 - damaged files make decoders raise anything
                pixels, said = bytes(spec.channels * spec.size**2), []
                refused.append((place, reason(error)))
            found.append(pixels)
            remarks.update(said)
        return Decoded(b"".join(found), refused, dict(remarks))

    def pixels(self, name: str, spec: ImageSpec) -> tuple[bytes, list[str]]:
        """One image as bytes (C, H, W), and what has been done to it unasked.

        Raises:
            Exception: the image cannot be used; damaged files make decoders raise anything.
        """
        with self._loaded(name) as image:
            return self.conversion.pixels(image, spec)

    def _loaded(self, name: str) -> Image.Image:
        """The image, rotated as its EXIF orientation says; its info says if it was `deep`."""
        image = opened(self.archive.read(name))
        deep = is_deep(image)
        image.load()  # may raise, while damaged EXIF data is ignored
        with contextlib.suppress(Exception):
            image = ImageOps.exif_transpose(image)
        image.info["deep"] = deep
        return image


def archive_at(root: Path) -> Archive:
    """The archive at a path.

    Raises:
        DataError: there is none.
    """
    if root.is_dir():
        return directory(root)
    if not root.exists():
        raise DataError(f"data.root: there is no folder, zip or tar '{root}'")
    if not root.is_file():
        raise DataError(f"data.root: '{root}' is no regular file")
    if root.name.lower().endswith(TARS):
        return Tar(root)
    if root.suffix.lower() in tables.SUFFIXES:
        return Tables(root, [""])
    return Zip(root)


def directory(root: Path) -> Archive:
    """The files of a folder; if there are parquet or Arrow files and no images, their rows."""
    folder = Directory(root)
    suffixes = {name[name.rfind(".") :].lower() for name in folder.names()}
    if not suffixes & set(tables.SUFFIXES) or suffixes & SUFFIXES:
        return folder
    found = [name for name in folder.names() if name.lower().endswith(tables.SUFFIXES)]
    return Tables(root, found)


def opened(content: bytes) -> Image.Image:
    """An image whose header has been read.

    Raises:
        Exception: it is none, or has too many pixels.
    """
    image: Image.Image = Image.open(io.BytesIO(content), formats=FORMATS)
    if image.width * image.height > PIXELS:
        raise Image.DecompressionBombError
    return image


def is_image(content: bytes) -> bool:
    """Whether a file begins as an image does."""
    try:
        opened(content).close()
    except Exception:  # noqa: BLE001 - damaged files make decoders raise anything
        return False
    return True


def reason(error: Exception) -> str:
    """An error in one line; Pillow's message for an unknown file has the repr of an object."""
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {PIXELS // 10**6} million pixels"
    if isinstance(error, UnidentifiedImageError) or not str(error):
        return "not an image, or damaged"
    return str(error).splitlines()[0]


def answer(connection: socket.socket) -> None:
    """Answers requests until the other end is closed, at the latest when its process ends.

    The first line is JSON: a described Decoder and the arguments of an ImageSpec.  Each further
    line is a JSON list of names.  The answer is a JSON line of refused images and remarks, followed
    by the pixels.
    """
    with connection, connection.makefile("rwb") as file, contextlib.suppress(ConnectionError):
        described, spec = json.loads(file.readline())
        decoder, spec = Decoder.opened(described), ImageSpec(*spec)
        for line in file:
            pixels, *said = decoder.batch(json.loads(line), spec)
            file.write(json.dumps(said).encode() + b"\n")
            file.write(pixels)
            file.flush()


if __name__ == "__main__":
    for name in ENDINGS:
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    answer(socket.socket(fileno=int(sys.argv[1])))
