"""Words of messages: the nearest name, a type as a person writes it, a path of keys."""

import difflib
import inspect
import re
import types
import typing
from collections.abc import Iterable
from typing import Any


def nearest(name: str, names: Iterable[str]) -> str:
    """'; did you mean 'width'?' for the most similar name, or '' if none is similar."""
    close = difflib.get_close_matches(name, sorted(names), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def joined(path: str, key: str) -> str:
    """The dotted path of a key below a node; the root's path is empty."""
    return f"{path}.{key}" if path else str(key)


def spelled(hint: Any) -> str:
    """A type hint as a person writes it."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return " or ".join(dict.fromkeys(spelled(part) for part in typing.get_args(hint)))
    if typing.get_origin(hint) is typing.Literal:
        return " or ".join(repr(choice) for choice in typing.get_args(hint))
    if hint is type(None):
        return "null"
    if typing.get_origin(hint) is dict or typing.is_typeddict(hint):
        return "a group of settings"
    return re.sub(r"\b(?:\w+\.)+(\w+)", r"\1", inspect.formatannotation(hint))
