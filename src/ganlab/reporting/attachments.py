"""The other pictures in a run's folder: drawn, inverted, of failures."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from ganlab.pages import images
from ganlab.reporting import budget, frames
from ganlab.storage import files

FOLDERS = ("sampled", "inverted", "health")
STILL, MOVING, FILMS = (".png", ".jpg", ".jpeg", ".webp"), (".gif",), (".mp4", ".webm")
LARGEST = 600_000  # bytes of a file that is shown
MOST = 24
WIDTH = 640


class Attachment(NamedTuple):
    """A picture.

    Args:
        name: its path in the run's folder.
        url: data URL; None: it is not shown.
    """

    name: str
    url: str | None


def attachments(run: Path) -> list[Attachment]:
    """The pictures, those that do not fit without their content."""
    found: list[Attachment] = []
    spent = 0
    for file in candidates(run):
        name = file.relative_to(run).as_posix()
        url = shown(file) if len(found) < MOST else None
        if url is not None and spent + len(url) > budget.OTHERS:
            url = None
        spent += len(url or "")
        found.append(Attachment(budget.cut(name), url))
    return found[: budget.LINES]


def candidates(run: Path) -> Iterator[Path]:
    """Files that are pictures or films by their names, without links."""
    for name in FOLDERS:
        folder = run / name
        if folder.is_dir() and not folder.is_symlink():
            for file in sorted(folder.iterdir()):
                known = file.suffix.lower() in (*STILL, *MOVING, *FILMS)
                if known and file.is_file() and not file.is_symlink():
                    yield file


def shown(file: Path) -> str | None:
    """A picture as a data URL; None if it is large, a film or damaged."""
    if file.suffix.lower() in STILL:
        return frames.encoded(file, WIDTH)
    if file.suffix.lower() in FILMS or file.stat().st_size > LARGEST:
        return None
    try:
        content = files.content(file, LARGEST)
        with Image.open(io.BytesIO(content), formats=("GIF",)) as picture:
            picture.verify()
        return images.encoded(content, "image/gif")
    except frames.UNREADABLE:
        return None
