"""Files: atomic replacement, and reads of regular files of a bounded size."""

import contextlib
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # disk full, over quota, file too large
NEW = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0)
READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)  # without it, opening a FIFO waits for a writer
PARTS = ".*.part"  # temporary files
ENDS = ("part", "old")  # of a folder that is being replaced


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields the path of a new, empty file in the same folder, which then replaces `path`.

    Its name cannot be guessed and it is never one that exists, so nobody can put a link there that
    leads elsewhere.  If `path` is a link, the link is replaced and not the file that it names.

    The content is flushed to disk before the file is renamed, so after a power failure either the
    old or the new file exists, complete.  On any error the temporary file is removed and the old
    one stays.

    Raises:
        OSError: the file cannot be written; `errno in FULL`: there is no space.
    """
    part = path.with_name(f".{path.name[:100]}.{secrets.token_hex(6)}.part")
    os.close(os.open(part, NEW, 0o666))
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    flush_folder(path.parent)


def write(path: Path, content: str | bytes | memoryview) -> None:
    """Replaces the content of a file atomically.

    Raises:
        OSError: as `replacing` does.
    """
    data = content.encode() if isinstance(content, str) else content
    with replacing(path) as part:
        part.write_bytes(data)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Opens a regular file to read; a device or a FIFO, which may never end, is refused at once.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is no regular file.
    """
    with open(os.open(path, READ), "rb") as file:  # noqa: PTH123 - it is a descriptor
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("it is no regular file")
        yield file


def content(path: Path, most: int) -> bytes:
    """The bytes of a regular file.

    Args:
        path: the file.
        most: the largest size in bytes.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is no regular file, or larger.
    """
    with opened(path) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"it has more than {most:,} bytes")
    return data


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yields a new, empty folder beside `path`, which then takes its place with all its files.

    On any error the new folder is removed, and what was at `path` stays.

    Raises:
        OSError: the folder cannot be written; `errno in FULL`: there is no space.
    """
    part, old = (path.with_name(f".{path.name[:100]}.{secrets.token_hex(6)}.{end}") for end in ENDS)
    part.mkdir(parents=True)
    try:
        yield part
        flush_folder(part)
        if path.exists():
            path.rename(old)
        try:
            part.rename(path)
        except BaseException:
            if old.exists():
                old.rename(path)
            raise
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)
    flush_folder(path.parent)


def own_folder(path: Path) -> Path:
    """A folder inside of a run, made if it is missing.

    Raises:
        OSError: it cannot be made, or is a link: the run may be a stranger's, and the link may lead
            anywhere.
    """
    if path.is_symlink():
        raise OSError(errno.ELOOP, "it is a link, and may lead outside of the run", str(path))
    path.mkdir(parents=True, exist_ok=True)
    return path


def remove_parts(folder: Path) -> None:
    """Removes the temporary files of killed writers; nobody may be writing in the folder."""
    for part in folder.glob(PARTS):
        part.unlink(missing_ok=True)


def flush_folder(folder: Path) -> None:
    """Flushes a folder's directory entries to disk, if the file system supports it."""
    with contextlib.suppress(OSError):  # unsupported; the files themselves have been flushed
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
