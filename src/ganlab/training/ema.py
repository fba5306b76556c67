"""Exponential moving average of a network's weights (Yazıcı et al. 2019)."""

import copy
from collections.abc import Callable, Iterable
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from ganlab.schedules import START, Clock, Number, Schedule, at
from ganlab.spec import one_of
from ganlab.training.statistics import recompute, running

Statistics = Literal["copy", "average", "recompute"]


class EMA(nn.Module):
    """Keeps `network`, a copy whose weights trail the trained ones.

    After update t the average is lerp(average, weights, 1 - b) with b = min(decay, t / (t + 9)):
    the ramp forgets the random initial weights, as in TensorFlow's ExponentialMovingAverage.
    The copy is a submodule that is never swapped with the trained network, so no checkpoint
    contains them swapped.

    BatchNorm's running statistics follow a policy.  All other buffers are copied: numbers of
    batches, constants, and the singular vectors of spectral norm, whose mean would have no unit
    length; with the trained network's vectors the norm of averaged weights is right to first order.

    Args:
        network: the network to follow.
        decay: weight of the past per generator update, in [0, 1); may follow a schedule, such as
            `HalfLife`.
        statistics: copy: those of the trained network; average: averaged like the weights;
            recompute: computed by `refresh` from the averaged network's own activations.
        name: of the decay, in messages.

    Raises:
        ValueError: the decay is out of range, or there is no such policy.
    """

    def __init__(
        self,
        network: nn.Module,
        decay: Number = 0.999,
        statistics: Statistics = "copy",
        name: str = "ema",
    ) -> None:
        super().__init__()
        if not isinstance(decay, Schedule) and not 0 <= decay < 1:
            raise ValueError(f"{name} must be at least 0 and less than 1, got {decay}")
        one_of(get_args(Statistics), ema_statistics=statistics)
        self.decay, self.statistics = decay, statistics
        self.network = copy.deepcopy(network).requires_grad_(False).eval()
        self.share: float | Tensor = 1.0  # of the new weights, 1 - b; a tensor where graphs read it
        self.stale = True  # whether weights have moved since the statistics were recomputed

    def begin(self, step: int, clock: Clock = START) -> None:
        """Sets how far the average moves in the generator's update number `step` (from 1)."""
        self.stale = True  # here, as a graph that replays the update calls no Python
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
        if self.statistics == "average":
            mine += running(self.network)
            theirs += running(network)
        if not mine:
            pass  # a conditioning without weights
        elif isinstance(self.share, Tensor):  # _foreach_lerp_ takes no weight from memory
            apart = list(torch._foreach_sub(theirs, mine))
            torch._foreach_mul_(apart, self.share)
            torch._foreach_add_(mine, apart)
        else:
            torch._foreach_lerp_(mine, theirs, self.share)
        if buffers := self._copied(self.network):
            torch._foreach_copy_(buffers, self._copied(network))

    def refresh(self, batches: Callable[[], Iterable[Tensor]]) -> None:
        """Recomputes the statistics if that is the policy and weights have moved since.

        Args:
            batches: makes inputs of the network, the same ones at each call.
        """
        if self.statistics == "recompute" and self.stale:
            recompute(self.network, batches())
        self.stale = False

    def _copied(self, network: nn.Module) -> list[Tensor]:
        """The buffers that are copied."""
        apart = {id(t) for t in running(network)} if self.statistics != "copy" else set()
        return [buffer for buffer in network.buffers() if id(buffer) not in apart]
