"""Data-parallel training without DistributedDataParallel's hooks."""

from typing import cast

from pytorch_lightning.strategies import DDPStrategy
from torch import distributed as dist
from torch import nn


class SynchronousDDP(DDPStrategy):
    """One process per device; `GAN` averages gradients itself, once per update.

    DistributedDataParallel forbids a GAN's step (two forward passes of D before one backward raise
    with BatchNorm, pytorch#175024; a frozen network counts as unused, pytorch-lightning#20328).
    Without its wrapper two processes equal one, but for BatchNorm's statistics, which are each
    device's own (trainer.sync_batchnorm=true shares them, on GPUs).
    """

    def configure_ddp(self) -> None:
        """Starts all ranks from rank 0's weights; wraps nothing."""
        for tensor in cast("nn.Module", self.model).state_dict().values():
            dist.broadcast(tensor, src=0)
