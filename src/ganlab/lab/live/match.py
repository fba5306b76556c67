"""Two trainings side by side, from the same seed and on the same data."""

from collections.abc import Iterator
from dataclasses import replace

from ganlab.lab.live.setup import Setup
from ganlab.lab.live.training import LiveTraining

SHARED = ("data", "strokes", "seed", "latent", "latent_dim")  # what a match has in common


class Match:
    """Two trainings that are stepped together.

    Args:
        left, right: their choices; the right one takes data, noise and seed from the left.

    Raises:
        ConfigError: the choices of one cannot be combined.
    """

    def __init__(self, left: Setup, right: Setup) -> None:
        shared = {name: getattr(left, name) for name in SHARED}
        self.left, self.right = LiveTraining(left), LiveTraining(replace(right, **shared))

    def __iter__(self) -> Iterator[LiveTraining]:
        return iter((self.left, self.right))

    def iterate(self, n: int = 1) -> None:
        """n iterations of each."""
        for training in self:
            training.iterate(n)

    def go_to(self, iteration: int) -> int:
        """Takes both to the left one's kept state that is nearest to an iteration.

        Both keep states at the same iterations unless one was changed; then the right one goes to
        its own nearest state.
        """
        reached = self.left.go_to(iteration)
        self.right.go_to(reached)
        return reached
