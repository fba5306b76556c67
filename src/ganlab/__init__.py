"""ganlab: an experiment framework for generative adversarial networks."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ganlab.gan import GAN

__version__ = "0.1.0"


def load(run: str | Path) -> "GAN":
    """A trained GAN, ready to sample: `ganlab.load("outputs/...").sample(64, seed=0)`.

    Reads tensors and plain data only: a run's folder from a stranger cannot run code of its own,
    beyond building the networks that its config names.

    Args:
        run: the run's folder; its newest checkpoint is taken.

    Raises:
        ganlab.config.ConfigError: the folder is no run, or has no checkpoint.
    """
    from ganlab.experiment import restore
    from ganlab.runs import Run

    return restore(Run(Path(run)))
