"""Files that are replaced whole or not at all, whatever happens meanwhile."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the disk, the user's share of it, a limit


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields the path of a file beside; what is written there takes the place of `path`.

    The content is on the disk before the name is, so after a loss of power there is the old file
    or the new one, whole.  On any error the file beside is removed and the old one stays.

    Raises:
        OSError: it cannot be written; `errno in FULL`: there is no room.
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
    """Replaces a file by this content, whole or not at all.

    Raises:
        OSError: as `replacing` does.
    """
    data = content.encode() if isinstance(content, str) else content
    with replacing(path) as part:
        part.write_bytes(data)


def flush_folder(folder: Path) -> None:
    """Waits until a folder's names are on the disk, where the file system can promise it."""
    with contextlib.suppress(OSError):  # not every one can; the files themselves are safe
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
