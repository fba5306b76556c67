"""Minibatches: what the data passes to the model."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """Real images of one iteration, or of one update.

    Args:
        images: float (n, m, C, H, W) in [-1, 1] for n updates' minibatches, (m, C, H, W) for one.
        labels: int64 (n, m), or (m,).
        labeled: of the same shapes, in semi-supervised learning: the images whose labels may be
            used.  `labels` must then not be used.
    """

    images: Tensor
    labels: Tensor
    labeled: "Batch | None" = None

    @property
    def size(self) -> int:
        """Images in a minibatch, m."""
        return self.labels.shape[-1]

    def unbind(self) -> list["Batch"]:
        """One minibatch for each update."""
        return self._cut(lambda tensor: tensor.unbind())

    def chunk(self, n: int) -> list["Batch"]:
        """The minibatch in n nearly equal parts, for gradient accumulation."""
        parts = min(n, self.size)
        return [self] if parts == 1 else self._cut(lambda tensor: tensor.tensor_split(parts))

    def clone(self) -> "Batch":
        """A copy in new memory."""
        labeled = self.labeled.clone() if self.labeled is not None else None
        return Batch(self.images.clone(), self.labels.clone(), labeled)

    def tensors(self) -> Iterator[Tensor]:
        """Images and labels, and those of the labeled images if there are any."""
        yield from (self.images, self.labels)
        if self.labeled is not None:
            yield from self.labeled.tensors()

    def _cut(self, cut: Callable[[Tensor], Sequence[Tensor]]) -> list["Batch"]:
        images, labels = cut(self.images), cut(self.labels)
        labeled = self.labeled._cut(cut) if self.labeled is not None else [None] * len(labels)
        return [Batch(*parts) for parts in zip(images, labels, labeled, strict=True)]


@dataclass(frozen=True)
class Chosen:
    """The indices of a Batch that is gathered inside of the iteration.

    It is used where the data lies on the device that trains.  A CUDA graph then contains the
    gathering, and only the indices change from one iteration to the next.

    Args:
        index: int64 (n, m), of the images.
        labeled: of the same shape, of the labeled images; None where all labels are known.
        gather: index -> Batch of the same shape.
    """

    index: Tensor
    labeled: Tensor | None
    gather: Callable[[Tensor], Batch]

    @property
    def size(self) -> int:
        """Images in a minibatch, m."""
        return self.index.shape[-1]

    def gathered(self) -> Batch:
        """The images themselves."""
        images = self.gather(self.index)
        if self.labeled is None:
            return images
        return images._replace(labeled=self.gather(self.labeled))

    def unbind(self) -> list[Batch]:
        """One minibatch for each update."""
        return self.gathered().unbind()

    def clone(self) -> "Chosen":
        """A copy with indices in new memory."""
        labeled = self.labeled.clone() if self.labeled is not None else None
        return Chosen(self.index.clone(), labeled, self.gather)

    def tensors(self) -> Iterator[Tensor]:
        """The indices."""
        yield from (index for index in (self.index, self.labeled) if index is not None)


RealImages = Batch | Chosen  # of one iteration
