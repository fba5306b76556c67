"""Mean and covariance of features that arrive in batches, exact for any batches."""

import copy

import torch
import torch.distributed as dist
from torch import Tensor

from ganlab.metrics.checks import finite_rows, same_width


class Moments:
    """Sums in float64; the result does not depend on how features are divided into batches.

    The square of the mean is subtracted at the end, which costs precision: the covariance has about
    14 correct digits if mean and spread are similar, 8 if the mean is 1,000 times the spread.

    Args:
        dim: d, dimension of the feature vectors.
        device: where the sums are kept.
    """

    def __init__(self, dim: int, device: torch.device | str = "cpu") -> None:
        self.n = 0
        self.sum = torch.zeros(dim, dtype=torch.float64, device=device)
        self.products = torch.zeros(dim, dim, dtype=torch.float64, device=device)

    @classmethod
    def of(cls, features: Tensor) -> "Moments":
        """The moments of features (N, d)."""
        return cls(features.shape[1], features.device).update(features)

    def update(self, features: Tensor) -> "Moments":
        """Adds features (N, d); returns itself.

        Raises:
            ValueError: the features have a wrong shape, or one is not finite.
        """
        if features.ndim != 2 or features.shape[1] != len(self.sum):
            got = tuple(features.shape)
            raise ValueError(f"features must have shape (N, {len(self.sum)}), got {got}")
        return self.add(finite_rows("features", features))

    def add(self, features: Tensor) -> "Moments":
        """Adds features (N, d) without checks; returns itself.

        The caller has to check that they are finite.  `update` does so, but it synchronises with a
        GPU.
        """
        rows = features.detach().to(self.sum)
        self.n += len(rows)
        self.sum += rows.sum(dim=0)
        self.products += rows.T @ rows
        return self

    def __add__(self, other: "Moments") -> "Moments":
        """The moments of the union of both sets of features.

        Raises:
            ValueError: their widths differ.
        """
        same_width(len(self.sum), len(other.sum))
        total = copy.copy(self)
        total.n = self.n + other.n
        total.sum, total.products = self.sum + other.sum, self.products + other.products
        return total

    def gathered(self) -> "Moments":
        """The moments of the features of all processes."""
        total = copy.copy(self)
        total.n = int(summed(torch.tensor(self.n, device=self.sum.device)))
        total.sum, total.products = summed(self.sum), summed(self.products)
        return total

    @property
    def mean(self) -> Tensor:
        """The mean, (d,)."""
        return self.sum / max(self.n, 1)

    @property
    def covariance(self) -> Tensor:
        """The unbiased covariance (d, d), divided by n - 1.

        Raises:
            ValueError: there are fewer than two features.
        """
        if self.n < 2:
            raise ValueError(f"a covariance needs at least 2 features, got {self.n}")
        centered = self.products - self.n * torch.outer(self.mean, self.mean)
        return (centered + centered.T) / (2 * (self.n - 1))


def summed(tensor: Tensor) -> Tensor:
    """The sum of a tensor over all processes, as a new tensor."""
    total = tensor.clone()
    dist.all_reduce(total)
    return total
