"""The partition function of a small machine, by summing over all states of its smaller side."""

import torch
from torch import Tensor

from ganlab.boltzmann.machine import BoltzmannMachine
from ganlab.boltzmann.units import Bernoulli
from ganlab.training.chance import Chance

MOST = 20  # units that are enumerated
PART = 2**12  # states at once


def states(n: int, begin: int = 0, end: int | None = None) -> Tensor:
    """The states `begin` to `end` (None: the last) of n binary units, float64 (count, n)."""
    numbers = torch.arange(begin, 2**n if end is None else end)
    return (numbers[:, None] >> torch.arange(n) & 1).double()


def enumerable(machine: BoltzmannMachine) -> bool:
    """Whether a side of the machine is binary and has at most 20 units."""
    return min(sides(machine)) <= MOST


def sides(machine: BoltzmannMachine) -> list[int]:
    """Sizes of the binary sides: hidden, and visible if it is one."""
    visible, hidden = machine.weight.shape
    return [hidden, visible] if isinstance(machine.visible, Bernoulli) else [hidden]


def log_partition(machine: BoltzmannMachine) -> Tensor:
    """log Z, exact and differentiable.

    Raises:
        ValueError: no side is small enough.
    """
    if not enumerable(machine):
        n = min(sides(machine))
        raise ValueError(f"log Z is enumerated for at most {MOST} units of a side, got {n}")
    hidden, *visible = sides(machine)
    by_hidden = not visible or hidden <= visible[0]
    n = hidden if by_hidden else visible[0]
    parts = [
        torch.logsumexp(
            hidden_log_density(machine, part) if by_hidden else -machine.free_energy(part), dim=0
        )
        for part in (
            states(n, begin, min(begin + PART, 2**n)).to(machine.weight)
            for begin in range(0, 2**n, PART)
        )
    ]
    return torch.logsumexp(torch.stack(parts), dim=0)


def hidden_log_density(machine: BoltzmannMachine, h: Tensor) -> Tensor:
    """log p(h) + log Z (N,) of hidden states (N, hidden)."""
    visible = machine.visible.log_partition(machine.visible_field(h)).sum(dim=1)
    return h @ machine.hidden_bias + visible


@torch.no_grad()
def exact_draws(machine: BoltzmannMachine, chance: Chance) -> Tensor:
    """v (N, visible) of the machine's own distribution, by all states of its hidden units."""
    hidden = len(machine.hidden_bias)
    parts = (
        states(hidden, begin, min(begin + PART, 2**hidden)).to(machine.weight)
        for begin in range(0, 2**hidden, PART)
    )
    logs = torch.cat([hidden_log_density(machine, part) for part in parts]).double()
    below = torch.softmax(logs, dim=0).cumsum(dim=0)
    number = torch.searchsorted(below, chance(1)[:, 0].to(below)).clamp(max=2**hidden - 1)
    h = (number[:, None] >> torch.arange(hidden, device=number.device) & 1).to(machine.weight)
    field = machine.visible_field(h)
    return machine.visible.draw(field, chance(field.shape[1]).to(field.device))
