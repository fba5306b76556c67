"""Charts of a run's metrics and clouds of points.  Only drawing imports matplotlib, not pyplot."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ganlab.runs.readings import AXES, rows_of

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
POINTS_DRAWN, MOST_REAL = 2500, 5000  # generated and real points in a cloud
INCHES, DPI = 8.4, 120  # about 1000 pixels wide


def read(path: Path) -> dict[str, Series]:
    """The columns of metrics.csv by name, without empty cells; {} if there is no file."""
    if not path.exists():
        return {}
    columns: dict[str, Series] = defaultdict(lambda: ([], []))
    for row in rows_of(path):
        for name, value in row.items():
            if value:
                columns[name][0].append(float(row["iterations"]))
                columns[name][1].append(float(value))
    return dict(columns)


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


class Cloud:
    """Draws generated points, in G's colour, over real ones; all its pictures share their axes.

    1-d points are drawn as a histogram with the data's density.  Of points with more than two
    dimensions, the first two are drawn.

    Args:
        real: points (N, d) of the data.
        density: density of the data, (N, 1) -> (N,), if known; dotted, for 1-d points only.
    """

    def __init__(self, real: Tensor, density: Callable[[Tensor], Tensor] | None = None) -> None:
        self.real, self.density = real[:MOST_REAL, :2].cpu(), density
        low, high = self.real.min(dim=0).values, self.real.max(dim=0).values
        margin = 0.15 * (high - low).max()
        self.low, self.high = (low - margin).tolist(), (high + margin).tolist()

    def __call__(self, generated: Tensor) -> np.ndarray:
        """Points (N, d) -> uint8 RGB (H, W, 3)."""
        from matplotlib.figure import Figure

        flat = len(self.low) == 1
        figure = Figure((6.0, 3.2) if flat else (4.8, 4.8), dpi=100, layout="constrained")
        self.draw(figure.subplots(), generated)
        return to_pixels(figure)

    def draw(self, axes: "Axes", generated: Tensor) -> None:
        """Draws points (N, d) in the given axes, and prints the share of them that lies outside."""
        generated = generated.detach().float().cpu()[:, :2]
        inside = (generated >= torch.tensor(self.low)) & (generated <= torch.tensor(self.high))
        (self._histogram if len(self.low) == 1 else self._scatter)(axes, generated)
        quiet(axes)
        axes.set_xlim(self.low[0], self.high[0])
        if (outside := 1 - inside.all(dim=1).float().mean().item()) > 0:
            said = f"{outside:.1%} outside"
            axes.text(0.99, 0.98, said, transform=axes.transAxes, ha="right", va="top", color=G)

    def _scatter(self, axes: "Axes", generated: Tensor) -> None:
        axes.scatter(self.real[:, 0], self.real[:, 1], s=3, color="#C8C8C8", lw=0)
        axes.scatter(generated[:, 0], generated[:, 1], s=4, color=G, alpha=0.5, lw=0)
        axes.set_ylim(self.low[1], self.high[1])
        axes.set_aspect("equal")

    def _histogram(self, axes: "Axes", generated: Tensor) -> None:
        bins = np.linspace(self.low[0], self.high[0], 81)
        counts = np.histogram(generated[:, 0].numpy(), bins)[0]
        heights = counts / (len(generated) * np.diff(bins))
        axes.stairs(heights, bins, fill=True, color=G, alpha=0.5, label="generated")
        if self.density is None:
            heights = np.histogram(self.real[:, 0].numpy(), bins, density=True)[0]
            axes.stairs(heights, bins, color=INK, label="data")
            return
        x = torch.linspace(self.low[0], self.high[0], 401)
        y = self.density(x[:, None])
        axes.plot(x.numpy(), y.numpy(), ":", color=INK, lw=1.5, label="data")
        axes.legend(frameon=False, fontsize=8, labelcolor=INK)
        axes.set_ylim(0, 1.6 * y.max().item())


def to_pixels(figure: "Figure") -> np.ndarray:
    """Renders a figure to uint8 RGB (H, W, 3), without a display or pyplot's global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
