"""Priors p(z) of the generator's noise."""

import torch
from torch import Tensor

from ganlab.spec import at_least


class Gaussian:
    """z ~ N(0, 1)^dim.

    `deviation`: of an entry.
    """

    deviation = 1.0

    def __init__(self, dim: int = 100) -> None:
        at_least(1, dim=dim)
        self.dim = dim

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """(n, dim) draws on the generator's device."""
        return torch.randn(n, self.dim, generator=generator, device=generator.device)

    def truncated(self, z: Tensor, bound: float, generator: torch.Generator) -> Tensor:
        """Draws of which no entry is larger than `bound`: those that are, are drawn again.

        The truncated normal distribution of Brock et al. 2019, section 3.1.  An entry is redrawn by
        the inverse distribution function, so one draw is enough; all others stay as they are.

        Args:
            z: draws (n, dim).
            bound: of |z|, greater than 0.
            generator: of the new entries.
        """
        unit = torch.rand(z.shape, generator=generator, device=z.device, dtype=torch.float64)
        mass = torch.erf(torch.tensor(bound / 2**0.5, dtype=torch.float64)).item()
        again = 2**0.5 * torch.erfinv((2 * unit - 1) * mass)
        return torch.where(z.abs() > bound, again.clamp(-bound, bound).to(z), z)


class Uniform:
    """z ~ U(low, high)^dim; (-1, 1) as in Radford et al. 2016, section 4.

    `deviation`: of an entry.
    """

    def __init__(self, dim: int = 100, low: float = -1.0, high: float = 1.0) -> None:
        at_least(1, dim=dim)
        if not low < high:
            raise ValueError(f"low must be less than high, got low={low}, high={high}")
        self.dim, self.low, self.high = dim, low, high
        self.deviation = (high - low) / 12**0.5

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """(n, dim) draws on the generator's device."""
        unit = torch.rand(n, self.dim, generator=generator, device=generator.device)
        return self.low + (self.high - self.low) * unit


Latent = Gaussian | Uniform
