"""The restricted Boltzmann machine: its distribution, its gradient, and its partition function.

May import: networks, spec, training.
Libraries: torch.
"""

from ganlab.boltzmann.machine import BoltzmannMachine

__all__ = ["BoltzmannMachine"]
