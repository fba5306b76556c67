"""Samples over time: pictures re-encoded and thinned evenly until they fit into a budget."""

import functools
import io
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from ganlab.pages import images
from ganlab.storage import files

NAME = re.compile(r"iteration-(\d{1,15})\.png")
QUALITY, EFFORT = 70, 2  # of WebP; with less effort it takes half the time, and 5% more bytes
FORMATS = ("PNG", "WEBP", "GIF", "JPEG")
BYTES, PIXELS = 2**25, 5 * 10**7  # of one picture; a larger one is no grid of ganlab's
UNREADABLE = (  # half-written, damaged or a stranger's
    *(OSError, ValueError, SyntaxError),
    *(Image.DecompressionBombError, Image.DecompressionBombWarning),
)
MOST = 65  # pictures over time, of one kind
KEPT = 4096  # encoded pictures that are remembered while a page is watched


class Frame(NamedTuple):
    """A picture of samples.

    Args:
        iteration: at which they were drawn.
        url: data URL of a WebP picture.
    """

    iteration: int
    url: str


class Frames(NamedTuple):
    """What is shown of the pictures of one kind.

    Args:
        shown: in order.
        available: how many files there are.
    """

    shown: list[Frame]
    available: int


def frames(run: Path, budget: int, width: int, *, sheets: bool = True) -> dict[str, Frames]:
    """Kind ('samples', 'classes', ...) -> its pictures over time.

    Args:
        run: the run's folder.
        budget: characters of all data URLs together.
        width: pixels; larger pictures are reduced by a whole factor.
        sheets: whether sheets of codes are shown besides.
    """
    folders = list(kinds(run / "samples", sheets=sheets))
    found = {}
    for folder in folders:
        if pictures := listed(folder):
            found[folder.name] = thinned(pictures, budget // len(folders), width)
    return found


def kinds(samples: Path, *, sheets: bool) -> Iterator[Path]:
    """The folders with pictures over time.  Links are left out: they may lead out of the run."""
    if samples.is_dir() and not samples.is_symlink():
        yield samples
        if sheets:
            inside = sorted(path for path in samples.iterdir() if path.is_dir())
            yield from (path for path in inside if not path.is_symlink())


def listed(folder: Path) -> list[tuple[int, Path]]:
    """(iteration, file) of each picture, in order."""
    found = ((NAME.fullmatch(file.name), file) for file in folder.iterdir())
    return sorted((int(m[1]), file) for m, file in found if m and not file.is_symlink())


def thinned(pictures: Sequence[tuple[int, Path]], budget: int, width: int) -> Frames:
    """As many pictures as fit, evenly spaced, the last one first of all."""
    taken: dict[int, Frame] = {}
    spent = 0
    for level in levels(len(pictures)):
        fresh = [index for index in level if index not in taken]
        expected = spent / len(taken) * len(fresh) if taken else 0
        if len(taken) + len(fresh) > MOST or spent + expected > budget:
            break
        made = {
            i: Frame(pictures[i][0], url) for i in fresh if (url := encoded(pictures[i][1], width))
        }
        size = sum(len(frame.url) for frame in made.values())
        if spent + size > budget:
            break
        taken |= made
        spent += size
    return Frames([taken[index] for index in sorted(taken)], len(pictures))


def levels(n: int) -> Iterator[list[int]]:
    """Indices of n things, ever finer: the last; the first; the middle; the quarters; ..."""
    yield [n - 1]
    parts = 1
    while parts < 2 * (n - 1):
        yield sorted({round(i * (n - 1) / parts) for i in range(parts + 1)})
        parts *= 2


def encoded(file: Path, width: int) -> str | None:
    """A picture as WebP in a data URL; None if it cannot be read."""
    try:
        about = file.stat()
        return webp(str(file), about.st_mtime_ns, about.st_size, width)
    except UNREADABLE:
        return None


@functools.lru_cache(maxsize=KEPT)
def webp(file: str, _changed: int, _size: int, width: int) -> str:
    """The same, remembered until the file changes."""
    content = io.BytesIO(files.content(Path(file), BYTES))
    with Image.open(content, formats=FORMATS) as picture:
        if picture.width * picture.height > PIXELS:
            raise ValueError("too large")
        small = picture.convert("RGB")
    if (factor := math.ceil(max(small.size) / width)) > 1:
        small = small.reduce(factor)
    made = io.BytesIO()
    small.save(made, format="webp", quality=QUALITY, method=EFFORT)
    return images.encoded(made.getvalue(), "image/webp")
