"""Completion: every default in force is written out, and values are as their types want them."""

import functools
import json
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import ConfigDict, PydanticUserError, TypeAdapter

from ganlab.config import once
from ganlab.config.injected import injected
from ganlab.config.targets import hints, locate, parameters
from ganlab.config.words import joined

ANY_TYPE = ConfigDict(arbitrary_types_allowed=True)


def complete(node: dict[str, Any], callee: Callable[..., Any], path: str = "") -> dict[str, Any]:
    """The node with every default in force that is plain data written out, nested nodes too.

    Values are as their hints want them, so that lr=1 and lr=1.0 are the same experiment.
    """
    filled, kinds = completed_items(node, path), hints(callee)
    for name, parameter in parameters(callee).items():
        default = parameter.default
        default = list(default) if isinstance(default, tuple) else default
        if name not in filled and name not in injected(path) and is_plain(default):
            filled[name] = default
        if (
            name in filled
            and is_plain(filled[name])
            and matches(filled[name], kinds.get(name, Any))
        ):
            filled[name] = fitted(filled[name], kinds.get(name, Any))
    return filled


def completed_items(node: dict[str, Any], path: str) -> dict[str, Any]:
    """The node's own items, each completed."""
    filled = {}
    for key, value in node.items():
        where = joined(path, key)
        if isinstance(value, dict) and "_target_" in value:
            completed = functools.partial(complete, value, locate(value["_target_"]), where)
            filled[key] = once.found(completed, "complete", where, value)
        else:
            filled[key] = completed_items(value, where) if isinstance(value, dict) else value
    return filled


def fitted(value: Any, hint: Any) -> Any:
    """Plain data as a type hint wants it: 1 becomes 1.0 where floats are expected.

    As in JSON a list is a tuple, an int is a float, and '3' is no int.

    Raises:
        ValueError: the value does not fit.
    """
    if type(value) is float and value.is_integer() and not accepts(value, hint):
        value = int(value)  # 1e4, where an int is expected
    try:
        adapter = TypeAdapter(hint, config=ANY_TYPE)
        fit = adapter.validate_json(json.dumps(value), strict=True)
    except (PydanticUserError, TypeError):  # a hint that pydantic cannot judge, or no plain data
        return value
    fit = list(fit) if isinstance(fit, tuple) else fit
    return fit if is_plain(fit) else value


def accepts(value: Any, hint: Any) -> bool:
    """Whether a type hint takes a value as it is."""
    try:
        TypeAdapter(hint, config=ANY_TYPE).validate_json(json.dumps(value), strict=True)
    except (PydanticUserError, TypeError):
        return True
    except ValueError:
        return False
    return True


def matches(value: Any, hint: Any) -> bool:
    """Whether plain data fits a type hint."""
    try:
        fitted(value, hint)
    except ValueError:
        return False
    return True


def is_plain(value: Any) -> bool:
    """Whether a default is data that YAML can say."""
    if isinstance(value, list):
        return all(is_plain(item) for item in value)
    return value is None or isinstance(value, bool | int | float | str)


def flattened(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted path, value) of every leaf."""
    for key, value in node.items():
        where = joined(path, key)
        if isinstance(value, dict) and value:
            yield from flattened(value, where)
        else:
            yield where, value
