"""What the page calls choices and measures: one name for each, in fields, titles and messages."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from ganlab.lab.live.setup import written

UNBOUNDED = (
    "Wasserstein needs a critic with a bounded slope, and nothing bounds it here: choose the "
    "regularizer gradient_penalty or weight_clip."
)
HUGE = 1e5  # a measure beyond it is shown in three digits

LABELS: Mapping[str, str] = {
    "data": "Data",
    "strokes": "Drawing",
    "loss": "Loss",
    "regularizers": "Regularizers",
    "g_optimizer": "Optimizer of G",
    "d_optimizer": "Optimizer of D",
    "g_rate": "Learning rate of G",
    "d_rate": "Learning rate of D",
    "momentum": "Momentum (Adam: β₁)",
    "k": "Steps of D (k)",
    "g_width": "Width of G",
    "g_depth": "Hidden layers of G",
    "d_width": "Width of D",
    "d_depth": "Hidden layers of D",
    "activation": "Activation",
    "latent": "Noise z",
    "latent_dim": "Dimensions of z",
    "batch": "Points in a minibatch (m)",
    "ema": "G's average (0: none)",
    "seed": "Seed",
    "health": "Health",
}


class Measure(NamedTuple):
    """A number below the picture.

    label: its name.
    form: the format of its value.
    text: what stands around the value; `most` is the number of modes.
    meaning: one sentence.
    """

    label: str
    form: str
    text: str
    meaning: str

    def spelled(self, value: float, most: int) -> str:
        """A value in words; in three digits if it is very large."""
        if not math.isfinite(value):
            return "not a number"
        form = ".3g" if abs(value) >= HUGE else self.form
        return self.text.format(value=f"{value:{form}}", most=most)


# measure -> in words, in the order in which the page shows them
MEASURES: Mapping[str, Measure] = {
    "modes": Measure(
        "Modes reached",
        ".0f",
        "{value} of {most}",
        "How many modes of the data have generated points within 3 standard deviations.",
    ),
    "near modes": Measure(
        "Generated points near a mode",
        ".0%",
        "{value}",
        "The share of generated points within 3 standard deviations of a mode: a mode counts as "
        "reached by a single one, so this may be small although all are reached.",
    ),
    "gradient": Measure(
        "Gradient that G hears",
        ".2g",
        "{value} on average",
        "The mean length of the arrows, before they are scaled to be drawn: 0 if nothing moves G.",
    ),
    "JSD": Measure(
        "JSD",
        "z.2f",
        "{value} nats",
        "The Jensen-Shannon divergence of p_g from p_data: 0 if they are the same, 0.69 (log 2) if "
        "they have no place in common.",
    ),
    "JSD of cells": Measure(
        "JSD of cells",
        "z.2f",
        "{value} nats",
        "The Jensen-Shannon divergence of p_g from p_data, both as shares of small squares: 0 if "
        "they are the same, 0.69 (log 2) if they have no square in common.",
    ),
    "W1": Measure(
        "Wasserstein distance W1",
        ".2f",
        "{value} units",
        "How far p_g's mass has to be moved, on average, to become p_data, in units of the axis.",
    ),
    "sliced W1": Measure(
        "Sliced Wasserstein distance",
        ".2f",
        "{value} units",
        "How far generated points have to be moved to lie as real ones do, seen along one line "
        "after another, on average, in units of the axes.",
    ),
    "C(G)": Measure(
        "C(G) = V(D*, G)",
        "z.2f",
        "{value} nats",
        "What the best D would win against this G: -1.39 (-log 4) if p_g is p_data, at most 0.",
    ),
    "V(D,G)": Measure(
        "V(D, G)",
        "z.2f",
        "{value} nats",
        "The value of the game, which D raises and G lowers: below C(G) as far as D is not yet D*.",
    ),
}


def short(name: str) -> str:
    """The label of a choice without what stands in brackets."""
    return LABELS[name].partition(" (")[0]


def named(name: str, value: Any) -> str:
    """A choice and its value: 'Learning rate of D = 0.005'."""
    if name == "regularizers":
        one_each = [f"Regularizer {one} = {strength:g}" for one, strength in value]
        return ", ".join(one_each) or "No regularizer"
    return f"{short(name)} = {f'{value:g}' if isinstance(value, float) else written(value)}"


def relabelled(sentence: str) -> str:
    """A message that begins with the name of a choice, with its label in place of the name."""
    name, colon, rest = sentence.partition(": ")
    return f"{short(name)}{colon}{rest}" if name in LABELS else sentence


def measured(numbers: Mapping[str, float], most: int) -> list[dict[str, str]]:
    """Measures as the page shows them: plain data.

    Args:
        numbers: by name.
        most: number of modes of the data; 0: it has none.
    """
    return [
        {
            "name": name,
            "label": one.label,
            "text": one.spelled(numbers[name], most),
        }
        for name, one in MEASURES.items()
        if name in numbers
    ]
