"""Which losses find all Gaussians of a grid: a small sweep, with a table and a picture."""

import contextlib
import json
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ganlab import load
from ganlab.commands.composition import Composer
from ganlab.data.points import density_of
from ganlab.errors import ConfigError, JobFailedError
from ganlab.experiments.experiment import Experiment
from ganlab.lab.training import Planned, planned, trained
from ganlab.plots import figures, pictures
from ganlab.plots.cloud import POINTS_DRAWN, Cloud
from ganlab.plots.figures import DPI, INK
from ganlab.runs.folder import Run
from ganlab.runs.readings import readings
from ganlab.scoring import tables
from ganlab.scoring.scorecard import spread
from ganlab.scoring.tables import Row
from ganlab.spec import at_least
from ganlab.storage import files
from ganlab.sweeps import needs
from ganlab.sweeps.record import Job, Sweep

LOSSES = (
    "minimax",
    "nonsaturating",
    "least_squares",
    "hinge",
    "wasserstein",
    "relativistic",
    "relativistic_average",
)
COLUMNS = ("modes_covered", "high_quality", "kl_modes")
Found = Mapping[str, Sequence[dict[str, float]]]  # loss -> last readings of each finished run


def grid(
    overrides: Sequence[str] = (),
    losses: tuple[str, ...] = LOSSES,
    seeds: int = 3,
    r1: float = 0.0,
    output_dir: str = "outputs",
) -> list[Path]:
    """Which losses find all 25 Gaussians, and how many samples are close to one?

    Runs a sweep of experiment=grid_2d over losses and seeds, recorded in OUTPUT_DIR/lab/grid like
    any other: `ganlab sweep status OUTPUT_DIR/lab/grid`.  Finished runs are not repeated.  Writes
    table.md, grid.png with samples of the first seed of each loss, and results.json.  From 2,500
    samples at the end: modes_covered, the modes with a sample within 3 standard deviations;
    high_quality, the share of such samples; kl_modes.

    Args:
        losses: names in the config group loss; wasserstein gets a gradient penalty.
        seeds: runs per loss, with seeds 0, 1, ...
        r1: weight of the R1 penalty for all losses, which also replaces wasserstein's (Mescheder et
            al. 2018); if it is not 0, results go to OUTPUT_DIR/lab/grid-r1-WEIGHT.
        output_dir: where results go.
        NAME=VALUE: any other word overrides the config of all runs: data=ring_2d, iterations=500
    """
    at_least(1, seeds=seeds, losses=len(losses))
    at_least(0, r1=r1)
    folder, composer = Path(output_dir) / "lab" / (f"grid-r1-{r1:g}" if r1 else "grid"), Composer()
    plans = {}
    for loss in losses:
        words = [*needed(loss, r1), f"output_dir={folder}", *overrides]
        plans[loss] = points(loss, seeds, words, composer)
    require_modes(plans[losses[0]][0])
    Sweep(folder).add(
        Job(p.run, p.overrides, label=(f"loss={n}", f"seed={s}")) for n, s, p in listed(plans)
    )
    for loss, seed, plan in listed(plans):
        print(f"\n{loss}, seed {seed}", flush=True)
        with contextlib.suppress(JobFailedError):  # already reported; go on with the others
            trained(plan)
    found = {n: [last(p.run) for p in tried if p.run.finished] for n, tried in plans.items()}
    text = tables.as_markdown([row(loss, cards) for loss, cards in found.items()])
    print(f"\n{text}")
    names = ("table.md", "grid.png", "results.json")
    table, picture, results = (folder / name for name in names)
    files.write(table, f"{text}\n")
    pictures.save(picture, draw({loss: tried[0] for loss, tried in plans.items()}, found))
    files.write(results, json.dumps(found, indent=1))
    return [table, picture, results]


def needed(loss: str, r1: float) -> Sequence[str]:
    """Overrides for the regularizer of D under a loss."""
    return ("regularizer=r1", f"regularizer.r1.gamma={r1}") if r1 else needs.needed(loss, "toy")


def points(loss: str, seeds: int, words: Sequence[str], composer: Composer) -> list[Planned]:
    """The runs of a loss, composed and checked."""
    words = ["experiment=grid_2d", "logger=csv", "trainer=cpu", f"loss={loss}", *words]
    return [planned([*words, f"seed={seed}"], composer) for seed in range(seeds)]


def listed(plans: Mapping[str, Sequence[Planned]]) -> list[tuple[str, int, Planned]]:
    """(loss, seed, planned run) of all runs."""
    return [(loss, seed, plan) for loss, tried in plans.items() for seed, plan in enumerate(tried)]


def require_modes(plan: Planned) -> None:
    """Raises ConfigError unless the data has modes that can be counted."""
    if not plan.experiment.source.spec.classes or density_of(plan.experiment.source) is None:
        raise ConfigError(["data: this laboratory counts modes; set data=grid_2d or ring_2d"])


def last(run: Run) -> dict[str, float]:
    """The last readings of a run's mode coverage."""
    rows = (row for row in readings(run.path / "metrics.csv") if "modes_covered" in row)
    (newest,) = deque(rows, maxlen=1)
    return {name: newest[name] for name in COLUMNS}


def row(loss: str, cards: Sequence[Mapping[str, float]]) -> Row:
    """The table row of a loss: means over its seeds, with 95% intervals."""
    about: Row = {"loss": loss, "runs": str(len(cards))}
    return about | {name: spread([card[name] for card in cards]) for name in COLUMNS if cards}


def draw(plans: Mapping[str, Planned], found: Found) -> np.ndarray:
    """A panel per loss: samples of the first seed over points of the data."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    columns = min(4, len(plans))
    rows = -(-len(plans) // columns)
    size = (2.6 * columns, 2.85 * rows)
    apart = ConstrainedLayoutEngine(h_pad=0.08, hspace=0.04)  # a caption from the title below it
    figure = Figure(size, dpi=DPI * 0.75, layout=apart, facecolor="white")
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes in panels[len(plans) :]:
        axes.axis("off")
    for axes, (loss, plan) in zip(panels, plans.items(), strict=False):
        axes.set_title(loss.replace("_", " "), loc="left", fontsize=9, color=INK)
        axes.set_xticks([])
        axes.set_yticks([])
        if not plan.run.finished:
            axes.text(0.5, 0.5, "failed", ha="center", color=INK, transform=axes.transAxes)
            continue
        card = found[loss][0]
        said = f"{card['modes_covered']:.0f} modes, {card['high_quality']:.0%}"
        axes.set_xlabel(said, fontsize=8, color=INK)
        cloud_of(plan.experiment).draw(axes, load(plan.run.path).sample(POINTS_DRAWN))
    return figures.to_pixels(figure)


def cloud_of(experiment: Experiment) -> Cloud:
    """The cloud that draws samples over the experiment's data."""
    return Cloud(experiment.source.read().images, density_of(experiment.source))
