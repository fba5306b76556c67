"""The controls of the page: choices with their labels, the legend of the layers, the tour."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ganlab.lab.live.charts import CHARTS
from ganlab.lab.live.layers import Scale
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
from ganlab.lab.live.words import LABELS, MEASURES, named


@dataclass(frozen=True)
class Choice:
    """A control for a choice of the setup.

    Args:
        name: of the choice.
        options: of a menu; empty: it is a number.
        step: of a number, for its arrows.
    """

    name: str
    options: tuple[str, ...] = ()
    step: str = "1"

    @property
    def label(self) -> str:
        """What the page calls it."""
        return LABELS[self.name]

    @property
    def range(self) -> Range:
        """Of a number."""
        return RANGES[self.name]


# title -> (whether it applies while the training runs, its choices)
GROUPS: Mapping[str, tuple[bool, tuple[Choice, ...]]] = {
    "Game": (
        True,
        (
            Choice("loss", LOSSES),
            Choice("k"),
            Choice("batch"),
        ),
    ),
    "Optimizers": (
        True,
        (
            Choice("d_optimizer", OPTIMIZERS),
            Choice("d_rate", step="any"),
            Choice("g_optimizer", OPTIMIZERS),
            Choice("g_rate", step="any"),
            Choice("momentum", step="any"),
        ),
    ),
    "Data and noise": (
        False,
        (
            Choice("data", tuple(DATA)),
            Choice("latent", LATENTS),
            Choice("latent_dim"),
            Choice("seed"),
        ),
    ),
    "Networks": (
        False,
        (
            Choice("g_width"),
            Choice("g_depth"),
            Choice("d_width"),
            Choice("d_depth"),
            Choice("activation", ACTIVATIONS),
            Choice("ema", step="any"),
        ),
    ),
}
BEST_D = (
    "p_data / (p_data + p_g). The best D of a log or least-squares loss would say it against this "
    "G; a critic says other numbers."
)
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
        "What D says of each place.",
        "What D says of each x.",
    ),
    "optimal": (
        "D*, the best D",
        f"The probability that a point there is real: {BEST_D}",
        f"Dashed, the probability that an x is real: {BEST_D}",
    ),
    "densities": ("p_data and p_g", "", "The densities of the data (blue) and of G (orange)."),
    "gradients": (
        "Gradients that G hears",
        "Arrows show where G's loss pushes each point: the longer, the stronger.",
        "Arrows under the points show where G's loss pushes each: the longer, the stronger.",
    ),
    "warp": (
        "Warped grid of z",
        "Where G moves a regular grid of z: its lines are dense where G makes many points.",
        "Lines from z, below, to G(z), above: they meet where G makes many points.",
    ),
}
# what the loss takes D's output for -> how D is drawn then: in the plane, and on the line
SCALES: Mapping[Scale, tuple[str, str]] = {
    "probability": (
        "A probability: blue for real, orange for generated, clear where it is unsure.",
        "A probability: 1 for real, 0 for generated, one half where it is unsure.",
    ),
    "regression": (
        "A number without a sigmoid: near 1 (blue) for real, near 0 (orange) for generated points.",
        "A number without a sigmoid: near 1 for real, near 0 for generated points.",
    ),
    "critic": (
        "A critic, without a sigmoid, says any number: blue is its highest, orange its lowest.",
        "A critic, without a sigmoid, says any number: 1 is its highest, 0 its lowest.",
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
        "scales": SCALES,
        "colours": COLOURS,
        "measures": MEASURES,
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
        "number": stop.number,
        "after": stop.after,
        "cure": ", ".join(named(name, value) for name, value in stop.change.items()),
    }
