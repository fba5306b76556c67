"""Figure 1 of Goodfellow et al. 2014, live: a run on 1-d data, and an animation of it."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ganlab.lab import drawing, theory
from ganlab.lab.drawing import Frame
from ganlab.lab.line import Line
from ganlab.lab.training import Snapshots, planned, trained
from ganlab.plots import pictures
from ganlab.runs.folder import Run
from ganlab.spec import at_least
from ganlab.storage import files

ARROWS = 15
NEAR = 0.1  # panel (c) is the first frame with JSD / log 2 below this


def figure_1(
    overrides: Sequence[str] = (),
    frames: int = 24,
    panels: list[int] | None = None,
    output_dir: str = "outputs",
) -> list[Path]:
    """Figure 1 of Goodfellow et al. 2014, live: p_g (solid) moves to p_data (dotted), D to 1/2.

    Trains experiment=figure_1 in OUTPUT_DIR/lab/figure-1 as an ordinary run, and writes to its
    folder: figure-1.png, four panels as in the paper; figure-1.gif, an animation; value.png, with
    V(D, G) and its bound C(G), the Jensen-Shannon divergence and D's distance from 1/2;
    results.json.  p_g and all integrals are computed on a grid, not estimated from samples.

    Args:
        frames: frames of the animation, at logarithmically spaced iterations.
        panels: iterations of the panels; null: the first, the one at which D is best, one where p_g
            is near, the last.
        output_dir: where results go.
        NAME=VALUE: any other word overrides the config of the run: seed=1, data.means=[-1,2], ...
    """
    at_least(2, frames=frames)
    folder = f"output_dir={Path(output_dir) / 'lab' / 'figure-1'}"
    plan = planned(["experiment=figure_1", "logger=csv", "trainer=cpu", folder, *overrides])
    line, total = Line(plan.experiment), plan.config["iterations"]
    wanted = moments(total, frames) | set(panels or ())
    if late := [i for i in wanted if not 0 <= i <= total]:
        raise ValueError(f"panels must be from 0 to {total}, got {late[0]}")
    snapshots = Snapshots(plan.run.path / "snapshots", wanted)
    run = trained(plan, [snapshots])
    film = [moment(line, iteration, weights) for iteration, weights in snapshots.read()]
    chosen = [f for f in film if f.iteration in panels] if panels else typical(film)
    return write(run, film, chosen, (line.low, line.high))


def moments(iterations: int, n: int) -> set[int]:
    """0 and up to n - 1 logarithmically spaced iterations, including the last."""
    steps = torch.logspace(0, math.log10(iterations), n - 1).tolist()
    return {0, iterations, *(min(iterations, round(step)) for step in steps)}


def moment(line: Line, iteration: int, weights: dict[str, torch.Tensor]) -> Frame:
    """The frame of one snapshot; arrows start at equal steps of probability."""
    state = line.state(weights)
    z = line.quantiles(ARROWS)
    return Frame(iteration, state, (z, line.images(z)))


def typical(film: Sequence[Frame]) -> list[Frame]:
    """The first frame, the one with the greatest V, the first with a small JSD, and the last."""
    best = max(range(len(film)), key=lambda i: film[i].state.value)
    near = (i for i, frame in enumerate(film) if frame.state.jsd < NEAR * math.log(2))
    return [film[i] for i in sorted({0, best, next(near, 0), len(film) - 1})]


def write(
    run: Run, film: Sequence[Frame], chosen: Sequence[Frame], limits: tuple[float, float]
) -> list[Path]:
    """Writes all pictures and results.json to the run's folder; prints the final values."""
    names = ("figure-1.png", "figure-1.gif", "value.png", "results.json")
    still, moving, value, results = (run.path / name for name in names)
    pictures.save(still, drawing.panels(chosen, limits))
    pictures.save(value, drawing.curves(film))
    parts = run.path / "frames"
    parts.mkdir(exist_ok=True)
    for i, frame in enumerate(film):
        file = parts / f"iteration-{frame.iteration:07d}.png"
        pictures.save(file, drawing.film_frame(film, i, limits))
    drawn = [parts / f"iteration-{frame.iteration:07d}.png" for frame in film]
    pictures.animate(drawn, moving)
    files.write(results, json.dumps(summary(run, film), indent=1))
    last = film[-1].state
    print(f"V {last.value:.4f}, C(G) {last.criterion:.4f}, -log 4 = {theory.BOUND:.4f}")
    return [still, moving, value, results]


def summary(run: Run, film: Sequence[Frame]) -> dict[str, Any]:
    """The content of results.json: the numbers of the last frame and of all frames."""

    def told(frame: Frame) -> dict[str, float]:
        state = frame.state
        return {
            "iteration": frame.iteration,
            "value": state.value,
            "criterion": state.criterion,
            "jsd": state.jsd,
            "distance of D to 1/2": state.distance_to_half(),
            "greatest |D - D*| on the support": state.greatest_deviation(),
        }

    return {
        "seed": run.config()["seed"],
        "bound": theory.BOUND,
        "last": told(film[-1]),
        "path": [told(frame) for frame in film],
    }
