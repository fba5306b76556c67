"""Small multilayer perceptrons for points, or images of any shape; G's output is unbounded."""

import math

from torch import Tensor, nn

from ganlab.networks.contract import Generator
from ganlab.networks.discriminator import FeatureDiscriminator, minibatch_std
from ganlab.networks.layers import reparametrize
from ganlab.networks.vanilla import dense, generating
from ganlab.spec import Spec


class ToyGenerator(Generator):
    """z (N, latent_dim) -> points (N, d), or images of the spec's shape.

    Args:
        hidden: widths of the hidden layers; (): an affine map.
        activation: "relu", "leaky_relu", "tanh", "elu" or "softplus".
        norm: "none", "batch", "layer", "spectral" or "weight".
    """

    takes_points = True

    def __init__(
        self,
        spec: Spec,
        latent_dim: int,
        hidden: tuple[int, ...] = (128, 128),
        activation: str = "relu",
        norm: str = "none",
    ) -> None:
        super().__init__()
        widths = (latent_dim, *hidden)
        self.layers = generating(widths, spec.shape, norm, activation=activation)
        reparametrize(self, norm)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class ToyDiscriminator(FeatureDiscriminator):
    """Points (N, d), or images of the spec's shape -> logits (N,).

    Args:
        hidden: widths of the hidden layers; the last one gives D's features.  (): a linear D, whose
            features are the points themselves.
        activation: "relu", "leaky_relu", "tanh", "elu" or "softplus".
        norm: "none", "batch", "layer", "spectral" or "weight".
        minibatch: "none", "std" (before the last hidden layer) or "discrimination"; with
            minibatch_group: see networks/discriminator.py.
    """

    takes_points = True

    def __init__(
        self,
        spec: Spec,
        hidden: tuple[int, ...] = (128, 128),
        activation: str = "relu",
        norm: str = "none",
        minibatch: str = "none",
        minibatch_group: int = 4,
    ) -> None:
        widths = (math.prod(spec.shape), *hidden)
        spread = minibatch_std(minibatch, minibatch_group)
        layers = dense(widths, norm, activation=activation, before_last=spread)
        super().__init__(nn.Sequential(nn.Flatten(), *layers), widths[-1], minibatch)
        reparametrize(self, norm)
