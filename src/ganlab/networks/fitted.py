"""Layers that are initialised on the first minibatch of a run."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Fitted(nn.Module):
    """Base of layers whose parameters are chosen by their first input.

    `fitted`: whether that has happened.
    """

    fitted: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("fitted", torch.tensor(False))

    def fit(self, x: Tensor) -> None:
        """Chooses the parameters for the layer's input x (N, ...); called without gradients."""
        raise NotImplementedError


def unfitted(*networks: nn.Module) -> list[Fitted]:
    """The layers of networks that still wait for their first minibatch."""
    layers = (module for network in networks for module in network.modules())
    return [one for one in layers if isinstance(one, Fitted) and not one.fitted]


@torch.no_grad()
def fit(layers: list[Fitted], forward: Callable[[], object]) -> None:
    """Fits layers in one forward pass, each to what the fitted layers before it compute.

    Args:
        layers: that wait for their first minibatch.
        forward: passes a minibatch through the networks; layers that it does not reach stay as
            they are.
    """
    handles = [layer.register_forward_pre_hook(_fit_first) for layer in layers]
    try:
        forward()
    finally:
        for handle in handles:
            handle.remove()


def _fit_first(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
    if isinstance(layer, Fitted) and not layer.fitted:
        layer.fit(given[0])
        layer.fitted.fill_(True)
