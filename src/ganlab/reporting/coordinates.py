"""Parallel coordinates: a line for each run over its choices and scores (Inselberg 1985)."""

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ganlab.reporting.budget import cut
from ganlab.reporting.table import Column

if TYPE_CHECKING:
    from bokeh.plotting import figure

MOST = 9  # axes
HEIGHT = 400  # pixels
TICKS = 5  # of a score
SPREAD = 9  # a positive axis that spans a larger factor is logarithmic
BETTER, WORSE = (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)  # blue and vermilion of Okabe and Ito
MISSING = "#8a8f96"
LETTERS = 14  # of a value beside an axis
ACROSS = 16  # letters of a line of an axis's name
UNIT = 116  # pixels between two axes, at least
LEFT, RIGHT = 0.95, 0.55  # room for texts beside the first and the last axis, in units
APART = 0.045  # between two texts of an axis, of its length


class Axis(NamedTuple):
    """An axis: where each run crosses it, and the texts beside it.

    Args:
        name: of the column.
        kind: linear, log or choice.
        low, high: values at its ends; of a choice, indices.
        places: in 0..1, of each run; None if it has no value.
        ticks: place -> text.
    """

    name: str
    kind: str
    low: float
    high: float
    places: list[float | None]
    ticks: dict[float, str]


def axes(columns: Sequence[Column]) -> list[Axis]:
    """The axes: settings with more than one value, and then scores."""
    varied = [c for c in columns if c.score is None and is_varied(c)]
    scored = [c for c in columns if c.score is not None and is_varied(c)]
    settings = [c for c in varied if c.name not in ("state", "health") and c.kind != "text"]
    chosen = settings[: MOST - min(len(scored), 3)]
    return [axis(column) for column in [*chosen, *scored[: MOST - len(chosen)]]]


def is_varied(column: Column) -> bool:
    """Whether the runs have different values."""
    return len({cell.value for cell in column.cells if cell.value is not None}) > 1


def axis(column: Column) -> Axis:
    """The axis of a column."""
    if column.kind != "number":
        steps = max(1, len(column.values) - 1)
        at = {value.text: i / steps for i, value in enumerate(column.values)}
        ticks = {place: cut(value, LETTERS) for value, place in at.items()}
        found = [at[c.text] if c.value is not None else None for c in column.cells]
        return Axis(column.name, "choice", 0, steps, found, ticks)
    low, high = min(column.numbers), max(column.numbers)
    log = low > 0 and high / low > SPREAD
    scale = math.log if log else float
    first, last = scale(low), scale(high)

    def place(value: Any) -> float:
        return (scale(value) - first) / (last - first)

    found = [place(cell.value) if cell.value is not None else None for cell in column.cells]
    if column.values:
        ticks = {place(value): text for text, value in column.values}
    else:
        evenly = [i / (TICKS - 1) for i in range(TICKS)]
        values = [first + (last - first) * place for place in evenly]
        texts = [f"{math.exp(value) if log else value:.3g}" for value in values]
        ticks = dict(zip(evenly, texts, strict=True))
    return Axis(column.name, "log" if log else "linear", low, high, found, ticks)


def colours(columns: Sequence[Column]) -> list[str]:
    """Blue for the best run by the first score, vermilion for the worst, by rank."""
    first = next(column for column in columns if column.score is not None)
    values = [c.value for c in first.cells]
    known = [(value, i) for i, value in enumerate(values) if isinstance(value, int | float)]
    ranked = [i for _, i in sorted(known, reverse=not first.score)]
    found = [MISSING] * len(values)
    for rank, i in enumerate(ranked):
        share = rank / max(1, len(ranked) - 1)
        mixed = (round(b + share * (w - b)) for b, w in zip(BETTER, WORSE, strict=True))
        found[i] = "#" + "".join(f"{part:02x}" for part in mixed)
    return found


def plot(listed: Sequence[Axis], shades: Sequence[str], labels: Sequence[str]) -> "figure":
    """The plot, named `coordinates`, with a line for each run.

    A run without a value on an axis has a line with a gap there.
    """
    from bokeh.models import ColumnDataSource, FixedTicker, HoverTool, LinearAxis, Range1d
    from bokeh.plotting import figure

    drawn = figure(
        height=HEIGHT,
        sizing_mode="stretch_width",
        x_range=Range1d(start=-LEFT, end=len(listed) - 1 + RIGHT),
        y_range=Range1d(start=-0.06, end=1.06),
        tools="box_select",
        toolbar_location=None,
        name="coordinates",
    )
    drawn.yaxis.visible = False
    drawn.grid.visible = False
    drawn.outline_line_width = 0
    drawn.xaxis.ticker = FixedTicker(ticks=list(range(len(listed))))
    names = {i: wrapped(axis.name) for i, axis in enumerate(listed)}
    drawn.xaxis.major_label_overrides = names
    drawn.xaxis.axis_line_color = drawn.xaxis.major_tick_line_color = None
    nan = float("nan")
    ys: list[Any] = [
        [place if (place := a.places[i]) is not None else nan for a in listed]
        for i in range(len(shades))
    ]
    data = {
        "xs": [list(range(len(listed)))] * len(ys),
        "ys": ys,
        "color": list(shades),
        "alpha": [0.7] * len(ys),
        "label": list(labels),
    }
    lines = drawn.multi_line(
        "xs",
        "ys",
        line_color="color",
        line_alpha="alpha",
        line_width=1.5,
        source=ColumnDataSource(data),
    )
    lines.nonselection_glyph = lines.selection_glyph = None
    drawn.add_tools(HoverTool(renderers=[lines], tooltips=[("", "@label")], line_policy="nearest"))
    for i, one in enumerate(listed):
        upright = LinearAxis(fixed_location=i, minor_tick_line_color=None)
        upright.update(ticker=FixedTicker(ticks=[*one.ticks]), major_label_text_font_size="0px")
        drawn.add_layout(upright, "left")
    texts = drawn.text(
        "x",
        "y",
        "text",
        source=ColumnDataSource(texts_of(listed)),
        text_align="right",
        text_baseline="middle",
        text_font_size="11px",
        x_offset=-9,
        padding=2,
        name="texts",
    )
    texts.nonselection_glyph = texts.selection_glyph = None
    return drawn


def texts_of(listed: Sequence[Axis]) -> dict[str, list[Any]]:
    """The values beside the axes, for the plot: those that would cover others are left out."""
    found: dict[str, list[Any]] = {"x": [], "y": [], "text": []}
    for i, one in enumerate(listed):
        last = -math.inf
        for place, text in sorted(one.ticks.items()):
            if place - last >= APART:
                found["x"].append(i)
                found["y"].append(place)
                found["text"].append(text)
                last = place
    return found


def width(axes: int) -> int:
    """The least width of a plot of so many axes, in pixels."""
    return round(UNIT * (axes - 1 + LEFT + RIGHT))


def wrapped(name: str) -> str:
    """A name in lines that fit below an axis: it is broken after '/', '.', '_' and '-'."""
    lines = [""]
    for piece in re.findall(r"[^/._-]*[/._-]?", cut(name, 60)):
        if lines[-1] and len(lines[-1]) + len(piece) > ACROSS:
            lines.append("")
        lines[-1] += cut(piece, ACROSS)
    return "\n".join(lines)
