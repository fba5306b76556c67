"""ADA's noise, and its holes."""

import torch
from torch import Tensor

from ganlab.augment.transformation import Chances, Stage, normal, sometimes, uniform


class Noise(Stage):
    """Noise of the standard deviation |N(0, 0.1^2)| in each pixel and channel."""

    names = ("noise",)

    def forward(self, images: Tensor, chances: Chances) -> Tensor:
        sigma = sometimes(0.1 * normal(images, 1, 1, 1).abs(), 0, chances["noise"])
        return images + sigma * torch.randn_like(images)


class Cutout(Stage):
    """A square of half the size, its centre anywhere in the image, becomes 0, which is grey."""

    names = ("cutout",)

    def forward(self, images: Tensor, chances: Chances) -> Tensor:
        half = sometimes(images.new_full((len(images), 1), 0.25), 0, chances["cutout"])
        rows, columns = (self.near(size, half, images) for size in images.shape[2:])
        hole = rows[:, None, :, None] & columns[:, None, None, :]
        return torch.where(hole, 0.0, images)

    def near(self, size: int, half: Tensor, images: Tensor) -> Tensor:
        """(N, size): pixels within `half` (N, 1) of the row's size from a drawn centre."""
        middles = (torch.arange(size, device=images.device) + 0.5) / size
        return (middles - uniform(images, 1)).abs() < half
