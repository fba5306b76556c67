"""Pictures that are arrays already, in a .npy or .npz file."""

import contextlib
import hashlib
import math
import os
import zipfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ganlab.data.images import Images, allocate, outgrows_memory
from ganlab.errors import DataError
from ganlab.spec import ImageSpec
from ganlab.storage.conversion import BANDS, Conversion

KINDS = (".npy", ".npz")
IMAGES = ("x_{split}", "images", "x", "data", "arr_0")  # the first that there is
LABELS = ("y_{split}", "labels", "label", "y")
STEP = 4096  # images that are copied at a time


class Header(NamedTuple):
    """What an array is, without its values."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class Arrays:
    """uint8 images (N, H, W), (N, H, W, C) or (N, C, H, W) with C = 1, 3 or 4, and their labels.

    In an .npz the images are `images`, `x`, `data` or `arr_0`, the labels `labels`, `label` or `y`;
    or there are `x_train`, `y_train`, `x_test`, `y_test`.  An .npy has no labels.  Nothing is
    unpickled.

    Args:
        root: the file.
        conversion: what the images are to become.
        split: train or test.
    """

    def __init__(self, root: Path, conversion: Conversion, split: str = "train") -> None:
        self.root, self.conversion, self.split = root, conversion, split

    @cached_property
    def spec(self) -> ImageSpec:
        """Channels and size after conversion, and the number of classes.

        Raises:
            DataError: an array is missing or of another form.
        """
        _, channels, height, width = self._shape
        if self.conversion.size is None and height != width:
            why = f"{width} x {height} pixels, not square"
            raise self._wrong(f"{why}; set data.size=64 data.fit=pad (or crop, or squeeze)")
        asked = self.conversion.channels or min(channels, 3)
        classes = int(self._labels.max()) + 1
        return ImageSpec(asked, self.conversion.size or height, classes if classes > 1 else 0)

    def check(self) -> None:
        """Raises DataError if an array is missing or of another form."""
        _ = self.spec

    def prepare(self) -> None:
        """Nothing to download."""

    def fingerprint(self) -> str:
        """16 hexadecimal digits of the file's size and its last megabyte."""
        with self._explained(), self.root.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 2**20))
            return hashlib.sha256(f"{size} ".encode() + file.read()).hexdigest()[:16]

    def read(self) -> Images:
        """All images.

        Raises:
            DataError: the file is damaged, or images need a conversion that was not asked for.
        """
        spec, labels, images = self.spec, self._labels, self._images()
        if labels.max() >= max(spec.classes, 1):
            raise self._wrong(f"a label is {labels.max()}, and there are {spec.classes} classes")
        made = allocate(len(images), *spec.shape)
        if images.shape[1:] == spec.shape:
            for start in range(0, len(images), STEP):
                part = np.array(images[start : start + STEP])
                made[start : start + STEP] = torch.from_numpy(part)
        else:
            self._convert(images, made)
        return Images(made, torch.from_numpy(labels.astype(np.int64)))

    def test(self) -> "Arrays | None":
        """`x_test` and `y_test`, converted as this is; None without them."""
        if self.split != "train" or "x_test" not in self._headers:
            return None
        held = Arrays(self.root, self.conversion, "test")
        held.spec = self.spec
        return held

    def _convert(self, images: NDArray[np.uint8], made: Tensor) -> None:
        """One by one, as files are converted."""
        rows = made.view(len(made), -1)
        for i, image in enumerate(images):
            pixels = np.ascontiguousarray(image.transpose(1, 2, 0))
            picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
            try:
                content, _ = self.conversion.pixels(picture, self.spec)
            except ValueError as error:
                raise self._wrong(f"image {i:,}: {error}") from error
            rows[i] = torch.frombuffer(bytearray(content), dtype=torch.uint8)

    @cached_property
    def _shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W)."""
        name = self._named(IMAGES)
        if name is None:
            raise self._wrong(f"no array {' or '.join(IMAGES[1:])}, only {self._list()}")
        shape, dtype = self._headers[name]
        laid = layout(shape)
        if dtype != np.uint8 or laid is None or min(laid) < 1:
            wanted = "uint8 (N, H, W), (N, H, W, C) or (N, C, H, W) with C = 1, 3 or 4"
            raise self._wrong(f"{dtype} {shape}, expected {wanted}")
        return laid

    def _images(self) -> NDArray[np.uint8]:
        """(N, C, H, W), a view of the file where that is possible."""
        array, shape = self._array(self._named(IMAGES)), self._shape
        if array.ndim == 3:
            return array[:, None]
        return array if array.shape == shape else array.transpose(0, 3, 1, 2)

    @cached_property
    def _labels(self) -> NDArray[np.integer[Any]]:
        """(N,), all 0 if there are none."""
        n, name = self._shape[0], self._named(LABELS)
        if name is None:
            return np.zeros(n, np.int64)
        shape, dtype = self._headers[name]
        if dtype.kind not in "iu" or math.prod(shape) != n or shape[0] != n:
            raise self._wrong(f"'{name}' is {dtype} {shape}, expected {n:,} whole numbers")
        labels = self._array(name).reshape(n)
        if labels.min() < 0 or labels.max() >= n:
            raise self._wrong(
                f"'{name}' has {labels.min()} to {labels.max()}, expected 0, 1, 2, ..."
            )
        return labels

    def _named(self, names: tuple[str, ...]) -> str | None:
        """The first of these arrays that there is; of an .npy, the one for images."""
        if self.root.suffix.lower() == ".npy":
            return "" if names is IMAGES else None
        filled = (name.format(split=self.split) for name in names)
        return next((name for name in filled if name in self._headers), None)

    @cached_property
    def _headers(self) -> dict[str, Header]:
        """What the arrays are, by name; that of an .npy is ''."""
        with self._explained():
            if self.root.suffix.lower() == ".npy":
                with self.root.open("rb") as file:
                    return {"": header(file)}
            found = {}
            with zipfile.ZipFile(self.root) as archive:
                for entry in archive.infolist():
                    if entry.filename.endswith(".npy"):
                        with archive.open(entry) as member:
                            found[entry.filename[:-4]] = sized(header(member), entry.file_size)
            return found

    def _array(self, name: str | None) -> NDArray[Any]:
        with self._explained():
            if not name:
                return np.load(self.root, mmap_mode="r", allow_pickle=False)
            shape, dtype = self._headers[name]
            if outgrows_memory(math.prod(shape) * dtype.itemsize):
                raise ValueError(f"'{name}' does not fit half of the memory; save it as .npy")
            with np.load(self.root, allow_pickle=False) as arrays:
                return arrays[name]

    def _list(self) -> str:
        return ", ".join(f"'{name}'" for name in self._headers) or "none"

    def _wrong(self, reason: str) -> DataError:
        return DataError(f"data: '{self.root}': {reason}")

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            raise self._wrong(str(error).splitlines()[0] if str(error) else "damaged") from error


def layout(shape: tuple[int, ...]) -> tuple[int, int, int, int] | None:
    """(N, C, H, W) of an array of images; None if it is none."""
    if len(shape) == 3:
        n, height, width = shape
        return n, 1, height, width
    if len(shape) != 4:
        return None
    n, a, b, c = shape
    first, last = a in BANDS, c in BANDS
    if first and (b == c or not last):
        return n, a, b, c
    return (n, c, a, b) if last else None


def header(file: IO[bytes]) -> Header:
    """The header of an .npy file.

    Raises:
        ValueError: it is damaged, or the array has Python's objects.
    """
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"unknown version {version} of the .npy format")
    form = np.lib.format
    read = form.read_array_header_1_0 if version == (1, 0) else form.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("an array has Python's objects, which are not read")
    return Header(shape, dtype)


def sized(about: Header, size: int) -> Header:
    """The header; raises ValueError if the array has more bytes than its file."""
    if math.prod(about.shape) * about.dtype.itemsize > size:
        raise ValueError("an array is cut short")
    return about
