"""The controls of the page: choices with their labels, the legend of the layers, the tour."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ganlab.lab.live.charts import CHARTS
from ganlab.lab.live.desk import name_of
from ganlab.lab.live.link import SWITCHED
from ganlab.lab.live.picture import COLOURS
from ganlab.lab.live.setup import (
    ACTIVATIONS,
    DATA,
    LATENTS,
    LOSSES,
    OPTIMIZERS,
    RANGES,
    REGULARIZERS,
    Range,
    usual_strength,
)
from ganlab.lab.live.tour import TOUR


@dataclass(frozen=True)
class Choice:
    """A control for a choice of the setup.

    Args:
        name: of the choice.
        label: what the page calls it.
        options: of a menu; empty: it is a number.
        step: of a number, for its arrows.
    """

    name: str
    label: str
    options: tuple[str, ...] = ()
    step: str = "1"

    @property
    def range(self) -> Range:
        """Of a number."""
        return RANGES[self.name]


# title -> (whether it applies while the training runs, its choices)
GROUPS: Mapping[str, tuple[bool, tuple[Choice, ...]]] = {
    "Game": (
        True,
        (
            Choice("loss", "Loss", LOSSES),
            Choice("k", "k: updates of D for one of G"),
            Choice("batch", "m: points in a minibatch"),
        ),
    ),
    "Optimizers": (
        True,
        (
            Choice("d_optimizer", "Optimizer of D", OPTIMIZERS),
            Choice("d_rate", "Learning rate of D", step="any"),
            Choice("g_optimizer", "Optimizer of G", OPTIMIZERS),
            Choice("g_rate", "Learning rate of G", step="any"),
            Choice("momentum", "Momentum (Adam's first beta)", step="any"),
        ),
    ),
    "Data and noise": (
        False,
        (
            Choice("data", "Data", tuple(DATA)),
            Choice("latent", "Noise z", LATENTS),
            Choice("latent_dim", "Dimensions of z"),
            Choice("seed", "Seed"),
        ),
    ),
    "Networks": (
        False,
        (
            Choice("g_width", "Width of G"),
            Choice("g_depth", "Hidden layers of G"),
            Choice("d_width", "Width of D"),
            Choice("d_depth", "Hidden layers of D"),
            Choice("activation", "Activation", ACTIVATIONS),
            Choice("ema", "Decay of G's average (0: none)", step="any"),
        ),
    ),
}
# layer -> (its name, what it says in the plane, and on the line); "": it is not shown there
LEGEND: Mapping[str, tuple[str, str, str]] = {
    "real": (
        "Real points",
        "Samples x of the data.",
        "Samples x of the data, in the upper row under the curves.",
    ),
    "generated": (
        "Generated points",
        "Samples G(z), always of the same noise z, so you see how G moves them.",
        "Samples G(z), always of the same noise z, in the lower row under the curves.",
    ),
    "heat": (
        "D",
        "What D says of each place: blue for real, orange for generated, clear where it is unsure.",
        "What D says of each x: 1 for real, 0 for generated, one half where it is unsure.",
    ),
    "optimal": (
        "D*, the best D",
        "What the best possible D would say against this G: p_data / (p_data + p_g).",
        "What the best possible D would say against this G: p_data / (p_data + p_g), dashed.",
    ),
    "densities": ("p_data and p_g", "", "The densities of the data (blue) and of G (orange)."),
    "gradients": (
        "Gradients that G hears",
        "Arrows show where G's loss pushes each point: the longer, the stronger.",
        "Arrows show where G's loss pushes each point: the longer, the stronger.",
    ),
    "warp": (
        "Warped grid of z",
        "Where G moves a regular grid of z: its lines are dense where G makes many points.",
        "Lines from z, below, to G(z), above: they meet where G makes many points.",
    ),
}
SPEEDS = {"0": "as fast as it can", "100": "100 a second", "30": "30 a second", "10": "10 a second"}
SPEEDS |= {"3": "3 a second", "1": "1 a second"}


def parts() -> dict[str, Any]:
    """What the template of the page shows."""
    return {
        "groups": GROUPS,
        "regularizers": {name: usual_strength(name) for name in REGULARIZERS},
        "legend": {name: LEGEND[name] for name in SWITCHED},
        "colours": COLOURS,
        "charts": tuple(CHARTS),
        "speeds": SPEEDS,
        "tour": [tour_of(number) for number in range(len(TOUR))],
    }


def tour_of(number: int) -> dict[str, Any]:
    """A stop of the tour: plain data."""
    stop = TOUR[number]
    return {
        "name": stop.name,
        "title": stop.title,
        "sentences": stop.sentences,
        "advice": stop.advice,
        "cure": ", ".join(name_of(name, value) for name, value in stop.change.items()),
    }
