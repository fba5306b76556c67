"""Parts with which jobs can be caught in the middle of their training, however fast they are."""

import os
import signal
from pathlib import Path

from torch import Tensor

from ganlab.gan import GAN
from ganlab.losses import NonSaturating
from slurm_cluster import until


class Held(NonSaturating):
    """Waits in the third iteration of a Slurm job until a signal comes.

    The environment says in how many of the job's lives: HELD=2 also after the first requeue.  It
    is no part of the config, so the same experiment runs through elsewhere.
    """

    def __init__(self) -> None:
        super().__init__()
        self.updates = 0

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        lives = int(os.environ.get("SLURM_RESTART_COUNT", "0"))
        if "SLURM_JOB_ID" in os.environ and lives < int(os.environ.get("HELD", "0")):
            self.updates += 1
            if self.updates == 1:
                self._listen()
            if self.updates == 3:
                self._wait()
        return super().d_loss(real, fake)

    def _listen(self) -> None:
        """Python writes the number of each signal that it handles into the pipe."""
        self.received, written = os.pipe()
        os.set_blocking(written, False)
        signal.set_wakeup_fd(written)

    def _wait(self) -> None:
        while os.read(self.received, 1)[0] == signal.SIGCONT:  # comes before each SIGTERM
            pass


class Meeting(GAN):
    """Begins to train when another process does, too: the environment says MEETING=folder."""

    def on_train_start(self) -> None:
        super().on_train_start()
        if "MEETING" in os.environ:
            folder = Path(os.environ["MEETING"])
            (folder / str(os.getpid())).touch()
            until(lambda: len([*folder.iterdir()]) > 1, "another process")
