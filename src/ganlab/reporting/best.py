"""The expected best of k runs: what a budget of k random points gives."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ganlab.reporting import curves
from ganlab.reporting.table import Column
from ganlab.scoring.scorecard import less_is_better
from ganlab.sweeps.scores import Result, best_of, points
from ganlab.sweeps.study import AGAIN

if TYPE_CHECKING:
    from bokeh.plotting import figure

ALL = "all runs"
BUDGETS = 200  # points of a line


def lines(found: Sequence[Result], grouped: Sequence[Column], by: str) -> dict[str, Any]:
    """Name of a choice -> {label, k, best} of each of its values; first, all runs together.

    A run that has failed counts as the worst score of all runs; the points of a study that were
    trained again with fresh seeds do not count.
    """
    smaller = less_is_better(by)
    scored = [result.card.scores[by].value for result in found if result.card is not None]
    worst = (max if smaller else min)(scored)
    counted = [i for i, result in enumerate(found) if result.job.stage != AGAIN]

    def line(label: str, chosen: Sequence[int]) -> dict[str, Any] | None:
        values = points([found[i] for i in chosen], by, worst)
        if not values:
            return None
        ks = sorted({round(1 + i * (len(values) - 1) / BUDGETS) for i in range(BUDGETS + 1)})
        return {"label": label, "k": ks, "best": [best_of(values, k, smaller=smaller) for k in ks]}

    def by_value(column: Column) -> list[dict[str, Any]]:
        groups = {
            value.text: [i for i in counted if column.cells[i].text == value.text]
            for value in column.values
        }
        found = (line(f"{column.name}={value}", chosen) for value, chosen in groups.items())
        return [one for one in found if one is not None]

    whole = line(ALL, counted)
    made: Mapping[str, Any] = {column.name: by_value(column) for column in grouped}
    drawn = {name: listed for name, listed in made.items() if listed}
    return {ALL: [whole] if whole else [], **drawn}


def plot() -> "figure":
    """A plot; the page's script puts the lines in."""
    return curves.lines("budgets", "k")
