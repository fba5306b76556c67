"""A data set in memory, and the protocol of the sources that read it."""

import ctypes
import errno
import mmap
import os
import tempfile
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ganlab.errors import DataError
from ganlab.spec import Spec


class Images(NamedTuple):
    """A data set in memory.

    images: uint8 (N, C, H, W) in 0..255; for data sets of points, float32 (N, d).
    labels: int64 (N,), all 0 if there are no classes.
    """

    images: Tensor
    labels: Tensor


class Source(Protocol):
    """A data set that knows its spec before it is read.

    A source with a held-out part also has a method `test() -> Source | None`, and one whose classes
    have names has them as `class_names` once it is read; others need neither.
    """

    @property
    def spec(self) -> Spec:
        """Shape and number of classes.

        Raises:
            DataError: the data is missing, or its first image cannot be used.
        """

    def check(self) -> None:
        """Raises DataError if reading is known to fail; reads no images."""

    def prepare(self) -> None:
        """Downloads missing files; several processes may call it at once."""

    def read(self) -> Images:
        """Reads all images.

        Raises:
            DataError: files are missing or corrupt, or do not match the spec.
        """


def root_of(path: str | Path) -> Path:
    """A source's root.

    Raises:
        ValueError: it is empty, as a variable of the shell that is not set.
    """
    if not str(path):
        raise ValueError("root: expected a path, got ''; is a variable of the shell not set?")
    return Path(path)


def normalised(pixels: Tensor) -> Tensor:
    """uint8 in 0..255 -> float32 in [-1, 1], the inverse of `pictures.quantised`.

    Points, which are floats, are returned unchanged.
    """
    if pixels.is_floating_point():
        return pixels
    return pixels.float().div_(127.5).sub_(1)


def resized(images: Tensor, size: int) -> Tensor:
    """uint8 (N, C, H, W) -> uint8 (N, C, size, size), bicubic with antialiasing."""
    if images.shape[-1] == size:
        return images
    parts = [
        interpolate(part.float(), (size, size), mode="bicubic", antialias=True)
        for part in images.split(1024)
    ]
    return torch.cat([part.round_().clamp_(0, 255).to(torch.uint8) for part in parts])


def allocate(*shape: int) -> Tensor:
    """An uninitialised uint8 tensor: in memory, or in a mapped file if it is too large.

    The file is an unlinked one in the system's temporary folder; the operating system keeps only
    the pages in use in memory.

    Raises:
        DataError: there is no space for the file.
    """
    size = int(torch.Size(shape).numel())
    if not outgrows_memory(size):
        return torch.empty(shape, dtype=torch.uint8)
    try:
        with tempfile.NamedTemporaryFile(prefix="ganlab-images-") as file:
            reserve(file.fileno(), size)
            return torch.from_file(file.name, shared=True, size=size, dtype=torch.uint8).view(shape)
    except OSError as error:
        raise DataError(
            f"data: {size / 1e9:.3g} GB of images do not fit half of the memory, and "
            f"no file for them can be made in '{tempfile.tempdir}': {error.strerror or error}; "
            "set TMPDIR to a folder with space, or a smaller data.size"
        ) from error


def reserve(descriptor: int, size: int) -> None:
    """Makes a file as long as this, with its space on the disk.

    Without the space, a write to the mapped file would end the process.

    Raises:
        OSError: there is no space.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    elif os.fstatvfs(descriptor).f_bavail * os.fstatvfs(descriptor).f_frsize < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    else:  # macOS
        os.truncate(descriptor, size)


def outgrows_memory(size: int) -> bool:
    """Whether `size` bytes are more than half of the machine's memory, and so go to a file."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return size > memory // 2


def expect(images: Tensor, rows: Tensor) -> None:
    """Asks the system to read these rows of a mapped file, without waiting for the disk.

    Args:
        images: (N, ...), mapped from a file.
        rows: indices in 0..N-1, of any shape.
    """
    if not hasattr(mmap, "MADV_WILLNEED"):  # Windows; pages are then read on access
        return
    system, size = ctypes.CDLL(None), images[0].nbytes
    for row in rows.flatten().tolist():
        first = images.data_ptr() + row * size
        page = first - first % mmap.PAGESIZE
        length = ctypes.c_size_t(first + size - page)
        system.madvise(ctypes.c_void_p(page), length, mmap.MADV_WILLNEED)
