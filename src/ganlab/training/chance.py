"""Where a random network takes its random numbers from: a generator, or its latents."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ganlab.training.streams import Stream, stream

Chance = Callable[[int], Tensor]  # n -> the next (N, n) draws of U[0, 1), a row for each image
BLOCK = 4096  # numbers that a latent's generator draws at once


def uniform(rows: int, n: int, generator: torch.Generator) -> Tensor:
    """(rows, n), float32 whatever precision is trained in: fewer bits would round to 1."""
    return torch.rand(rows, n, generator=generator, device=generator.device, dtype=torch.float32)


def drawn(rows: int, generator: torch.Generator) -> Chance:
    """Draws for so many rows from one generator, on its device."""
    return lambda n: uniform(rows, n, generator)


def of_rank(rows: int, generator: torch.Generator, rank: int, ranks: int) -> Chance:
    """Draws for so many rows of a process; all processes together draw what one alone would.

    Args:
        rows: of this process.
        generator: in the same state in all processes.
        rank: number of this process.
        ranks: how many there are.
    """
    every = drawn(rows * ranks, generator)
    return lambda n: every(n).narrow(0, rows * rank, rows)


def of_each(generators: Sequence[torch.Generator], rows: int = 1) -> Chance:
    """Draws for so many rows of each generator in turn, a function of that generator alone."""
    return lambda n: torch.cat([uniform(rows, n, one) for one in generators])


def of_latents(z: Tensor) -> Chance:
    """Draws that are a function of latents z (N, dim), row by row: each seeds its own generator.

    So a random network is a function of z, as any generator is: what a latent gives depends neither
    on the other rows nor on the device.
    """
    bits = z.detach().float().cpu().numpy().view("uint32").tolist()
    own = Ahead(of_each([stream("cpu", 0, Stream.ANCESTRY, *row) for row in bits]))
    return lambda n: own(n).to(z.device)


class Ahead:
    """The same draws of a chance, made in blocks: a generator takes its time for each call."""

    def __init__(self, chance: Chance, block: int = BLOCK) -> None:
        self.chance, self.block = chance, block
        self.left: Tensor | None = None

    def __call__(self, n: int) -> Tensor:
        while self.left is None or self.left.shape[1] < n:
            more = self.chance(max(n, self.block))
            self.left = more if self.left is None else torch.cat([self.left, more], dim=1)
        found, self.left = self.left[:, :n], self.left[:, n:]
        return found
