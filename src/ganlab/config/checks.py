"""The config is a function call: every node is checked against the signature it calls.

`problems` finds all mistakes before any work, `complete` writes down every default in force.  The
root is a call of `Experiment`; each `_target_` below it is a call of its own.
"""

import contextlib
import difflib
import importlib
import inspect
import json
import re
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pydantic import ConfigDict, PydanticUserError, TypeAdapter

from ganlab.config.signatures import Signature, hints, is_certain, is_imported, parameters, read
from ganlab.errors import ConfigError

# What ganlab passes to a node's target by itself, by the node's path.
INJECTED = {
    "gan": {
        *("generator", "discriminator", "loss", "spec", "latent", "g_rule", "d_rule"),
        *("conditioning", "regularizers", "augment", "d_steps", "ema", "iterations", "seed"),
    },
    "model.generator": {"spec", "latent_dim", "code_dim"},
    "conditioning": {"spec"},
    "model.discriminator": {"spec"},
    "g_optimizer": {"params"},
    "d_optimizer": {"params"},
    "trainer": {
        *("max_steps", "max_epochs", "logger", "callbacks", "enable_checkpointing"),
        *("enable_progress_bar", "enable_model_summary"),
        *("gradient_clip_val", "gradient_clip_algorithm", "accumulate_grad_batches"),
    },
    "logger": {"run", "name", "group"},
}
INSTEAD = {
    "trainer.max_steps": "iterations=...",
    "trainer.max_epochs": "iterations=...",
    "trainer.gradient_clip_val": "g_clip=... or d_clip=...",
    "trainer.accumulate_grad_batches": "g_accumulate=... or d_accumulate=...",
}
HYDRA_KEYS = {"_target_", "_partial_", "_convert_", "_recursive_", "_args_"}


class UncertainError(Exception):
    """Whether a value fits a type cannot be told from what was read of it."""


def conf_dir() -> Path:
    """The folder of ganlab's YAML: inside the installed package, or at the top of a checkout."""
    packaged = Path(__file__).parents[1] / "conf"
    return packaged if packaged.is_dir() else Path(__file__).parents[3] / "conf"


def nearest(name: str, names: typing.Iterable[str]) -> str:
    """'; did you mean 'width'?' for the most similar name, or '' if none is similar."""
    close = difflib.get_close_matches(name, sorted(names), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def plain(cfg: DictConfig) -> dict[str, Any]:
    """The config as nested dicts and lists, interpolations resolved; missing values stay '???'."""
    return typing.cast("dict[str, Any]", OmegaConf.to_container(cfg, resolve=True))


def locate(path: str) -> Any:
    """The object at a dotted path.

    Raises:
        ConfigError: there is none; names the nearest.
    """
    module_name, _, name = path.rpartition(".")
    try:
        module = importlib.import_module(module_name)
        return getattr(module, name)
    except AttributeError as error:
        public = [n for n in vars(module) if not n.startswith("_")]
        close = nearest(name, public).replace("'", f"'{module_name}.", 1)
        raise ConfigError([f"there is no '{path}'{close}"]) from error
    except (ImportError, ValueError) as error:
        raise ConfigError([f"there is no '{path}' ({error})"]) from error


def problems(node: dict[str, Any], callee: Callable[..., Any], path: str = "") -> list[str]:
    """Every mistake in `node` as the arguments of `callee`, one sentence each.

    Args:
        node: plain config; nested `_target_` nodes are checked against their own targets.
        callee: what will be called.
        path: dotted path of the node, for the sentences.
    """
    return call_problems(node, Signature.of(callee), path)


def call_problems(node: dict[str, Any], callee: Signature, path: str) -> list[str]:
    """The same, of a signature.

    Raises:
        UncertainError: a value may fit a type that was not read.
    """
    known, found = callee.required, []
    given = {key: value for key, value in node.items() if key not in HYDRA_KEYS}
    for key, value in given.items():
        where = joined(path, key)
        if key in injected(path):
            instead = f"; say {INSTEAD[where]}" if where in INSTEAD else ""
            found.append(f"{where}: ganlab itself sets it{instead}")
        elif key not in known and not callee.is_open:
            says = f"{callee.name} takes no '{key}'" if path else "unknown"
            found.append(f"{where}: {says}{nearest(key, known)}")
        else:
            found += value_problems(value, callee.hints.get(key, Any), where)
    missing = (n for n in known if known[n] and n not in given and n not in injected(path))
    return found + [f"{joined(path, n)}: missing; say {joined(path, n)}=..." for n in missing]


def value_problems(value: Any, hint: Any, path: str) -> list[str]:
    """Mistakes in one value: its type if it is plain, its own call if it is a `_target_` node."""
    if value == "???":
        return [f"{path}: missing; say {path}=..."]
    if isinstance(value, dict):
        called = "_target_" in value
        return target_problems(value, path) if called else group_problems(value, hint, path)
    if matches(value, hint):
        return []
    if not is_certain(hint):
        raise UncertainError
    return [f"{path}: expected {spelled(hint)}, got {value!r}"]


def target_problems(node: dict[str, Any], path: str) -> list[str]:
    """Mistakes in a `_target_` node; its target is imported only if reading its source is vain."""
    target = node["_target_"]
    if not is_imported(target) and (signature := read(target)) is not None:
        with contextlib.suppress(UncertainError):
            return call_problems(node, signature, path)
    try:
        return problems(node, locate(target), path)
    except ConfigError as error:
        return [f"{path}: {problem}" for problem in error.problems]


def group_problems(group: dict[str, Any], hint: Any, path: str) -> list[str]:
    """Mistakes in a group that is no call itself; a TypedDict says which keys it has."""
    kinds = typing.get_type_hints(hint) if typing.is_typeddict(hint) else dict.fromkeys(group, Any)
    found = []
    for key, value in group.items():
        where = joined(path, key)
        if key in kinds:
            found += value_problems(value, kinds[key], where)
        else:
            found.append(f"{where}: unknown{nearest(key, kinds)}")
    missing = (joined(path, key) for key in kinds if key not in group)
    return found + [f"{where}: missing; say {where}=..." for where in missing]


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
            filled[key] = complete(value, locate(value["_target_"]), where)
        else:
            filled[key] = completed_items(value, where) if isinstance(value, dict) else value
    return filled


def joined(path: str, key: str) -> str:
    """The dotted path of a key below a node; the root's path is empty."""
    return f"{path}.{key}" if path else str(key)


def injected(path: str) -> set[str]:
    """Names of the arguments that ganlab itself passes to the node at `path`."""
    parent = path.rpartition(".")[0]
    return INJECTED.get(path, set()) | (INJECTED["logger"] if parent == "logger" else set())


def fitted(value: Any, hint: Any) -> Any:
    """Plain data as a type hint wants it: 1 becomes 1.0 where floats are expected.

    As in JSON a list is a tuple, an int is a float, and '3' is no int.

    Raises:
        ValueError: the value does not fit.
    """
    try:
        adapter = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
        fit = adapter.validate_json(json.dumps(value), strict=True)
    except (PydanticUserError, TypeError):  # a hint that pydantic cannot judge, or no plain data
        return value
    fit = list(fit) if isinstance(fit, tuple) else fit
    return fit if is_plain(fit) else value


def matches(value: Any, hint: Any) -> bool:
    """Whether plain data fits a type hint."""
    try:
        fitted(value, hint)
    except ValueError:
        return False
    return True


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
