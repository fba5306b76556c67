"""The curve of precision against recall over truncations."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ganlab.plots.figures import DPI, INK, D, quiet

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def curve(points: Sequence[tuple[str, float, float]], x: str, y: str) -> "Figure":
    """One labelled point for each truncation, joined in the order given.

    Args:
        points: (label, recall, precision) of each.
        x, y: names of the axes.
    """
    from matplotlib.figure import Figure

    figure = Figure((5.2, 4.2), dpi=DPI, layout="constrained", facecolor="white")
    axes = figure.subplots()
    axes.plot([p[1] for p in points], [p[2] for p in points], "o-", color=D, lw=1.2, ms=4)
    for i, (label, recall, precision) in enumerate(points):
        aside = (6, 5) if i % 2 else (6, -11)
        axes.annotate(
            label, (recall, precision), aside, textcoords="offset points", fontsize=8, color=INK
        )
    axes.set_title("truncation", loc="left", fontsize=9, color=INK)
    axes.set_xlabel(x, color=INK, fontsize=9)
    axes.set_ylabel(y, color=INK, fontsize=9)
    axes.margins(0.12)
    quiet(axes)
    return figure
