"""Data-parallel training without DistributedDataParallel's hooks."""

from typing import cast

from pytorch_lightning.strategies import DDPStrategy
from torch import distributed as dist
from torch import nn


class SynchronousDDP(DDPStrategy):
    """One process per device; the `GAN` averages gradients itself, once per update.

    DistributedDataParallel does not support a GAN's step: two forward passes of D before one
    backward pass raise with BatchNorm (pytorch#175024), and a frozen network counts as unused
    (pytorch-lightning#20328).  Without its wrapper, two processes compute the same as one, except
    for BatchNorm's statistics, which are per device (trainer.sync_batchnorm=true shares them on
    GPUs).
    """

    def configure_ddp(self) -> None:
        """Copies rank 0's weights to all ranks, without wrapping the model."""
        for tensor in cast("nn.Module", self.model).state_dict().values():
            dist.broadcast(tensor, src=0)
