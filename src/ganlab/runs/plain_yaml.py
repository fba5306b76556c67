"""YAML as plain data: a file from a stranger can hold nothing but mappings, lists and values."""

import functools
import itertools
from collections.abc import Iterator
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
        found = document(yaml.parse(text, Loader=LOADER))
    except yaml.YAMLError as error:
        raise ValueError(str(error).splitlines()[0]) from error
    if not isinstance(found, dict):
        raise TypeError(f"expected a mapping, got {type(found).__name__}")
    return found


def document(events: Iterator[yaml.Event]) -> Any:
    """What the only document of a file holds; None if the file is empty.

    Raises:
        ValueError: it holds anything but plain data.
    """
    next(events)  # the stream begins
    if not isinstance(next(events), yaml.DocumentStartEvent):
        return None
    found = value(next(events), events)
    next(events)  # the document ends
    if not isinstance(next(events), yaml.StreamEndEvent):
        raise ValueError("it has more than one document")  # noqa: TRY004 - it is the file's
    return found


def value(event: yaml.Event, events: Iterator[yaml.Event], depth: int = 1) -> Any:
    """The mapping, list or value that begins with an event; takes its events off the iterator."""
    if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
        raise ValueError("it has anchors or aliases")
    if event.tag is not None:
        raise ValueError(f"it has the tag {event.tag}")
    if isinstance(event, yaml.ScalarEvent):
        return scalar(event.value, event.implicit)
    if depth > DEEPEST:
        raise ValueError(f"it is nested more than {DEEPEST} deep")
    if isinstance(event, yaml.SequenceStartEvent):
        return [value(one, events, depth + 1) for one in until(yaml.SequenceEndEvent, events)]
    found = {}
    for one in until(yaml.MappingEndEvent, events):
        key = value(one, events, depth + 1)
        if not isinstance(key, str):
            raise ValueError(f"the key {key!r} is no text")  # noqa: TRY004 - it is the file's
        found[key] = value(next(events), events, depth + 1)
    return found


def until(end: type[yaml.Event], events: Iterator[yaml.Event]) -> Iterator[yaml.Event]:
    """The events before the next one of a kind, which is taken off the iterator, too."""
    return itertools.takewhile(lambda event: not isinstance(event, end), events)


@functools.lru_cache(maxsize=2**14)  # the configs of a sweep have nearly all their words in common
def scalar(text: str, implicit: tuple[bool, bool]) -> bool | int | float | str | None:
    """The value of a word.

    Args:
        text: the word, without quotes.
        implicit: as the event has it; the first says whether the word was written without quotes.

    Raises:
        ValueError: it stands for what JSON does not have, such as a date.
    """
    loader = yaml.SafeLoader("")
    node = yaml.ScalarNode(loader.resolve(yaml.ScalarNode, text, implicit), text)
    found = loader.construct_object(node)
    if found is not None and not isinstance(found, bool | int | float | str):
        raise ValueError(f"{found!r} is no plain value")
    return found
