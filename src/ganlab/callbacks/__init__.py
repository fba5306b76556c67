"""What happens around Algorithm 1: readings, pictures, checkpoints, progress, interruption."""

from ganlab.callbacks.checkpoints import Checkpoints
from ganlab.callbacks.curves import Curves
from ganlab.callbacks.interruption import Interruption
from ganlab.callbacks.journal import Journal
from ganlab.callbacks.progress import Progress
from ganlab.callbacks.samples import SampleGrids
from ganlab.callbacks.test_error import TestError

__all__ = [
    "Checkpoints",
    "Curves",
    "Interruption",
    "Journal",
    "Progress",
    "SampleGrids",
    "TestError",
]
