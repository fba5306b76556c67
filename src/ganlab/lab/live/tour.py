"""The tour of the lectures: presets that show a phenomenon, and what to try on each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ganlab.lab.live.setup import Setup


@dataclass(frozen=True)
class Stop:
    """A stop of the tour.

    Args:
        name: a word for menus and links.
        title: the term of the field.
        setup: what is trained.
        beside: what is trained beside it, from the same seed; None: nothing.
        iterations: after which the phenomenon shows.
        sentences: what there is to see: exactly three.
        advice: what to try.
        cure: choices for `LiveTraining.change` that mend it; empty: there is nothing to mend.
        cured_after: iterations after the change until that shows; 0: there is no cure.
        layers: those to look at.
    """

    name: str
    title: str
    setup: Setup
    iterations: int
    sentences: tuple[str, str, str]
    advice: str
    beside: Setup | None = None
    cure: Mapping[str, Any] = field(default_factory=dict)
    cured_after: int = 0
    layers: tuple[str, ...] = ("real", "generated", "heat")


RING = Setup()
TOUR: tuple[Stop, ...] = (
    Stop(
        "vanishing-gradient",
        "Vanishing gradient",
        Setup(loss="minimax", g_optimizer="sgd", g_rate=1e-3, d_rate=5e-3, k=5),
        600,
        (
            "D learns fast, makes five updates for each of G, and soon tells real points from "
            "generated ones without error.",
            "G descends log(1 - D(G(z))), whose slope is almost 0 where D is sure, so the arrows "
            "shrink to nothing.",
            "G stays where it started, although its loss says clearly that it is bad.",
        ),
        "Change the loss to nonsaturating: the arrows grow at once, for the same D.",
        cure={"loss": "nonsaturating", "g_optimizer": "adam"},
        cured_after=1000,
        layers=("real", "generated", "heat", "gradients"),
    ),
    Stop(
        "mode-collapse",
        "Mode collapse",
        Setup(loss="minimax", g_optimizer="sgd", g_rate=0.01, d_rate=1e-3),
        1000,
        (
            "The data has eight modes, and G makes points for few of them, whatever the noise.",
            "D learns to reject those, and G moves on without learning the others.",
            "The warped grid of z is folded into a small place: different z give the same point.",
        ),
        "Change the loss to nonsaturating and G's optimizer to adam: the modes come back.",
        cure={"loss": "nonsaturating", "g_optimizer": "adam", "g_rate": 1e-3},
        cured_after=3000,
        layers=("real", "generated", "heat", "warp"),
    ),
)
