"""How far a piece of work is, on a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

Watch = Callable[[int], None]  # is told how many images were done since it was last called


def unwatched(_: int) -> None:
    """Nobody wants to know."""


@contextmanager
def watched(text: str, total: int | None = None) -> Iterator[Watch]:
    """A bar with time left, on a terminal; elsewhere nothing."""
    with tqdm(desc=text, total=total, disable=None, leave=False, dynamic_ncols=True) as bar:
        yield bar.update
