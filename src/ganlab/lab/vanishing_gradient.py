"""Why gradients vanish between distant distributions, in theory and with trained Ds."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pytorch_lightning import Trainer
from torch import nn

from ganlab.callbacks.base import ModelCallback
from ganlab.commands.composition import Composer
from ganlab.data.distributions import Mixture
from ganlab.data.points import distribution_of
from ganlab.errors import ConfigError
from ganlab.experiments.experiment import Experiment
from ganlab.gan import GAN
from ganlab.lab import theory
from ganlab.lab.training import STILL, Planned, planned, trained
from ganlab.plots import figures, pictures
from ganlab.plots.figures import DPI, INK, OTHERS, D, G
from ganlab.spec import at_least
from ganlab.storage import files

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GAMES = {  # loss -> (overrides that it requires, colour)
    "minimax": ((), G),
    "nonsaturating": ((), D),
    "wasserstein": (
        ("regularizer=gradient_penalty", "regularizer.gradient_penalty.weight=10"),
        OTHERS[0],
    ),
}
NAMES = {"minimax": "saturating", "nonsaturating": "nonsaturating", "wasserstein": "wasserstein"}
Curve = list[tuple[int, float]]  # iteration, gradient of G's loss


def vanishing_gradient(
    overrides: Sequence[str] = (), points: int = 20, output_dir: str = "outputs"
) -> list[Path]:
    """For distant distributions JSD is flat at log 2; G's gradient from D depends on the loss.

    In closed form, for two parallel lines (Arjovsky et al. 2017, example 1) and two Gaussians at
    varying distance: JSD, Wasserstein-1, and G's gradient at the optimal D for each loss
    (Goodfellow et al. 2014, section 3; Arjovsky & Bottou 2017, theorems 2.4 and 2.5).  Then with
    trained Ds: G is fixed as the identity, so that p_g is N(0, 1); the data is N(10, 1); D trains
    (experiment=vanishing_gradient, a run per loss in OUTPUT_DIR/lab/vanishing-gradient), and the
    gradient with respect to the mean of p_g is measured.  Writes vanishing-gradient.png,
    trained.png and results.json.

    Args:
        points: measurements of G's gradient during D's training.
        output_dir: where results go.
        NAME=VALUE: any other word overrides the config of all runs: seed=1, data.means=[2], ...
    """
    at_least(2, points=points)
    folder = Path(output_dir) / "lab" / "vanishing-gradient"
    common = ["experiment=vanishing_gradient", "logger=csv", "trainer=cpu"]
    composer, plans = Composer(), dict[str, Planned]()
    for loss, (needs, _) in GAMES.items():
        words = [*common, *STILL, f"loss={loss}", *needs, f"output_dir={folder}", *overrides]
        plans[loss] = planned(words, composer)
        only_layer(plans[loss].experiment.build().generator)
    found = {loss: readings(plan, points) for loss, plan in plans.items()}
    known, distances = closed_forms(), torch.linspace(0, 10, 101).tolist()
    names = ("vanishing-gradient.png", "trained.png", "results.json")
    theoretical, real, results = (folder / name for name in names)
    pictures.save(theoretical, draw_theory(known, distances))
    pictures.save(real, draw_trained(found, at_the_optimal(plans["minimax"].experiment)))
    files.write(results, json.dumps({"distances": distances, **known, "trained": found}, indent=1))
    for loss, curve in found.items():
        print(f"{loss}: |dL / d mean| {curve[0][1]:.3g} at first, {curve[-1][1]:.3g} at the end")
    return [theoretical, real, results]


class GeneratorGradient(ModelCallback):
    """Makes G the identity and records |dL / d mean of p_g| while D trains, L without penalties.

    Args:
        file: stores the readings, so that a resumed run has all of them.
        iterations: at which to measure.
    """

    def __init__(self, file: Path, iterations: Sequence[int]) -> None:
        self.file, self.iterations = file, set(iterations)

    def on_train_start(self, trainer: Trainer, gan: GAN) -> None:
        layer = only_layer(gan.generator)
        nn.init.eye_(layer.weight)
        nn.init.zeros_(layer.bias)

    def on_train_batch_end(self, trainer: Trainer, gan: GAN, *_: Any) -> None:
        if gan.iterations not in self.iterations:
            return
        fake = gan.generator(gan.fixed_latents(4096))
        loss = gan.loss.g_loss(gan.discriminate(fake, fake[:, :0]).logits)
        (slope,) = torch.autograd.grad(loss, [only_layer(gan.generator).bias])
        earlier = [pair for pair in self.read() if pair[0] < gan.iterations]
        files.write(self.file, json.dumps([*earlier, (gan.iterations, slope.norm().item())]))

    def read(self) -> Curve:
        """(iteration, gradient) of all readings."""
        found = json.loads(self.file.read_text()) if self.file.exists() else []
        return [(iteration, slope) for iteration, slope in found]


def only_layer(generator: nn.Module) -> nn.Linear:
    """The only layer of an affine G; its bias is the mean of p_g.

    Raises:
        ConfigError: G is not affine.
    """
    layers = [module for module in generator.modules() if isinstance(module, nn.Linear)]
    if len(layers) != 1:
        raise ConfigError(["model.generator.hidden: this laboratory needs an affine G; keep it []"])
    return layers[0]


def readings(plan: Planned, points: int) -> Curve:
    """Trains D against the fixed G; returns G's gradient over iterations."""
    total = plan.config["iterations"]
    when = {round(step) for step in np.geomspace(1, total, points).tolist()}
    noted = GeneratorGradient(plan.run.path / "generator-gradient.json", sorted(when))
    trained(plan, [noted])
    return noted.read()


def at_the_optimal(experiment: Experiment) -> dict[str, float] | None:
    """G's gradients at the optimal D for p_g = N(0, 1); None if the data is not N(., 1)."""
    known = distribution_of(experiment.source)
    if not isinstance(known, Mixture) or known.means.shape != (1, 1) or known.stds.item() != 1:
        return None
    return theory.generator_gradients(known.means.item())


def closed_forms() -> dict[str, Any]:
    """JSD, W1 and gradients at the optimal D, for distances from 0 to 10."""
    distances = torch.linspace(0, 10, 101).tolist()
    gradients = [theory.generator_gradients(d) for d in distances]
    return {
        "parallel lines": list(zip(*map(theory.parallel_lines, distances), strict=True)),
        "gaussians": [
            [theory.gaussians_jsd(d) for d in distances],
            [theory.gaussians_wasserstein(d) for d in distances],
        ],
        "gradients": {name: [one[name] for one in gradients] for name in gradients[0]},
    }


def draw_theory(known: dict[str, Any], distances: Sequence[float]) -> np.ndarray:
    """Three panels: parallel lines, Gaussians, and gradients."""
    from matplotlib.figure import Figure

    figure = Figure((11.0, 3.4), dpi=DPI, layout="constrained", facecolor="white")
    lines, gaussians, slopes = figure.subplots(1, 3)
    for axes, name in ((lines, "parallel lines"), (gaussians, "gaussians")):
        jsd, w1 = known[name]
        start = 1 if name == "parallel lines" else 0  # at distance 0 the JSD of lines jumps to 0
        axes.plot(distances[start:], jsd[start:], color=G, lw=1.6, label="JSD")
        axes.plot(distances, [w / 10 for w in w1], color=OTHERS[0], lw=1.6, label="W1 / 10")
        if start:
            axes.plot([0], [0], "o", color=G, ms=4)
        axes.axhline(math.log(2), color=INK, lw=0.8, ls=":")
        axes.text(10, math.log(2), "log 2", ha="right", va="bottom", fontsize=8, color=INK)
        titled(axes, f"two {name if start else 'Gaussians, std 1'}", "distance")
    for name, (y, color) in zip(GAMES, gradients_of(known), strict=True):
        slopes.plot(distances[1:], y[1:], color=color, lw=1.6, label=name)
    slopes.set_yscale("log")
    slopes.set_ylim(1e-6, 20)
    titled(slopes, "|gradient of G's loss| at the optimal D", "distance of two Gaussians")
    return figures.to_pixels(figure)


def gradients_of(known: dict[str, Any]) -> Iterator[tuple[list[float], str]]:
    """(gradients, colour) of each loss."""
    for loss, (_, color) in GAMES.items():
        yield known["gradients"][NAMES[loss]], color


def draw_trained(found: dict[str, Curve], optimal: Mapping[str, float] | None = None) -> np.ndarray:
    """G's gradient while D trains, a line per loss; dotted: its value at the optimal D."""
    from matplotlib.figure import Figure

    figure = Figure((6.4, 3.8), dpi=DPI, layout="constrained", facecolor="white")
    axes = figure.subplots()
    for loss, curve in found.items():
        axes.plot(*zip(*curve, strict=True), color=GAMES[loss][1], lw=1.6, label=loss)
        if optimal is not None:
            axes.axhline(optimal[NAMES[loss]], color=GAMES[loss][1], lw=0.9, ls=":")
    axes.set_xscale("log")
    axes.set_yscale("log")
    titled(axes, "|gradient of G's loss| while D trains", "iteration")
    return figures.to_pixels(figure)


def titled(axes: "Axes", title: str, below: str) -> None:
    """Adds title, label of the x axis, legend and grid to a panel."""
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    axes.set_xlabel(below, color=INK, fontsize=9)
    axes.legend(frameon=False, fontsize=8, labelcolor="linecolor")
    figures.quiet(axes)
