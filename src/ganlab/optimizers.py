"""Optimizers for two-player games: extragradient and optimistic gradients.

Each is a torch optimizer with a modified step, so torch's arguments (betas, weight decay,
fused=...), state and checkpoints work as usual.  Both damp the rotation that makes gradient
descent-ascent cycle around an equilibrium or diverge; `ganlab.lab.saddle_point` shows this.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Adam, Optimizer


class Extragradient(Optimizer):
    """Two gradients per update (Korpelevich 1976): base of `ExtraAdam` and `ExtraSGD`.

    `step(extrapolate=True)` moves to the point w_{t+1/2} of an ordinary step.  The next `step()`
    returns to w_t and updates it with the gradient at w_{t+1/2}.  All players have to extrapolate
    before any of them updates, as in `GAN.training_step`.  Do not use it with a gradient scaler,
    which may change its scale between the steps of the players.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None, *, extrapolate: bool = False) -> Any:
        """One step: an extrapolation, or an update with the gradient at the extrapolated point."""
        loss = evaluated(closure)  # first, because it needs the gradient at w_{t+1/2}
        self._return()
        parameters = moving(self)
        anchors = [p.clone() for p in parameters] if extrapolate else []
        super().step()
        for parameter, anchor in zip(parameters, anchors, strict=False):
            self.state[parameter]["anchor"] = anchor  # after the step: Adam starts with no state
        return loss

    def _return(self) -> None:
        """Returns to w_t if the parameters are extrapolated, even if no update followed."""
        for parameter, state in self.state.items():
            if (anchor := state.pop("anchor", None)) is not None:
                parameter.copy_(anchor)


class ExtraAdam(Extragradient, Adam):
    """Extra-Adam (Gidel et al. 2019, Algorithm 4): both gradients enter the moments."""


class ExtraSGD(Extragradient, SGD):
    """w_{t+1} = w_t - lr v(w_t - lr v(w_t)), v the players' gradients (Korpelevich 1976)."""


class Optimistic(Optimizer):
    """One gradient per update: base of `OptimisticAdam` and `OptimisticSGD`.

    w_{t+1} = w_t + 2 u_t - u_{t-1}, where u_t is the update of the base optimizer and u_0 = 0
    (Daskalakis et al. 2018, eq. 5).  For SGD it is extragradient with extrapolation from the past
    (Popov 1980; Gidel et al. 2019, section 3.2): w_t - u_{t-1} is updated, w_t is extrapolated.

    u_{t-1} is stored with its learning rate applied, so that it is subtracted exactly even if a
    schedule changes the rate.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Applies the base optimizer's update twice, and subtracts the previous update."""
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
    """The result of a closure that computes the loss and its gradients; None without one."""
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()


def moving(optimizer: Optimizer) -> list[Tensor]:
    """The parameters that a step changes: those with a gradient."""
    parameters = (p for group in optimizer.param_groups for p in group["params"])
    return [p for p in parameters if p.grad is not None]
