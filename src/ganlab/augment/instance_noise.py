"""Noise on D's images that fades."""

import torch
from torch import Tensor

from ganlab.augment.base import Augment
from ganlab.schedules import Linear, Number, Schedule


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
