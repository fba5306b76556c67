"""How one of the two networks is updated."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.optim import Optimizer

from ganlab.schedules import Constant, Schedule
from ganlab.spec import at_least, positive

OptimizerFactory = Callable[..., Optimizer]


@dataclass(frozen=True)
class UpdateRule:
    """One player's update: optimizer, learning-rate schedule, clipping, accumulation.

    Args:
        optimizer: factory called with the parameters, e.g. partial(torch.optim.Adam, lr=2e-4).
        schedule: factor of the learning rate as a function of the run's progress.
        clip: greatest Euclidean norm of the whole gradient; None: no clipping.
        accumulate: parts in which a minibatch passes through the networks, to save memory.  The
            gradient is that of the whole minibatch where images are judged one by one.  What looks
            at several at once sees each part by itself: BatchNorm, features of the minibatch,
            relativistic_average, pull_away, feature_matching, lecam, BEGAN's k.
    """

    optimizer: OptimizerFactory
    schedule: Schedule = field(default_factory=Constant)
    clip: float | None = None
    accumulate: int = 1

    def __post_init__(self) -> None:
        positive(clip=self.clip)
        at_least(1, accumulate=self.accumulate)

    def build(self, parameters: Iterable[nn.Parameter], *, fused: bool) -> Optimizer:
        """The optimizer, in its fused form where it has one and the caller allows it."""
        parameters = list(parameters)
        callee = getattr(self.optimizer, "func", self.optimizer)
        options = getattr(self.optimizer, "keywords", {})
        if fused and "fused" in inspect.signature(callee).parameters:
            unset = all(options.get(name) is None for name in ("fused", "foreach"))
            if unset and all(p.device.type in ("cpu", "cuda") for p in parameters):
                return self.optimizer(parameters, fused=True)
        return self.optimizer(parameters)

    def set_rate(self, optimizer: Optimizer, progress: float, scale: float = 1.0) -> None:
        """Sets each group's learning rate for this iteration: its own times schedule and scale."""
        factor = scale * self.schedule(progress)
        for group in optimizer.param_groups:
            rate = group.setdefault("initial_lr", group["lr"]) * factor
            if isinstance(group["lr"], Tensor):  # a graph reads it where it is
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate


def gradients(optimizer: Optimizer) -> list[Tensor]:
    """The gradients that the optimizer is about to use."""
    parameters = (p for group in optimizer.param_groups for p in group["params"])
    return [p.grad for p in parameters if p.grad is not None]


def global_norm(tensors: list[Tensor]) -> Tensor:
    """Euclidean norm of all tensors taken as one vector."""
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(tensors)))


def average_over_ranks(tensors: list[Tensor]) -> None:
    """Replaces each float tensor by its mean over all processes, in one flat all-reduce.

    In place of DistributedDataParallel, whose hooks fail on a GAN's step: two forward passes of D
    before one backward (pytorch#175024) and a network that sits out the other's update.
    """
    if not tensors:
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    parts = flat.split([tensor.numel() for tensor in tensors])
    torch._foreach_copy_(tensors, [p.view_as(t) for p, t in zip(parts, tensors, strict=True)])


class untouched:
    """The other player's update must not touch these: no gradients, no running statistics.

    BatchNorm still normalises by the batch at hand, as in training; spectral norm keeps its
    estimate of the singular vectors.  Looks at the networks once, for it is entered at every step.
    """

    def __init__(self, *networks: nn.Module) -> None:
        modules = [module for network in networks for module in network.modules()]
        self.trained = [p for n in networks for p in n.parameters() if p.requires_grad]
        self.norms = [m for m in modules if isinstance(m, _BatchNorm) and m.track_running_stats]
        self.spectral = [m for m in modules if isinstance(m, _SpectralNorm)]

    def __enter__(self) -> None:
        self.estimating = [module for module in self.spectral if module.training]
        self._let(change=False)

    def __exit__(self, *_: object) -> None:
        self._let(change=True)

    def _let(self, change: bool) -> None:
        for parameter in self.trained:
            parameter.requires_grad_(change)
        for norm in self.norms:
            norm.track_running_stats = change
        for parametrization in self.estimating:
            parametrization.training = change
