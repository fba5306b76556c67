"""Curves of readings: thinned numbers for the page, and the plots that its script fills."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganlab.plots import figures
from ganlab.plots.figures import LOGARITHMIC, Series
from ganlab.reporting import budget
from ganlab.runs.readings import AXES

if TYPE_CHECKING:
    from bokeh.plotting import figure

HEIGHT = 240  # pixels
COLUMNS = 24  # of metrics.csv, about
DIGITS = 5
PLACEHOLDER = {  # BokehJS complains of a plot without any line
    "xs": [[0, 1]],
    "ys": [[1, 2]],
    "color": ["transparent"],
    "dash": ["solid"],
    "label": [""],
}
NO_DOTS: dict[str, list[Any]] = {"x": [], "y": [], "color": [], "label": []}
FEWEST = 8  # points of a curve


def points(runs: int) -> int:
    """The most points of a curve, so that the curves of all runs fit."""
    return max(FEWEST, min(budget.POINTS, budget.NUMBERS // (runs * COLUMNS)))


def read(run: Path, most: int) -> dict[str, Series]:
    """The columns of metrics.csv, at most so many points each.

    Raises:
        ConfigError: the file is damaged.
    """
    return figures.read(run / "metrics.csv", most)


def is_thinned(readings: Mapping[str, Series], most: int) -> bool:
    """Whether points may have been left out: `read` takes two of each stretch of rows."""
    return any(len(x) >= most - 2 for x, _ in readings.values()) and most > FEWEST


def plain(readings: Mapping[str, Series]) -> dict[str, Any]:
    """The numbers for the page.

    Columns of the same iterations share them: {"x": [[...], ...], "y": {name: [index, [...]]}}.
    """
    listed: dict[tuple[float, ...], int] = {}
    columns = {}
    for name, (x, y) in readings.items():
        place = listed.setdefault(tuple(x), len(listed))
        columns[name] = [place, [float(f"{value:.{DIGITS}g}") for value in y]]
    return {"x": [[int(i) if i.is_integer() else i for i in x] for x in listed], "y": columns}


def groups(runs: Iterable[Mapping[str, Series]]) -> dict[str, list[str]]:
    """Kind -> the columns that any run has, as in curves.png, with health and scores beside."""
    names = dict.fromkeys(name for readings in runs for name in readings)
    return figures.arranged(names)


def plots(
    arranged: Mapping[str, Sequence[str]], runs: Sequence[Mapping[str, Series]]
) -> "dict[str, figure]":
    """A plot of each kind, named `curves:KIND`; a logarithmic axis needs a positive reading.

    Args:
        arranged: kind -> its columns.
        runs: the readings of each.
    """

    def is_log(kind: str) -> bool:
        series = (known[name] for known in runs for name in arranged[kind] if name in known)
        return kind in LOGARITHMIC and any(value > 0 for _, values in series for value in values)

    return {kind: lines(f"curves:{kind}", AXES[0], log=is_log(kind)) for kind in arranged}


def lines(name: str, x: str, *, log: bool = False) -> "figure":
    """A plot for lines and dots, which the page's script puts in.

    Args:
        name: by which the script finds the plot.
        x: label of its axis.
        log: whether y is logarithmic.
    """
    from bokeh.models import ColumnDataSource, HoverTool, NumeralTickFormatter
    from bokeh.plotting import figure

    plot = figure(
        height=HEIGHT,
        sizing_mode="stretch_width",
        y_axis_type="log" if log else "linear",
        x_axis_label=x,
        tools="pan,box_zoom,reset",
        active_drag=None,
        name=name,
    )
    drawn = plot.multi_line(
        "xs",
        "ys",
        line_color="color",
        line_dash="dash",
        line_width=1.6,
        source=ColumnDataSource(PLACEHOLDER),
    )
    dots = plot.scatter("x", "y", color="color", size=6, source=ColumnDataSource(NO_DOTS))
    tips = [("", "@label"), (x, "$data_x{0,0.[00]}"), ("", "$data_y{0.[0000]}")]
    plot.add_tools(HoverTool(renderers=[drawn, dots], tooltips=tips, line_policy="nearest"))
    plot.toolbar.logo, plot.toolbar.autohide = None, True
    plot.xaxis.formatter = NumeralTickFormatter(format="0,0.[0]")
    return plot
