"""Samples of every kind on some data: a picture of each, and one of all."""

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from ganlab import load
from ganlab.data.points import density_of
from ganlab.lab.generative.measures import data_of, real_images
from ganlab.lab.training import Planned
from ganlab.plots import figures, pictures
from ganlab.plots.cloud import POINTS_DRAWN, Cloud
from ganlab.plots.figures import INK

ACROSS = 12  # images in a row
PANEL = 2.6  # inches, of a cloud of points
ROW = (7.8, 0.62)  # inches, of a row of images


def samples(plan: Planned) -> Tensor:
    """What is drawn of a run."""
    n = POINTS_DRAWN if len(plan.experiment.source.spec.shape) == 1 else ACROSS
    return load(plan.run.path).sample(n)


def picture(plan: Planned, drawn: Tensor) -> np.ndarray:
    """uint8 RGB (H, W, 3): images in a row, or points over those of the data."""
    return cloud_of(plan)(drawn) if drawn.ndim == 2 else pictures.grid(drawn, columns=ACROSS)


def real(plan: Planned) -> Tensor:
    """As much of the data."""
    data = real_images(data_of(plan))
    return data if data.ndim == 2 else data[:ACROSS]


def cloud_of(plan: Planned) -> Cloud:
    """The cloud that draws samples over the data."""
    source = plan.experiment.source
    return Cloud(source.read().images, density_of(source))


def sheet(shown: Mapping[str, np.ndarray], *, points: bool) -> np.ndarray:
    """All pictures in one: rows of images, or panels of points side by side.

    Args:
        shown: name -> its picture.
        points: whether they are of points.
    """
    from matplotlib.figure import Figure

    n = len(shown)
    size = (PANEL * n, PANEL + 0.25) if points else (ROW[0], ROW[1] * n)
    figure = Figure(size, dpi=100, layout="constrained", facecolor="white")
    panels = figure.subplots(*((1, n) if points else (n, 1)), squeeze=False).flatten()
    for axes, (name, pixels) in zip(panels, shown.items(), strict=True):
        axes.imshow(pixels, interpolation="antialiased")
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_visible(False)
        if points:
            axes.set_title(name, loc="left", fontsize=10, color=INK)
        else:
            axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9, color=INK)
    return figures.to_pixels(figure)
