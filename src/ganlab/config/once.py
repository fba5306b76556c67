"""What is asked of equal parts of many configs is found out once."""

import contextlib
import copy
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")

_known: ContextVar[dict[str, Any] | None] = ContextVar("known", default=None)


@contextlib.contextmanager
def remembering() -> Iterator[None]:
    """Within, `found` remembers; afterwards all is forgotten, as files and modules may change."""
    token = _known.set({})
    try:
        yield
    finally:
        _known.reset(token)


def found(find: Callable[[], T], *about: Any) -> T:
    """What `find` returns, or a copy of what it returned when it was asked the same.

    Args:
        find: its result is a function of `about`.  What it raises is not remembered.
        about: plain data.
    """
    known = _known.get()
    if known is None:
        return find()
    key = repr(about)  # 1, 1.0 and True are equal, but not the same
    if key not in known:
        known[key] = find()
    return copy.deepcopy(known[key])
