"""The scores themselves: each compares the features of generated images with those of real ones.

To add a score, write a Measure and add it to MEASURES, or list it in `metrics.also` of a config.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

from ganlab.metrics import (
    Tally,
    class_balance,
    frechet_distance,
    kernel_distance,
    neighbourhood,
)
from ganlab.metrics.features import Extractor
from ganlab.scoring.protocol import Protocol
from ganlab.scoring.reference import Reference
from ganlab.scoring.scorecard import Score


class Measure(ABC):
    """Base of all scores.

    `names`: of the scores that it computes.  A score whose name ends in `distance` is better if it
    is less, all others if they are more (`scorecard.less_is_better`).
    """

    names: ClassVar[tuple[str, ...]]

    def applies(self, extractor: Extractor) -> bool:
        """Whether it can be computed from this extractor's features."""
        return True

    @abstractmethod
    def __call__(self, real: Reference, fake: Tally, protocol: Protocol) -> dict[str, Score]:
        """The scores by name.

        Args:
            real: the real side: moments and kept features.
            fake: the generated side: moments, kept features and predictions.
            protocol: numbers of images, subsets and neighbours.
        """


class Frechet(Measure):
    """The Frechet distance (Heusel et al. 2017, eq. 6); `fid` under the reference protocol."""

    names = ("frechet",)

    def __call__(self, real: Reference, fake: Tally, protocol: Protocol) -> dict[str, Score]:
        return {"frechet": Score(frechet_distance(real.moments, fake.moments))}


class Inception(Measure):
    """The Inception Score (Salimans et al. 2016, section 4), with the deviation of its parts."""

    names = ("is",)

    def __call__(self, real: Reference, fake: Tally, protocol: Protocol) -> dict[str, Score]:
        value, deviation = fake.inception_score()
        return {"is": Score(value, deviation=deviation)}


class Kernel(Measure):
    """The kernel distance (Binkowski et al. 2018, section 4), with the deviation of its subsets."""

    names = ("kernel",)

    def __call__(self, real: Reference, fake: Tally, protocol: Protocol) -> dict[str, Score]:
        subsets, size = protocol.subsets
        vectors = real.vectors.to(fake.vectors.device)
        value, deviation = kernel_distance(vectors, fake.vectors, subsets, size)
        return {"kernel": Score(value, deviation=deviation)}


class Neighbours(Measure):
    """Precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020)."""

    names = ("precision", "recall", "density", "coverage")

    def __call__(self, real: Reference, fake: Tally, protocol: Protocol) -> dict[str, Score]:
        vectors = real.vectors.to(fake.vectors.device)
        near = neighbourhood(vectors, fake.vectors, protocol.neighbours)
        return {name: Score(value) for name, value in near._asdict().items()}


class Balance(Measure):
    """Modes, and the divergence of their frequencies, where the extractor knows the classes."""

    names = ("modes", "kl")

    def applies(self, extractor: Extractor) -> bool:
        return extractor.names_classes

    def __call__(self, real: Reference, fake: Tally, protocol: Protocol) -> dict[str, Score]:
        found = class_balance(fake.histogram.cpu(), real.predicted)
        return {"modes": Score(found.modes), "kl": Score(found.kl)}


MEASURES: tuple[Measure, ...] = (Frechet(), Inception(), Kernel(), Neighbours(), Balance())
