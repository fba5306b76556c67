"""Pictures in a folder, a zip or a tar; size, channels and classes are inferred from the files."""

import contextlib
import functools
import hashlib
import json
import math
import time
from array import array
from collections import Counter
from dataclasses import astuple, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import PIL
import torch
from torch import Tensor

from ganlab.data import arrays, workers
from ganlab.data.images import Images, Source, allocate, root_of
from ganlab.data.kept import NotKeptError, Place, found, kept
from ganlab.data.listing import SPLITS, Listing, labels_in, listed
from ganlab.data.progress import watched
from ganlab.errors import DataError
from ganlab.spec import ImageSpec, one_of
from ganlab.storage.conversion import Conversion
from ganlab.storage.decoding import Decoder, archive_at, reason

REASONS = 5  # for which files are left out, that a line lists
NAMED = 5  # broken files that a message lists
LOOKED_AT = 64  # images whose headers say whether there are colours
SHORT, LONG = 0.5, 3.0  # seconds of decoding above which images are cached, or a line is printed


class Folder:
    """Pictures below a folder, or inside a zip, a tar, an array file or parquet files.

    If all are in subfolders, these are the classes.

    Folders named train, val (or valid, validation) and test directly inside the root are parts.
    StyleGAN's dataset.json gives the labels, if there is one.

    All images must have the same square size unless `size` requests a conversion.  If any image has
    colours, all become RGB.  Every file is decoded before training starts; an error lists files
    that cannot be used.

    If decoding takes more than half a second, the decoded images are cached in
    ~/.cache/ganlab/images (or $GANLAB_CACHE/images), as N x channels x size x size bytes.  Later
    runs map this file as long as the names, sizes and times of the images are unchanged.  The cache
    holds at most GANLAB_CACHE_GB (default 20); the least recently read files are removed first.
    The cache folder may be deleted at any time.

    Args:
        root: a folder, or a .zip, .tar (also .tar.gz, .tar.xz, .tar.bz2), .npz, .npy, .parquet.
        size: resize to this many pixels; None: do not resize.
        channels: 1, 3 or 4: convert to grey, RGB or RGB with transparency; 1 and 3 drop
            transparency.  None: RGB if any image has colours, else grey.
        fit: how `size` makes images square: crop (the centre), pad or squeeze.
        background: a colour to lay transparent images on and to pad with, as white or #ffffff.
        split: the part to train on: train, val, test or all.
        fingerprint: of the files of a run, which its start fills in; if the files are others, a
            line says so.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        root: Path,
        size: int | None = None,
        channels: int | None = None,
        fit: str = "crop",
        background: str | None = None,
        split: str = "train",
        fingerprint: str | None = None,
    ) -> None:
        one_of(SPLITS, split=split)
        self.root, self.split, self.quiet = root_of(root), split, False
        self.expected = fingerprint
        self.conversion = Conversion(size, channels, fit, background)
        is_array = self.root.suffix.lower() in arrays.KINDS and not self.root.is_dir()
        self.arrays = arrays.Arrays(self.root, self.conversion, split) if is_array else None

    @cached_property
    def decoder(self) -> Decoder:
        """Reads the images.

        Raises:
            DataError: the root does not exist.
        """
        return Decoder(archive_at(self.root), self.conversion)

    @cached_property
    def listing(self) -> Listing:
        """The images of this part.

        Raises:
            DataError: the root does not exist, or has no images.
        """
        return listed(self.decoder.archive, self.split)

    @property
    def names(self) -> list[str]:
        """Paths of the images relative to the root, sorted."""
        return self.listing.names

    @cached_property
    def class_names(self) -> list[str]:
        """Names of the classes, sorted; empty if images are at the top or all in one subfolder.

        Those of arrays have no names.
        """
        if self.arrays is not None:
            return []
        if self.listing.labels is not None:
            count = max(self._numbers or [0]) + 1
            return [str(i) for i in range(count)] if count > 1 else []
        folders = set(self.listing.folders)
        return sorted(folders) if len(folders) > 1 and "." not in folders else []

    @cached_property
    def spec(self) -> ImageSpec:
        """Size of the first image, channels of some, all after conversion; number of classes."""
        if self.arrays is not None:
            return self.arrays.spec
        first = self.names[0]
        try:
            spec = self.decoder.spec(first)
        except Exception as error:
            raise DataError(f"data: '{self.root / first}': {reason(error)}") from error
        some = self.names[:: math.ceil(len(self.names) / LOOKED_AT)]
        channels = max(spec.channels, *map(self.decoder.channels, some))
        return replace(spec, channels=channels, classes=len(self.class_names))

    def fingerprint(self) -> str:
        """16 hexadecimal digits of names, sizes and labels of the files, wherever they lie.

        Of an array file they are those of its size and its last megabyte.

        Raises:
            DataError: the root does not exist, or has no images.
        """
        if self.arrays is not None:
            return self.arrays.fingerprint()
        about = [self.names, self.decoder.archive.sizes(self.names), self._labels()]
        return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]

    def check(self) -> None:
        """Raises DataError if there are no images or the first cannot be used."""
        _ = self.spec

    def prepare(self) -> None:
        """Nothing to download."""

    def read(self) -> Images:
        if self.expected not in (None, self.fingerprint()):
            print(f"data: the files in '{self.root}' are not those that this run began with")
        if self.arrays is not None:
            return self.arrays.read()
        if not self.quiet:
            self._tell()
        shape, key = (len(self.names), *self.spec.shape), self._key()
        labels = torch.tensor(self._labels())
        images = found(key, shape)
        if images is None:
            images = self._decoded(key, shape)
        return Images(images, labels)

    def test(self) -> Source | None:
        """The part test, else val, converted as this one, if this is train; None for others."""
        if self.arrays is not None:
            return self.arrays.test()
        held = next((part for part in ("test", "val") if part in self.listing.parts), None)
        if held is None or self.split != "train":
            return None
        asked = self.conversion
        other = Folder(self.root, asked.size, asked.channels, asked.fit, asked.background, held)
        other.class_names, other.spec, other.quiet = self.class_names, self.spec, True
        return other

    def _tell(self) -> None:
        """Prints how many files are left out, and why."""
        used, left = len(self.names), self.listing.left
        if left:
            shown = left.most_common(REASONS)
            others = left.total() - sum(n for _, n in shown)
            shown += [("others", others)] if others else []
            reasons = ", ".join(f"{n:,} {why}" for why, n in shown)
            total = used + left.total()
            print(f"data: {total:,} files, {used:,} used ({reasons})", flush=True)

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
        n, began, broken = len(self.names), time.monotonic(), dict[int, str]()
        remarks = Counter[str]()
        parts = workers.decoded(self.decoder, self.names, self.spec, work)
        with watched(f"reading {n:,} images", n) as watch, contextlib.closing(parts):
            for start, (pixels, refused, said) in parts:
                place(start, pixels)
                broken.update({start + i: why for i, why in refused})
                remarks.update(said)
                watch(len(pixels) // math.prod(self.spec.shape))
        if broken:
            raise DataError(self._complaint(broken))
        for remark, count in sorted(remarks.items()):
            print(f"data: {count:,} of {n:,} images {remark}", flush=True)
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
        root, asked = str(self.root.resolve()), astuple(self.conversion)
        about = [root, asked, self.spec.channels, PIL.__version__, self.names]
        digest = hashlib.sha256(json.dumps(about).encode())
        digest.update(array("q", self.decoder.archive.stamps(self.names)).tobytes())
        return digest.hexdigest()[:32]

    @cached_property
    def _numbers(self) -> list[int] | None:
        """The labels that dataset.json gives; None if there are none."""
        file = self.listing.labels
        return None if file is None else labels_in(self.decoder.archive, file, self.names)

    def _labels(self) -> list[int]:
        """The label of each image, 0 if there are no classes.

        Raises:
            DataError: a held-out image is of a class that is not trained on.
        """
        if not self.class_names:
            return [0] * len(self.names)
        if (numbers := self._numbers) is not None:
            if max(numbers) >= len(self.class_names):
                raise DataError(f"data: label {max(numbers)} is none of the part train")
            return numbers
        index = {name: i for i, name in enumerate(self.class_names)}
        if unknown := sorted(set(self.listing.folders) - index.keys()):
            raise DataError(f"data: '{unknown[0]}' is no class of the part train, but of others")
        return [index[folder] for folder in self.listing.folders]


def into(images: Tensor) -> Place:
    """A function that writes pixels into a tensor (N, C, H, W)."""
    rows = images.view(len(images), -1).numpy()

    def place(start: int, pixels: bytes) -> None:
        part = np.frombuffer(pixels, np.uint8).reshape(-1, rows.shape[1])
        rows[start : start + len(part)] = part

    return place
