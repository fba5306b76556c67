"""The log-likelihood of data under a machine, and how it was found."""

import copy
import math
from dataclasses import dataclass

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
        """log Z by name: exact; or AIS forward, not above it, and AIS reverse, not below it.

        Both hold in expectation, and the second if the annealed chains that it starts from have
        the machine's distribution.  Where Z is known, `check` compares the two with it.
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
            "AIS": forward(machine, betas, self.chains, generators[0]),
            "reverse AIS": reverse(machine, betas, v, generators[2]),
        }

    def described(self, name: str) -> str:
        """The protocol of an estimate by its name, in words."""
        if name == "exact":
            return "log Z exact, by enumeration"
        start = "base rates" if name == "AIS" else "annealed samples"
        return f"log Z by {name} from {start}, {self.chains} chains of {self.steps:,} steps"


@torch.no_grad()
def negative_free_energy(machine: BoltzmannMachine, v: Tensor, batch_size: int = 1000) -> Tensor:
    """log p(x) + log Z in nats, float64 (N,), of units v (N, visible); a density for real x."""
    volume = machine.visible.log_volume * v.shape[1]
    parts = [machine.free_energy(part).double() for part in v.split(batch_size)]
    return volume - torch.cat(parts)


def log_likelihood(machine: BoltzmannMachine, v: Tensor, log_z: Estimate) -> Estimate:
    """The mean log p(x) in nats over units v (N, visible), with the interval of log Z."""
    mean = negative_free_energy(machine, v).mean().item()
    if not math.isfinite(mean):
        raise ValueError("the free energy of the data is not finite")
    return Estimate(mean - log_z.value, mean - log_z.high, mean - log_z.low)
