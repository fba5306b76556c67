"""The partition function by annealed importance sampling, forwards and backwards (Neal 2001)."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ganlab.boltzmann.machine import BoltzmannMachine
from ganlab.spec import at_least
from ganlab.training.chance import Chance, drawn

# Salakhutdinov & Murray 2008, section 5: (end, share of the steps), of 14,500 in all.
STRETCHES = ((0.5, 500 / 14_500), (0.9, 4_000 / 14_500), (1.0, 10_000 / 14_500))


@dataclass(frozen=True)
class Estimate:
    """A number with a 95% interval."""

    value: float
    low: float
    high: float


def inverse_temperatures(steps: int) -> list[float]:
    """steps + 1 values of beta from 0 to 1, in the proportions of Salakhutdinov & Murray."""
    at_least(len(STRETCHES), steps=steps)
    betas, begin, left = [0.0], 0.0, steps
    for end, share in STRETCHES:
        n = max(1, round(share * steps)) if end < 1 else left
        betas += torch.linspace(begin, end, n + 1, dtype=torch.float64)[1:].tolist()
        begin, left = end, left - n
    return betas


@torch.no_grad()
def log_weights(
    machine: BoltzmannMachine, v: Tensor, betas: Sequence[float], chance: Chance
) -> Tensor:
    """Log importance weights (N,), float64, of chains along a path.

    exp of them has the mean Z_last / Z_first if v has the distribution of the first beta.

    Args:
        machine: whose path it is.
        v: states (N, visible) of the chains.
        betas: inverse temperatures, rising or falling.
        chance: random numbers for N rows.
    """
    total = torch.zeros(len(v), dtype=torch.float64, device=v.device)
    for now, then in itertools.pairwise(betas):
        field = machine.hidden_field(v)
        total += machine.log_density(v, field, then) - machine.log_density(v, field, now)
        v, _ = machine.resample(field, chance, then)
    return total


def forward(
    machine: BoltzmannMachine, betas: Sequence[float], chains: int, generator: torch.Generator
) -> Estimate:
    """log Z by chains that start from base rates: in expectation not above the truth."""
    chance = drawn(chains, generator)
    found = log_mean(log_weights(machine, machine.base_draw(chance), betas, chance))
    base = machine.base_log_partition.item()
    return Estimate(base + found.value, base + found.low, base + found.high)


def reverse(
    machine: BoltzmannMachine, betas: Sequence[float], v: Tensor, generator: torch.Generator
) -> Estimate:
    """log Z by chains that go back to base rates: in expectation not below the truth.

    That holds if v (N, visible) has the machine's own distribution (Grosse et al. 2015, section 3).
    """
    chance = drawn(len(v), generator)
    found = log_mean(log_weights(machine, v, betas[::-1], chance))
    base = machine.base_log_partition.item()
    return Estimate(base - found.value, base - found.high, base - found.low)


def log_mean(logs: Tensor, deviations: float = 1.96) -> Estimate:
    """The log of the mean of exp(logs) (N,), between those of the mean -+ 1.96 standard errors.

    As in Salakhutdinov & Murray 2008, table 1, who take 3; -inf if the lower end of the mean is not
    positive.
    """
    top = logs.max()
    scaled = (logs - top).exp()
    mean, error = scaled.mean().item(), (scaled.std() / math.sqrt(len(logs))).item()
    ends = (mean, mean - deviations * error, mean + deviations * error)
    value, low, high = (top.item() + math.log(x) if x > 0 else -math.inf for x in ends)
    return Estimate(value, low, high)
