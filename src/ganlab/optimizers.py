"""Optimizers for two-player games: extragradient and optimistic gradients.

Each is one of torch's optimizers with a step that looks ahead, so what torch's takes (betas,
weight decay, fused=...) and does (state, checkpoints) stays.  Both damp the rotation in which
gradient descent-ascent circles around an equilibrium or leaves it; `ganlab.lab.saddle_point` shows
this with these classes.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Adam, Optimizer


class Extragradient(Optimizer):
    """Two gradients an update (Korpelevich 1976): base of `ExtraAdam` and `ExtraSGD`.

    `step(extrapolate=True)` goes to where the optimizer would go, w_{t+1/2}; the `step()` after it
    goes back to w_t and takes the gradient of w_{t+1/2} from there.  Whoever trains asks all
    players to extrapolate before any of them updates, as `GAN.training_step` does; not with a
    gradient scaler, which may change its scale between one player's step and the other's.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None, *, extrapolate: bool = False) -> Any:
        """One step of the optimizer, to look ahead or, from where it looked ahead, to stay."""
        loss = evaluated(closure)  # before w_{t+1/2} is left: its gradient is wanted
        self._return()
        parameters = moving(self)
        anchors = [p.clone() for p in parameters] if extrapolate else []
        super().step()
        for parameter, anchor in zip(parameters, anchors, strict=False):
            self.state[parameter]["anchor"] = anchor  # after: Adam's first step wants no state
        return loss

    def _return(self) -> None:
        """To w_t, if this is elsewhere, though no update may have followed the look ahead."""
        for parameter, state in self.state.items():
            if (anchor := state.pop("anchor", None)) is not None:
                parameter.copy_(anchor)


class ExtraAdam(Extragradient, Adam):
    """Extra-Adam (Gidel et al. 2019, Algorithm 4): both gradients enter the moments."""


class ExtraSGD(Extragradient, SGD):
    """w_{t+1} = w_t - lr v(w_t - lr v(w_t)), v the players' gradients (Korpelevich 1976)."""


class Optimistic(Optimizer):
    """One gradient an update: base of `OptimisticAdam` and `OptimisticSGD`.

    w_{t+1} = w_t + 2 u_t - u_{t-1}, where u_t is the update of the optimizer below and u_0 = 0
    (Daskalakis et al. 2018, eq. 5).  For SGD it is extragradient with extrapolation from the past
    (Popov 1980; Gidel et al. 2019, section 3.2): w_t - u_{t-1} makes the updates, w_t looks ahead.

    u_{t-1} is kept with the learning rate it had, so that a schedule undoes what was done.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of the optimizer below, done twice, without the one before."""
        loss = evaluated(closure)
        parameters = moving(self)
        before = [p.clone() for p in parameters]
        super().step()
        for parameter, old in zip(parameters, before, strict=True):
            update = parameter - old
            parameter.add_(update)
            if (last := self.state[parameter].get("update")) is not None:
                parameter.sub_(last)
            self.state[parameter]["update"] = update
        return loss


class OptimisticAdam(Optimistic, Adam):
    """Optimistic Adam (Daskalakis et al. 2018, Algorithm 1)."""


class OptimisticSGD(Optimistic, SGD):
    """w_{t+1} = w_t - 2 lr g_t + lr g_{t-1} (Daskalakis et al. 2018, eq. 5)."""


def evaluated(closure: Callable[[], Any] | None) -> Any:
    """What a closure returns that computes the loss and its gradients; None without one."""
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()


def moving(optimizer: Optimizer) -> list[Tensor]:
    """The parameters that a step will move: those with a gradient."""
    parameters = (p for group in optimizer.param_groups for p in group["params"])
    return [p for p in parameters if p.grad is not None]
