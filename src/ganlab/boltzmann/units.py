"""Kinds of units: exponential families p(v) = base(v) exp(a v - A(a)) with a natural parameter a.

The Boltzmann machine's energy is the same for all of them: -b'v - c'h - v'Wh.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ganlab.spec import positive
from ganlab.training.binarise import log_odds


class Bernoulli:
    """v in {0, 1}; an image's pixels in [-1, 1] are twice that, less 1."""

    def log_partition(self, field: Tensor) -> Tensor:
        """A(a) = log sum over v of exp(a v)."""
        return softplus(field)

    def mean(self, field: Tensor) -> Tensor:
        """E[v]."""
        return torch.sigmoid(field)

    def draw(self, field: Tensor, unit: Tensor) -> Tensor:
        """v, a function of draws `unit` of U[0, 1), one for each."""
        return (unit < torch.sigmoid(field)).to(field)

    def log_base(self, v: Tensor) -> Tensor:
        """The sum of log base(v) over the units of each row (N, n): (N,)."""
        return v.new_zeros(len(v))

    def field(self, mean: Tensor) -> Tensor:
        """The natural parameter of a mean."""
        return log_odds(mean)

    def encode(self, x: Tensor) -> Tensor:
        """Units of pixels in [-1, 1]."""
        return (x + 1) / 2

    def decode(self, v: Tensor) -> Tensor:
        """Pixels of units or their means."""
        return 2 * v - 1

    log_volume = 0.0  # log |dv / dx| for a pixel; states are counted, not measured


class Gaussian:
    """v ~ N(a, 1): values of the data in units of `deviation` (Hinton 2010, section 13.2).

    Raises:
        ValueError: the deviation is not positive.
    """

    def __init__(self, deviation: float = 0.3) -> None:
        positive(deviation=deviation)
        self.deviation = deviation
        self.log_volume = -math.log(deviation)

    def log_partition(self, field: Tensor) -> Tensor:
        return (field.square() + math.log(2 * math.pi)) / 2

    def mean(self, field: Tensor) -> Tensor:
        return field

    def draw(self, field: Tensor, unit: Tensor) -> Tensor:
        return field + torch.special.ndtri(unit.clamp(min=2.0**-25)).to(field)

    def log_base(self, v: Tensor) -> Tensor:
        return -v.square().sum(dim=1) / 2

    def field(self, mean: Tensor) -> Tensor:
        return mean

    def encode(self, x: Tensor) -> Tensor:
        return x / self.deviation

    def decode(self, v: Tensor) -> Tensor:
        return v * self.deviation


Units = Bernoulli | Gaussian
