"""Exponential moving average of the generator's weights (Yazıcı et al. 2019)."""

import copy

import torch
from torch import Tensor, nn

from ganlab.schedules import START, Clock, Number, Schedule, at


class EMA(nn.Module):
    """Keeps `network`, a copy whose weights trail the trained ones.

    After update t the average is lerp(average, weights, 1 - b) with b = min(decay, t / (t + 9)):
    the ramp forgets the random initial weights, as in TensorFlow's ExponentialMovingAverage.
    Buffers (BatchNorm's running statistics) are copied, not averaged.  The copy is a submodule
    that is never swapped with the trained network, so no checkpoint contains them swapped.

    Args:
        network: the network to follow.
        decay: weight of the past per generator update, in [0, 1); may follow a schedule, such as
            `HalfLife`.
        name: of the decay, in messages.
    """

    def __init__(self, network: nn.Module, decay: Number = 0.999, name: str = "ema") -> None:
        super().__init__()
        if not isinstance(decay, Schedule) and not 0 <= decay < 1:
            raise ValueError(f"{name} must be at least 0 and less than 1, got {decay}")
        self.decay = decay
        self.network = copy.deepcopy(network).requires_grad_(False).eval()
        self.share: float | Tensor = 1.0  # of the new weights, 1 - b; a tensor where graphs read it

    def begin(self, step: int, clock: Clock = START) -> None:
        """Sets how far the average moves in the generator's update number `step` (from 1)."""
        share = 1 - min(at(self.decay, clock), step / (step + 9))
        if isinstance(self.share, Tensor):
            self.share.fill_(share)
        else:
            self.share = share

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Moves the average towards the weights of `network`."""
        mine: list[Tensor] = list(self.network.parameters())
        theirs: list[Tensor] = list(network.parameters())
        if not mine:
            pass  # a conditioning without weights
        elif isinstance(self.share, Tensor):  # _foreach_lerp_ takes no weight from memory
            apart = list(torch._foreach_sub(theirs, mine))
            torch._foreach_mul_(apart, self.share)
            torch._foreach_add_(mine, apart)
        else:
            torch._foreach_lerp_(mine, theirs, self.share)
        if buffers := list(self.network.buffers()):
            torch._foreach_copy_(buffers, list(network.buffers()))
