"""The pictures of `saddle_point`.  Only drawing imports matplotlib, not pyplot."""

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from ganlab.lab.games import (
    ALTERNATING,
    BILINEAR,
    DESCENT,
    EXTRAGRADIENT,
    GAMES,
    METHODS,
    NEGATIVE,
    OPTIMISTIC,
    SADDLE,
    SIMULTANEOUS,
    Dynamics,
    Game,
    Matrix,
    Play,
    play,
)
from ganlab.plots import pictures
from ganlab.plots.figures import DPI, FAINT, INK, OTHERS, D, G, quiet, to_pixels
from ganlab.storage import files

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = dict(
    zip(
        (m.name for m in METHODS),
        (G, INK, OTHERS[3], OTHERS[2], D, OTHERS[1], OTHERS[0]),
        strict=True,
    )
)
EDGE = 1.6  # limit of |x| and |y| in the pictures
FRAMES, PER_FRAME = 60, 2  # frames of the animation, and rounds per frame
ANIMATED = (SIMULTANEOUS, ALTERNATING, NEGATIVE, EXTRAGRADIENT, OPTIMISTIC)
Cells = Mapping[tuple[str, str], Play]


def write(plays: Sequence[Play], rate: float, folder: Path) -> Iterator[Path]:
    """Draws and writes all pictures; yields each path once it is written."""
    cells = {(one.game.name, one.method.name): one for one in plays}
    drawings: dict[str, Callable[[], Figure]] = {
        "surface": lambda: surfaces(rate),
        "paths": lambda: paths(cells),
        "distance": lambda: distances(cells),
    }
    for name, draw in drawings.items():
        path = folder / f"{name}.png"
        pictures.save(path, to_pixels(draw()))
        yield path
    path = folder / "race.gif"
    files.write(path, gif(race([cells[BILINEAR.name, m.name] for m in ANIMATED])))
    yield path


def blank(width: float, height: float) -> "Figure":
    """An empty figure; sizes in inches."""
    from matplotlib.figure import Figure

    return Figure((width, height), dpi=DPI, layout="constrained", facecolor="white")


# The surface ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Walk:
    """One path on a surface, and its label."""

    game: Game
    method: Dynamics
    start: tuple[float, float]
    rounds: int
    color: str
    label: str


VIEWS = {  # game of the surface -> its title, and the paths
    SADDLE: (
        "z = x² − y²: each player has a slope",
        (
            Walk(SADDLE, SIMULTANEOUS, (-1.2, -1.3), 30, D, "x goes down, y goes up: they meet"),
            Walk(DESCENT, SIMULTANEOUS, (1.45, -0.005), 30, G, "both go down: they slide off"),
        ),
    ),
    BILINEAR: (
        "z = x y: the same, half as steep, turned by 45°",
        (
            Walk(BILINEAR, SIMULTANEOUS, (0.95, 0.0), 34, G, "simultaneous: out"),
            Walk(BILINEAR, ALTERNATING, (0.8, 0.0), 32, INK, "alternating: around"),
            Walk(BILINEAR, EXTRAGRADIENT, (0.65, 0.0), 150, D, "extragradient: in"),
        ),
    ),
}


def surfaces(rate: float) -> "Figure":
    """The surfaces of two games and paths on them; the second is the first, rotated and flatter."""
    figure = blank(9.6, 5)
    for place, (game, (title, walks)) in enumerate(VIEWS.items(), 1):
        axes: Any = figure.add_subplot(1, 2, place, projection="3d", computed_zorder=False)
        landscape(axes, game)
        axes.text2D(0.03, 0.97, title, color=INK, fontsize=10.5, transform=axes.transAxes)
        for number, one in enumerate(walks):
            path = play(one.game, one.method, np.array([one.start]), rate, one.rounds)[:, 0]
            path = path[np.abs(path).max(axis=1) <= EDGE]
            draw_walk(axes, height(game, *path.T), path, one.color)
            at, text = (0.03, 0.92 - 0.045 * number), f"● {one.label}"
            axes.text2D(*at, text, color=one.color, fontsize=9, transform=axes.transAxes)
    return figure


def height(game: Game, x: Matrix, y: Matrix) -> Matrix:
    """The loss of x at each point, which is the height of the surface."""
    z = [game.losses(*torch.tensor([[a], [b]]))[0] for a, b in zip(x.flat, y.flat, strict=True)]
    return torch.stack(z).numpy().reshape(x.shape)


def landscape(axes: Any, game: Game) -> None:
    """Draws the surface, in pale colours so that paths stand out, and its contours on the floor."""
    from matplotlib.colors import LinearSegmentedColormap

    ticks = np.linspace(-EDGE, EDGE, 61)
    x, y = np.meshgrid(ticks, ticks)
    z = height(game, x, y)
    pale = LinearSegmentedColormap.from_list("pale", ["#8FC1E3", "#F4F4F2", "#F0B48A"])
    limit = np.abs(z).max()
    floor = -2.1 * limit
    axes.contour(x, y, z, 11, zdir="z", offset=floor, cmap=pale, linewidths=0.8, zorder=0)
    look = {"rstride": 2, "cstride": 2, "lw": 0.25, "edgecolor": "#FFFFFF90", "alpha": 0.92}
    axes.plot_surface(x, y, z, cmap=pale, vmin=-limit, vmax=limit, zorder=1, **look)
    axes.set(xlim=(-EDGE, EDGE), ylim=(-EDGE, EDGE), zlim=(floor, limit))
    axes.view_init(elev=34, azim=-58)
    axes.set_box_aspect((1, 1, 0.85), zoom=1.04)
    axes.set_axis_off()
    for name, where in (("x", (0, -EDGE * 1.12)), ("y", (EDGE * 1.12, 0))):
        axes.text(*where, floor, name, color=INK, fontsize=10, ha="center", zorder=0)


def draw_walk(axes: Any, z: Matrix, path: Matrix, color: str) -> None:
    """Draws a path on the surface, its start, and its projection on the floor."""
    x, y = path.T
    floor, lifted = np.full_like(x, axes.get_zlim()[0]), z + 0.03
    axes.plot(x, y, floor, color=color, lw=0.8, alpha=0.5, zorder=1)
    axes.plot(x, y, lifted, color="white", lw=3, alpha=0.8, zorder=3)
    axes.plot(x, y, lifted, "-o", color=color, lw=1.4, ms=2, zorder=4)
    axes.plot(x[:1], y[:1], lifted[:1], "o", color="white", mec=color, mew=1.6, ms=6, zorder=5)


# Paths ------------------------------------------------------------------------------------------


def paths(cells: Cells) -> "Figure":
    """A panel per game and method: directions of descent, and paths from distance 1."""
    figure = blank(10.4, 9.4)
    grid = figure.subplots(len(GAMES), len(METHODS), sharex=True, sharey=True)
    for row, game in zip(grid, GAMES, strict=True):
        for axes, method in zip(row, METHODS, strict=True):
            panel(axes, cells[game.name, method.name])
        row[0].set_ylabel(
            game.name.replace(", ", "\n").replace(" with", "\nwith"), color=INK, fontsize=9
        )
    for axes, method in zip(grid[0], METHODS, strict=True):
        name = method.name.replace(", ", "\n")
        axes.set_title(name, color=COLORS[method.name], fontsize=9, fontweight="bold")
    return figure


def panel(axes: "Axes", one: Play) -> None:
    """Draws arrows along both players' gradients, paths, and the factor per round."""
    arrows(axes, one.game)
    color = COLORS[one.method.name]
    for path in one.paths.transpose(1, 0, 2)[:2]:
        seen = path[: np.argmax(np.append(np.abs(path).max(axis=1) > 2 * EDGE, True))]
        axes.plot(*seen.T, color=color, lw=0.9, alpha=0.9)
        axes.plot(*seen[0], "o", color="white", mec=color, mew=1.2, ms=4)
    axes.plot(0, 0, "+", color=INK, ms=6, mew=1)
    axes.set(xlim=(-EDGE, EDGE), ylim=(-EDGE, EDGE), xticks=[], yticks=[], aspect="equal")
    axes.spines[:].set_color(FAINT)
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.2}
    verdict = f"× {one.measured:.3f}"
    axes.text(
        0.96, 0.05, verdict, transform=axes.transAxes, ha="right", fontsize=8, color=INK, bbox=box
    )


def arrows(axes: "Axes", game: Game) -> None:
    """Draws the directions in which both players descend, as arrows of equal length."""
    ticks = np.linspace(-EDGE, EDGE, 11)[1:-1]
    x, y = (torch.tensor(side.ravel(), requires_grad=True) for side in np.meshgrid(ticks, ticks))
    u, v = (-gradient.numpy() for gradient in game.gradients(x, y))
    length = np.hypot(u, v)
    length[length == 0] = 1
    where = (x.detach().numpy(), y.detach().numpy())
    axes.quiver(*where, u / length, v / length, color="#C4C4C4", scale=16, width=0.008, pivot="mid")


# Distance ---------------------------------------------------------------------------------------

SHOWN = 1e-8, 1e6  # distances, relative to the start


def distances(cells: Cells) -> "Figure":
    """Distance to the equilibrium over rounds, measured close to it, and theory's lines."""
    figure = blank(10, 6.2)
    grid = figure.subplots(2, len(GAMES) // 2, sharex=True, squeeze=False)
    for axes, game in zip(grid.flat, GAMES, strict=True):
        for method in METHODS:
            beside_theory(axes, cells[game.name, method.name])
        axes.set_title(game.name, loc="left", color=INK, fontsize=10)
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, SHOWN[0]), min(high, SHOWN[1]))
        quiet(axes)
    for axes in grid[-1]:
        axes.set_xlabel("rounds", color=INK, fontsize=9)
    for axes in grid[:, 0]:
        axes.set_ylabel("distance, relative to the start", color=INK, fontsize=9)
    lines, names = grid[0, 0].get_legend_handles_labels()
    (theory,) = grid[0, 0].plot([], [], ":", color=INK, lw=1.4)
    lines, names = [*lines, theory], [*names, "theory"]
    where: Any = {"loc": "outside lower center", "ncols": 4}
    figure.legend(lines, names, frameon=False, fontsize=9, labelcolor=INK, **where)
    return figure


def beside_theory(axes: "Axes", one: Play) -> None:
    """Draws the measured distance (broad) and the theory (dotted) through a common point."""
    color, measured = COLORS[one.method.name], one.distances
    rounds = np.arange(len(measured))
    seen = (measured > SHOWN[0] / 10) & (measured < SHOWN[1] * 10)
    axes.plot(rounds[seen], measured[seen], color=color, lw=3.5, alpha=0.4, label=one.method.name)
    common = rounds[seen][-1]
    decades = np.log10(max(one.theory, 1e-9)) * (rounds[seen] - common)
    theory = measured[common] * 10 ** decades.clip(-100, 100)
    axes.plot(rounds[seen], theory, ":", color=color, lw=1.4)


# The race ---------------------------------------------------------------------------------------


def race(plays: Sequence[Play]) -> Iterator[np.ndarray]:
    """Frames, uint8 (H, W, 3), of several methods playing the same game from the same start."""
    rounds = min(FRAMES * PER_FRAME, len(plays[0].paths) - 1)
    figure = blank(6.6, 3.4)
    board, chart = figure.subplots(1, 2, width_ratios=(1, 1.05))
    for now in range(0, rounds + 1, PER_FRAME):
        board.clear()
        chart.clear()
        arrows(board, plays[0].game)
        board.plot(0, 0, "+", color=INK, ms=9, mew=1.2)
        for one in plays:
            runner(board, chart, one, now)
        board.set(xlim=(-EDGE, EDGE), ylim=(-EDGE, EDGE), xticks=[], yticks=[], aspect="equal")
        board.spines[:].set_color(FAINT)
        board.set_title(f"z = {plays[0].game.name}, round {now}", loc="left", color=INK, fontsize=9)
        chart.set(xlim=(0, rounds), ylim=(0.05, 12), yscale="log")
        chart.set_title("distance to the equilibrium", loc="left", color=INK, fontsize=9)
        quiet(chart)
        chart.legend(loc="lower left", frameon=False, fontsize=8, labelcolor="linecolor")
        yield to_pixels(figure)
        figure.set_layout_engine("none")  # keeps the layout of the first frame


def runner(board: "Axes", chart: "Axes", one: Play, now: int) -> None:
    """Draws the position of one method, its recent path, and its distances so far."""
    color, path = COLORS[one.method.name], one.paths[: now + 1, 0]
    board.plot(*path[-12:].T, color=color, lw=1.4, alpha=0.7)
    board.plot(*path[-1], "o", color=color, ms=6, mec="white", mew=0.8)
    chart.plot(np.hypot(*path.T), color=color, lw=1.6, label=one.method.name)


def gif(frames: Iterable[np.ndarray], seconds: float = 0.1) -> bytes:
    """A looping GIF of uint8 pictures (H, W, 3), in few colours to keep it small."""
    stack = np.stack(list(frames))
    n, high, wide, _ = stack.shape
    sheet = Image.fromarray(stack.reshape(n * high, wide, 3)).quantize(48)  # one palette for all
    few = [sheet.crop((0, top, wide, top + high)) for top in range(0, n * high, high)]
    durations = [int(1000 * seconds)] * (len(few) - 1) + [3000]
    file = io.BytesIO()
    few[0].save(
        file, "GIF", save_all=True, append_images=few[1:], duration=durations, loop=0, optimize=True
    )
    return file.getvalue()
