"""A model from a run's folder, which may come from a stranger: only known classes are built."""

import functools
import inspect
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import torch

from ganlab import (
    augment,
    conditioning,
    data,
    gan,
    latent,
    losses,
    networks,
    optimizers,
    regularizers,
    schedules,
)
from ganlab.config.settings import Node
from ganlab.config.targets import locate
from ganlab.errors import ConfigError, DamagedError
from ganlab.experiments.experiment import Experiment
from ganlab.gan import GAN
from ganlab.runs.folder import Run, Which
from ganlab.scoring import plans
from ganlab.spec import spec_of
from ganlab.storage import checkpoint

BUILT = (  # root keys that make a GAN; the data, the trainer and the loggers are not needed for one
    "gan",
    "model",
    "loss",
    "conditioning",
    "regularizer",
    "augment",
    "latent",
    "ema",
    "g_optimizer",
    "d_optimizer",
    "g_schedule",
    "d_schedule",
)
KNOWN = ("ganlab.", "torch.nn.", "torch.optim.")  # packages that are imported to look up a class
PARTS = [augment, conditioning, data, gan, latent, losses, networks, optimizers, regularizers]
PARTS += [schedules, plans]


def restore(run: Run, which: Which = "last", *, trust: bool = False) -> GAN:
    """The GAN of one of a run's checkpoints, on the CPU.

    Args:
        run: its folder.
        which: its newest checkpoint, or the one with the best score.
        trust: build whatever the config names; False: only classes of ganlab, torch.nn and
            torch.optim: a folder from a stranger could name anything that is installed.

    Raises:
        ConfigError: the folder is no run, has no sound checkpoint, or names what is not trusted.
    """
    config = run.config()
    if not trust:
        require_known(config)
    saved = last(run) if which == "last" else best(run)
    gan = Experiment(**config).build_gan(spec_of(saved["spec"]))
    gan.load_state_dict(saved["state_dict"])
    gan.on_load_checkpoint(saved)
    return gan.eval()


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
    try:
        return checkpoint.read(path)
    except DamagedError as error:
        raise ConfigError([str(error)]) from error


def require_known(config: Node, keys: Iterable[str] = BUILT) -> None:
    """Raises ConfigError if these root keys call anything but classes of KNOWN packages."""
    built = {name: config[name] for name in keys if name in config}
    foreign = [text for key, text in strings(built) if not is_known(key, text)]
    if foreign:
        names = ", ".join(foreign)
        raise ConfigError(
            [f"the run's config names {names}; set trust=true if you trust the folder"]
        )


def strings(node: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """(key, text) of every text inside a node; the items of a list have the key of the list."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield from strings(value, str(name))
    elif isinstance(node, list):
        for value in node:
            yield from strings(value, key)
    elif isinstance(node, str):
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
