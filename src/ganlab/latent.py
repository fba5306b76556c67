"""Priors p(z) of the generator's noise."""

import numpy as np
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


def stream(device: torch.device | str, *key: int) -> torch.Generator:
    """A generator of random numbers on `device` that is a function of `key` alone.

    Noise drawn so needs no random state in a checkpoint: the key (seed, iteration, ...) is enough.
    """
    return torch.Generator(device).manual_seed(mixed(*key))


def seed_global_generators(device: torch.device, seed: int) -> None:
    """torch.manual_seed for the CPU and one device.

    That one asks every kind of device and notes the call stack for those that have not begun:
    half a millisecond, at each iteration.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)
    elif device.type != "cpu":
        torch.manual_seed(seed)


def mixed(*key: int) -> int:
    """A 63-bit seed from a tuple of integers in [0, 2^32), well mixed."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> np.uint64(1))
