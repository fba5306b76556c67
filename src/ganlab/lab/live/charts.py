"""Curves over the iterations, of one training or of two."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from bokeh.models import ColumnDataSource, Legend, LegendItem, Range1d, Span
from bokeh.plotting import figure

from ganlab.lab.live.picture import ARROW, BEST, GENERATED, GRID, REAL
from ganlab.lab.live.screen import Change

Curve = Sequence[tuple[int, float]]
# title -> reading -> (name in the legend, colour)
CHARTS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "Losses": {"loss/d": ("of D", REAL), "loss/g": ("of G", GENERATED)},
    "Mean output of D": {"D(x)": ("real", REAL), "D(G(z))": ("generated", GENERATED)},
    "Distance of p_g from p_data": {
        "JSD": ("JSD", GRID),
        "JSD of cells": ("JSD of cells", GRID),
        "W1": ("W1", ARROW),
        "sliced W1": ("sliced W1", ARROW),
    },
    "Value": {"V(D,G)": ("V(D, G)", REAL), "C(G)": ("C(G) = V(D*, G)", BEST)},
    "Modes": {"modes": ("modes with generated points", GRID)},
}
SIDES = ("left", "right")
POINTS = 400  # of a curve, as drawn


class Charts:
    """One plot for each of CHARTS; the right side's curves are dashed."""

    def __init__(self) -> None:
        self.sources = {
            (side, name): ColumnDataSource({"x": [], "y": []})
            for side in SIDES
            for curves in CHARTS.values()
            for name in curves
        }
        self.x, self.items = Range1d(0, 1), dict[str, LegendItem]()
        self.now = Span(dimension="height", line_color=BEST, line_dash="dotted", location=0)
        self.plots = {title: self._chart(title, curves) for title, curves in CHARTS.items()}

    def _chart(self, title: str, curves: Mapping[str, tuple[str, str]]) -> figure:
        plot = figure(
            name=title,
            x_range=self.x,
            y_range=Range1d(0, 1),
            height=190,
            sizing_mode="stretch_width",
            toolbar_location=None,
            tools="",
            min_border=0,
        )
        for name, (label, colour) in curves.items():
            for side, dash in zip(SIDES, ("solid", [5, 4]), strict=True):
                source = self.sources[side, name]
                line = plot.line("x", "y", source=source, color=colour, width=1.75, line_dash=dash)
                if side == SIDES[0]:
                    self.items[name] = LegendItem(label=label, renderers=[line])
        style = {"orientation": "horizontal", "border_line_alpha": 0, "background_fill_alpha": 0}
        legend = Legend(items=[self.items[name] for name in curves], padding=0, margin=0, **style)
        plot.add_layout(legend, "above")
        plot.add_layout(self.now)
        plot.xaxis.ticker.desired_num_ticks = 4
        plot.yaxis.ticker.desired_num_ticks = 4
        return plot

    def show(self, sides: Sequence[Mapping[str, Curve]], now: int) -> Iterator[Change]:
        """The curves of each side, with axes and legends that fit them."""
        given = dict(zip(SIDES, sides, strict=False))
        for (side, name), source in self.sources.items():
            yield source, {"data": thinned(given.get(side, {}).get(name, ()))}
        for name, item in self.items.items():
            yield item, {"visible": any(name in curves for curves in sides)}
        yield self.now, {"location": now}
        ends = [curve[-1][0] for curves in sides for curve in curves.values() if curve]
        yield self.x, {"end": max([now, *ends, 1])}
        for title, curves in CHARTS.items():
            shown = [side[name] for side in sides for name in curves if name in side]
            low, high = extent([value for curve in shown for _, value in curve])
            yield self.plots[title].y_range, {"start": low, "end": high}


def titles(curves: Mapping[str, Curve]) -> list[str]:
    """The titles of the charts that show any of these curves."""
    return [title for title, names in CHARTS.items() if names.keys() & curves.keys()]


def extent(values: Sequence[float]) -> tuple[float, float]:
    """A range that holds 98% of the finite values, and 0 if it is near, with a margin."""
    finite = np.asarray(values)[np.isfinite(values)]
    low, high = np.quantile(finite, (0.01, 0.99)) if len(finite) else (0, 1)
    low, high = (0 if 0 < low < 0.5 * high else low), (0 if 0.5 * low < high < 0 else high)
    margin = 0.06 * (high - low) or 0.5
    return float(low - margin), float(high + margin)


def thinned(curve: Curve) -> dict[str, np.ndarray]:
    """At most POINTS of a curve, evenly spread, with the last."""
    step = max(1, len(curve) // POINTS)
    points = np.asarray([*curve[:-1:step], *curve[-1:]], dtype=np.float64).reshape(-1, 2)
    return {"x": points[:, 0], "y": points[:, 1]}
