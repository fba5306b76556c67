"""The log-likelihood of data under a machine, and how it was found."""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ganlab.boltzmann.annealing import Estimate, forward, inverse_temperatures, reverse
from ganlab.boltzmann.enumeration import MOST, enumerable, exact_draws, log_partition
from ganlab.boltzmann.machine import BoltzmannMachine
from ganlab.spec import at_least
from ganlab.training.chance import drawn
from ganlab.training.streams import Stream, stream


@dataclass(frozen=True)
class PartitionFunction:
    """How log Z is found: by enumeration where it can be, else by annealed importance sampling.

    Args:
        steps: temperatures of a chain, less 1.
        chains: in each direction.
        seed: of the chains.
    """

    steps: int = 14_500
    chains: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        at_least(3, steps=self.steps)
        at_least(2, chains=self.chains)

    @torch.no_grad()
    def estimates(self, machine: BoltzmannMachine) -> dict[str, Estimate]:
        """log Z by name: exact; or ais, not above it, and reverse-ais, not below it.

        Both hold in expectation, and the second if the annealed chains that it starts from have
        the machine's distribution.  `check` makes the two where Z is known, too.
        """
        if enumerable(machine):
            value = log_partition(copy.deepcopy(machine).double()).item()
            return {"exact": Estimate(value, value, value)}
        return self.check(machine)

    @torch.no_grad()
    def check(self, machine: BoltzmannMachine) -> dict[str, Estimate]:
        """log Z by AIS in both directions, whether it is known or not."""
        betas, device = inverse_temperatures(self.steps), machine.weight.device
        generators = [stream(device, self.seed, Stream.PARTITION, i) for i in (1, 2, 3)]
        chance = drawn(self.chains, generators[1])
        known = len(machine.hidden_bias) <= MOST
        v = exact_draws(machine, chance) if known else machine.annealed(chance)[0]
        return {
            "ais": forward(machine, betas, self.chains, generators[0]),
            "reverse-ais": reverse(machine, betas, v, generators[2]),
        }

    def protocol(self, name: str) -> dict[str, Any]:
        """How an estimate of a name came about."""
        if name == "exact":
            return {"log_z": "enumeration"}
        start = "base rates" if name == "ais" else "annealed samples"
        about = {"chains": self.chains, "temperatures": self.steps + 1, "seed": self.seed}
        return {"log_z": f"annealed importance sampling from {start}", **about}


@torch.no_grad()
def negative_free_energy(machine: BoltzmannMachine, v: Tensor, batch_size: int = 1000) -> Tensor:
    """log p(x) + log Z in nats, float64 (N,), of units v (N, visible); a density for real x."""
    parts = [machine.free_energy(part).double() for part in v.split(batch_size)]
    return machine.log_volume - torch.cat(parts)
