"""Proposition 1 of Goodfellow et al. 2014: for a fixed G, D converges to D*."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning import Trainer
from torch import Tensor

from ganlab.callbacks.base import ModelCallback
from ganlab.gan import GAN
from ganlab.lab import drawing
from ganlab.lab.figure_1 import moment, moments
from ganlab.lab.line import Line
from ganlab.lab.training import STILL, Snapshots, planned, trained
from ganlab.plots import pictures
from ganlab.spec import at_least
from ganlab.storage import files

BEFORE = ("batch_size=512", "g_optimizer.lr=1e-2", "d_optimizer.lr=1e-2")


def proposition_1(
    overrides: Sequence[str] = (),
    g_iterations: int = 200,
    frames: int = 24,
    output_dir: str = "outputs",
) -> list[Path]:
    """G is fixed and D trains: how close does D get to D* = p_data / (p_data + p_g)?

    First both players of experiment=proposition_1 train for G_ITERATIONS, so that G is neither
    untrained nor good.  Then a new D trains against this fixed G.  Both are ordinary runs in
    OUTPUT_DIR/lab/proposition-1.  Writes proposition-1.png, with D, D* and their deviation over
    iterations, and results.json.  The deviation is the greatest |D - D*| on the support, where
    p_data + p_g is more than 1 % of its maximum.

    Args:
        g_iterations: iterations of G's training, before it is fixed.
        frames: number of iterations at which D is measured.
        output_dir: where results go.
        NAME=VALUE: any other word overrides the config of the runs: seed=1, iterations=500, ...
    """
    at_least(1, g_iterations=g_iterations)
    at_least(2, frames=frames)
    folder = f"output_dir={Path(output_dir) / 'lab' / 'proposition-1'}"
    common = ["logger=csv", "trainer=cpu", folder]
    plan = planned(["experiment=proposition_1", *STILL, *common, *overrides])
    seed, line = plan.config["seed"], Line(plan.experiment)
    first = ["experiment=proposition_1", *common, *overrides, *BEFORE]
    before = planned([*first, f"iterations={g_iterations}"])
    made = Snapshots(before.run.path / "snapshots", [g_iterations])
    trained(before, [made])
    ((_, weights),) = made.read()
    snapshots = Snapshots(
        plan.run.path / "snapshots", moments(plan.config["iterations"], frames) - {0}
    )
    run = trained(plan, [StartFrom(weights), snapshots])
    film = [moment(line, iteration, found) for iteration, found in snapshots.read()]
    still, results = run.path / "proposition-1.png", run.path / "results.json"
    pictures.save(still, drawing.still_generator(film, (line.low, line.high)))
    greatest = [frame.state.greatest_deviation() for frame in film]
    told: dict[str, Any] = {
        "seed": seed,
        "updates of D": [frame.iteration * plan.config["d_steps"] for frame in film],
        "greatest |D - D*| on the support": greatest,
        "value": [frame.state.value for frame in film],
        "criterion": film[-1].state.criterion,
    }
    files.write(results, json.dumps(told, indent=1))
    print(f"greatest |D - D*| on the support: {greatest[-1]:.4f}")
    return [still, results]


class StartFrom(ModelCallback):
    """Loads given weights into the G of a new run; does nothing in a resumed run."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        mine = "generator."
        self.weights = {k.removeprefix(mine): v for k, v in weights.items() if k.startswith(mine)}

    def on_train_start(self, trainer: Trainer, gan: GAN) -> None:
        if gan.iterations == 0:
            gan.generator.load_state_dict(self.weights)
