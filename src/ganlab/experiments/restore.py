"""A model from a run's folder, which may come from a stranger: only known classes are built."""

import contextlib
import functools
import inspect
import sys
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import ValidationError

from ganlab import (
    augment,
    belief,
    boltzmann,
    conditioning,
    data,
    gan,
    latent,
    losses,
    models,
    networks,
    optimizers,
    regularizers,
    schedules,
)
from ganlab.config.checks import problems
from ganlab.config.settings import Node, Settings, range_problems
from ganlab.config.targets import locate, parameters
from ganlab.errors import ConfigError, DamagedError
from ganlab.experiments.experiment import Experiment
from ganlab.experiments.saved import LARGEST, Saved, require_own_data, require_shapes
from ganlab.generative import Generative
from ganlab.runs.folder import Run
from ganlab.runs.records import reason
from ganlab.scoring import plans
from ganlab.spec import spec_of
from ganlab.storage import checkpoint

BUILT = (  # root keys that make a model; data, trainer and loggers are not needed for one
    "gan",
    "model",
    "loss",
    "conditioning",
    "regularizer",
    "augment",
    "latent",
    "ema",
    "d_ema",
    "ema_statistics",
    "g_optimizer",
    "d_optimizer",
    "g_schedule",
    "d_schedule",
)
SIZED = ("model", "latent")  # root keys whose numbers are sizes
KNOWN = ("ganlab.", "torch.nn.", "torch.optim.")  # packages that are imported to look up a class
PARTS = [augment, conditioning, data, gan, latent, losses, networks, optimizers, regularizers]
PARTS += [schedules, plans, models, boltzmann, belief]

T = TypeVar("T")


def restore(run: Run, which: str = "last", *, trust: bool = False) -> Generative:
    """The model of one of a run's checkpoints, on the CPU.

    Args:
        run: its folder.
        which: last: its newest checkpoint; best: the one with the best score; or the number of an
            iteration, or the name of a file.
        trust: build whatever the config names; False: only classes of ganlab, torch.nn and
            torch.optim: a folder from a stranger could name anything that is installed.

    Raises:
        ConfigError: the folder is no run, has no sound checkpoint, or names what is not trusted.
    """
    config = run.config()
    if not trust:
        require_known(config)
    require_sound(run, config, BUILT)
    kinds = {"last": last, "best": best}
    saved = kinds[which](run) if which in kinds else sound(run.checkpoint(which))
    return rebuilt(run, config, saved, trust=trust)


def rebuilt(run: Run, config: dict[str, Any], saved: dict[str, Any], *, trust: bool) -> Generative:
    """The model that a config and a checkpoint's content make, on the CPU.

    Args:
        run: named in messages.
        config: sound, and of known classes unless it is trusted.
        saved: by `Checkpoints`.
        trust: errors of the config's own classes are their author's, and keep their traceback.

    Raises:
        ConfigError: they do not fit each other.
    """
    with fitting(run, trust=trust):
        found, experiment = Saved.model_validate(saved), Experiment(**config)
        spec = spec_of(found.spec)
        with torch.device("meta"):  # before memory is taken for sizes that anybody may have written
            planned = experiment.build(spec).state_dict()
        require_own_data(found.state_dict)
        require_shapes(planned, found.state_dict)
        gan = experiment.build(spec)
        gan.load_state_dict(found.state_dict)
        gan.on_load_checkpoint(saved)
        return gan.eval()


@contextlib.contextmanager
def fitting(run: Run, weights: str = "checkpoint", *, trust: bool) -> Iterator[None]:
    """Turns what goes wrong while a config's model takes over weights into a ConfigError.

    Args:
        run: named in messages.
        weights: what they are in, for messages.
        trust: errors of the config's own classes are their author's, and keep their traceback.
    """
    try:
        yield
    except ConfigError:
        raise
    except ValidationError as error:
        raise ConfigError([f"'{run.path}': its {weights} is damaged: {reason(error)}"]) from error
    except Exception as error:
        if trust:
            raise
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError([f"'{run.path}': config.yaml and {weights} do not fit: {why}"]) from error


def require_sound(run: Run, config: dict[str, Any], keys: Collection[str]) -> None:
    """Raises ConfigError for wrong keys and types in a run's config.

    Args:
        run: named in messages.
        config: of the run.
        keys: root keys whose targets are imported and checked, too.
    """
    found = problems(config, Settings, deep=keys) + range_problems(config)
    if found:
        raise ConfigError([f"'{run.config_file}': {problem}" for problem in found])


def move_data(config: Node, root: str | None) -> None:
    """Sets another location of the data in a run's config; None: it stays.

    Raises:
        ConfigError: the data has no location, as digits that a library brings along.
    """
    if root is None:
        return
    source = locate(config["data"]["_target_"])
    if "root" not in parameters(source):
        raise ConfigError([f"root: {source.__name__} of this run has no location; leave root out"])
    config["data"]["root"] = root


def last(run: Run) -> dict[str, Any]:
    """The newest sound checkpoint of a run; prints which newer ones are damaged and keeps them.

    Raises:
        ConfigError: there is none.
    """
    path, damaged = run.sound_checkpoint()
    names = ", ".join(file.name for file in damaged)
    if path is None:
        others = f" that is sound; damaged: {names}" if damaged else ""
        raise ConfigError([f"'{run.path}' has no checkpoint{others}"])
    if damaged:
        sys.stderr.write(f"'{run.path}': damaged: {names}; {path.name} is used instead\n")
    return checkpoint.read(path)


def best(run: Run) -> dict[str, Any]:
    """The checkpoint of a run with the best score.

    Raises:
        ConfigError: there is none, or it is damaged.
    """
    path = run.best_checkpoint()
    if path is None:
        scored = "with a best score; was it trained with metrics=...?"
        raise ConfigError([f"'{run.path}' has no checkpoint {scored}"])
    return sound(path)


def sound(path: Path) -> dict[str, Any]:
    """The content of a checkpoint.

    Raises:
        ConfigError: it is damaged.
    """
    try:
        return checkpoint.read(path)
    except DamagedError as error:
        raise ConfigError([str(error)]) from error


def require_known(config: Node, keys: Iterable[str] = BUILT) -> None:
    """Raises ConfigError if these root keys call anything but classes of KNOWN packages."""
    built = {name: config[name] for name in keys if name in config}
    foreign = [text for key, text in leaves(built, str) if not is_known(key, text)]
    if foreign:
        names = ", ".join(foreign)
        raise ConfigError(
            [f"the run's config names {names}; set trust=true if you trust the folder"]
        )
    sizes = {name: config[name] for name in SIZED if name in config}
    if large := [f"{key}={n}" for key, n in leaves(sizes, int) if abs(n) > LARGEST]:
        said = f"the run's config has {large[0]}, and more than {LARGEST:,} is no size of a network"
        raise ConfigError([f"{said}; set trust=true if you trust the folder"])


def leaves(node: Any, kind: type[T], key: str = "") -> Iterator[tuple[str, T]]:
    """(key, value) of every value of a kind in a node; the items of a list have the list's key."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield from leaves(value, kind, str(name))
    elif isinstance(node, list):
        for value in node:
            yield from leaves(value, kind, key)
    elif isinstance(node, kind):
        yield key, node


def is_known(key: str, text: str) -> bool:
    """Whether a text cannot run foreign code.

    A `_target_` must be a class of a KNOWN package; other texts must not be interpolations.
    """
    if key != "_target_":
        return "${" not in text  # a saved config has been resolved; Hydra would resolve it again
    if not text.startswith(KNOWN):  # so that nothing else is imported
        return False
    return any(locate(text) is one for one in known_classes())


@functools.cache
def known_classes() -> list[type]:
    """The classes that a config may name without trust: ganlab's parts, torch's layers and such."""
    found = [one for module in PARTS for one in vars(module).values()]
    of_torch = [one for one in vars(torch.optim).values() if is_kind(one, torch.optim.Optimizer)]
    of_torch += [one for one in vars(torch.nn).values() if is_kind(one, torch.nn.Module)]
    return [one for one in found if inspect.isclass(one) and is_own(one)] + of_torch


def is_kind(found: Any, kind: type) -> bool:
    """Whether it is a class of a kind."""
    return inspect.isclass(found) and issubclass(found, kind)


def is_own(found: type) -> bool:
    """Whether ganlab defines a class."""
    return found.__module__.startswith("ganlab.")
