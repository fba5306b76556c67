"""Atomic file replacement."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # disk full, over quota, file too large


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields the path of a temporary file in the same folder, which then replaces `path`.

    The content is flushed to disk before the file is renamed, so after a power failure either the
    old or the new file exists, complete.  On any error the temporary file is removed and the old
    one stays.

    Raises:
        OSError: the file cannot be written; `errno in FULL`: there is no space.
    """
    part = path.with_name(f".{path.name}.part")
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


def flush_folder(folder: Path) -> None:
    """Flushes a folder's directory entries to disk, if the file system supports it."""
    with contextlib.suppress(OSError):  # unsupported; the files themselves have been flushed
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
