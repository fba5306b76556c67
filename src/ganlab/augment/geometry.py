"""ADA's flips, shifts, turns and stretches: one matrix for each image, then one resampling."""

import torch
from torch import Tensor

from ganlab.augment.transformation import (
    Chances,
    Stage,
    Transformation,
    angle,
    changed_only,
    coin,
    factor,
    matrix,
    normal,
    symmetric,
    uniform,
)
from ganlab.augment.warp import warp
from ganlab.augment.wavelets import SYM6


def scaling(x: Tensor, y: Tensor | float) -> Tensor:
    """(N, 3, 3)."""
    return matrix([[x, 0, 0], [0, y, 0], [0, 0, 1]])


def rotation(turn: Tensor) -> Tensor:
    """(N, 3, 3), by radians (N,) from x to y."""
    sine, cosine = turn.sin(), turn.cos()
    return matrix([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])


def shift(by: Tensor) -> Tensor:
    """(N, 3, 3), by pixels (N, 2) along x and y."""
    x, y = by.unbind(dim=1)
    return matrix([[1, 0, x], [0, 1, y], [0, 0, 1]])


def in_pixels(share: Tensor, images: Tensor) -> Tensor:
    """Shares of an image's size along x and y, (N, 2), in pixels."""
    return torch.stack([share[:, 0] * images.shape[3], share[:, 1] * images.shape[2]], dim=1)


def product(a: Tensor, b: Tensor) -> Tensor:
    """a b of matrices (N, 3, 3), without a GPU's TF32, whose places would be off by 1/50 pixel."""
    return (a.unsqueeze(3) * b.unsqueeze(1)).sum(dim=2)


# The matrices are those of the inverses, which `warp` wants.
MOVES = {
    "xflip": Transformation(coin, 0, lambda flip: scaling(1 - 2 * flip, 1)),
    "rotate90": Transformation(
        lambda images: torch.pi / 2 * (4 * uniform(images)).floor(), 0, lambda by: rotation(-by)
    ),
    "xint": Transformation(
        lambda images: in_pixels(symmetric(images, 2) / 8, images).round(), 0, lambda by: shift(-by)
    ),
    "scale": Transformation(factor(0.2), 1, lambda by: scaling(1 / by, 1 / by)),
    "rotate": Transformation(angle, 0, lambda by: rotation(-by)),
    "anisotropy": Transformation(factor(0.2), 1, lambda by: scaling(1 / by, by)),
    "xfrac": Transformation(
        lambda images: in_pixels(normal(images, 2) / 8, images), 0, lambda by: shift(-by)
    ),
}
BEFORE, AFTER = ("xflip", "rotate90", "xint", "scale", "rotate"), ("anisotropy", "rotate", "xfrac")


class Geometry(Stage):
    """Moves images: xflip, rotate90, xint, scale, rotate, anisotropy, rotate again, xfrac.

    Rotation stands before and after anisotropic scaling, each with the probability 1 - sqrt(1 - p),
    so that an image is rotated with probability p (Karras et al. 2020a, appendix B).
    """

    names = tuple(MOVES)
    sym6: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("sym6", torch.tensor(SYM6), persistent=False)

    def forward(self, images: Tensor, chances: Chances) -> Tensor:
        inverse = self.inverses(images, chances)
        return changed_only(inverse, warp(images, inverse, self.sym6.to(images)), images)

    def inverses(self, images: Tensor, chances: Chances) -> Tensor:
        """(N, 3, 3): from places in the result to places in the image."""
        each = torch.eye(3, dtype=images.dtype, device=images.device).expand(len(images), 3, 3)
        for name in (*BEFORE, *AFTER):
            if name in chances:
                chance = chances[name]
                if name == "rotate":
                    chance = 1 - (1 - chance).clamp(min=0).sqrt()
                each = product(each, MOVES[name].matrices(images, chance))
        return each
