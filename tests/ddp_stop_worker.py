"""One rank of two, of which the second gets a signal (see test_ddp.py)."""

import json
import os
import signal
import sys
from pathlib import Path

from pytorch_lightning import Callback

from conftest import fit, small_gan
from ganlab.callbacks import Checkpoints, Interruption
from ganlab.distributed import SynchronousDDP


class Signalled(Callback):
    """A signal reaches the second rank alone, in its second iteration."""

    def on_train_batch_start(self, trainer, gan, *_):
        if (gan.iterations, trainer.global_rank) == (1, 1):
            os.kill(os.getpid(), signal.SIGUSR2)


def main(folder: Path) -> None:
    got = []
    signal.signal(signal.SIGUSR2, lambda number, _: got.append(number))
    gan, checkpoints = small_gan(iterations=5), Checkpoints(folder, every=100)
    interruption = Interruption(checkpoints)
    callbacks = [Signalled(), checkpoints, interruption]
    fit(gan, callbacks=callbacks, devices=2, strategy=SynchronousDDP(start_method="popen"))
    assert got == []
    interruption.pass_on()
    found = {"iterations": gan.iterations, "passed on": got}
    (folder / f"{gan.global_rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
