"""Charts of a run's metrics, without torch.  Only drawing imports matplotlib, not pyplot."""

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ganlab.runs.readings import AXES, explained, lines_of
from ganlab.storage import files

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Series = tuple[list[float], list[float]]  # iterations, and the value at each

SCORES = ("D(x)", "D(G(z))")
NOT_DRAWN = (*AXES, "images_per_second")
LOSSES, SCORE, NORMS = "loss", "output of D", "gradient norm"
FRECHET, KERNEL, NEAR = "Fréchet distance", "kernel distance", "neighbours"
PANELS = {
    **dict.fromkeys(("loss", "penalty"), LOSSES),
    **dict.fromkeys(SCORES, SCORE),
    **dict.fromkeys(("fid", "frechet"), FRECHET),
    "is": "inception score",
    **dict.fromkeys(("kid", "kernel"), KERNEL),
    **dict.fromkeys(("precision", "recall", "density", "coverage"), NEAR),
    **dict.fromkeys(("modes", "modes_covered"), "modes found"),
    "high_quality": "high-quality share",
    **dict.fromkeys(("kl", "kl_modes"), "KL of classes"),
    "grad_norm": NORMS,
    "health/gradient_ratio": NORMS,
    **dict.fromkeys(("health/logit_gap", "health/logit_size"), "logits of D"),
}
LOGARITHMIC = (NORMS, FRECHET)

# The colour-blind-safe palette of Okabe and Ito.  D(G(z)) has G's colour.
D, G, OTHERS = "#0072B2", "#D55E00", ("#009E73", "#CC79A7", "#56B4E9", "#E69F00")
PLAYERS = {"d": D, "g": G, "D(x)": D, "D(G(z))": G}
STYLES = ("-", "--", ":", "-.")  # for lines of the same colour
INK, FAINT = "#404040", "#E4E4E4"
INCHES, DPI = 8.4, 120  # about 1000 pixels wide


def read(path: Path, most: int = 2000) -> dict[str, Series]:
    """The columns of metrics.csv by name, without empty cells; {} if there is no file.

    Args:
        path: the file.
        most: points per column.  Of a longer file, each stretch of rows gives two points of every
            column, its least and its greatest value.
    """
    if not path.exists():
        return {}
    with explained(path):
        return columns_in(path, most)


def columns_in(path: Path, most: int) -> dict[str, Series]:
    """What `read` returns.

    Raises:
        ValueError: the file is damaged.
    """
    with files.opened(path) as file:
        rows = sum(1 for _ in file) - 1
    lines = lines_of(path)
    names, columns = next(lines, []), dict[str, Series]()
    stretch = max(2, -(-2 * rows // most))
    while part := list(itertools.islice(lines, stretch)):
        cells = dict(zip(names, zip(*part, strict=False), strict=True))
        for name, column in cells.items():
            x = [float(i) for i, cell in zip(cells["iterations"], column, strict=True) if cell]
            y = [float(cell) for cell in column if cell]
            for i in sorted({y.index(min(y)), y.index(max(y))}) if len(y) > 2 else range(len(y)):
                series = columns.setdefault(name, ([], []))
                series[0].append(x[i])
                series[1].append(y[i])
    return columns


def curves(readings: Mapping[str, Series], name: str, *, probability: bool = False) -> "Figure":
    """A chart with one panel per kind of reading, over a shared axis of iterations.

    Args:
        readings: as `read` returns them.
        name: of the run; starts the heading.
        probability: whether D(x) is a probability rather than an unbounded score.
    """
    from matplotlib.figure import Figure

    panels = arranged(readings)
    n = max(1, len(panels))
    figure = Figure((INCHES, 0.7 + 1.75 * n), dpi=DPI, layout="constrained", facecolor="white")
    figure.suptitle(heading(readings, name), x=0.01, ha="left", fontsize=10, color=INK)
    stacked = figure.subplots(n, sharex=True, squeeze=False)[:, 0]
    for axes, (kind, names) in zip(stacked, panels.items(), strict=False):
        draw(axes, kind, {name: readings[name] for name in names})
        if kind in LOGARITHMIC and any(y > 0 for name in names for y in readings[name][1]):
            axes.set_yscale("log")
        elif kind == SCORE and probability:
            axes.set_ylim(-0.03, 1.03)
            axes.set_ylabel("probability of real")
    stacked[-1].set_xlabel("iterations", color=INK, fontsize=9)
    stacked[-1].xaxis.set_major_formatter("{x:,.0f}")
    figure.align_ylabels()
    return figure


def arranged(names: Iterable[str]) -> dict[str, list[str]]:
    """Kind -> its columns, from top to bottom: losses, D's output, other kinds, gradient norms."""
    kinds: dict[str, list[str]] = {LOSSES: [], SCORE: []}
    for name in names:
        if name not in NOT_DRAWN:
            prefix = name.partition("/")[0]
            kind = PANELS.get(name) or PANELS.get(prefix) or prefix.replace("_", " ")
            kinds.setdefault(kind, []).append(name)
    if NORMS in kinds:
        kinds[NORMS] = kinds.pop(NORMS)  # to the end
    return {kind: columns for kind, columns in kinds.items() if columns}


def heading(readings: Mapping[str, Series], name: str) -> str:
    """Name, iterations, seconds and images per second of the run up to its last reading."""
    if "iterations" not in readings:
        return name
    iterations, images, seconds = (readings[axis][1][-1] for axis in AXES)
    speed = images / max(seconds, 1e-9)
    return f"{name} · {iterations:,.0f} iterations · {seconds:,.0f} s · {speed:,.0f} images/s"


def draw(axes: "Axes", label: str, lines: Mapping[str, Series]) -> None:
    """Draws one panel: a line per name, D and G in their colours, and a legend on the right."""
    used: Counter[str] = Counter()
    others = 0
    for name, (x, y) in lines.items():
        color = PLAYERS.get(name.rpartition("/")[2])
        if color is None:
            color, others = OTHERS[others % len(OTHERS)], others + 1
        style = STYLES[used[color] % len(STYLES)]
        used[color] += 1
        dot = "o" if len(x) == 1 else ""  # a line through one point is invisible
        axes.plot(x, y, style, color=color, lw=1.2, marker=dot, ms=3, label=name)
    axes.set_ylabel(label, color=INK, fontsize=9)
    quiet(axes)
    axes.margins(x=0.01)
    axes.legend(
        loc="upper left",
        bbox_to_anchor=(1.0, 1.03),
        frameon=False,
        fontsize=8,
        labelcolor="linecolor",
        handlelength=1.4,
    )


def quiet(axes: "Axes") -> None:
    """Gives axes a faint grid, small tick labels and no frame."""
    axes.grid(color=FAINT, lw=0.6)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.tick_params(which="both", length=0, labelsize=8, labelcolor=INK)


def to_pixels(figure: "Figure") -> np.ndarray:
    """Renders a figure to uint8 RGB (H, W, 3), without a display or pyplot's global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
