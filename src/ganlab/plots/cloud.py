"""Clouds of points: generated ones over those of the data."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ganlab.plots import figures
from ganlab.plots.figures import INK, G

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS_DRAWN, MOST_REAL = 2500, 5000  # generated and real points in a cloud


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
        return figures.to_pixels(figure)

    def draw(self, axes: "Axes", generated: Tensor) -> None:
        """Draws points (N, d) in the given axes, and prints the share of them that lies outside."""
        generated = generated.detach().float().cpu()[:, :2]
        inside = (generated >= torch.tensor(self.low)) & (generated <= torch.tensor(self.high))
        (self._histogram if len(self.low) == 1 else self._scatter)(axes, generated)
        figures.quiet(axes)
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
