"""One rank of two: trains a GAN and writes its final weights to RANK.pt (see test_ddp.py)."""

import sys
from pathlib import Path

import torch

from conftest import fit, small_gan
from ganlab.distributed import SynchronousDDP
from ganlab.ema import EMA
from ganlab.networks import DCGANDiscriminator, DCGANGenerator
from ganlab.optim import UpdateRule
from ganlab.regularizers import R1


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


def main(folder: Path, norm: str, devices: int) -> None:
    gan = made(norm)
    strategy = SynchronousDDP(start_method="popen") if devices > 1 else "auto"
    fit(gan, devices=devices, strategy=strategy, precision="64-true")
    assert isinstance(gan.ema, EMA)
    torch.save(gan.state_dict(), folder / f"{norm}-{devices}-{gan.global_rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
