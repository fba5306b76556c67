"""What the data hands to the GAN."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """Real images of one iteration, or of one update.

    images: float (n, m, C, H, W) in [-1, 1] for n updates' minibatches, (m, C, H, W) for one.
    labels: int64 (n, m), or (m,).
    labeled: of the same shapes, where labels are few: the images whose labels may be learned from,
        while `labels` above are then for nobody to look at.
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
        """The minibatch in n parts, as equal as can be, for gradient accumulation."""
        parts = min(n, self.size)
        return [self] if parts == 1 else self._cut(lambda tensor: tensor.tensor_split(parts))

    def clone(self) -> "Batch":
        """The same in memory of its own."""
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
