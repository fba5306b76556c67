"""One rank of two: trains models and writes weights, scores and what a signal did (test_ddp.py)."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback
from torch import nn

from conftest import fit, small_gan
from ganlab.belief import BeliefNetwork, Recognition
from ganlab.boltzmann import BoltzmannMachine
from ganlab.callbacks import Checkpoints, Interruption, Journal, Minutes, Scores
from ganlab.data import Digits
from ganlab.devices.distributed import SynchronousDDP
from ganlab.generative import ENDLESS, Generative
from ganlab.latent import Gaussian
from ganlab.models import RBM, SBN, VAE, Bernoulli
from ganlab.networks import DCGANDiscriminator, DCGANGenerator, MLPDecoder, MLPEncoder
from ganlab.regularizers import R1
from ganlab.scoring import ByClassifier, Scorer
from ganlab.scoring.reference import reference
from ganlab.training import stopwatch
from ganlab.training.ema import EMA
from ganlab.training.stopwatch import Stopwatch
from ganlab.training.updates import UpdateRule
from small_extractors import Patches


def made(norm: str):
    """A GAN whose updates are large enough to see; float64, where sums commute to 1e-12."""
    spec = small_gan().spec
    torch.manual_seed(0)
    rule = UpdateRule(lambda p: torch.optim.SGD(p, lr=0.05), clip=1.0)
    return small_gan(
        iterations=3,
        d_steps=2,
        generator=DCGANGenerator(spec, 8, width=8, norm=norm),
        discriminator=DCGANDiscriminator(spec, width=8, norm=norm),
        regularizers={} if norm == "batch" else {"r1": R1()},
        g_rule=rule,
        d_rule=rule,
        ema=0.9,
        ema_statistics="recompute",
    )


def networks(kind: str) -> dict[str, nn.Module]:
    """What a model other than a GAN is made of."""
    spec = Digits().spec
    torch.manual_seed(0)
    if kind == "vae":
        parts = {"encoder": MLPEncoder(spec, 3, [8]), "likelihood": Bernoulli(spec)}
        return {"generator": MLPDecoder(spec, 3, [8]), **parts}
    if kind == "sbn":
        return {
            "generator": BeliefNetwork(spec, 3, [6, 4]),
            "recognition": Recognition(spec, [6, 4]),
        }
    return {"generator": BoltzmannMachine(spec, 3, 12, scale=0.5, sweeps=4)}


KINDS: dict[str, tuple[type[Generative], dict[str, Any]]] = {
    "vae": (VAE, {"samples": 3, "ema": 0.9}),
    "rbm": (RBM, {"steps": 2, "ema": 0.9}),
    "rbm-from-data": (RBM, {"persistent": False, "weight_decay": 0.01}),
    "sbn": (SBN, {"samples": 3}),
    "sbn-dreaming": (SBN, {"estimator": "reweighted"}),
}


def other(name: str) -> Generative:
    """A model of another kind, with dynamic pixels; its updates are large, too."""
    kind, options = KINDS[name]
    return kind(
        **networks(name.partition("-")[0]),
        spec=Digits().spec,
        latent=Gaussian(3),
        g_rule=UpdateRule(lambda p: torch.optim.SGD(p, lr=0.05), clip=1.0),
        binarise="dynamic",
        iterations=3,
        **options,
    )


def scores(folder: Path) -> Scores:
    """Two scorings of 300 images, of which each rank makes its share."""
    extractor = Patches()
    real = reference(Digits().read(), extractor, data="digits", split="train", classes=10, kept=200)
    callback = Scores(ByClassifier(every=2), Journal(1000), Checkpoints(folder, every=1000))
    callback.scorer = Scorer(extractor, real, n=301, kept=200)
    return callback


class Signalled(Callback):
    """A signal reaches the second rank alone, in its second iteration."""

    def on_train_batch_start(self, trainer, gan, *_):
        if (gan.iterations, trainer.global_rank) == (1, 1):
            os.kill(os.getpid(), signal.SIGUSR2)


def in_two(gan: Generative, callbacks: list[Callback], **options) -> None:
    """Trains on two processes, this one and one that the first call has started."""
    strategy = SynchronousDDP(start_method="popen")
    fit(gan, callbacks=callbacks, devices=2, strategy=strategy, **options)


def trained(folder: Path, norm: str) -> None:
    """Writes final weights and scores."""
    gan, scored = made(norm), scores(folder)
    in_two(gan, [scored], precision="64-true")
    assert isinstance(gan.ema, EMA)
    card = folder / f"{norm}-{gan.global_rank}.json"
    card.write_text(json.dumps(scored.state_dict()))
    torch.save(gan.state_dict(), folder / f"{norm}-{gan.global_rank}.pt")


def other_trained(folder: Path, name: str) -> None:
    """Writes final weights."""
    in_two(model := other(name), [], precision="64-true")
    torch.save(model.state_dict(), folder / f"{name}-{model.global_rank}.pt")


def stopped(folder: Path) -> None:
    """Writes where a signal has stopped training, and what was passed on."""
    folder.mkdir(exist_ok=True)
    got = []
    signal.signal(signal.SIGUSR2, lambda number, _: got.append(number))
    gan, checkpoints = small_gan(iterations=5), Checkpoints(folder, every=100)
    interruption = Interruption(checkpoints)
    in_two(gan, [Signalled(), checkpoints, interruption])
    assert got == []
    interruption.pass_on()
    found = {"iterations": gan.iterations, "passed on": got}
    (folder / f"{gan.global_rank}.json").write_text(json.dumps(found))


class Slower(Callback):
    """Iterations last 1 s by the clock of the first rank and 2 s by that of the second."""

    seconds = 0.0

    def on_train_batch_end(self, trainer, gan, *_):
        self.seconds += 1.0 + trainer.global_rank


def timed(folder: Path) -> None:
    """Writes where the clocks of both have ended training, and what schedules went by."""
    folder.mkdir(exist_ok=True)
    passing, seen = Slower(), []

    class Progress(Callback):
        def on_train_batch_end(self, trainer, gan, *_):
            seen.append(gan.progress)

    stopwatch.now = lambda: passing.seconds
    gan = small_gan(iterations=ENDLESS)
    in_two(gan, [Minutes(0.1, Stopwatch(0.0)), passing, Progress()])
    found = {"iterations": gan.iterations, "progress": seen}
    (folder / f"{gan.global_rank}.json").write_text(json.dumps(found))


def main(folder: Path) -> None:
    for norm in ("layer", "batch"):
        trained(folder, norm)
    for name in KINDS:
        other_trained(folder, name)
    stopped(folder / "stopped")
    timed(folder / "timed")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
