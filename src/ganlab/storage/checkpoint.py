"""Checkpoints as files: in which order they were written, and whether they still are as written."""

import zipfile
from pathlib import Path
from typing import Any, BinaryIO

from ganlab.errors import DamagedError

PLAIN = (zipfile.ZIP_STORED, 0)  # how torch stores a record: not compressed, and no folder


def name(iteration: int) -> str:
    """The file of the checkpoint after an iteration."""
    return f"iteration-{iteration:07d}.ckpt"


def iteration(path: Path) -> int:
    """The inverse of `name`."""
    return int(path.stem.rpartition("-")[2])


def listed(folder: Path) -> list[Path]:
    """The checkpoints of a run, oldest first; neither the best one nor damaged ones set aside."""
    # By length first: from iteration 10,000,000 on there is a digit more.
    return sorted(folder.glob("iteration-*.ckpt"), key=lambda path: (len(path.name), path.name))


def read(path: Path) -> dict[str, Any]:
    """A checkpoint's tensors, on the CPU, and plain data; nothing else is ever loaded.

    torch writes a zip file with a checksum of every record and never looks at them: it reads a
    weight with a flipped bit without a word, and what happens to be in memory where the two sizes
    of a record differ or it looks like a folder.

    Raises:
        DamagedError: the file is cut short, changed, or holds anything but tensors and plain data.
        OSError: it cannot be opened.
    """
    import torch  # slow to import, and who asks what there is reads nothing

    with path.open("rb") as file:
        try:
            verify(file)
            file.seek(0)
            return dict(torch.load(file, map_location="cpu", weights_only=True))
        except Exception as error:  # damage makes decoders raise anything
            raise DamagedError(f"'{path}' is damaged: {error}") from error


def verify(file: BinaryIO) -> None:
    """Raises an exception of some kind unless all records are those that torch wrote."""
    with zipfile.ZipFile(file) as records:
        for record in records.infolist():
            kind = (record.compress_type, record.external_attr)
            if kind != PLAIN or record.compress_size != record.file_size:
                raise zipfile.BadZipFile(f"{record.filename} is not stored as it is")
        if (broken := records.testzip()) is not None:
            raise zipfile.BadZipFile(f"the checksum of {broken} is wrong")


def is_sound(path: Path) -> bool:
    """Whether a file is the checkpoint that was written.

    Raises:
        OSError: it is there and cannot be opened.
    """
    try:
        read(path)
    except (DamagedError, FileNotFoundError):  # or another process has set it aside just now
        return False
    return True
