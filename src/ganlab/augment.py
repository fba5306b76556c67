"""Augmentation of all images that D sees, real and generated alike; all differentiable."""

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from ganlab.schedules import Linear, Number, Schedule
from ganlab.spec import one_of
from ganlab.training.terms import Output, Term


class Augment(Term):
    """No augmentation: D sees the images as they are.  Base of all others.

    `needs_pixels`: it shifts or cuts images; data of points is refused.
    """

    needs_pixels: ClassVar[bool] = False

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        return images

    def hear(self, real: Output) -> None:
        """Takes note of D's output on augmented real images, once in each pass of D's update.

        What it keeps belongs into buffers: checkpoints save them, and CUDA graphs update them.
        """


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


class InstanceNoise(Augment):
    """Gaussian noise on D's images makes the supports overlap (Sonderby et al. 2017, section 3.2).

    x + sigma N(0, 1); sigma falls linearly to 0.

    Args:
        sigma: standard deviation, at least 0, for images in [-1, 1]: at the start, or with a
            schedule of its own.
        until: share of the run at which a sigma without a schedule reaches 0, in (0, 1].
    """

    sigma: Tensor

    def __init__(self, sigma: Number = 0.1, until: float = 1.0) -> None:
        super().__init__()
        falling = sigma if isinstance(sigma, Schedule) else Linear(value=sigma, until=until)
        self.set_nonnegative(sigma=falling)

    def forward(self, images: Tensor) -> Tensor:
        return images + self.sigma.to(images) * torch.randn_like(images)


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


def shift_and_flip(images: Tensor, *, flip: bool) -> Tensor:
    """Shifts by up to 1/8 of the size, edges reflected, and mirrors every other image at random.

    The transformation of consistency regularization (Zhang et al. 2020, section 3.1: 4 of 32).
    """
    images = shifted(images, images.shape[-1] // 8, "reflect")
    if not flip:
        return images
    mirrored = torch.rand_like(images[:, :1, :1, :1]) < 0.5
    return torch.where(mirrored, images.flip(3), images)


def shifted(images: Tensor, most: int, edge: str) -> Tensor:
    """Each image shifted by up to `most` pixels along each axis; `edge`: a mode of `pad`."""
    n, channels, height, width = images.shape
    padded = pad(images, (most,) * 4, mode=edge)
    down, right = torch.randint(0, 2 * most + 1, (2, n, 1), device=images.device)
    rows = (down + torch.arange(height, device=images.device)).view(n, 1, height, 1)
    columns = (right + torch.arange(width, device=images.device)).view(n, 1, 1, width)
    chosen = padded.gather(2, rows.expand(-1, channels, -1, padded.shape[3]))
    return chosen.gather(3, columns.expand(-1, channels, height, -1))
