"""What was chosen in runs that their configs alone tell apart: parts by name, and settings."""

import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from ganlab.config.checks import conf_dir
from ganlab.config.completion import flattened
from ganlab.reporting.settings import said
from ganlab.runs.folder import name_of, science

FIRST = ("model", "loss", "conditioning", "data")  # come before all other settings
GROUPS = (*FIRST, "augment", "latent")  # of the config, whose options have names
PLUMBING = ("_target_", "_partial_")
GAN, PLAYER = "gan", "d_"  # D's settings are of models that have a D


def distinguishing(configs: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """What tells runs apart, without their seeds: key -> value, for each config.

    A part of the config that has a class is one choice: `model` is dcgan, `g_optimizer` is Adam.
    A setting of such a part that only some choices have follows from the choice: it is told only
    if runs with the same choice differ in it.  The same holds for every setting of a part in
    GROUPS, since the name of an option stands for its settings.

    Args:
        configs: completed ones, sound enough for `science`.
    """
    known = [choices(science(dict(config))) for config in configs]
    keys = dict.fromkeys([*FIRST, *(key for one in known for key in one)])
    kept = [key for key in keys if key != "seed" and is_free(key, known)]
    return [{key: one[key] for key in kept if key in one} for one in known]


def is_free(key: str, known: Sequence[Mapping[str, str]]) -> bool:
    """Whether runs differ in a key, and not only because they differ in the parts above it."""
    if key.partition(".")[0] not in GROUPS and len({one[key] for one in known if key in one}) > 1:
        return True
    values: dict[tuple[str | None, ...], set[str | None]] = {}
    for one in known:
        above = tuple(one.get(part) for part in parts_of(key))
        values.setdefault(above, set()).add(one.get(key))
    return any(len(differing) > 1 for differing in values.values())


def parts_of(key: str) -> list[str]:
    """The parts that a key belongs to: 'model' and 'model.generator' of 'model.generator.width'."""
    words = key.split(".")
    parts = [".".join(words[:n]) for n in range(1, len(words))]
    if key == GAN:
        return ["model"]
    return [GAN, *parts] if key.startswith(PLAYER) else parts


def choices(config: Mapping[str, Any]) -> dict[str, str]:
    """Key -> value of a config, with the name of each part at the part's own key.

    What a model has no use for, such as the loss of a VAE, is not there.
    """
    found: dict[str, str] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            found |= part(key, value)
        elif value is not None or not is_useless(key, config):
            found[key] = said(value)
    return found


def is_useless(key: str, config: Mapping[str, Any]) -> bool:
    """Whether null at a root key means that the model has no use for it."""
    of_players = key == GAN or key.startswith(PLAYER)
    return key in GROUPS or (of_players and config.get(GAN) is None)


def part(key: str, node: Mapping[str, Any]) -> dict[str, str]:
    """The same, of a part at a root key: its name, or the names of the parts in it, and the rest.

    A mapping that is empty or holds parts alone, such as `regularizer`, is told as a list.
    """
    flat = dict(flattened(dict(node)))
    settings = {f"{key}.{path}": said(v) for path, v in flat.items() if not is_plumbing(path)}
    classes = {path.removesuffix("_target_"): v for path, v in flat.items() if is_class(path)}
    found = {f"{key}.{path}".rstrip("."): class_name(v) for path, v in classes.items()}
    if key in GROUPS and classes and all(isinstance(one, str) for one in classes.values()):
        found[key] = option(key, json.dumps(node, sort_keys=True, default=str))
    elif all(isinstance(one, dict) and "_target_" in one for one in node.values()):
        found = {key: f"[{', '.join(node)}]", **found}
    return found | settings


def is_plumbing(path: str) -> bool:
    """Whether a path says how something is constructed, and not what was chosen."""
    return path.rpartition(".")[2] in PLUMBING


def is_class(path: str) -> bool:
    """Whether a path is that of a class."""
    return path.rpartition(".")[2] == "_target_"


def class_name(target: Any) -> str:
    """'Adam' of 'torch.optim.Adam'."""
    return str(target).rpartition(".")[2]


@functools.lru_cache(maxsize=2**12)  # the runs of a report share most of theirs
def option(group: str, node: str) -> str:
    """The name of the option that a node is, by its classes and then by its settings.

    Args:
        group: of the config, one of GROUPS.
        node: what the config has there, as JSON.
    """
    found: dict[str, Any] = json.loads(node)
    flat = dict(flattened(found))

    def agreement(name: str) -> tuple[int, int]:
        """Of classes, and of the rest: how many keys agree, less how many do not."""
        own = options(group)[name]
        signs = [(is_class(path), 1 if flat.get(path) == v else -1) for path, v in own.items()]
        return sum(n for of, n in signs if of), sum(n for of, n in signs if not of)

    return name_of(group, max(options(group), key=agreement), found)


@functools.cache
def options(group: str) -> dict[str, dict[str, Any]]:
    """Name -> dotted key -> value of each option of a group, by name."""
    found = {}
    for file in sorted((conf_dir() / group).glob("*.yaml")):
        chosen = yaml.safe_load(file.read_text("utf-8")) or {}
        found[file.stem] = dict(flattened(chosen.get(group, chosen)))  # some set root keys, too
    return found
