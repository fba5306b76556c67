"""The health of a run: readings of networks and samples, and verdicts on them.

This file must not import torch, directly or indirectly.

May import: spec, training.
Libraries: torch.
"""

from ganlab.health.verdicts import Watch

__all__ = ["Watch"]
