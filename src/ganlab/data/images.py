"""A whole data set in memory: what every source reads into and every minibatch is gathered from."""

import ctypes
import mmap
import os
import tempfile
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ganlab.spec import Spec


class Images(NamedTuple):
    """images: uint8 (N, C, H, W) in 0..255; labels: int64 (N,), all 0 where there are none.

    Points, float32 (N, d), stand in the place of images where the data is of such.
    """

    images: Tensor
    labels: Tensor


class Source(Protocol):
    """A data set: knows its spec before anything is read.

    One with a held-out part may say so by `test() -> Source | None`; others need no such method.
    """

    @property
    def spec(self) -> Spec:
        """Shape and number of classes.

        Raises:
            DataError: the data is not there, or its first image cannot be used.
        """

    def check(self) -> None:
        """Raises DataError where reading is known to fail; reads no images."""

    def prepare(self) -> None:
        """Downloads what is missing; safe when several processes call it at once."""

    def read(self) -> Images:
        """Reads all images.

        Raises:
            DataError: files are missing, corrupt, or unlike the spec.
        """


def normalised(pixels: Tensor) -> Tensor:
    """uint8 in 0..255 -> float32 in [-1, 1]; `pictures.to_pixels` is the way back.

    Points are floats and stay as they are.
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
    """An uninitialised uint8 tensor: in memory, or in a temporary file where that is too large.

    The file is an unlinked one in the system's temporary folder, so the operating system keeps
    just the pages in use.
    """
    size = int(torch.Size(shape).numel())
    if not outgrows_memory(size):
        return torch.empty(shape, dtype=torch.uint8)
    with tempfile.NamedTemporaryFile(prefix="ganlab-images-") as file:
        file.truncate(size)
        return torch.from_file(file.name, shared=True, size=size, dtype=torch.uint8).view(shape)


def outgrows_memory(size: int) -> bool:
    """Whether so many bytes are left in a file: more than half of the machine's memory."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return size > memory // 2


def expect(images: Tensor, rows: Tensor) -> None:
    """Has the system read these rows of pages of a file, and does not wait for the disk."""
    if not hasattr(mmap, "MADV_WILLNEED"):  # Windows: a page is read when it is touched
        return
    system, size = ctypes.CDLL(None), images[0].nbytes
    for row in rows.flatten().tolist():
        first = images.data_ptr() + row * size
        page = first - first % mmap.PAGESIZE
        length = ctypes.c_size_t(first + size - page)
        system.madvise(ctypes.c_void_p(page), length, mmap.MADV_WILLNEED)
