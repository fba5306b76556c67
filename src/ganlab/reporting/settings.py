"""The config of a run as rows: what differs from the default run, and everything."""

import functools
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any, NamedTuple

from ganlab.config.completion import flattened
from ganlab.config.secrets import redacted
from ganlab.reporting.budget import LINES, cut

# The completed config of `python -m ganlab.train`.  To complete it anew would import torch, for
# seconds; a test compares the two.
DEFAULTS = "defaults.json"
ABSENT, NONE = "–", "none"


class Setting(NamedTuple):
    """A key of the config.

    Args:
        key: dotted.
        value: as it is written in YAML, without secrets.
        default: of the default run; None: the value is the same.
    """

    key: str
    value: str
    default: str | None


@functools.cache
def defaults() -> dict[str, Any]:
    """Dotted key -> value of the default run."""
    return dict(json.loads((files("ganlab.reporting") / DEFAULTS).read_text("utf-8")))


def settings(config: Mapping[str, Any]) -> list[Setting]:
    """Every key of a completed config."""
    rows = []
    for key, value in flattened(redacted(dict(config))):
        if value == {} and (parts := parts_at(key)):
            rows.append(Setting(cut(key), NONE, parts))
            continue
        usual = defaults().get(key, ABSENT)
        same = key in defaults() and usual == value
        rows.append(Setting(cut(key), said(value), None if same else said(usual)))
    return rows[:LINES]


def parts_at(key: str) -> str:
    """The classes that the default run has at a key or below it; empty if there are none."""
    below = (k for k in defaults() if f"{k}.".startswith(f"{key}."))
    return ", ".join(defaults()[k] for k in below if k.rpartition(".")[2] == "_target_")


def differences(configs: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Key -> its value in each config, of the keys in which they differ.

    An empty mapping has no row of its own where others have settings there: these have the rows.
    """
    flat = [dict(flattened(redacted(dict(config)))) for config in configs]
    flat = [{key: value for key, value in config.items() if value != {}} for config in flat]
    keys = dict.fromkeys(key for config in flat for key in config)
    differing = (key for key in keys if len({said(config.get(key, ABSENT)) for config in flat}) > 1)
    table = {key: [said(config.get(key, ABSENT)) for config in flat] for key in differing}
    return dict(list(table.items())[:LINES])


def said(value: Any) -> str:
    """A value as text: null, true, 0.5, text as it is."""
    return cut(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
