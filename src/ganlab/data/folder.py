"""Any images in a folder or a zip: size, channels and classes are read off the files."""

import contextlib
import io
import zipfile
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from ganlab.data.images import Images, allocate
from ganlab.spec import DataError, ImageSpec, at_least

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
CHANNELS = {"1": 1, "L": 1, "P": 3, "RGB": 3}
NAMED = 5  # how many broken files a message lists


class Folder:
    """Images below a folder or inside a zip; subfolders, where every image is in one, are classes.

    All images must be of one size, square, and all grey or all RGB, unless `size` and `channels`
    say what to make of them.  Every file is decoded before training starts, and those that cannot
    be used are named.

    Args:
        root: a folder or a .zip file.
        size: crop to the centre square and resize to so many pixels; None: as the files are.
        channels: 1 or 3: convert to grey or RGB (transparency is dropped); None: as they are.
    """

    def __init__(self, root: Path, size: int | None = None, channels: int | None = None) -> None:
        at_least(4, size=size)
        if channels not in (None, 1, 3):
            raise ValueError(f"channels must be 1 or 3, got {channels}")
        self.root, self.size, self.channels = Path(root), size, channels

    @cached_property
    def names(self) -> list[str]:
        """Paths of the images relative to the root, sorted."""
        if not self.root.exists():
            raise DataError(f"data.root: there is no folder or zip '{self.root}'")
        found = sorted(name for name in self._listing() if is_image(name))
        if not found:
            raise DataError(
                f"data.root: no images ({', '.join(sorted(SUFFIXES))}) in '{self.root}'"
            )
        return found

    @cached_property
    def classes(self) -> list[str]:
        """Names of the classes, sorted; empty where images lie at the top or in one subfolder."""
        parents = {str(PurePosixPath(name).parent) for name in self.names}
        return sorted(parents) if len(parents) > 1 and "." not in parents else []

    @cached_property
    def spec(self) -> ImageSpec:
        """Read off the first image's header."""
        try:
            with self._open(self.names[0]) as image:
                channels = self.channels or CHANNELS.get(image.mode, 0)
                size = self.size or image.width
                self._refuse(image, channels, size)
        except Exception as error:
            raise DataError(f"data: {self._where(self.names[0])}: {_reason(error)}") from error
        return ImageSpec(channels, size, len(self.classes))

    def check(self) -> None:
        """Raises DataError if there are no images or the first cannot be used."""
        _ = self.spec

    def prepare(self) -> None:
        """Nothing to download."""

    def read(self) -> Images:
        spec, broken = self.spec, []
        images = allocate(len(self.names), *spec.shape)

        def decode(index: int) -> str | None:
            try:
                with self._open(self.names[index]) as image:
                    images[index] = self._pixels(image, spec)
            except Exception as error:  # noqa: BLE001 - damaged files make decoders raise anything
                return f"  {self._where(self.names[index])}: {_reason(error)}"
            return None

        with ThreadPoolExecutor() as pool:
            broken = [line for line in pool.map(decode, range(len(self.names))) if line]
        if broken:
            more = [f"  ... and {len(broken) - NAMED} more"] if len(broken) > NAMED else []
            count = f"{len(broken)} of {len(self.names)} images cannot be used:"
            raise DataError("\n".join([f"data: {count}", *broken[:NAMED], *more]))
        return Images(images, self._labels())

    def _labels(self) -> torch.Tensor:
        index = {name: i for i, name in enumerate(self.classes)}
        return torch.tensor([index.get(str(PurePosixPath(n).parent), 0) for n in self.names])

    def _listing(self) -> list[str]:
        if self.root.is_dir():
            return [
                p.relative_to(self.root).as_posix() for p in self.root.rglob("*") if p.is_file()
            ]
        return self._archive.namelist()

    @cached_property
    def _archive(self) -> zipfile.ZipFile:
        """Opened once: its directory may be long, and reading from several threads is safe."""
        try:
            return zipfile.ZipFile(self.root)
        except Exception as error:
            raise DataError(f"data.root: '{self.root}' is no folder and no zip: {error}") from error

    def _open(self, name: str) -> Image.Image:
        """The image as a person sees it: photographs say in EXIF which side is up."""
        folder = self.root.is_dir()
        content = (self.root / name).read_bytes() if folder else self._archive.read(name)
        image: Image.Image = Image.open(io.BytesIO(content))
        image.load()  # may raise; damaged EXIF beside sound pixels does no harm
        with contextlib.suppress(Exception):
            image = ImageOps.exif_transpose(image)
        return image

    def _where(self, name: str) -> str:
        return f"'{self.root / name}'"

    def _refuse(self, image: Image.Image, channels: int, size: int) -> None:
        """Raises ValueError for an image that would have to be changed without being asked to."""
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

    def _pixels(self, image: Image.Image, spec: ImageSpec) -> torch.Tensor:
        self._refuse(image, spec.channels, spec.size)
        image.info.pop("transparency", None)  # dropped on purpose: Pillow would warn of it
        image = image.convert("L" if spec.channels == 1 else "RGB")
        if image.size != (spec.size, spec.size):
            image = ImageOps.fit(image, (spec.size, spec.size), Image.Resampling.LANCZOS)
        pixels = np.asarray(image).reshape(spec.size, spec.size, spec.channels)
        return torch.from_numpy(pixels.transpose(2, 0, 1).copy())


def is_image(name: str) -> bool:
    """Whether a path names an image; hidden files and those that macOS puts into zips do not."""
    path = PurePosixPath(name)
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return path.suffix.lower() in SUFFIXES and not hidden and not name.endswith("/")


def _reason(error: Exception) -> str:
    """One line; Pillow's own message for an unknown file repeats a Python object."""
    if isinstance(error, UnidentifiedImageError) or not str(error):
        return "not an image, or damaged"
    return str(error).splitlines()[0]
