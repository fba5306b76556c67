"""The sigmoid belief network: its distribution, its recognition, and how both are trained.

May import: networks, spec, training.
Libraries: torch.
"""

from ganlab.belief.network import BeliefNetwork, Recognition

__all__ = ["BeliefNetwork", "Recognition"]
