"""One rank of two: trains a GAN and writes its weights and scores (see test_ddp.py)."""

import json
import sys
from pathlib import Path

import torch

from conftest import fit, small_gan
from extractors import Patches
from ganlab.callbacks import Checkpoints, Journal, Scores
from ganlab.data import Digits
from ganlab.distributed import SynchronousDDP
from ganlab.ema import EMA
from ganlab.networks import DCGANDiscriminator, DCGANGenerator
from ganlab.optim import UpdateRule
from ganlab.regularizers import R1
from ganlab.scoring import ByClassifier, Scorer
from ganlab.scoring.reference import reference


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
    )


def scores(folder: Path) -> Scores:
    """Two scorings of 300 images, of which each rank makes its share."""
    extractor = Patches()
    real = reference(Digits().read(), extractor, data="digits", split="train", classes=10, kept=200)
    callback = Scores(ByClassifier(every=2), Journal(1000), Checkpoints(folder, every=1000))
    callback.scorer = Scorer(extractor, real, n=301, kept=200)
    return callback


def main(folder: Path, norm: str, devices: int) -> None:
    gan = made(norm)
    strategy = SynchronousDDP(start_method="popen") if devices > 1 else "auto"
    scored = scores(folder)
    fit(gan, callbacks=[scored], devices=devices, strategy=strategy, precision="64-true")
    assert isinstance(gan.ema, EMA)
    card = folder / f"{norm}-{devices}-{gan.global_rank}.json"
    card.write_text(json.dumps(scored.state_dict()))
    torch.save(gan.state_dict(), folder / f"{norm}-{devices}-{gan.global_rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
