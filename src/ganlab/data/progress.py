"""Progress bars for long work."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

Watch = Callable[[int], None]  # gets the number of images done since the last call


def unwatched(_: int) -> None:
    """Shows no progress."""


@contextmanager
def watched(text: str, total: int | None = None) -> Iterator[Watch]:
    """A bar with time left on a terminal; nothing elsewhere."""
    with tqdm(desc=text, total=total, disable=None, leave=False, dynamic_ncols=True) as bar:
        yield bar.update
