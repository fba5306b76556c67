"""YAML as plain data: a file from a stranger can hold nothing but mappings, lists and values."""

from pathlib import Path
from typing import Any

import yaml

from ganlab.storage import files

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C one takes an eighth of the time
LARGEST = 2**20  # bytes; a config has some thousand
DEEPEST = 32  # mappings and lists inside each other


def read(path: Path) -> dict[str, Any]:
    """The mapping that a file holds.

    Tags, anchors and aliases are refused: they make objects that look unlike what they are, or
    data that grows without bound.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is no regular file, too large, or holds anything but plain data.
    """
    text = files.content(path, LARGEST)
    try:
        require_plain(text)
        found = yaml.load(text, Loader=LOADER)  # noqa: S506 - a safe loader, after the check above
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(str(error).splitlines()[0]) from error
    if not isinstance(found, dict):
        raise TypeError(f"expected a mapping, got {type(found).__name__}")
    require_values(found)
    return found


def require_plain(text: bytes) -> None:
    """Raises ValueError for tags, anchors, aliases and deep nesting."""
    depth = 0
    for event in yaml.parse(text, Loader=LOADER):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise ValueError("it has anchors or aliases")
        if getattr(event, "tag", None) is not None:
            raise ValueError(f"it has the tag {event.tag}")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            raise ValueError(f"it is nested more than {DEEPEST} deep")


def require_values(node: Any) -> None:
    """Raises ValueError for keys that are no text and for values that JSON does not have."""
    if isinstance(node, dict):
        for key, value in node.items():
            if not isinstance(key, str):
                raise ValueError(f"the key {key!r} is no text")  # noqa: TRY004 - it is the file's
            require_values(value)
    elif isinstance(node, list):
        for value in node:
            require_values(value)
    elif node is not None and not isinstance(node, bool | int | float | str):
        raise ValueError(f"{node!r} is no plain value")
