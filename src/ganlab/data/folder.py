"""Images in a folder or a zip; size, channels and classes are inferred from the files."""

import contextlib
import functools
import hashlib
import json
import math
import os
import time
from array import array
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np
import PIL
import torch
from torch import Tensor

from ganlab.data import workers
from ganlab.data.images import Images, allocate
from ganlab.data.kept import NotKeptError, Place, found, kept
from ganlab.data.progress import watched
from ganlab.errors import DataError
from ganlab.spec import ImageSpec, at_least
from ganlab.storage.decoding import Decoder, reason

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
NAMED = 5  # broken files that a message lists
SHORT, LONG = 0.5, 3.0  # seconds of decoding above which images are cached, or a line is printed


class Folder:
    """Images below a folder or inside a zip; if all are in subfolders, the subfolders are classes.

    All images must have the same square size and be all grey or all RGB, unless `size` and
    `channels` request a conversion.  Every file is decoded before training starts; an error lists
    files that cannot be used.

    If decoding takes more than half a second, the decoded images are cached in
    ~/.cache/ganlab/images (or $GANLAB_CACHE/images), as N x channels x size x size bytes.  Later
    runs map this file as long as the names, sizes and times of the images are unchanged.  The cache
    holds at most GANLAB_CACHE_GB (default 20); the least recently read files are removed first.
    The cache folder may be deleted at any time.

    Args:
        root: a folder or a .zip file.
        size: crop to the centre square and resize to this many pixels; None: do not resize.
        channels: 1 or 3: convert to grey or RGB (drops transparency); None: do not convert.

    Raises:
        ValueError: `size` or `channels` is out of range.
    """

    def __init__(self, root: Path, size: int | None = None, channels: int | None = None) -> None:
        at_least(4, size=size)
        if channels not in (None, 1, 3):
            raise ValueError(f"channels must be 1 or 3, got {channels}")
        self.root, self.size, self.channels = Path(root), size, channels
        self.decoder = Decoder(self.root, size, channels)

    @cached_property
    def names(self) -> list[str]:
        """Paths of the images relative to the root, sorted.

        Raises:
            DataError: the root does not exist, or has no images.
        """
        if not self.root.exists():
            raise DataError(f"data.root: there is no folder or zip '{self.root}'")
        archive = self.decoder.archive
        listing = archive.namelist() if archive else files_below(self.root)
        names = sorted(filter(is_image, listing))
        if not names:
            raise DataError(
                f"data.root: no images ({', '.join(sorted(SUFFIXES))}) in '{self.root}'"
            )
        return names

    @cached_property
    def classes(self) -> list[str]:
        """Names of the classes, sorted; empty if images are at the top or all in one subfolder."""
        parents = set(self._parents)
        return sorted(parents) if len(parents) > 1 and "." not in parents else []

    @property
    def class_names(self) -> list[str]:
        """The same, as every data set names its classes."""
        return self.classes

    @cached_property
    def spec(self) -> ImageSpec:
        """Size and channels of the first image after conversion, and the number of classes."""
        first = self.names[0]
        try:
            image = self.decoder.spec(first)
        except Exception as error:
            raise DataError(f"data: '{self.root / first}': {reason(error)}") from error
        return ImageSpec(image.channels, image.size, len(self.classes))

    def check(self) -> None:
        """Raises DataError if there are no images or the first cannot be used."""
        _ = self.spec

    def prepare(self) -> None:
        """Nothing to download."""

    def read(self) -> Images:
        shape, key = (len(self.names), *self.spec.shape), self._key()
        images = found(key, shape)
        if images is None:
            images = self._decoded(key, shape)
        index = {name: i for i, name in enumerate(self.classes)}
        return Images(images, torch.tensor([index.get(parent, 0) for parent in self._parents]))

    def _decoded(self, key: str, shape: tuple[int, ...]) -> Tensor:
        """All images, cached for later runs if decoding is slow and caching is possible."""
        work = workers.seconds(self.decoder, self.names, self.spec)
        if work > SHORT:
            try:
                return kept(key, shape, functools.partial(self._decode, work))
            except NotKeptError as error:
                print(f"decoded images are not cached: {error}", flush=True)
        images = allocate(*shape)
        self._decode(work, into(images))
        return images

    def _decode(self, work: float, place: Place) -> None:
        """Decodes all images.

        Args:
            work: estimated seconds on one processor.
            place: gets the pixels.

        Raises:
            DataError: some images cannot be used.
        """
        n, began, broken = len(self.names), time.monotonic(), {}
        batches = workers.decoded(self.decoder, self.names, self.spec, work)
        with watched(f"reading {n:,} images", n) as watch, contextlib.closing(batches):
            for start, pixels, refused in batches:
                place(start, pixels)
                broken.update({start + i: why for i, why in refused})
                watch(len(pixels) // math.prod(self.spec.shape))
        if broken:
            raise DataError(self._complaint(broken))
        if (taken := time.monotonic() - began) > LONG:
            print(f"read {n:,} images in {taken:.0f} s", flush=True)

    def _complaint(self, broken: dict[int, str]) -> str:
        """The message about images that cannot be used: their number and the first of them."""
        count = f"{len(broken)} of {len(self.names)} images cannot be used:"
        first = [f"  '{self.root / self.names[i]}': {broken[i]}" for i in sorted(broken)[:NAMED]]
        more = [f"  ... and {len(broken) - NAMED} more"] if len(broken) > NAMED else []
        return "\n".join([f"data: {count}", *first, *more])

    def _key(self) -> str:
        """The cache key, a hash of everything that the pixels depend on: 32 hexadecimal digits."""
        root, archive, stamps = str(self.root.resolve()), self.decoder.archive, array("q")
        if archive:
            stamps.extend(stamp(root))
            for entry in map(archive.getinfo, self.names):
                stamps.extend((entry.file_size, entry.CRC, entry.header_offset))
        else:
            for name in self.names:
                stamps.extend(stamp(f"{root}/{name}"))
        about = [root, self.size, self.channels, PIL.__version__, self.names]
        digest = hashlib.sha256(json.dumps(about).encode())
        digest.update(stamps.tobytes())
        return digest.hexdigest()[:32]

    @cached_property
    def _parents(self) -> list[str]:
        """The folder of each image, relative to the root; "." is the root itself."""
        folders = [name.rpartition("/")[0] for name in self.names]
        spelled = {folder: str(PurePosixPath(folder)) for folder in set(folders)}
        return [spelled[folder] for folder in folders]


def stamp(path: str) -> tuple[int, int, int]:
    """Size, modification time and change time of a file; they change with its content."""
    try:
        there = os.stat(path)  # noqa: PTH116 - Path.stat takes twice as long
    except OSError:  # decoding will report it
        return 0, 0, 0
    return there.st_size, there.st_mtime_ns, there.st_ctime_ns


def into(images: Tensor) -> Place:
    """A function that writes pixels into a tensor (N, C, H, W)."""
    rows = images.view(len(images), -1).numpy()

    def place(start: int, pixels: bytes) -> None:
        part = np.frombuffer(pixels, np.uint8).reshape(-1, rows.shape[1])
        rows[start : start + len(part)] = part

    return place


def files_below(root: Path) -> Iterator[str]:
    """Paths relative to the root; skips linked folders and folders without read permission."""
    folders = [""]
    while folders:
        folder = folders.pop()
        with contextlib.suppress(PermissionError), os.scandir(root / folder) as entries:
            for entry in entries:
                if is_file(entry):
                    yield folder + entry.name
                elif entry.is_dir(follow_symlinks=False):
                    folders.append(f"{folder}{entry.name}/")


def is_file(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a file; False for a broken link."""
    try:
        return entry.is_file()
    except OSError:
        return False


def is_image(name: str) -> bool:
    """Whether a path names an image; excludes hidden files and those that macOS adds to zips."""
    folder, _, file = name.rpartition("/")
    known = file[file.rfind(".") :].lower() in SUFFIXES
    return known and not file.startswith(".") and not is_hidden(folder)


@functools.lru_cache
def is_hidden(folder: str) -> bool:
    """Whether a folder or one above it is hidden, or is one that macOS adds to zips."""
    parts = PurePosixPath(folder).parts
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)
