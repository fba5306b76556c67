"""Files by their names, wherever they lie: what a folder, a zip and a tar have in common."""

import contextlib
import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

LARGEST = 4 * 10**8  # bytes of one file: 100 million pixels of four channels
LINK, SPECIAL, CLOSED = "broken link", "no regular file", "unreadable folder"


class Archive(Protocol):
    """Files with names; a name is a path relative to the root, with "/" between folders.

    Attributes:
        root: where the files are.
        skipped: how many entries `names` has left out, by the reason.
        descriptors: of open files that a process which reads the archive needs.
    """

    root: Path
    skipped: Counter[str]

    @property
    def descriptors(self) -> tuple[int, ...]: ...

    def names(self) -> list[str]:
        """Names of all files, in any order.

        Raises:
            DataError: the archive is damaged.
        """

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            Exception: the file is damaged, is no regular file, or has more than LARGEST bytes.
        """

    def sizes(self, names: Sequence[str]) -> list[int]:
        """Bytes of these files."""

    def stamps(self, names: Sequence[str]) -> list[int]:
        """Numbers that change with the content of these files."""

    def described(self) -> list[Any]:
        """Its kind and arguments as plain data, from which another process opens it."""


class Directory:
    """The files below a folder.  Links are followed, to each folder once."""

    descriptors: tuple[int, ...] = ()

    def __init__(self, root: Path) -> None:
        self.root, self.skipped = Path(root), Counter[str]()

    def names(self) -> list[str]:
        return self._names

    def read(self, name: str) -> bytes:
        return read(f"{self.root}/{name}")

    def sizes(self, names: Sequence[str]) -> list[int]:
        return [stamp(f"{self.root}/{name}")[0] for name in names]

    def stamps(self, names: Sequence[str]) -> list[int]:
        found, root = list[int](), self.root.resolve()
        for name in names:
            found.extend(stamp(f"{root}/{name}"))
        return found

    def described(self) -> list[Any]:
        return ["folder", str(self.root)]

    @cached_property
    def _names(self) -> list[str]:
        return list(self._below())

    def _below(self) -> Iterator[str]:
        """Names of files; folders come before links to folders, so that they keep their names."""
        folders, links, seen = [""], list[str](), set[tuple[int, int]]()
        while folders or links:
            folder = folders.pop() if folders else links.pop(0)
            try:
                there = os.stat(self.root / folder)  # noqa: PTH116 - Path.stat takes twice as long
                if (there.st_dev, there.st_ino) in seen:
                    continue
                seen.add((there.st_dev, there.st_ino))
                with os.scandir(self.root / folder) as entries:
                    for entry in sorted(entries, key=lambda entry: entry.name):
                        if is_file(entry):
                            yield folder + entry.name
                        elif is_folder(entry):
                            to = links if entry.is_symlink() else folders
                            to.append(f"{folder}{entry.name}/")
                        else:
                            self.skipped[LINK if entry.is_symlink() else SPECIAL] += 1
            except OSError:
                self.skipped[CLOSED] += 1


def is_file(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a file; False for a broken link."""
    with contextlib.suppress(OSError):
        return entry.is_file()
    return False


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder or a link to one; False for a broken link."""
    with contextlib.suppress(OSError):
        return entry.is_dir()
    return False


def read(path: str) -> bytes:
    """The bytes of a regular file; a pipe or a device is not waited for.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no regular file, or has more than LARGEST bytes.
    """
    with open(path, "rb", buffering=0, opener=at_once) as file:
        there = os.fstat(file.fileno())
        if not stat.S_ISREG(there.st_mode):
            raise ValueError("no regular file")
        require_small(there.st_size)
        return file.read(LARGEST)


def at_once(path: str, flags: int) -> int:
    """Opens a file as `open` does, but does not wait for the other end of a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def require_small(size: int) -> None:
    """Raises ValueError if a file of `size` bytes has more than LARGEST."""
    if size > LARGEST:
        raise ValueError(f"{size / 1e6:,.0f} MB, more than {LARGEST // 10**6}")


def stamp(path: str) -> tuple[int, int, int]:
    """Size, modification time and change time of a file; they change with its content."""
    try:
        there = os.stat(path)  # noqa: PTH116 - Path.stat takes twice as long
    except OSError:  # decoding will report it
        return 0, 0, 0
    return there.st_size, there.st_mtime_ns, there.st_ctime_ns
