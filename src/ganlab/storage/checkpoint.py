"""Checkpoint files: their names, their order, and reads that detect damage."""

import contextlib
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

from ganlab.errors import DamagedError
from ganlab.storage import files

PLAIN = (zipfile.ZIP_STORED, 0)  # torch's records: neither compressed nor a folder


def name(iteration: int) -> str:
    """The file name of the checkpoint after an iteration."""
    return f"iteration-{iteration:07d}.ckpt"


def iteration(path: Path) -> int:
    """The iteration of a checkpoint file; the inverse of `name`."""
    return int(path.stem.rpartition("-")[2])


def listed(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first, without best.ckpt and damaged, renamed ones."""
    # By length first: from iteration 10,000,000 on, names have one more digit.
    return sorted(folder.glob("iteration-*.ckpt"), key=lambda path: (len(path.name), path.name))


def read(path: Path) -> dict[str, Any]:
    """A checkpoint's tensors, on the CPU, and plain data; nothing else is ever loaded.

    torch writes a zip file with a checksum of every record, but does not verify it on loading.  It
    would silently read a weight with a flipped bit, and uninitialised memory if a record's two
    sizes differ or the record is marked as a folder.

    Raises:
        DamagedError: the file is truncated, changed, or holds more than tensors and plain data.
        OSError: the file cannot be opened.
    """
    import torch  # here, because it is slow to import and listing files does not need it

    with contextlib.ExitStack() as held:
        try:
            file = held.enter_context(files.opened(path))
        except ValueError as error:  # it is no file
            raise DamagedError(f"'{path}' is damaged: {error}") from error
        try:
            verify(file)
            file.seek(0)
            return dict(torch.load(file, map_location="cpu", weights_only=True))
        except Exception as error:  # damage makes decoders raise anything
            raise DamagedError(f"'{path}' is damaged: {error}") from error


def verify(file: BinaryIO) -> None:
    """Raises an exception of any type unless all records are as torch wrote them."""
    with zipfile.ZipFile(file) as records:
        for record in records.infolist():
            kind = (record.compress_type, record.external_attr)
            if kind != PLAIN or record.compress_size != record.file_size:
                raise zipfile.BadZipFile(f"the entry of {record.filename} was changed")
        if (broken := records.testzip()) is not None:
            raise zipfile.BadZipFile(f"the checksum of {broken} is wrong")


def is_sound(path: Path) -> bool:
    """Whether a checkpoint file exists and is undamaged.

    Raises:
        OSError: the file exists but cannot be opened.
    """
    try:
        read(path)
    except (DamagedError, FileNotFoundError):  # the latter: another process has just renamed it
        return False
    return True
