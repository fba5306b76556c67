"""Known distributions: samples, exact densities, modes.

Points are (N, dim); samples come with the mode, int64 (N,), that each point is from.
"""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ganlab.metrics.classes import class_balance
from ganlab.spec import at_least, positive

NEAR = 3.0  # standard deviations within which a sample is of high quality


class Distribution(Protocol):
    """A distribution with a density."""

    @property
    def dim(self) -> int:
        """Dimension of the points."""

    def sample(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """n points float32 (n, dim) and the modes int64 (n,) that they are from."""

    def log_density(self, x: Tensor) -> Tensor:
        """(N, dim) -> float64 (N,)."""


class Coverage(NamedTuple):
    """How samples cover the modes of a mixture.

    A sample is of high quality if it is within 3 standard deviations of its nearest mode
    (Srivastava et al. 2017, section 4.1; Lin et al. 2018, section 4.1).

    modes: number of modes that are nearest to a high-quality sample.
    high_quality: share of high-quality samples, in [0, 1].
    kl: KL(generated || true) of the frequencies of nearest modes, in nats.
    """

    modes: int
    high_quality: float
    kl: float


class Mixture:
    """A mixture of isotropic Gaussians: p(x) = sum over k of w_k N(x; mu_k, s_k^2 I).

    Args:
        means: (K, dim).
        stds: K values greater than 0, or one for all.
        weights: K values greater than 0, normalised here; None: equal.

    Raises:
        ValueError: the lengths differ, or a value is out of range.
    """

    def __init__(
        self,
        means: Sequence[Sequence[float]],
        stds: Sequence[float],
        weights: Sequence[float] | None = None,
    ) -> None:
        k = len(means)
        at_least(1, **{"number of means": k})
        for name, values in (("stds", stds), ("weights", weights)):
            if values is not None and len(values) not in ({1, k} if name == "stds" else {k}):
                raise ValueError(
                    f"{name} must have as many values as means, {k}; got {len(values)}"
                )
            positive(**{f"{name}[{i}]": v for i, v in enumerate(values or ())})
        self.means = torch.tensor(means, dtype=torch.float64)
        self.stds = torch.tensor(stds, dtype=torch.float64).expand(k)
        shares = torch.tensor(weights if weights is not None else [1.0] * k, dtype=torch.float64)
        self.weights = shares / shares.sum()

    @property
    def dim(self) -> int:
        """Dimension of the points."""
        return self.means.shape[1]

    def __len__(self) -> int:
        return len(self.means)

    def sample(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """n points float32 (n, dim) and the modes int64 (n,) that they are from."""
        mode = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        noise = torch.randn(n, self.dim, generator=generator, dtype=torch.float64)
        return (self.means[mode] + self.stds[mode, None] * noise).float(), mode

    def log_density(self, x: Tensor) -> Tensor:
        """(N, dim) -> float64 (N,)."""
        scaled = torch.cdist(x.double(), self.means) / self.stds
        constant = self.weights.log() - self.dim * (self.stds.log() + 0.5 * math.log(2 * math.pi))
        return (constant - 0.5 * scaled.square()).logsumexp(dim=1)

    def density(self, x: Tensor) -> Tensor:
        """(N, dim) -> float64 (N,)."""
        return self.log_density(x).exp()

    def cdf(self, x: Tensor) -> Tensor:
        """P(X <= x) for x (N,): float64 (N,); for 1-d mixtures only.

        Raises:
            ValueError: the mixture has more than one dimension.
        """
        if self.dim != 1:
            raise ValueError(f"a cdf needs a mixture of dimension 1, got {self.dim}")
        scaled = (x.double()[:, None] - self.means[:, 0]) / self.stds
        return (self.weights * torch.special.ndtr(scaled)).sum(dim=1)

    def masses(self, x: Tensor, y: Tensor) -> Tensor:
        """P of each cell between x edges (A + 1,) and y edges (B + 1,): float64 (B, A), rows are y.

        Exact, as the density of an isotropic Gaussian is a product; for 2-d mixtures only.

        Raises:
            ValueError: the mixture has not two dimensions.
        """
        if self.dim != 2:
            raise ValueError(f"masses of cells need a mixture of dimension 2, got {self.dim}")
        along_x, along_y = (
            torch.special.ndtr((edges.double() - mean[:, None]) / self.stds[:, None]).diff(dim=1)
            for edges, mean in zip((x, y), self.means.T, strict=True)
        )
        return (self.weights[:, None] * along_y).T @ along_x

    def coverage(self, samples: Tensor) -> Coverage:
        """How generated points (N, dim) cover the modes; non-finite points count for no mode."""
        points = samples.detach().cpu().double()
        points = points[points.isfinite().all(dim=1)]
        if not len(points):
            return Coverage(0, 0.0, math.nan)
        distance, nearest = (torch.cdist(points, self.means) / self.stds).min(dim=1)
        near = distance <= NEAR
        counts = nearest.bincount(minlength=len(self))
        expected = (self.weights * 1e9).round().long()
        return Coverage(
            modes=len(nearest[near].unique()),
            high_quality=near.sum().item() / len(samples),
            kl=class_balance(counts, expected).kl,
        )


def ring(modes: int = 8, radius: float = 1.0, std: float = 0.01) -> Mixture:
    """Equal Gaussians on a circle around 0; defaults of Lin et al. 2018, section 4.1."""
    at_least(1, modes=modes)
    positive(radius=radius, std=std)
    angles = [2 * math.pi * k / modes for k in range(modes)]
    return Mixture([[radius * math.cos(a), radius * math.sin(a)] for a in angles], [std])


def grid(side: int = 5, spacing: float = 2.0, std: float = 0.05) -> Mixture:
    """Equal Gaussians on a side x side grid around 0; defaults of Lin et al. 2018, section 4.1."""
    at_least(1, side=side)
    positive(spacing=spacing, std=std)
    places = [spacing * (i - (side - 1) / 2) for i in range(side)]
    return Mixture([[x, y] for x in places for y in places], [std])


class SwissRoll:
    """A spiral with Gaussian noise in the plane: x = c(t) + std N(0, I), t uniform.

    c(t) = t (cos t, sin t) / (3 pi) for t in [1.5 pi, 1.5 pi + 2 pi turns].  This is scikit-learn's
    Swiss roll without its width, divided by 3 pi.  It has no modes.

    Args:
        turns: number of turns, greater than 0; 1.5 in scikit-learn.
        std: standard deviation of the noise, greater than 0.
    """

    dim = 2

    def __init__(self, turns: float = 1.5, std: float = 0.05) -> None:
        positive(turns=turns, std=std)
        self.start, self.end, self.std = 1.5 * math.pi, (1.5 + 2 * turns) * math.pi, std

    def curve(self, t: Tensor) -> Tensor:
        """Points (N, 2) on the spiral without noise, for t (N,)."""
        return t[:, None] * torch.stack([t.cos(), t.sin()], dim=1) / (3 * math.pi)

    def sample(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """n points float32 (n, 2), and modes int64 (n,) that are all 0."""
        t = torch.rand(n, generator=generator, dtype=torch.float64)
        noise = torch.randn(n, 2, generator=generator, dtype=torch.float64)
        points = self.curve(self.start + (self.end - self.start) * t) + self.std * noise
        return points.float(), torch.zeros(n, dtype=torch.long)

    @functools.cached_property
    def mixture(self) -> Mixture:
        """Gaussians along the curve in whose place stands the integral over t: the midpoint rule.

        Steps along the curve are at most std / 4.  The relative error of the density is 1e-3 at the
        two ends of the curve and far less elsewhere.
        """
        length = (self.end - self.start) * self.end / (3 * math.pi)
        n = math.ceil(4 * length / self.std)
        t = self.start + (self.end - self.start) * (torch.arange(n, dtype=torch.float64) + 0.5) / n
        return Mixture(self.curve(t).tolist(), [self.std])

    def log_density(self, x: Tensor) -> Tensor:
        """(N, 2) -> float64 (N,), of `mixture`."""
        return self.mixture.log_density(x)

    def density(self, x: Tensor) -> Tensor:
        """(N, 2) -> float64 (N,)."""
        return self.log_density(x).exp()
