"""The curve of precision against recall over truncations."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ganlab.plots.figures import DPI, INK, D, quiet

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def curve(points: Mapping[str, tuple[float, float]], x: str, y: str) -> "Figure":
    """One labelled point for each truncation, joined in the order given.

    Args:
        points: label -> (recall, precision).
        x, y: names of the axes.
    """
    from matplotlib.figure import Figure

    figure = Figure((5.2, 4.2), dpi=DPI, layout="constrained", facecolor="white")
    axes = figure.subplots()
    recall, precision = zip(*points.values(), strict=True)
    axes.plot(recall, precision, "o-", color=D, lw=1.2, ms=4)
    for label, place in points.items():
        axes.annotate(
            label, place, xytext=(5, 4), textcoords="offset points", fontsize=8, color=INK
        )
    axes.set_xlabel(x, color=INK, fontsize=9)
    axes.set_ylabel(y, color=INK, fontsize=9)
    axes.margins(0.2)
    quiet(axes)
    return figure
