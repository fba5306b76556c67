"""The runs of a comparison: a width for each kind, so that all draw with as many parameters."""

import bisect
import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from ganlab.commands.composition import Composer
from ganlab.errors import ConfigError
from ganlab.experiments.experiment import Experiment
from ganlab.lab.generative.kinds import Data, Kind
from ganlab.lab.training import Planned, planned


@dataclass(frozen=True)
class Entry:
    """A kind on some data.

    Args:
        kind: of network.
        data: that it learns.
        refusal: why it cannot; None: it can.
        plans: its runs, one for each seed.
        width: of its layers.
        drawing: trained parameters of the network that draws.
        trained: of the whole model, with what helps in training alone.
    """

    kind: Kind
    data: Data
    refusal: str | None = None
    plans: list[Planned] = field(default_factory=list)
    width: int = 0
    drawing: int = 0
    trained: int = 0


def entry(
    kind: Kind, data: Data, given: Sequence[str], seeds: int, parameters: int, composer: Composer
) -> Entry:
    """A kind on some data, with its runs composed and checked, or the reason why it has none.

    Args:
        kind, data: which.
        given: overrides of all runs: the time, where they go, and what else is asked for.
        seeds: how many runs.
        parameters: of the network that draws, as near as a width can come.
        composer: of all runs.

    Raises:
        ConfigError: what is asked for is wrong, though the kind could learn this data.
    """
    words = kind.words(data)
    try:
        first = planned([*words, *given], composer, by_clock=True)
    except ConfigError as error:
        return refused(kind, data, composer, error)
    width = nearest_width(kind, first.config, parameters)
    words = [*words, *kind.width(width), *given]
    plans = [planned([*words, f"seed={s}"], composer, by_clock=True) for s in range(seeds)]
    drawing, trained = counts(plans[0].config)
    return Entry(kind, data, None, plans, width, drawing, trained)


def refused(kind: Kind, data: Data, composer: Composer, error: ConfigError) -> Entry:
    """The entry of a kind that refuses the data by itself.

    Raises:
        ConfigError: it does not: the mistake is in what was asked for.
    """
    try:
        planned(kind.words(data), composer)
    except ConfigError as own:
        reason = own.problems[0].partition("; set ")[0]  # another model would be another kind
        return Entry(kind, data, reason)
    raise error


def nearest_width(kind: Kind, config: dict[str, Any], parameters: int) -> int:
    """The width whose drawing network comes nearest to so many parameters.

    Args:
        kind: of network.
        config: completed, with any width.
        parameters: at least 1.
    """

    def drawing(width: int) -> int:
        return counts(with_width(kind, config, width), whole=False)[0]

    above = 1 + bisect.bisect_left(range(1, parameters), parameters, key=drawing)
    return min((max(1, above - 1), above), key=lambda width: abs(drawing(width) - parameters))


def with_width(kind: Kind, config: dict[str, Any], width: int) -> dict[str, Any]:
    """A completed config with another width."""
    config = {**config, "model": copy.deepcopy(config["model"])}
    for key in kind.widths:
        _, part, name = key.split(".")
        config["model"][part][name] = kind.hidden(width)
    return config


def counts(config: dict[str, Any], *, whole: bool = True) -> tuple[int, int]:
    """Trained parameters of the network that draws, and of the whole model (0: not asked for)."""
    experiment = Experiment(**config)
    with torch.device("meta"):  # shapes alone, without memory
        if whole:
            model = experiment.build()
            return count(model.generator), count(model)
        return count(experiment.drawing(experiment.source.spec)["generator"]), 0


def count(network: nn.Module) -> int:
    """The number of parameters that training changes."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)
