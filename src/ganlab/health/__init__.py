"""The health of a run: readings of networks and samples, verdicts on them.

This file imports nothing that needs torch.

May import: spec, training.
Libraries: torch.
"""

from ganlab.health.verdicts import Watch

__all__ = ["Watch"]
