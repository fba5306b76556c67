"""ADA's changes of color: one matrix for each image."""

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
    normal,
)


def affine(linear: Tensor, offset: Tensor | float = 0.0) -> Tensor:
    """(N, 4, 4) of a matrix (N, 3, 3) and the same offset (N,) of red, green and blue."""
    whole = torch.eye(4, dtype=linear.dtype, device=linear.device).repeat(len(linear), 1, 1)
    whole[:, :3, :3] = linear
    if isinstance(offset, Tensor):
        whole[:, :3, 3] = offset[:, None]
    return whole


def parts(like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Identity, projection onto grey, and the cross product with grey's direction, (3, 3) each."""
    identity = torch.eye(3, dtype=like.dtype, device=like.device)
    turned = identity.roll(1, dims=0)
    return identity, torch.full_like(identity, 1 / 3), (turned - turned.mT) / 3**0.5


def brighter(by: Tensor) -> Tensor:
    """x + by."""
    return affine(parts(by)[0].expand(len(by), 3, 3), by)


def contrasted(by: Tensor) -> Tensor:
    """x times by."""
    return affine(by[:, None, None] * parts(by)[0])


def flipped(whether: Tensor) -> Tensor:
    """The grey part of x changes its sign where `whether` is 1, its hue stays."""
    identity, grey, _ = parts(whether)
    return affine(identity - 2 * whether[:, None, None] * grey)


def turned(by: Tensor) -> Tensor:
    """x turned around grey's direction by radians (Rodrigues' formula)."""
    identity, grey, cross = parts(by)
    cosine, sine = by.cos()[:, None, None], by.sin()[:, None, None]
    return affine(cosine * identity + (1 - cosine) * grey + sine * cross)


def saturated(by: Tensor) -> Tensor:
    """What is not grey in x, times by."""
    identity, grey, _ = parts(by)
    return affine(by[:, None, None] * identity + (1 - by)[:, None, None] * grey)


CHANGES = {
    "brightness": Transformation(lambda images: 0.2 * normal(images), 0, brighter),
    "contrast": Transformation(factor(0.5), 1, contrasted),
    "lumaflip": Transformation(coin, 0, flipped),
    "hue": Transformation(angle, 0, turned),
    "saturation": Transformation(factor(1.0), 1, saturated),
}
OF_HUES = {"hue", "saturation"}


class Color(Stage):
    """Changes red, green and blue of images in [-1, 1] by one matrix for each.

    Grey images have brightness, contrast and luma flip alone.  Transparency, the channel after
    grey or after red, green and blue, stays as it is.
    """

    names = tuple(CHANGES)

    def forward(self, images: Tensor, chances: Chances) -> Tensor:
        colors = 3 if images.shape[1] >= 3 else 1
        each = torch.eye(4, dtype=images.dtype, device=images.device).expand(len(images), 4, 4)
        for name in self.names:
            if name in chances and not (colors == 1 and name in OF_HUES):
                each = CHANGES[name].matrices(images, chances[name]) @ each
        linear, offset = each[:, :3, :3], each[:, :3, 3:]
        if colors == 1:  # what becomes of (x, x, x): the same in all three
            linear, offset = linear[:, :1].sum(dim=2, keepdim=True), offset[:, :1]
        seen, rest = images[:, :colors], images[:, colors:]
        changed = (linear @ seen.flatten(2) + offset).unflatten(2, seen.shape[2:])
        return changed_only(each, torch.cat([changed, rest], dim=1), images)
