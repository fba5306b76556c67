"""What ADA is made of: a transformation draws one number or pair for each image, or lets it be."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

Chances = Mapping[str, Tensor]  # of each transformation by name: a scalar tensor


class Transformation(NamedTuple):
    """A random matrix for each image.

    Args:
        draw: images (N, C, H, W) -> (N,) or (N, 2).
        neutral: the draw that changes nothing.
        matrix: draws -> (N, k, k).
    """

    draw: Callable[[Tensor], Tensor]
    neutral: float
    matrix: Callable[[Tensor], Tensor]

    def matrices(self, images: Tensor, chance: Tensor) -> Tensor:
        """(N, k, k): of draws with probability `chance`, otherwise the identity."""
        return self.matrix(sometimes(self.draw(images), self.neutral, chance))


class Stage(nn.Module):
    """A part of ADA.  `names`: the transformations that belong to it."""

    names: tuple[str, ...]

    def forward(self, images: Tensor, chances: Chances) -> Tensor:
        """(N, C, H, W), each transformation with its chance; those without one are left out."""
        raise NotImplementedError


def uniform(images: Tensor, *shape: int) -> Tensor:
    """(N, *shape) draws of U(0, 1), of the images' type."""
    return torch.rand(len(images), *shape, dtype=images.dtype, device=images.device)


def symmetric(images: Tensor, *shape: int) -> Tensor:
    """(N, *shape) draws of U(-1, 1)."""
    return 2 * uniform(images, *shape) - 1


def normal(images: Tensor, *shape: int) -> Tensor:
    """(N, *shape) draws of N(0, 1)."""
    return torch.randn(len(images), *shape, dtype=images.dtype, device=images.device)


def coin(images: Tensor) -> Tensor:
    """(N,) draws of 0 or 1."""
    return (2 * uniform(images)).floor()


def factor(deviation: float) -> Callable[[Tensor], Tensor]:
    """Draws (N,) of 2^N(0, deviation^2)."""
    return lambda images: (deviation * normal(images)).exp2()


def angle(images: Tensor) -> Tensor:
    """(N,) draws of U(-pi, pi)."""
    return torch.pi * symmetric(images)


def sometimes(drawn: Tensor, neutral: float, chance: Tensor) -> Tensor:
    """The drawn value of an image (N, ...) with probability `chance`, otherwise `neutral`."""
    chosen = uniform(drawn, *(1 for _ in drawn.shape[1:])) < chance
    return torch.where(chosen, drawn, neutral)


def matrix(rows: Sequence[Sequence[Tensor | float]]) -> Tensor:
    """(N, rows, columns) of entries (N,) and numbers."""
    entries = [entry for row in rows for entry in row]
    like = next(entry for entry in entries if isinstance(entry, Tensor))
    each = [e if isinstance(e, Tensor) else torch.full_like(like, e) for e in entries]
    return torch.stack(each, dim=1).view(len(like), len(rows), -1)


def changed_only(matrices: Tensor, changed: Tensor, images: Tensor) -> Tensor:
    """`changed`, but the very image where its matrix (N, k, k) is the identity."""
    identity = torch.eye(matrices.shape[-1], dtype=matrices.dtype, device=matrices.device)
    still = (matrices == identity).all(dim=2).all(dim=1)
    return torch.where(still[:, None, None, None], images, changed)
