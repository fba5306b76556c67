"""Few labels: which images keep theirs when labels are taken to be dear (Salimans et al. 2016)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ganlab.errors import DataError
from ganlab.spec import at_least, seed_range
from ganlab.training.streams import Stream, stream


@dataclass(frozen=True)
class LabelBudget:
    """As many labels of each class as one can afford.

    Args:
        per_class: images of each class that keep their labels.
        seed: of the choice. It is not the run's: runs with different seeds share their labels.
    """

    per_class: int
    seed: int = 0

    def __post_init__(self) -> None:
        at_least(1, per_class=self.per_class)
        seed_range(self.seed)

    def __str__(self) -> str:
        return f"{self.per_class} labels per class are asked for"

    def check(self, classes: int) -> None:
        """Raises DataError if there are no classes to have labels of."""
        if not classes:
            raise DataError(f"{self}, but this data has no classes")

    def choose(self, labels: Tensor, classes: int) -> Tensor:
        """Indices of the images that keep their labels, sorted by class: int64 (classes per_class).

        A larger budget of the same seed keeps what a smaller one does.

        Raises:
            DataError: there are no classes, or too few images of one.
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
