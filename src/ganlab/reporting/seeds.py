"""The spread over seeds: mean, standard deviation and number of runs of each experiment."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from ganlab.reporting.budget import cut
from ganlab.scoring import tables
from ganlab.scoring.scorecard import spread
from ganlab.sweeps.scores import Result, experiments


class Spread(NamedTuple):
    """An experiment.

    Args:
        label: its settings.
        mean: with its 95% interval.
        deviation: standard deviation over the seeds; "" of a single run.
        n: scored runs.
        runs: all of them.
        dots: place of each score in 0..1 between the least and the greatest of the table.
        middle: place of the mean.
    """

    label: str
    mean: str
    deviation: str
    n: int
    runs: int
    dots: list[float]
    middle: float


def spreads(found: Sequence[Result], by: str) -> list[Spread]:
    """The experiments, the best first; those without a finite score are left out.

    None if no experiment has several seeds.
    """
    made = []
    for one in experiments(found, by):
        values = [v for card in one.cards if math.isfinite(v := card.scores[by].value)]
        if values:
            made.append((one, values))
    if all(len(values) < 2 for _, values in made):
        return []
    every = [value for _, values in made for value in values]
    low, high = min(every, default=0), max(every, default=0)

    def place(value: float) -> float:
        return (value - low) / (high - low) if high > low else 0.5

    rows = []
    for one, values in made:
        score = spread(values)
        deviation = f"{score.deviation:.3g}" if score.deviation is not None else ""
        dots, middle = [place(value) for value in values], place(score.value)
        told = cut(one.label), tables.spelled(score), deviation
        rows.append(Spread(*told, len(values), len(one.results), dots, middle))
    return rows
