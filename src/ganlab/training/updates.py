"""How networks are updated."""

import functools
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.optim import Optimizer

from ganlab.schedules import START, Clock, Constant, Schedule, at
from ganlab.spec import at_least, positive

OptimizerFactory = Callable[..., Optimizer]


@dataclass(frozen=True)
class UpdateRule:
    """One player's update: optimizer, schedules, clipping, accumulation.

    Args:
        optimizer: factory called with the parameters, e.g. partial(torch.optim.Adam, lr=2e-4).  Its
            keywords, and the items of those that are lists, may be schedules.
        schedule: factor of the learning rate.
        clip: greatest Euclidean norm of the whole gradient; None: no clipping.
        accumulate: parts in which a minibatch passes through the networks, to save memory.  The
            gradient is that of the whole minibatch if D judges each image by itself.  BatchNorm,
            minibatch features, relativistic_average, pull_away, feature_matching, lecam and
            BEGAN's k see only one part at a time.
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
        options = {name: moment(value, START) for name, value in self.scheduled.items()}
        if fused and "fused" in inspect.signature(self.callee).parameters:
            unset = all(self.options.get(name) is None for name in ("fused", "foreach"))
            if unset and all(p.device.type in ("cpu", "cuda") for p in parameters):
                options["fused"] = True
        return self.optimizer(parameters, **options)

    @property
    def callee(self) -> Callable[..., Any]:
        """The class, or the function, that makes the optimizer."""
        return getattr(self.optimizer, "func", self.optimizer)

    @property
    def options(self) -> dict[str, Any]:
        """The keywords that are already bound."""
        return getattr(self.optimizer, "keywords", {})

    @functools.cached_property
    def scheduled(self) -> dict[str, Any]:
        """The options that follow schedules."""
        return {name: value for name, value in self.options.items() if moves(value)}

    def begin(self, optimizer: Optimizer, clock: Clock, scale: float = 1.0) -> None:
        """Sets the optimizer's numbers for this iteration.

        Args:
            optimizer: that `build` made.
            clock: how far the run is.
            scale: another factor of the learning rate.
        """
        factor = scale * self.schedule(clock)
        for group in optimizer.param_groups:
            base = group.setdefault("initial_lr", group["lr"])
            for name, value in self.scheduled.items():
                if name != "lr":
                    group[name] = moment(value, clock)
            rate = moment(self.scheduled.get("lr", base), clock) * factor
            if isinstance(group["lr"], Tensor):  # a CUDA graph reads it from memory
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate


def moves(value: Any) -> bool:
    """Whether an optimizer's option, or an item of it, is a schedule."""
    items = value if isinstance(value, list | tuple) else [value]
    return any(isinstance(item, Schedule) for item in items)


def moment(value: Any, clock: Clock) -> Any:
    """An optimizer's option at a moment of the run."""
    if isinstance(value, list | tuple):
        return tuple(at(item, clock) for item in value)
    return at(value, clock)


@dataclass(frozen=True)
class Player:
    """Networks that one optimizer trains, and how."""

    networks: tuple[nn.Module, ...]
    rule: UpdateRule

    @property
    def parameters(self) -> list[nn.Parameter]:
        """All parameters of the networks."""
        return [p for network in self.networks for p in network.parameters()]


def gradients(optimizer: Optimizer) -> list[Tensor]:
    """The gradients that the optimizer is about to use."""
    parameters = (p for group in optimizer.param_groups for p in group["params"])
    return [p.grad for p in parameters if p.grad is not None]


def global_norm(tensors: list[Tensor]) -> Tensor:
    """Euclidean norm of all tensors taken as one vector."""
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(tensors)))


def average_over_ranks(tensors: list[Tensor]) -> None:
    """Replaces each float tensor by its mean over all processes, in one flat all-reduce.

    It replaces DistributedDataParallel, whose hooks fail on a GAN's step: on two forward passes of
    D before one backward pass (pytorch#175024), and on a network that is frozen in an update.
    """
    if not tensors:
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    parts = flat.split([tensor.numel() for tensor in tensors])
    torch._foreach_copy_(tensors, [p.view_as(t) for p, t in zip(parts, tensors, strict=True)])


class frozen:
    """Context in which another player's update leaves these networks as they are.

    They get no gradients, and their running statistics stay.

    BatchNorm still normalises by the current batch; spectral norm keeps its estimate of the
    singular vectors.  The modules are collected once, as the context is entered at every step.
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
