"""The config is a function call: every node is checked against the signature that it calls.

The root is a call of `Experiment`; each `_target_` below it is a call of its own.
"""

import types
import typing
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ganlab.config import (
    budget,  # noqa: F401 - registers ${images:...}
    once,
)
from ganlab.config.completion import matches
from ganlab.config.injected import INSTEAD, injected
from ganlab.config.targets import hints, locate, parameters, takes_any_name
from ganlab.config.words import joined, nearest, spelled
from ganlab.errors import ConfigError

HYDRA_KEYS: dict[str, Any] = {  # of a node that is called, and the types of their values
    "_target_": str,
    "_partial_": bool,
    "_recursive_": bool,
    "_convert_": typing.Literal["none", "partial", "object", "all"],
}


def conf_dir() -> Path:
    """The folder of ganlab's YAML: inside the installed package, or at the top of a checkout."""
    packaged = Path(__file__).parents[1] / "conf"
    return packaged if packaged.is_dir() else Path(__file__).parents[3] / "conf"


def plain(cfg: DictConfig) -> dict[str, Any]:
    """The config as nested dicts and lists, interpolations resolved; missing values stay '???'."""
    return typing.cast("dict[str, Any]", OmegaConf.to_container(cfg, resolve=True))


def problems(
    node: dict[str, Any],
    callee: Callable[..., Any],
    path: str = "",
    *,
    deep: bool | Collection[str] = True,
) -> list[str]:
    """Every mistake in `node` as the arguments of `callee`, one sentence each.

    Args:
        node: plain config; nested `_target_` nodes are checked against their own targets.
        callee: what will be called.
        path: dotted path of the node, for the sentences.
        deep: whether nested targets are checked, too, for which they are imported; or the keys of
            `node` whose targets are.
    """
    known, kinds, found = parameters(callee), hints(callee), list[str]()
    for key, value in node.items():
        where, inside = joined(path, key), deep if isinstance(deep, bool) else key in deep
        if is_call(node) and key in HYDRA_KEYS:
            found += value_problems(value, HYDRA_KEYS[key], where)
        elif is_call(node) and key == "_args_":
            found.append(f"{where}: ganlab passes arguments by name; set them by their names")
        elif key in injected(path):
            instead = f"; set {INSTEAD[where]}" if where in INSTEAD else ""
            found.append(f"{where}: ganlab itself sets it{instead}")
        elif key not in known and not takes_any_name(callee):
            says = f"{callee.__name__} takes no '{key}'" if path else "unknown"
            found.append(f"{where}: {says}{nearest(key, known)}")
        elif is_call(value) and (path or takes_groups(kinds.get(key, Any))):
            found += target_problems(value, where) if inside else []
        else:
            found += value_problems(value, kinds.get(key, Any), where, deep=inside)
    required = [n for n, parameter in known.items() if parameter.default is parameter.empty]
    missing = (joined(path, n) for n in required if n not in node and n not in injected(path))
    return found + [f"{where}: missing; set {where}=..." for where in missing]


def value_problems(value: Any, hint: Any, path: str, *, deep: bool = True) -> list[str]:
    """Mistakes in one value that is no call: its type, or what is inside of it."""
    if value == "???":
        return [f"{path}: missing; set {path}=..."]
    if isinstance(value, dict) and takes_groups(hint):
        return group_problems(value, hint, path, deep=deep)
    if isinstance(value, list) and any(map(is_call, value)):
        calls = {f"{path}[{i}]": item for i, item in enumerate(value) if is_call(item)}
        return [p for where, call in calls.items() if deep for p in target_problems(call, where)]
    if matches(value, hint):
        return []
    if not isinstance(value, list) and matches([value], hint):
        return [f"{path}: expected a list, got {value!r}; set {path}=[{value}]"]
    return [f"{path}: expected {spelled(hint)}, got {value!r}"]


def target_problems(node: dict[str, Any], path: str) -> list[str]:
    """Mistakes in a node with a `_target_`, which is imported."""
    return once.found(lambda: _target_problems(node, path), "problems", path, node)


def _target_problems(node: dict[str, Any], path: str) -> list[str]:
    try:
        return problems(node, locate(node["_target_"]), path)
    except ConfigError as error:
        return [f"{path}: {problem}" for problem in error.problems]


def group_problems(group: dict[str, Any], hint: Any, path: str, *, deep: bool = True) -> list[str]:
    """Mistakes in a group that is no call itself; a TypedDict says which keys it has."""
    fields = typing.get_type_hints(hint) if typing.is_typeddict(hint) else None
    kinds = dict.fromkeys(group, values_of(hint)) if fields is None else fields
    found = []
    for key, value in group.items():
        where = joined(path, key)
        if key not in kinds:
            found.append(f"{where}: unknown{nearest(str(key), kinds)}")
        elif is_call(value):
            found += target_problems(value, where) if deep else []
        else:
            found += value_problems(value, kinds[key], where, deep=deep)
    required = getattr(hint, "__required_keys__", ())
    missing = (joined(path, key) for key in kinds if key in required and key not in group)
    return found + [f"{where}: missing; set {where}=..." for where in missing]


def is_call(value: Any) -> bool:
    """Whether a value is a node that Hydra builds."""
    return isinstance(value, dict) and "_target_" in value


def takes_groups(hint: Any) -> bool:
    """Whether a type hint allows a group of settings."""
    parts = typing.get_args(hint) if is_union(hint) else (hint,)
    return any(part is Any or typing.is_typeddict(part) or is_mapping(part) for part in parts)


def values_of(hint: Any) -> Any:
    """What a mapping's type hint says of its values if they are plain data, else Any."""
    parts = typing.get_args(hint) if is_union(hint) else (hint,)
    kinds = [typing.get_args(part)[1] for part in parts if len(typing.get_args(part)) == 2]
    return next((kind for kind in kinds if kind in (bool, int, float, str)), Any)


def is_union(hint: Any) -> bool:
    """Whether a type hint is a | b."""
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def is_mapping(hint: Any) -> bool:
    """Whether a type hint is a dict or another mapping."""
    kind = typing.get_origin(hint) or hint
    return isinstance(kind, type) and issubclass(kind, Mapping)
