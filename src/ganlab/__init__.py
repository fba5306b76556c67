"""ganlab: an experiment framework for generative adversarial networks."""

from pathlib import Path
from typing import TYPE_CHECKING

from ganlab.devices.threads import wait_briefly

if TYPE_CHECKING:
    from ganlab.exporting.exported import Exported
    from ganlab.generative import Generative

__version__ = "0.1.0"

wait_briefly()  # here: every command and every process that works for one passes before torch


def load(
    run: str | Path, checkpoint: str = "last", *, trust: bool = False
) -> "Generative | Exported":
    """A trained model, ready to sample: `ganlab.load("outputs/...").sample(64, seed=0)`.

    Reads tensors and plain data only, and builds only classes of ganlab and torch: a folder from a
    stranger cannot run code.

    Args:
        run: the run's folder, or a checkpoint file in it, or a folder above runs, of which the
            newest is loaded; the text "last": the newest below outputs/.  Or a folder that `ganlab
            export` wrote, of which the generator alone is there to draw samples.
        checkpoint: last: the newest; best: the one with the best score; or the number of its
            iteration.
        trust: build whatever the run's config names, such as networks of your own.

    Raises:
        ganlab.errors.ConfigError: the folder is no run, has no checkpoint, or names what is not
            trusted.
    """
    from ganlab.exporting.exported import loaded
    from ganlab.runs.folder import Run, pointed_at

    folder, which = pointed_at(run, checkpoint)
    return loaded(Run(folder), which, trust=trust)
