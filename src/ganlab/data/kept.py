"""Decoded images in files of the cache, mapped by all processes and verified at every start.

A file is a page with a JSON line that describes the images, followed by the pixels.  Its name and
that line contain a key, which changes with the images, so a file is never out of date.
"""

import contextlib
import hashlib
import json
import math
import mmap
import os
import shutil
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from ganlab.data.workers import processors
from ganlab.errors import DataError
from ganlab.storage import cache, files

FORMAT = 1  # version of the file format; a new version invalidates all files
HEAD, BLOCK = 4096, 2**24  # bytes of the first page, and of a block with one checksum
VARIABLE, LIMIT = "GANLAB_CACHE_GB", 20.0
SPARE = 2 * 10**9  # bytes of the disk that stay free
KINDS = {".images", ".part"}

Place = Callable[[int, bytes], object]  # gets the index of the first image, and pixels


class NotKeptError(Exception):
    """Images cannot be cached, for the reason given; they can still be read."""


def path_of(key: str) -> Path:
    """The path of the images of this key; the file may be missing.

    Raises:
        NotKeptError: nobody knows where the user's home is.
    """
    try:
        return cache.folder() / "images" / f"{key}.images"
    except OSError as error:
        raise NotKeptError(str(error.strerror)) from error


def kept(key: str, shape: tuple[int, ...], fill: Callable[[Place], object]) -> Tensor:
    """The images of this key, as `found` returns them; if they are missing, `fill` makes them.

    If several processes need them at once, one makes them and the others wait.

    Raises:
        NotKeptError: they cannot be cached.
        Exception: from `fill`; nothing is cached then.
    """
    path = path_of(key)
    try:
        with cache.locked(path):
            images = found(key, shape)
            if images is None:
                make(key, shape, fill)
                images = found(key, shape)
    except (OSError, NotImplementedError) as error:  # the latter: a file system without locks
        raise NotKeptError(str(error)) from error
    if images is None:
        raise NotKeptError(f"'{path}' differs from what was written")
    return images


def found(key: str, shape: tuple[int, ...]) -> Tensor | None:
    """The images of this key, uint8 of this shape (N, C, H, W), mapped from their file.

    None if the file is missing, damaged or of other images.  The file stays locked until the tensor
    is freed.  Writes to the tensor do not change the file.
    """
    size = HEAD + math.prod(shape)
    with contextlib.suppress(OSError, NotKeptError), (path := path_of(key)).open("rb") as file:
        hold(file, alone=False)
        there = os.fstat(file.fileno())
        if there.st_size != size or not os.path.samestat(there, path.stat()):
            return None
        # Copy-on-write, because torch needs writable memory.  The mapping duplicates the
        # descriptor, so the lock lasts as long as the mapping.
        view = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY)
        if view[:HEAD] != head(key, shape, digest(file, size)):
            return None
        with contextlib.suppress(OSError):  # the file may belong to another user
            os.utime(path)  # `make_room` uses this time
        return torch.frombuffer(view, dtype=torch.uint8, offset=HEAD).view(shape)
    return None


def make(key: str, shape: tuple[int, ...], fill: Callable[[Place], object]) -> None:
    """Writes the file of these images atomically.

    Raises:
        OSError: the file cannot be written.
        NotKeptError: there is no space for it.
    """
    path, size, each = path_of(key), HEAD + math.prod(shape), math.prod(shape[1:])
    make_room(path.parent, size)
    with files.replacing(path) as part, part.open("wb+") as file:
        hold(file, alone=True)
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)  # fails now, not after the work, if full

        def place(start: int, pixels: bytes) -> None:
            file.seek(HEAD + start * each)
            file.write(pixels)

        fill(place)
        file.flush()
        file.seek(0)
        file.write(head(key, shape, digest(file, size)))


def make_room(where: Path, size: int) -> None:
    """Removes the least recently read files until there is space for `size` more bytes.

    Afterwards all files together fit the limit, and SPARE bytes of the disk stay free.  Files that
    a process has mapped or is writing are not removed.

    Raises:
        NotKeptError: there is not enough space.
    """
    most, old = limit(), sorted(stored(where))
    free, total = shutil.disk_usage(where).free, sum(taken for _, taken, _ in old)
    if size > most:
        raise NotKeptError(f"they take {gigabytes(size)}, {VARIABLE} allows {gigabytes(most)}")
    if size + SPARE > free + total:
        raise NotKeptError(
            f"they take {gigabytes(size)}, '{where}' has {gigabytes(free)} free, of which "
            f"{gigabytes(SPARE)} must stay free"
        )
    while total + size > most or size + SPARE > free:
        if not old:
            raise NotKeptError(f"{gigabytes(total)} in '{where}' are in use")
        _, taken, path = old.pop(0)
        if removed(path):
            total, free = total - taken, shutil.disk_usage(where).free


def stored(where: Path) -> Iterator[tuple[float, int, Path]]:
    """(time of last read, bytes, path) of every file, including parts left by killed processes."""
    for path in where.iterdir():
        if path.suffix in KINDS:
            with contextlib.suppress(FileNotFoundError):  # removed by another process
                there = path.stat()
                yield there.st_mtime, there.st_size, path


def removed(path: Path) -> bool:
    """Removes a file unless a process uses it; returns whether it is gone."""
    with contextlib.suppress(OSError), path.open("rb+") as file:
        hold(file, alone=True)
        path.unlink()
    return not path.exists()


def hold(file: BinaryIO, *, alone: bool) -> None:
    """Locks a file until it and all its mappings are closed.

    Args:
        file: to lock.
        alone: exclusive rather than shared.

    Raises:
        OSError: another process holds a conflicting lock.
    """
    import fcntl

    fcntl.flock(file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)


def head(key: str, shape: tuple[int, ...], pixels: str) -> bytes:
    """The first page of a file."""
    about = {"ganlab": FORMAT, "key": key, "shape": shape, "pixels": pixels}
    return json.dumps(about).encode().ljust(HEAD - 1) + b"\n"


def digest(file: BinaryIO, size: int) -> str:
    """sha256 of the CRC-32 of each block after the first page: 64 hexadecimal digits."""

    def checksum(start: int) -> bytes:
        return zlib.crc32(os.pread(file.fileno(), BLOCK, start)).to_bytes(4, "little")

    with ThreadPoolExecutor(processors()) as pool:
        sums = pool.map(checksum, range(HEAD, size, BLOCK))
        return hashlib.sha256(b"".join(sums)).hexdigest()


def limit() -> float:
    """Bytes that all files together may take.

    Raises:
        DataError: GANLAB_CACHE_GB is not a number or is negative.
    """
    value = os.environ.get(VARIABLE) or LIMIT
    with contextlib.suppress(ValueError):
        if (most := float(value)) >= 0:
            return most * 1e9
    raise DataError(f"{VARIABLE} must be a number of gigabytes, got '{value}'")


def gigabytes(size: float) -> str:
    return f"{size / 1e9:.3g} GB"
