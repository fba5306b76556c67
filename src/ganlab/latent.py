"""Priors p(z) of the generator's noise."""

import torch
from torch import Tensor

from ganlab.spec import at_least


class Gaussian:
    """z ~ N(0, 1)^dim."""

    def __init__(self, dim: int = 100) -> None:
        at_least(1, dim=dim)
        self.dim = dim

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """(n, dim) draws on the generator's device."""
        return torch.randn(n, self.dim, generator=generator, device=generator.device)


class Uniform:
    """z ~ U(low, high)^dim; (-1, 1) as in Radford et al. 2016, section 4."""

    def __init__(self, dim: int = 100, low: float = -1.0, high: float = 1.0) -> None:
        at_least(1, dim=dim)
        if not low < high:
            raise ValueError(f"low must be less than high, got low={low}, high={high}")
        self.dim, self.low, self.high = dim, low, high

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """(n, dim) draws on the generator's device."""
        unit = torch.rand(n, self.dim, generator=generator, device=generator.device)
        return self.low + (self.high - self.low) * unit


Latent = Gaussian | Uniform
