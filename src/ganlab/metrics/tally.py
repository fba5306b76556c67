"""Accumulates everything that scores need in one pass over features, in constant memory."""

import copy
import functools
import operator
from collections.abc import Iterator

import torch
from torch import Tensor

from ganlab.metrics.checks import broken, enough_for
from ganlab.metrics.features import Features
from ganlab.metrics.inception import Predictions
from ganlab.metrics.moments import Moments, summed
from ganlab.spec import at_least

FIELDS = ("features", "logits")  # the fields of Features, in order


class Tally:
    """Sums over n images, and the features of the first ones, for batches of any size.

    Results can be read after all n images; before that, reading raises ValueError.  It also raises
    if any feature or logit was not finite.  Such values are counted on the device and checked only
    on reading, so that `update` never synchronises with a GPU.

    With several processes, each has a contiguous share of the n images, from index `start` on;
    `gathered` returns what a single process would have.

    Args:
        dim: d, dimension of the feature vectors.
        classes: K, logits per image.
        n: number of images over all processes.
        kept: number of feature vectors to keep, the first ones, for scores that compare pairs.
        blocks: contiguous parts of the images with separate moments, for `frechet_infinity` (20);
            each takes 8 d^2 bytes, 34 MB for 2,048 dimensions.
        splits, seed: of the Inception Score.
        start: index of the first image of this process.
        device: where everything is kept.

    Raises:
        ValueError: n is less than blocks or splits.
    """

    def __init__(
        self,
        dim: int,
        classes: int,
        n: int,
        *,
        kept: int = 10_000,
        blocks: int = 1,
        splits: int = 10,
        seed: int = 0,
        start: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        at_least(1, dim=dim, classes=classes, n=n, blocks=blocks)
        at_least(0, kept=kept, start=start)
        enough_for(n, blocks=blocks)
        self.n, self.start, self.seen = n, start, 0
        self._blocks = [Moments(dim, device) for _ in range(blocks)]
        self._predictions = Predictions(n, classes, splits, seed, device)
        self._histogram = torch.zeros(classes, dtype=torch.long, device=device)
        self._vectors = torch.zeros(min(kept, n), dim, device=device)
        self._predicted = torch.zeros(min(kept, n), dtype=torch.long, device=device)
        self._broken = torch.zeros(2, dtype=torch.long, device=device)  # images, by FIELDS

    def update(self, features: Features) -> "Tally":
        """Adds the features of the next images; returns itself.

        Raises:
            ValueError: there are more than n images, or shapes are wrong; nothing is added.
        """
        vectors, logits = self._checked(features)
        self._broken += torch.stack([broken(vectors), broken(logits)])
        first = self.start + self.seen
        for block, part in zip(self._blocks, self._shares(vectors, first), strict=True):
            if len(part):  # saves adding d^2 zeros
                block.add(part)
        self._predictions.update(logits, first)
        predicted = logits.argmax(dim=1)
        self._histogram.index_add_(0, predicted, torch.ones_like(predicted))  # bincount would sync
        kept = slice(first, first + len(vectors))
        rows = len(self._vectors[kept])
        self._vectors[kept], self._predicted[kept] = vectors[:rows], predicted[:rows]
        self.seen += len(vectors)
        return self

    def gathered(self) -> "Tally":
        """A new tally of the images of all processes, the same on each of them.

        Everything is summed; each kept row is 0 in all processes but one.

        Raises:
            ValueError: the shares of the processes overlap or miss images.
        """
        shares = torch.zeros(self.n, dtype=torch.long, device=self._histogram.device)
        shares[self.start : self.start + self.seen] = 1
        if not (summed(shares) == 1).all():
            raise ValueError(f"the processes' shares are not the {self.n} images, each once")
        total = copy.copy(self)
        total.start, total.seen = 0, self.n
        total._blocks = [block.gathered() for block in self._blocks]
        total._predictions = self._predictions.gathered()
        total._histogram = summed(self._histogram)
        total._vectors, total._predicted = summed(self._vectors), summed(self._predicted)
        total._broken = summed(self._broken)
        return total

    @property
    def blocks(self) -> list[Moments]:
        """The moments of each contiguous part of the images."""
        return self._whole()._blocks

    @property
    def moments(self) -> Moments:
        """The moments of all images."""
        return functools.reduce(operator.add, self.blocks)

    @property
    def vectors(self) -> Tensor:
        """Features of the first images, float32 (min(kept, n), d)."""
        return self._whole()._vectors

    @property
    def predicted(self) -> Tensor:
        """The predicted class of each of the first images, int64 (min(kept, n),)."""
        return self._whole()._predicted

    @property
    def histogram(self) -> Tensor:
        """The number of images per predicted class, int64 (K,)."""
        return self._whole()._histogram

    def inception_score(self) -> tuple[float, float]:
        """The result of `inception_score` for the logits of all images."""
        return self._whole()._predictions.score()

    def _whole(self) -> "Tally":
        if self.seen != self.n:
            raise ValueError(f"{self.n} images were expected, {self.seen} seen")
        for name, count in zip(FIELDS, self._broken.tolist(), strict=True):
            if count:
                raise ValueError(
                    f"{name} must be finite; those of {count} of {self.n} images are not"
                )
        return self

    def _checked(self, features: Features) -> tuple[Tensor, Tensor]:
        vectors, logits = (rows.detach() for rows in features)
        n, d, k = len(vectors), self._vectors.shape[1], len(self._histogram)
        if [vectors.shape, logits.shape] != [(n, d), (n, k)]:
            got = f"{tuple(vectors.shape)} and {tuple(logits.shape)}"
            raise ValueError(
                f"features and logits must have shapes (N, {d}) and (N, {k}), got {got}"
            )
        if (end := self.start + self.seen + len(vectors)) > self.n:
            raise ValueError(f"{self.n} images were expected, got image {end}")
        return vectors, logits

    def _shares(self, vectors: Tensor, first: int) -> Iterator[Tensor]:
        """The rows of each block, where rows are the images first, first + 1, ..."""
        count = len(self._blocks)
        for i in range(count):
            low, high = (max(self.n * j // count - first, 0) for j in (i, i + 1))
            yield vectors[low:high]
