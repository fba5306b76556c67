"""The laboratory: experiments on data with a known distribution, each a command.

`ganlab lab NAME [name=value ...]`.  Parameters of the laboratory's function are its options; all
other words are overrides for the runs that it trains, as on the command line of `ganlab train`.

May import: __init__, callbacks, commands, compatibility, config, data, errors, experiments, gan,
generative, health, latent, losses, metrics, optimizers, pages, plots, runs, sampler, scoring, spec,
storage, sweeps, train, training.
Libraries: PIL, bokeh, matplotlib, numpy, omegaconf, pytorch_lightning, torch, tornado, yaml.
"""

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ganlab.commands import command_line
from ganlab.config.targets import parameters
from ganlab.config.words import nearest
from ganlab.errors import ConfigError

# name -> (module:function, imported on use; what it shows, in a line)
LABS = {
    "figure-1": (
        "ganlab.lab.figure_1:figure_1",
        "figure 1 of Goodfellow et al. 2014, live: p_g moves to p_data, D to 1/2",
    ),
    "proposition-1": (
        "ganlab.lab.proposition_1:proposition_1",
        "G is fixed, and D trains towards D* = p_data / (p_data + p_g)",
    ),
    "vanishing-gradient": (
        "ganlab.lab.vanishing_gradient:vanishing_gradient",
        "for distant distributions JSD is flat, Wasserstein-1 has a slope",
    ),
    "saddle-point": (
        "ganlab.lab.saddle_point:saddle_point",
        "two players on saddle points: which methods converge, cycle or diverge",
    ),
    "grid": ("ganlab.lab.grid:grid", "which losses find all 25 Gaussians of a grid"),
    "generative": (
        "ganlab.lab.generative.command:generative",
        "a GAN, a VAE, an RBM and an SBN in equal time and with equal networks",
    ),
    "mode-collapse": (
        "ganlab.lab.failures:mode_collapse",
        "fails on purpose: two or three images, whatever the noise",
    ),
    "one-image": ("ganlab.lab.failures:one_image", "fails on purpose: all samples are one image"),
    "oscillation": (
        "ganlab.lab.failures:oscillation",
        "fails on purpose: an image that changes over time, and never settles",
    ),
    "overpowered-discriminator": (
        "ganlab.lab.failures:overpowered_discriminator",
        "fails on purpose: D is so confident that G learns nothing",
    ),
    "live": (
        "ganlab.lab.live.server:live",
        "a page in which a training runs and you play with it",
    ),
    "live export": (
        "ganlab.lab.live.export:export",
        "the same as one HTML file, with a slider over a recorded run",
    ),
}


def run(words: Sequence[str]) -> list[Path]:
    """Runs a laboratory; returns the files it has written.

    Args:
        words: its name, then its options and overrides.

    Raises:
        ConfigError: there is no such laboratory, or a word is invalid.
    """
    name, rest = named(words)
    return called(located(name), rest)


def named(words: Sequence[str]) -> tuple[str, Sequence[str]]:
    """The name of a laboratory, which may have two words, and the words after it."""
    two = " ".join(words[:2])
    return (two, words[2:]) if two in LABS else (words[0], words[1:])


def located(name: str) -> Callable[..., list[Path]]:
    """The function of a laboratory.

    Raises:
        ConfigError: there is no such laboratory.
    """
    if name not in LABS:
        raise ConfigError([f"there is no '{name}'{nearest(name, LABS)} ({', '.join(LABS)})"])
    module, _, function = LABS[name][0].partition(":")
    found: Callable[..., list[Path]] = getattr(importlib.import_module(module), function)
    return found


def called(function: Callable[..., Any], words: Sequence[str]) -> Any:
    """Calls a laboratory with its own options, and all other words as `overrides`."""
    if command_line.HELP & set(words) or "overrides" not in parameters(function):
        return command_line.called(function, list(words))
    own, others = split(function, words)
    return command_line.called(function, own, overrides=others)


def split(function: Callable[..., Any], words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Splits words into a laboratory's own options and overrides for the runs that it trains."""
    options = parameters(function).keys() - {"overrides"}
    own = [word for word in words if word.partition("=")[0] in options]
    return own, [word for word in words if word not in own]
