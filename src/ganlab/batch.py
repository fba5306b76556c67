"""What the data hands to the GAN."""

from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """Real images of one iteration, or of one update.

    images: float (n, m, C, H, W) in [-1, 1] for n updates' minibatches, (m, C, H, W) for one.
    labels: int64 (n, m), or (m,).
    """

    images: Tensor
    labels: Tensor

    @property
    def size(self) -> int:
        """Images in a minibatch, m."""
        return self.labels.shape[-1]

    def unbind(self) -> list["Batch"]:
        """One minibatch for each update."""
        return [Batch(*pair) for pair in zip(self.images, self.labels, strict=True)]

    def chunk(self, n: int) -> list["Batch"]:
        """The minibatch in n parts, for gradient accumulation."""
        if n == 1:
            return [self]
        return [Batch(*p) for p in zip(self.images.chunk(n), self.labels.chunk(n), strict=True)]
