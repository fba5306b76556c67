"""The files inside a tar, compressed or not; nothing is extracted to disk."""

import bz2
import functools
import gzip
import lzma
import os
import shutil
import tarfile
import tempfile
import weakref
import zlib
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Protocol

from ganlab.errors import DataError
from ganlab.storage.archive import require_small, stamp

BLOCK = 512  # bytes, in which a tar counts
PACKED: dict[bytes, Any] = {
    b"\x1f\x8b": gzip.open,
    b"BZ": bz2.open,
    b"\xfd7": lzma.open,
}  # by the first bytes
MOST, TIMES = 10**9, 50  # a compressed tar may have so many bytes, or so many times its size

Index = dict[str, tuple[int, int]]  # name -> (first byte, bytes)


class Tar:
    """The regular files inside a tar; their places are looked up once, in one pass.

    A compressed tar is unpacked to an unnamed temporary file first.

    Args:
        root: the tar.
        path: of the tar without compression; None: find out.
        index: the places of files; None: find out.
    """

    def __init__(self, root: Path, path: str | None = None, index: Index | None = None) -> None:
        self.root, self.skipped = Path(root), Counter[str]()
        if path is not None:
            with Path(path).open("rb") as file:
                self._tar = Held(file)
        if index is not None:
            self._index = index

    @property
    def descriptors(self) -> tuple[int, ...]:
        return (self._tar.number,)

    def names(self) -> list[str]:
        return list(self._index)

    def read(self, name: str) -> bytes:
        first, size = self._index[name]
        require_small(size)
        content = os.pread(self._tar.number, size, first)
        if len(content) < size:
            raise ValueError("the tar is cut short")
        return content

    def sizes(self, names: Sequence[str]) -> list[int]:
        return [self._index[name][1] for name in names]

    def stamps(self, names: Sequence[str]) -> list[int]:
        found = list(stamp(str(self.root)))
        for name in names:
            found.extend(self._index[name])
        return found

    def described(self) -> list[Any]:
        return ["tar", str(self.root), f"/dev/fd/{self._tar.number}", self._index]

    @cached_property
    def _tar(self) -> "Held":
        return unpacked(self.root, stamp(str(self.root)))

    @cached_property
    def _index(self) -> Index:
        try:
            index, self.skipped = places(self._tar)
        except (tarfile.TarError, OSError, ValueError, OverflowError) as error:
            raise DataError(f"data.root: '{self.root}' is no tar, or damaged: {error}") from error
        return index


class Readable(Protocol):
    """What can be read in parts."""

    def read(self, size: int, /) -> bytes: ...


class Held:
    """An open file, closed when this object is gone.

    Args:
        file: may be closed itself.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.number = os.dup(file.fileno())
        weakref.finalize(self, os.close, self.number)


def places(held: Held) -> tuple[Index, Counter[str]]:
    """Where the regular files of a tar lie, and how many others there are.

    Raises:
        tarfile.TarError, OSError, ValueError: the tar is damaged.
    """
    index, skipped = Index(), Counter[str]()
    os.lseek(held.number, 0, os.SEEK_SET)
    with os.fdopen(os.dup(held.number), "rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
        while (member := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined] # else all stay in memory
            if member.isreg() and not member.issparse():
                name = "/".join(part for part in member.name.split("/") if part not in ("", "."))
                index[name] = member.offset_data, member.size
            elif not member.isdir():
                skipped["link" if member.islnk() or member.issym() else "no regular file"] += 1
        if any(os.pread(file.fileno(), BLOCK, tar.offset)):  # tarfile stops without a word
            raise ValueError(f"unknown content at byte {tar.offset:,}")
    return index, skipped


@functools.lru_cache(maxsize=1)
def unpacked(root: Path, _stamp: tuple[int, int, int]) -> Held:
    """A tar without compression: the file itself, or an unnamed temporary file.

    Raises:
        DataError: it is damaged, too large or there is no space.
    """
    most = max(MOST, TIMES * root.stat().st_size)
    try:
        with root.open("rb") as file:
            opener = next((o for by, o in PACKED.items() if file.peek(6).startswith(by)), None)
            if opener is None:
                return Held(file)
            with opener(file) as source, tempfile.TemporaryFile(prefix="ganlab-tar-") as spool:
                shutil.copyfileobj(Bounded(source, most), spool, 2**20)
                spool.flush()
                return Held(spool)
    except (OSError, EOFError, ValueError, lzma.LZMAError, zlib.error) as error:
        raise DataError(f"data.root: '{root}' cannot be unpacked: {error}") from error


class Bounded:
    """Reads a file, and raises ValueError after so many bytes."""

    def __init__(self, file: Readable, most: int) -> None:
        self.file, self.most, self.done = file, most, 0

    def read(self, size: int = -1, /) -> bytes:
        part = self.file.read(size)
        self.done += len(part)
        if self.done > self.most:
            raise ValueError(f"it holds more than {self.most / 1e9:.1f} GB")
        return part
