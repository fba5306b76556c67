"""What can be drawn of a live training, as numpy arrays; only what is asked for is computed.

| layer | value | what it is |
|---|---|---|
| real | (n, d) | points of the data, always the same |
| generated | (n, d) | G(z) of the same z |
| heat | Heat | D on a grid: a probability, or a critic's value scaled to [0, 1] |
| optimal | Heat | D* = p_data / (p_data + p_g), of cells |
| warp | Warp | a grid of z of equal mass, where G moves it, and how dense it is there |
| gradients | Arrows | minus the gradient of G's loss at each generated point: where it is pushed |
| densities | Densities | 1-d data only: p_data, p_g, D and D* on the line |
| measures | dict | numbers: JSD, W1, V, C(G), modes |

In one dimension with 1-d noise p_g is exact for a G that is linear between 1025 values of z
(theory.pushed_forward).  With 2-d noise the same is done for 64 values of the second z, of equal
mass.  In the plane p_g is the share of 4096 z of equal mass, a Sobol sequence, that G moves into a
cell.  Masses of p_data are exact.  D* and JSD are of cells: what a D could do that sees only the
cell of a point, and a lower bound of the JSD of the points.
"""

import functools
import math
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from ganlab.data.distributions import Distribution, Mixture, SwissRoll
from ganlab.data.points import distribution_of
from ganlab.data.strokes import Strokes
from ganlab.gan import GAN
from ganlab.lab import theory
from ganlab.lab.line import State, stretches
from ganlab.lab.live.training import LiveTraining
from ganlab.latent import Uniform
from ganlab.losses import LeastSquares, Minimax
from ganlab.training.terms import Generation

Array = np.ndarray[Any, Any]
Scale = Literal["probability", "regression", "critic"]
LAYERS = ("real", "generated", "heat", "optimal", "warp", "gradients", "densities", "measures")
SHOWN, CELLS, CELLS_1D = 400, 40, 160  # points; cells along an axis of the plane, and of the line
MIDDLE = slice(CELLS_1D, 2 * CELLS_1D)  # the cells of the line that are shown
NODES = 4096  # z of equal mass in the plane
STRETCHES = {1: 1024, 2: 128}  # intervals of the first z on the line, by dimensions of z
STRIPS = 64  # values of the second z on the line
MARGIN = 0.25  # of the view around the data, as a share of the data's width
GRID, TAIL = 20, 0.002  # cells of z along an axis, and the mass of Gaussian z beyond each end
DIRECTIONS, PROJECTED = 16, 1024  # of the sliced W1, and the points that are projected


class Heat(NamedTuple):
    """A picture of D.

    Args:
        values: in [0, 1], (cells, cells) with a row for each y, or (cells,) on the line; nan where
            nothing is known.
        name: what the values are.
        low, high: what 0 and 1 stand for.
    """

    values: Array
    name: str
    low: float
    high: float


class Warp(NamedTuple):
    """A grid of z that G moves.

    Args:
        z: vertices, (rows, columns, 2); of 1-d noise (columns, 1).
        x: G(z), (rows, columns, d) or (columns, d).
        density: of each cell, its mass over its area (or length), scaled so that the densest 5% are
            1: (rows - 1, columns - 1) or (columns - 1,).
    """

    z: Array
    x: Array
    density: Array


class Arrows(NamedTuple):
    """Where generated points are pushed.

    Args:
        at: generated points, (n, d).
        force: minus the gradient of G's loss at each, times n: of each point by itself, (n, d).
    """

    at: Array
    force: Array


class Densities(NamedTuple):
    """A 1-d GAN on the line, each (cells,): densities, and D and D* in [0, 1]; nan without mass."""

    x: Array
    data: Array
    generated: Array
    d: Array
    optimal: Array


class View(NamedTuple):
    """The part of the line or the plane that is shown: the same range for x and y."""

    low: float
    high: float


class Layers:
    """Computes the layers of a training as it is now.

    Args:
        training: may change and go back; the layers follow it.
        shown: points that are drawn.
        cells: of heat maps, along an axis.
    """

    def __init__(self, training: LiveTraining, shown: int = SHOWN, cells: int = CELLS) -> None:
        self.training = training
        stage, gan = training.stage, training.gan
        known = distribution_of(stage.experiment.source)
        self.dim = gan.spec.shape[0]
        self.modes = known if isinstance(known, Mixture) and len(known) > 1 else None
        self.mixture = mixture_of(known)
        self.points = stage.points[:shown]
        self.projected = stage.points[:PROJECTED]
        self.noise = gan.fixed_latents(shown)
        self.view = view_of(stage.points)
        self.exact = self.dim == 1 and gan.latent.dim == 1
        self.edges = torch.linspace(*self.view, cells + 1, dtype=torch.float64)
        if self.dim == 1:
            self.edges = wide(self.view)
        centres = middles(self.edges)
        self.centres = centres[:, None] if self.dim == 1 else plane(centres)
        self.nodes = equal_mass(gan)
        self.directions = around(DIRECTIONS)

    @property
    def gan(self) -> GAN:
        """The GAN as it is now."""
        return self.training.gan

    @property
    def width(self) -> float:
        """Of a cell."""
        return (self.edges[1] - self.edges[0]).item()

    @property
    def scale(self) -> Scale:
        """What the loss in force takes D's output for."""
        loss = self.gan.loss
        if isinstance(loss, Minimax):
            return "probability"
        return "regression" if isinstance(loss, LeastSquares) else "critic"

    @functools.cached_property
    def masses(self) -> Tensor:
        """Of p_data in the cells, float64 (cells,) or (cells^2,)."""
        if self.dim == 1:
            return self.mixture.cdf(beyond(self.edges)).diff()
        return self.mixture.masses(self.edges, self.edges).flatten()

    def frame(self, names: Iterable[str]) -> dict[str, Any]:
        """The layers of these names; `densities` is left out unless the data is on the line."""
        at_once = _Frame(self)
        wanted = [name for name in names if name != "densities" or self.dim == 1]
        return {name: getattr(at_once, name) for name in wanted}


class _Frame:
    """One moment; layers share what they have in common."""

    def __init__(self, layers: Layers) -> None:
        self.of, self.gan = layers, layers.gan

    @property
    def real(self) -> Array:
        return self.of.points.numpy()

    @property
    def generated(self) -> Array:
        return self._generated.numpy()

    @functools.cached_property
    @torch.no_grad()
    def _generated(self) -> Tensor:
        return self.gan.generator(self.of.noise)

    # D -------------------------------------------------------------------------------------------

    @functools.cached_property
    @torch.no_grad()
    def logits(self) -> Tensor:
        """D's outputs at the centres of the cells, (cells,) or (cells^2,)."""
        return judged(self.gan, self.of.centres)

    @functools.cached_property
    def heat(self) -> Heat:
        values, scale = self.gan.loss.score(self.logits), self.of.scale
        if scale == "probability":
            return Heat(self._shaped(values), "D(x): the probability that x is real", 0.0, 1.0)
        if scale == "regression":
            name = "D(x): 1 for real, 0 for generated"
            return Heat(self._shaped(values.clamp(0, 1)), name, 0.0, 1.0)
        low, high = values.min().item(), values.max().item()
        scaled = (values - low) / max(high - low, 1e-12)
        return Heat(self._shaped(scaled), "critic D(x): higher where more real", low, high)

    @functools.cached_property
    def optimal(self) -> Heat:
        data, generated = self.masses
        known = data + generated > 1 / NODES**2
        best = torch.where(known, theory.optimal_discriminator(data, generated), torch.nan)
        name = "D*(x) = p_data / (p_data + p_g)" + ("" if self.of.exact else " of cells")
        return Heat(self._shaped(best), name, 0.0, 1.0)

    def _shaped(self, values: Tensor) -> Array:
        return (values[MIDDLE] if self.of.dim == 1 else square(values)).numpy()

    # p_g and p_data ------------------------------------------------------------------------------

    @functools.cached_property
    @torch.no_grad()
    def moved(self) -> Tensor:
        """G at the nodes, (NODES, d)."""
        return self.gan.generator(self.of.nodes)

    @functools.cached_property
    @torch.no_grad()
    def masses(self) -> tuple[Tensor, Tensor]:
        """Masses of the cells, of p_data and of p_g, float64 (cells,) or (cells^2,)."""
        if self.of.dim == 2:
            return self.of.masses, shares(self.moved, self.of.edges)
        z, masses = strips(self.gan)
        images = self.gan.generator(z)[:, 0]
        return self.of.masses, theory.pushed_forward(images, masses, beyond(self.of.edges))

    @functools.cached_property
    def densities(self) -> Densities:
        data, generated = (masses[MIDDLE] / self.of.width for masses in self.masses)
        x, d, optimal = self.of.centres[MIDDLE, 0], self.heat.values, self.optimal.values
        return Densities(x.numpy(), data.numpy(), generated.numpy(), d, optimal)

    # G -------------------------------------------------------------------------------------------

    @functools.cached_property
    @torch.no_grad()
    def warp(self) -> Warp:
        z = grid_of(self.gan)
        x = self.gan.generator(z.flatten(0, -2)).unflatten(0, z.shape[:-1])
        size = lengths(x) if z.dim() == 2 else areas(x)
        density = 1 / size.clamp_min(1e-9)
        return Warp(z.numpy(), x.numpy(), (density / density.quantile(0.95)).clamp(max=1).numpy())

    @functools.cached_property
    def gradients(self) -> Arrows:
        gan = self.gan
        fake = self._generated.detach().requires_grad_()
        none = fake[:, :0]
        of_fake = gan.discriminate(fake, none)
        of_real = gan.discriminate(self.of.points, none) if gan.needs_real else None
        heard = [r for r in gan.regularizers.values() if r.needs_features and r.has_term("g")]
        update = Generation(gan.generator, self.of.noise, of_fake, of_real)
        loss = sum((r.g_term(update) for r in heard), of_fake.logits.new_zeros(()))
        if not any(r.replaces for r in heard):
            real = None if of_real is None else of_real.logits
            loss = loss + gan.loss.g_loss(of_fake.logits, real)
        (slope,) = torch.autograd.grad(loss, [fake])
        return Arrows(fake.detach().numpy(), (-len(fake) * slope).numpy())

    # Numbers -------------------------------------------------------------------------------------

    @functools.cached_property
    def measures(self) -> dict[str, float]:
        found = self._on_the_line() if self.of.dim == 1 else self._in_the_plane()
        if self.of.modes is not None:
            cover = self.of.modes.coverage(self.moved)
            found |= {"modes": cover.modes, "near modes": cover.high_quality}
        return found

    def _on_the_line(self) -> dict[str, float]:
        (data, generated), width = self.masses, self.of.width
        state = State(self.of.centres[:, 0], width, data, generated, self.logits)
        found = {"JSD": state.jsd, "W1": theory.wasserstein(data, generated, width)}
        if isinstance(self.gan.loss, Minimax):  # the others play another game
            found["C(G)"] = state.criterion
            found["V(D,G)"] = state.value
        return found

    def _in_the_plane(self) -> dict[str, float]:
        data, generated = (torch.cat([m, (1 - m.sum())[None].clamp(0)]) for m in self.masses)
        sorted_g, sorted_data = (
            (points[:PROJECTED] @ self.of.directions).sort(dim=0).values
            for points in (self.moved, self.of.projected)
        )
        return {
            "JSD of cells": theory.jsd(data, generated),
            "sliced W1": (sorted_g - sorted_data).abs().mean().item(),
        }


def mixture_of(known: Distribution | None) -> Mixture:
    """The mixture of Gaussians that a distribution is, or is computed by.

    Raises:
        TypeError: the density is unknown.
    """
    if isinstance(known, SwissRoll | Strokes):
        return known.mixture
    if not isinstance(known, Mixture):
        raise TypeError(f"layers need points with a known density, got {type(known).__name__}")
    return known


def view_of(points: Tensor) -> View:
    """A range that contains all points, and where G starts, with a margin."""
    low, high = min(points.min().item(), -1.0), max(points.max().item(), 1.0)
    margin = MARGIN * (high - low) / 2
    return View(low - margin, high + margin)


def wide(view: View) -> Tensor:
    """Edges of cells on the line, as many again on each side of those that are shown."""
    low, high = view
    return torch.linspace(2 * low - high, 2 * high - low, 3 * CELLS_1D + 1, dtype=torch.float64)


def beyond(edges: Tensor) -> Tensor:
    """The same cells, but the first and the last contain all that lies farther out."""
    infinite = edges.new_tensor([math.inf])
    return torch.cat([-infinite, edges[1:-1], infinite])


def middles(edges: Tensor) -> Tensor:
    """Centres of cells, float32."""
    return ((edges[:-1] + edges[1:]) / 2).float()


def plane(centres: Tensor) -> Tensor:
    """(cells^2, 2) centres of a square's cells, row by row: x runs fastest."""
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], dim=1)


def square(values: Tensor) -> Tensor:
    """(cells^2,) -> (cells, cells)."""
    return values.unflatten(0, (math.isqrt(len(values)), -1))


@torch.no_grad()
def judged(gan: GAN, points: Tensor) -> Tensor:
    """D's outputs at points (N, d): (N,)."""
    return gan.discriminate(points, points[:, :0]).logits


def quantile(gan: GAN, unit: Tensor) -> Tensor:
    """Noise, float32, from numbers in (0, 1): the inverse distribution function of each entry."""
    latent = gan.latent
    if isinstance(latent, Uniform):
        return (latent.low + (latent.high - latent.low) * unit).float()
    return torch.special.ndtri(unit.double()).float()


def equal_mass(gan: GAN) -> Tensor:
    """NODES of noise that stand for equal masses: a scrambled Sobol sequence."""
    unit = SobolEngine(gan.latent.dim, scramble=True, seed=0).draw(NODES)
    return quantile(gan, unit.clamp(1e-6, 1 - 1e-6))


def strips(gan: GAN) -> tuple[Tensor, Tensor]:
    """Noise (K + 1, dim), float32, along its first entry, and the masses (K,) between neighbours.

    With 2-d noise, strips of equal mass follow each other, each with one value of the second entry;
    between the last z of one and the first of the next lies no mass.
    """
    first, masses = stretches(gan.latent, STRETCHES[gan.latent.dim])
    if gan.latent.dim == 1:
        return first.float()[:, None], masses
    second = quantile(gan, (torch.arange(STRIPS, dtype=torch.float64) + 0.5) / STRIPS)
    z = torch.cartesian_prod(second, first.float()).flip(1)
    own = torch.cat([masses / STRIPS, masses.new_zeros(1)])
    return z, own.repeat(STRIPS)[:-1]


def shares(points: Tensor, edges: Tensor) -> Tensor:
    """The share of points (N, d) in each cell, float64 (cells,) or (cells^2,)."""
    place = torch.bucketize(points.double().contiguous(), edges) - 1
    cells = len(edges) - 1
    inside = ((place >= 0) & (place < cells)).all(dim=1)
    rows = place[inside].flip(1)  # y, then x
    index = rows[:, 0] if points.shape[1] == 1 else cells * rows[:, 0] + rows[:, 1]
    counts = index.bincount(minlength=cells ** points.shape[1])
    return counts.double() / len(points)


def grid_of(gan: GAN) -> Tensor:
    """Vertices of a grid of noise of equal mass: (GRID + 1, GRID + 1, 2), or (10 GRID + 1, 1)."""
    n = GRID if gan.latent.dim == 2 else 10 * GRID
    tail = 0.0 if isinstance(gan.latent, Uniform) else TAIL
    axis = quantile(gan, torch.linspace(tail, 1 - tail, n + 1, dtype=torch.float64))
    if gan.latent.dim == 1:
        return axis[:, None]
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([x, y], dim=-1)


def lengths(x: Tensor) -> Tensor:
    """Distances between neighbours (n + 1, d): (n,)."""
    return x.diff(dim=0).norm(dim=1)


def areas(x: Tensor) -> Tensor:
    """Areas of quadrilaterals (rows + 1, columns + 1, d): (rows, columns); lengths if d is 1."""
    if x.shape[-1] == 1:
        corners = torch.stack([x[:-1, :-1], x[:-1, 1:], x[1:, :-1], x[1:, 1:]])[..., 0]
        return corners.amax(dim=0) - corners.amin(dim=0)
    one, other = x[1:, 1:] - x[:-1, :-1], x[1:, :-1] - x[:-1, 1:]  # diagonals
    return (one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0]).abs() / 2


def around(n: int) -> Tensor:
    """n directions in the plane, evenly spread over a half circle: (2, n)."""
    angles = math.pi * torch.arange(n) / n
    return torch.stack([angles.cos(), angles.sin()])
