"""Semi-supervised data: which images keep their labels (Salimans et al. 2016)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ganlab.errors import DataError
from ganlab.spec import at_least, seed_range
from ganlab.training.streams import Stream, stream


@dataclass(frozen=True)
class LabelBudget:
    """The number of labeled images per class, and which ones they are.

    Args:
        per_class: images of each class that keep their labels.
        seed: of the choice; independent of the run's seed, so that runs share their labels.
    """

    per_class: int
    seed: int = 0

    def __post_init__(self) -> None:
        at_least(1, per_class=self.per_class)
        seed_range(self.seed)

    def __str__(self) -> str:
        return f"{self.per_class} labels per class are asked for"

    def check(self, classes: int) -> None:
        """Raises DataError if the data has no classes."""
        if not classes:
            raise DataError(f"{self}, but this data has no classes")

    def choose(self, labels: Tensor, classes: int) -> Tensor:
        """Indices of images that keep their labels, by class: int64 (classes * per_class,).

        With the same seed, a larger budget includes the images of a smaller one.

        Raises:
            DataError: there are no classes, or too few images of a class.
        """
        self.check(classes)
        fewest, name = labels.bincount(minlength=classes).min(dim=0)
        if fewest < self.per_class:
            raise DataError(f"{self}, but class {name} has only {fewest}")
        shuffled = torch.randperm(
            len(labels), generator=stream("cpu", self.seed, Stream.KEPT_LABELS)
        )
        found = (shuffled[labels[shuffled] == c] for c in range(classes))
        return torch.cat([images[: self.per_class] for images in found])
