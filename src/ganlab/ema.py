"""Exponential moving average of the generator's weights (Yazıcı et al. 2019)."""

import copy

import torch
from torch import nn


class EMA(nn.Module):
    """Keeps `network`, a copy whose weights trail the trained ones.

    After update t the average is lerp(average, weights, 1 - b) with b = min(decay, t / (t + 9)):
    the ramp forgets the random initial weights, as in TensorFlow's ExponentialMovingAverage.
    Buffers (BatchNorm's running statistics) are copied, not averaged.  The copy is a submodule
    that is never swapped with the trained network, so a checkpoint cannot catch it swapped.

    Args:
        network: the network to follow.
        decay: weight of the past per generator update, in [0, 1).
    """

    def __init__(self, network: nn.Module, decay: float = 0.999) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"ema must be at least 0 and less than 1, got {decay}")
        self.decay = decay
        self.network = copy.deepcopy(network).requires_grad_(False).eval()

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Moves the average after the generator's update number `step` (from 1)."""
        beta = min(self.decay, step / (step + 9))
        torch._foreach_lerp_(list(self.network.parameters()), list(network.parameters()), 1 - beta)
        for mine, theirs in zip(self.network.buffers(), network.buffers(), strict=True):
            mine.copy_(theirs)
