"""The picture of a training: points, heat map, warped grid, arrows; curves if it is on the line."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from bokeh.models import BasicTicker, ColumnDataSource, FixedTicker, LinearColorMapper, Range1d
from bokeh.plotting import figure

from ganlab.lab.live.layers import Array, Arrows, Densities, Heat, View, Warp
from ganlab.lab.live.screen import Change

Columns = dict[str, Any]
# Told apart by colour-blind readers (after Okabe and Ito 2008), and seen on white and on black.
REAL, GENERATED, ARROW, GRID, BEST = "#2f86d1", "#d9690f", "#c2459b", "#17936a", "#7d8894"
COLOURS = {
    "real": REAL,
    "generated": GENERATED,
    "heat": BEST,
    "optimal": BEST,
    "warp": GRID,
    "gradients": ARROW,
    "densities": REAL,
}
UNKNOWN, OPACITY = 255, 150  # of a heat map: where nothing is known; the most, of 255
ARROWS, REACH, LONGEST = 120, 0.25, 0.4  # how many; length per force; at most, of half the view
# Heights in a picture of the line, below the densities: points, the arrow of each, where G moves z,
# and z.
REAL_AT, GENERATED_AT, ARROWS_AT = -0.06, -0.12, (-0.17, -0.31)
X_AT, Z_AT, FLOOR = -0.35, -0.51, -0.55
LINES_1D = 4  # every so many of the lines from z to G(z)
# source -> its columns
SOURCES = {
    **dict.fromkeys(("heat", "optimal"), ("image", "low", "side")),
    **dict.fromkeys(("real", "generated", "drawn_real", "drawn_generated"), ("x", "y")),
    **dict.fromkeys(("warp", "d", "best", "p_data", "p_g"), ("x", "y")),
    "arrows": ("x0", "y0", "x1", "y1"),
    "heads": ("x", "y", "angle"),
}
# source -> the layer that it belongs to
LAYERS_OF = {
    **{name: name for name in ("real", "generated", "heat", "optimal", "warp")},
    "d": "heat",
    "best": "optimal",
    "p_data": "densities",
    "p_g": "densities",
    "arrows": "gradients",
    "heads": "gradients",
}


def palette() -> list[str]:
    """256 colours: from generated (0) over nothing (1/2) to real (1), and nothing at all."""
    shares = [i / (UNKNOWN - 1) * 2 - 1 for i in range(UNKNOWN)]
    known = [f"{REAL if s > 0 else GENERATED}{round(OPACITY * abs(s)):02x}" for s in shares]
    return [*known, "#00000000"]


class Picture:
    """Two square plots: of all layers, and of D* in the plane.

    Args:
        side: "left" or "right", for the names of the plots.
    """

    def __init__(self, side: str) -> None:
        self.sources = {
            name: ColumnDataSource({column: [] for column in columns}, name=f"{side} {name}")
            for name, columns in SOURCES.items()
        }
        self.x, self.y = Range1d(-1, 1), Range1d(-1, 1)
        # On the line heights below 0 mean nothing.
        self.tickers = {1: FixedTicker(ticks=[0, 0.25, 0.5, 0.75, 1]), 2: BasicTicker()}
        self.dim = 0  # whose ticker is in force; 0: Bokeh's own
        self.plot, self.best = (
            self._square(f"{side} picture"),
            self._square(f"{side} picture of D*"),
        )
        self._heat(self.best, "optimal")
        self._draw()

    def _square(self, name: str) -> figure:
        return figure(
            name=name,
            x_range=self.x,
            y_range=self.y,
            aspect_ratio=1,
            sizing_mode="stretch_width",
            output_backend="canvas",
            toolbar_location=None,
            tools="",
            min_border=0,
        )

    def _heat(self, plot: figure, name: str) -> None:
        mapper = LinearColorMapper(palette(), low=0, high=UNKNOWN)
        place = {"x": "low", "y": "low", "dw": "side", "dh": "side"}
        plot.image("image", **place, source=self.sources[name], color_mapper=mapper)

    def _draw(self) -> None:
        """The layers, from the back to the front."""
        plot, of = self.plot, self.sources
        self._heat(plot, "heat")
        plot.varea("x", 0, "y", source=of["p_data"], color=REAL, alpha=0.35)
        plot.varea("x", 0, "y", source=of["p_g"], color=GENERATED, alpha=0.35)
        plot.line("x", "y", source=of["p_data"], color=REAL, width=1.5)
        plot.line("x", "y", source=of["p_g"], color=GENERATED, width=1.5)
        plot.line("x", "y", source=of["best"], color=BEST, width=2.5, dash=[6, 5])
        plot.line("x", "y", source=of["d"], color=BEST, width=2.5)
        plot.line("x", "y", source=of["warp"], color=GRID, width=1, alpha=0.75)
        plot.scatter("x", "y", source=of["real"], color=REAL, size=4.5, alpha=0.7)
        plot.scatter("x", "y", source=of["generated"], color=GENERATED, size=4.5, alpha=0.85)
        marks = {"size": 9, "fill_alpha": 0, "line_width": 1.5}
        plot.scatter("x", "y", source=of["drawn_real"], line_color=REAL, **marks)
        plot.scatter("x", "y", source=of["drawn_generated"], line_color=GENERATED, **marks)
        plot.segment("x0", "y0", "x1", "y1", source=of["arrows"], color=ARROW, width=1.5)
        plot.scatter(
            "x", "y", angle="angle", source=of["heads"], color=ARROW, marker="triangle", size=6
        )

    def look(self, frame: Mapping[str, Any], view: View, dim: int) -> Iterator[Change]:
        """The ends of the axes: a part of the plane, or of the line with heights above it."""
        if dim != self.dim:
            self.dim, self.plot.yaxis[0].ticker = dim, self.tickers[dim]
        low, high = view
        upright = (low, high) if dim == 2 else (FLOOR, top_of(frame))
        for axis, ends in ((self.x, (low, high)), (self.y, upright)):
            yield axis, {"start": ends[0], "end": ends[1]}

    def take(self, frame: Mapping[str, Any], view: View, dim: int) -> dict[str, Columns]:
        """What the sources hold of a frame, by source.

        Args:
            frame: layers by name, and what slow motion has drawn: drawn_real, drawn_generated.
            view: the part that is shown.
            dim: of the data: 1 or 2.
        """
        return on_the_line(frame, view) if dim == 1 else in_the_plane(frame, view)

    def show(self, frame: Mapping[str, Any], view: View, dim: int) -> Iterator[Change]:
        """Axes and sources as they are with a frame; a source of which it has nothing is empty."""
        yield from self.look(frame, view, dim)
        columns = self.take(frame, view, dim)
        for name, source in self.sources.items():
            yield source, {"data": columns.get(name) or {column: [] for column in SOURCES[name]}}


def top_of(frame: Mapping[str, Any]) -> float:
    """The top of a picture of the line: D is at most 1, p_data may be higher."""
    return 1.1 * max([1.0, *frame["densities"].data] if "densities" in frame else [1.0])


def in_the_plane(frame: Mapping[str, Any], view: View) -> dict[str, Columns]:
    """Columns of a picture of the plane."""
    found = dict[str, Columns]()
    for name, value in frame.items():
        if name in ("heat", "optimal"):
            found[name] = heat_map(value, view)
        elif name == "warp":
            found[name] = grid(value.x)
        elif name == "gradients":
            found |= arrows(value, view)
        else:
            found[name] = xy(value[:, 0], value[:, 1])
    return found


def on_the_line(frame: Mapping[str, Any], view: View) -> dict[str, Columns]:
    """Columns of a picture of the line: densities above 0, points and what G does below."""
    found, heights = dict[str, Columns](), {"real": REAL_AT, "drawn_real": REAL_AT}
    curves: Densities | None = frame.get("densities")
    for name, value in frame.items():
        if name in ("heat", "optimal"):
            x = np.linspace(*view, len(value.values) + 1)
            found["d" if name == "heat" else "best"] = xy((x[:-1] + x[1:]) / 2, value.values)
        elif name == "warp":
            found[name] = threads(value, view)
        elif name == "gradients":
            found |= arrows(value, view)
        elif name == "densities" and curves is not None:
            found |= {"p_data": xy(curves.x, curves.data), "p_g": xy(curves.x, curves.generated)}
        else:
            height = heights.get(name, GENERATED_AT)
            found[name] = xy(value[:, 0], np.full(len(value), height))
    return found


def xy(x: Array, y: Array) -> Columns:
    """Points, as the browser takes them."""
    return {"x": x.astype(np.float32), "y": y.astype(np.float32)}


def heat_map(heat: Heat, view: View) -> Columns:
    """An image of bytes; UNKNOWN where the heat is not a number."""
    scaled = np.nan_to_num(heat.values * (UNKNOWN - 1), nan=UNKNOWN).round().astype(np.uint8)
    return {"image": [scaled], "low": [view.low], "side": [view.high - view.low]}


def grid(x: Array) -> Columns:
    """The lines of a grid (rows, columns, 2), or a line (n, 2), as one line with gaps."""
    if x.ndim == 2:
        return xy(x[:, 0], x[:, 1])
    along = [
        np.pad(one, ((0, 0), (0, 1), (0, 0)), constant_values=np.nan)
        for one in (x, x.swapaxes(0, 1))
    ]
    points = np.concatenate([one.reshape(-1, 2) for one in along])
    return xy(points[:, 0], points[:, 1])


def threads(warp: Warp, view: View) -> Columns:
    """Lines from z, which the width of the picture holds, up to G(z), as one line with gaps."""
    z, x = (side.reshape(-1, side.shape[-1])[::LINES_1D, 0] for side in (warp.z, warp.x))
    wide = np.abs(z).max() or 1.0
    placed = (view.low + view.high) / 2 + z / wide * (view.high - view.low) / 2 * 0.9
    gaps = np.full_like(x, np.nan)
    heights = np.tile(np.array([Z_AT, X_AT, np.nan]), len(x))
    return xy(np.stack([placed, x, gaps], axis=1).ravel(), heights)


def arrows(pushed: Arrows, view: View) -> dict[str, Columns]:
    """Segments and heads; lengths show the force, up to a longest one."""
    at, force = pushed.at[:ARROWS], pushed.force[:ARROWS] * REACH
    longest = LONGEST * (view.high - view.low) / 2
    length = np.linalg.norm(force, axis=1, keepdims=True)
    to = at + force * np.minimum(1, longest / np.maximum(length, 1e-12))
    if at.shape[1] == 1:
        heights = np.linspace(*ARROWS_AT, len(at))[:, None]
        at, to = (np.concatenate([p, heights], axis=1) for p in (at, to))
    seen = np.linalg.norm(to - at, axis=1) > (view.high - view.low) / 200
    at, to = at[seen].astype(np.float32), to[seen].astype(np.float32)
    angle = np.arctan2(to[:, 1] - at[:, 1], to[:, 0] - at[:, 0]) - np.pi / 2
    ends = {"x0": at[:, 0], "y0": at[:, 1], "x1": to[:, 0], "y1": to[:, 1]}
    return {"arrows": ends, "heads": {**xy(to[:, 0], to[:, 1]), "angle": angle}}
