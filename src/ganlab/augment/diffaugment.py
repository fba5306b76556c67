"""DiffAugment: random changes of color and place."""

from collections.abc import Callable

import torch
from torch import Tensor

from ganlab.augment.base import Augment
from ganlab.augment.shifts import shifted
from ganlab.spec import one_of


class DiffAugment(Augment):
    """Random changes of all that D sees, in both players' updates (Zhao et al. 2020, section 3).

    color: brightness + U(-0.5, 0.5), saturation x U(0, 2), contrast x U(0.5, 1.5), on images in
    [-1, 1]; translation: by up to 1/8 of the size, with 0 moving in, which is grey; cutout: a
    square of half the size becomes 0 (section 4 and the authors' code).

    Args:
        policy: which of them, in this order.
    """

    needs_pixels = True

    def __init__(self, policy: tuple[str, ...] = ("color", "translation", "cutout")) -> None:
        super().__init__()
        for i, name in enumerate(policy):
            one_of(tuple(POLICIES), **{f"policy[{i}]": name})
        self.policy = policy

    def forward(self, images: Tensor) -> Tensor:
        for name in self.policy:
            images = POLICIES[name](images)
        return images


def per_image(images: Tensor, low: float, high: float) -> Tensor:
    """(N, 1, 1, 1) draws of U(low, high)."""
    return low + (high - low) * torch.rand_like(images[:, :1, :1, :1])


def color(images: Tensor) -> Tensor:
    """Random brightness, saturation (no change of grey images) and contrast."""
    images = images + per_image(images, -0.5, 0.5)
    grey = images.mean(dim=1, keepdim=True)
    images = grey + per_image(images, 0.0, 2.0) * (images - grey)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return mean + per_image(images, 0.5, 1.5) * (images - mean)


def translation(images: Tensor, ratio: float = 0.125) -> Tensor:
    """Shifts each image by up to `ratio` of its size along each axis; 0 moves in."""
    return shifted(images, int(images.shape[-1] * ratio + 0.5), "constant")


def cutout(images: Tensor, ratio: float = 0.5) -> Tensor:
    """Sets a square of `ratio` times the size to 0, its centre anywhere in the image."""
    n, _, size, _ = images.shape
    side, places = int(size * ratio + 0.5), torch.arange(size, device=images.device)
    inside = []
    for _ in range(2):  # rows, columns
        # The start may lie outside: the square is cut off at the edge.
        start = torch.randint(0, size + (1 - side % 2), (n, 1), device=images.device) - side // 2
        inside.append((places >= start) & (places < start + side))
    hole = inside[0].unsqueeze(2) & inside[1].unsqueeze(1)
    return images.masked_fill(hole.unsqueeze(1), 0.0)


POLICIES: dict[str, Callable[[Tensor], Tensor]] = {
    "color": color,
    "translation": translation,
    "cutout": cutout,
}
