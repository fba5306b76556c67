"""Decoded images in files of the cache: mapped by all processes, verified at every start.

A file is a page with a line of JSON that says whose pixels follow, and the pixels.  Its name and
that line hold a key, which is another one for other images: nothing is ever out of date.
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

FORMAT = 1  # of the files; another makes all of them anew
HEAD, BLOCK = 4096, 2**24  # bytes
VARIABLE, LIMIT = "GANLAB_CACHE_GB", 20.0
SPARE = 2 * 10**9  # bytes of the disk that are left to others
KINDS = {".images", ".part"}

Place = Callable[[int, bytes], object]  # takes the pixels of images from this number on


class NotKeptError(Exception):
    """Why images cannot be kept; they can be read all the same."""


def path_of(key: str) -> Path:
    """Where these images are, if they are; the folder may be removed at any time."""
    return cache.folder() / "images" / f"{key}.images"


def kept(key: str, shape: tuple[int, ...], fill: Callable[[Place], object]) -> Tensor:
    """The images of this key, as `found` has them; made by `fill` where they are not there.

    Where several processes ask at once, one makes them and the others wait.

    Raises:
        NotKeptError: they cannot be kept.
        Exception: what `fill` raises; nothing is kept then.
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
        raise NotKeptError(f"'{path}' is not what was written")
    return images


def found(key: str, shape: tuple[int, ...]) -> Tensor | None:
    """The images of this key, uint8 of this shape (N, C, H, W), mapped from their file.

    None if it is missing, damaged or another's.  The file is held until the tensor is gone; what is
    written into that stays in this process.
    """
    path, size = path_of(key), HEAD + math.prod(shape)
    with contextlib.suppress(OSError), path.open("rb") as file:
        hold(file, alone=False)
        there = os.fstat(file.fileno())
        if there.st_size != size or not os.path.samestat(there, path.stat()):
            return None
        # Copied where it is written to, which torch asks for; the mapping has its own descriptor,
        # and the lock lasts as long.
        view = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY)
        if view[:HEAD] != head(key, shape, digest(file, size)):
            return None
        with contextlib.suppress(OSError):  # it may be another user's
            os.utime(path)  # `make_room` goes by it
        return torch.frombuffer(view, dtype=torch.uint8, offset=HEAD).view(shape)
    return None


def make(key: str, shape: tuple[int, ...], fill: Callable[[Place], object]) -> None:
    """Writes a file whole or not at all.

    Raises:
        OSError: it cannot be written.
        NotKeptError: there is no room for it.
    """
    path, size, each = path_of(key), HEAD + math.prod(shape), math.prod(shape[1:])
    make_room(path.parent, size)
    with files.replacing(path) as part, part.open("wb+") as file:
        hold(file, alone=True)
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)  # a full disk says so before the work

        def place(start: int, pixels: bytes) -> None:
            file.seek(HEAD + start * each)
            file.write(pixels)

        fill(place)
        file.flush()
        file.seek(0)
        file.write(head(key, shape, digest(file, size)))


def make_room(where: Path, size: int) -> None:
    """Removes the files that were read longest ago until there is room for so many bytes more.

    There is room where all files together take no more than the limit, and SPARE bytes of the disk
    stay free.  What a process has mapped, or is writing, stays.

    Raises:
        NotKeptError: there is no room.
    """
    most, old = limit(), sorted(stored(where))
    free, total = shutil.disk_usage(where).free, sum(taken for _, taken, _ in old)
    if size > most:
        raise NotKeptError(f"they take {gigabytes(size)}, {VARIABLE} allows {gigabytes(most)}")
    if size + SPARE > free + total:
        raise NotKeptError(
            f"they take {gigabytes(size)}, '{where}' has {gigabytes(free)} free, of which "
            f"{gigabytes(SPARE)} are left to others"
        )
    while total + size > most or size + SPARE > free:
        if not old:
            raise NotKeptError(f"{gigabytes(total)} in '{where}' are in use")
        _, taken, path = old.pop(0)
        if removed(path):
            total, free = total - taken, shutil.disk_usage(where).free


def stored(where: Path) -> Iterator[tuple[float, int, Path]]:
    """(when it was last read, bytes, path) of every file, those half written by the dead too."""
    for path in where.iterdir():
        if path.suffix in KINDS:
            with contextlib.suppress(FileNotFoundError):  # removed by another process
                there = path.stat()
                yield there.st_mtime, there.st_size, path


def removed(path: Path) -> bool:
    """Removes a file that nobody uses; whether it is gone."""
    with contextlib.suppress(OSError), path.open("rb+") as file:
        hold(file, alone=True)
        path.unlink()
    return not path.exists()


def hold(file: BinaryIO, *, alone: bool) -> None:
    """Locks a file until it is closed, and all mappings of it.

    Raises:
        OSError: another process holds it alone, or any where it is asked for alone.
    """
    import fcntl

    fcntl.flock(file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)


def head(key: str, shape: tuple[int, ...], pixels: str) -> bytes:
    """The first page of a file."""
    about = {"ganlab": FORMAT, "key": key, "shape": shape, "pixels": pixels}
    return json.dumps(about).encode().ljust(HEAD - 1) + b"\n"


def digest(file: BinaryIO, size: int) -> str:
    """Of all that follows the first page: sha256 of the CRC-32 of each block."""

    def checksum(start: int) -> bytes:
        return zlib.crc32(os.pread(file.fileno(), BLOCK, start)).to_bytes(4, "little")

    with ThreadPoolExecutor(processors()) as pool:
        sums = pool.map(checksum, range(HEAD, size, BLOCK))
        return hashlib.sha256(b"".join(sums)).hexdigest()


def limit() -> float:
    """Bytes that all files together may take.

    Raises:
        DataError: the environment's value is no number.
    """
    value = os.environ.get(VARIABLE) or LIMIT
    with contextlib.suppress(ValueError):
        if (most := float(value)) >= 0:
            return most * 1e9
    raise DataError(f"{VARIABLE} must be a number of gigabytes, got '{value}'")


def gigabytes(size: float) -> str:
    return f"{size / 1e9:.3g} GB"
