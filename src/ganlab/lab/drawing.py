"""Pictures of a 1-d GAN, in the style of figure 1 of Goodfellow et al. 2014."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ganlab.lab import theory
from ganlab.lab.line import State
from ganlab.plots import figures
from ganlab.plots.figures import DPI, INK, D, G

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

TOP = 1.3  # upper limit of the axis of densities and D; a narrow p_g may exceed it
GREY = "#8C8C8C"


class Frame(NamedTuple):
    """The GAN at one iteration.

    Args:
        iteration: of training.
        state: densities and D.
        arrows: z and G(z), (K,) each.
    """

    iteration: int
    state: State
    arrows: tuple[Tensor, Tensor]


def film_frame(frames: Sequence[Frame], i: int, limits: tuple[float, float]) -> np.ndarray:
    """Frame i of an animation: the GAN at that iteration, and its curves so far."""
    from matplotlib.figure import Figure

    figure = Figure((7.6, 3.9), dpi=66, layout="constrained", facecolor="white")
    left, right = beside(figure, 2, width_ratios=[1.35, 1])
    draw_moment(left, frames[i], limits, f"iteration {frames[i].iteration:,}")
    draw_curves(right.subplots(2, 1, sharex=True), frames, shown=i + 1)
    return few_colors(figures.to_pixels(figure))


def beside(figure: "Figure", n: int, **options: Any) -> list["SubFigure"]:
    """n subfigures in a row."""
    made: Any = figure.subfigures(1, n, squeeze=False, **options)
    return list(made[0])


def few_colors(pixels: np.ndarray, n: int = 20) -> np.ndarray:
    """Reduces uint8 (H, W, 3) to n colours, which are enough for lines and halve an animation."""
    palette = Image.fromarray(pixels).quantize(n, dither=Image.Dither.NONE)
    return np.asarray(palette.convert("RGB"))


def panels(frames: Sequence[Frame], limits: tuple[float, float]) -> np.ndarray:
    """Panels (a), (b), ... of some frames, side by side."""
    from matplotlib.figure import Figure

    figure = Figure((3.1 * len(frames), 3.9), dpi=DPI, layout="constrained", facecolor="white")
    parts = beside(figure, len(frames))
    for letter, part, frame in zip("abcdefgh", parts, frames, strict=False):
        title = f"({letter})  iteration {frame.iteration:,}"
        draw_moment(part, frame, limits, title, legend=letter == "a")
    return figures.to_pixels(figure)


def curves(frames: Sequence[Frame]) -> np.ndarray:
    """The value of the game, the JSD and D's distance from 1/2 over all iterations."""
    from matplotlib.figure import Figure

    figure = Figure((7.0, 6.0), dpi=DPI, layout="constrained", facecolor="white")
    draw_curves(figure.subplots(3, 1, sharex=True), frames, shown=len(frames))
    figure.align_ylabels()
    return figures.to_pixels(figure)


def still_generator(frames: Sequence[Frame], limits: tuple[float, float]) -> np.ndarray:
    """D and D* at the end, |D - D*| over x, and its maximum over iterations."""
    from matplotlib.figure import Figure

    figure = Figure((10.0, 4.0), dpi=DPI, layout="constrained", facecolor="white")
    left, right = beside(figure, 2, width_ratios=[1.35, 1])
    above, below = left.subplots(2, 1, sharex=True, height_ratios=[3, 1.2])
    last = frames[-1].state
    draw_densities(above, last)
    above.legend(frameon=False, fontsize=8, labelcolor="linecolor", loc="upper right")
    above.set_xlim(*limits)
    below.plot(last.x.numpy(), last.deviation().numpy(), color=D, lw=1.4)
    below.set_ylabel("|D − D*|", color=INK, fontsize=9)
    below.set_ylim(bottom=0)
    over = right.subplots()
    times = [frame.iteration for frame in frames]
    most = [frame.state.greatest_deviation() for frame in frames]
    over.plot(times, most, color=D, lw=1.4, marker="o", ms=3)
    over.axhline(0.02, color=INK, lw=0.9, ls=":")
    over.text(times[0], 0.02, "0.02", va="bottom", fontsize=8, color=INK)
    over.set_xscale("log")
    over.set_yscale("log")
    over.set_xlabel("iteration", color=INK, fontsize=9)
    over.set_ylabel("greatest |D − D*| on the support", color=INK, fontsize=9)
    for axes in (below, over):
        figures.quiet(axes)
    return figures.to_pixels(figure)


def draw_moment(
    figure: "SubFigure",
    frame: Frame,
    limits: tuple[float, float],
    title: str,
    *,
    legend: bool = True,
) -> None:
    """Draws densities and D above, and arrows from z to G(z) below."""
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    draw_densities(above, frame.state)
    above.set_title(title, loc="left", fontsize=10, color=INK)
    if legend:
        above.legend(frameon=False, fontsize=8, labelcolor="linecolor", loc="upper right")
    draw_arrows(below, frame.arrows, limits)
    above.set_xlim(*limits)


def draw_densities(axes: "Axes", state: State) -> None:
    """Draws p_data (dotted), p_g (solid), D (dashed) and D* (thin)."""
    x = state.x.numpy()
    optimal = torch.where(state.support(0.001), state.optimal, torch.nan)
    axes.plot(x, optimal.numpy(), "-", color=GREY, lw=0.9, label="D* for this G")
    axes.plot(x, state.logits.sigmoid().numpy(), "--", color=D, lw=1.6, label="D(x)")
    axes.plot(x, (state.data / state.width).numpy(), ":", color=INK, lw=1.8, label="p data")
    axes.plot(x, (state.generated / state.width).numpy(), "-", color=G, lw=1.8, label="p of G")
    axes.set_ylim(0, TOP)
    axes.set_yticks([0, 0.5, 1])
    figures.quiet(axes)


def draw_arrows(axes: "Axes", arrows: tuple[Tensor, Tensor], limits: tuple[float, float]) -> None:
    """Draws arrows from z, at equal steps of probability, to x = G(z); z has its own scale."""
    z, x = (tensor.double() for tensor in arrows)
    middle, half = sum(limits) / 2, 0.42 * (limits[1] - limits[0])
    starts = middle + half * (2 * (z - z[0]) / (z[-1] - z[0]) - 1)
    style = {"arrowstyle": "-|>,head_width=0.12,head_length=0.25", "lw": 0.6, "color": INK}
    for start, end in zip(starts.tolist(), x.tolist(), strict=True):
        if limits[0] <= end <= limits[1]:
            ends = {**style, "shrinkA": 0, "shrinkB": 0}
            axes.annotate("", (end, 1), (start, 0), arrowprops=ends)
    for height, name in ((1, "x"), (0, "z")):
        axes.axhline(height, color=INK, lw=0.8)
        axes.text(-0.02, height, name, transform=axes.get_yaxis_transform(), ha="right", color=INK)
    axes.set_ylim(-0.08, 1.08)
    axes.axis("off")


def draw_curves(axes: Sequence["Axes"], frames: Sequence[Frame], shown: int) -> None:
    """Draws V(D, G) with C(G) and its bound, the JSD, and (with three axes) D's distance to 1/2."""
    states, times = [f.state for f in frames], [max(f.iteration, 0.8) for f in frames]
    game = axes[0]
    game.axhline(theory.BOUND, color=INK, lw=0.9, ls=":")
    game.text(times[0], theory.BOUND, " −log 4", va="top", fontsize=8, color=INK)
    lines = [("V(D, G)", D, [s.value for s in states]), ("C(G)", G, [s.criterion for s in states])]
    for name, color, y in lines:
        game.plot(times[:shown], y[:shown], color=color, lw=1.4, label=name)
    game.set_ylim(theory.BOUND - 0.2, 0)
    game.set_ylabel("value", color=INK, fontsize=9)
    game.legend(frameon=False, fontsize=8, labelcolor="linecolor", loc="upper right")
    decaying = [
        ("JSD / log 2", G, [s.jsd / math.log(2) for s in states]),
        ("E |D − 1/2|", D, [s.distance_to_half() for s in states]),
    ]
    for place, (name, color, y) in zip(axes[1:], decaying, strict=False):
        place.plot(times[:shown], y[:shown], color=color, lw=1.4)
        place.set_yscale("log")
        place.set_ylim(0.5 * min(y), 1.5 * max(y))
        place.set_ylabel(name, color=INK, fontsize=9)
    for place in axes:
        figures.quiet(place)
        place.set_xscale("log")
        place.set_xlim(times[0], times[-1])
    axes[-1].set_xlabel("iteration", color=INK, fontsize=9)
