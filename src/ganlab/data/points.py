"""Data sets of points from known distributions."""

from collections.abc import Callable

from torch import Tensor

from ganlab.data.distributions import Distribution, Mixture, SwissRoll, grid, ring
from ganlab.data.images import Images
from ganlab.data.strokes import Strokes, positions
from ganlab.spec import PointSpec, at_least, seed_range
from ganlab.training.streams import Stream, stream


class Points:
    """n points, drawn once: every epoch, every resumed run and every score uses the same ones.

    Args:
        distribution: of the points; if it has several modes, they are the classes.
        n: number of points.
        seed: of the draw; independent of the run's seed, so that runs share their points.
        held_out: draw the held-out points instead of the training points.
    """

    def __init__(
        self,
        distribution: Distribution,
        n: int = 100_000,
        seed: int = 0,
        held_out: bool = False,
    ) -> None:
        at_least(1, n=n)
        seed_range(seed)
        self.distribution, self.n, self.seed = distribution, n, seed
        self.held_out = held_out

    @property
    def spec(self) -> PointSpec:
        known = self.distribution
        modes = len(known) if isinstance(known, Mixture) and len(known) > 1 else 0
        return PointSpec(known.dim, modes)

    def check(self) -> None:
        """Nothing can be missing."""

    def prepare(self) -> None:
        """Nothing to download."""

    def read(self) -> Images:
        key = Stream.HELD_OUT_POINTS if self.held_out else Stream.POINTS
        points, modes = self.distribution.sample(self.n, stream("cpu", self.seed, key))
        return Images(points, modes)

    def test(self) -> "Points | None":
        """Held-out points, n / 10 of them, drawn independently; None if these are held out."""
        if self.held_out:
            return None
        return Points(self.distribution, max(1, self.n // 10), self.seed, held_out=True)


class Gaussian1D(Points):
    """A mixture of 1-d Gaussians; by default, one standard normal distribution.

    Args:
        means: of each Gaussian.
        stds: of each Gaussian, or one for all.
        weights: of each Gaussian, normalised here; None: equal.
        n: number of points.
        seed: of the draw.
    """

    def __init__(
        self,
        means: tuple[float, ...] = (0.0,),
        stds: tuple[float, ...] = (1.0,),
        weights: tuple[float, ...] | None = None,
        n: int = 100_000,
        seed: int = 0,
    ) -> None:
        super().__init__(Mixture([[mean] for mean in means], stds, weights), n, seed)


class Ring2D(Points):
    """Equal Gaussians on a circle (Lin et al. 2018, section 4.1).

    Args:
        modes: number of Gaussians.
        radius: of the circle.
        std: of each Gaussian.
        n: number of points.
        seed: of the draw.
    """

    def __init__(
        self,
        modes: int = 8,
        radius: float = 1.0,
        std: float = 0.01,
        n: int = 100_000,
        seed: int = 0,
    ) -> None:
        super().__init__(ring(modes, radius, std), n, seed)


class Grid2D(Points):
    """Equal Gaussians on a square grid (Lin et al. 2018, section 4.1).

    Args:
        side: number of rows and of columns.
        spacing: distance between neighbours.
        std: of each Gaussian.
        n: number of points.
        seed: of the draw.
    """

    def __init__(
        self,
        side: int = 5,
        spacing: float = 2.0,
        std: float = 0.05,
        n: int = 100_000,
        seed: int = 0,
    ) -> None:
        super().__init__(grid(side, spacing, std), n, seed)


class SwissRoll2D(Points):
    """A spiral with noise: a long, thin, connected distribution without modes.

    Args:
        turns: number of turns of the spiral.
        std: standard deviation of the noise.
        n: number of points.
        seed: of the draw.
    """

    def __init__(
        self, turns: float = 1.5, std: float = 0.05, n: int = 100_000, seed: int = 0
    ) -> None:
        super().__init__(SwissRoll(turns, std), n, seed)


class Drawn2D(Points):
    """A shape drawn by hand: a Gaussian at each point of its strokes; it has no modes.

    Args:
        strokes: the points, written as in data/strokes.py: four characters each.
        std: standard deviation of each Gaussian.
        n: number of points.
        seed: of the draw.
    """

    def __init__(self, strokes: str, std: float = 0.02, n: int = 100_000, seed: int = 0) -> None:
        super().__init__(Strokes(positions(strokes), std), n, seed)


def distribution_of(source: object) -> Distribution | None:
    """The distribution of a source's points; None if it is unknown, as for images."""
    return source.distribution if isinstance(source, Points) else None


def density_of(source: object) -> Callable[[Tensor], Tensor] | None:
    """The density of a source's points, (N, d) -> float64 (N,); None if it is unknown."""
    known = distribution_of(source)
    return (lambda x: known.log_density(x).exp()) if known is not None else None
