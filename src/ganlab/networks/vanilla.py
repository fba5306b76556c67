"""Multilayer perceptrons, as in the first GAN (Goodfellow et al. 2014, section 5)."""

import itertools
import math
from collections.abc import Sequence

from torch import Tensor, nn

from ganlab.networks.contract import Generator
from ganlab.networks.discriminator import FeatureDiscriminator, minibatch_std
from ganlab.networks.layers import (
    ACTIVATIONS,
    NORMS,
    Dropout,
    GaussianNoise,
    needs_bias,
    norm1d,
    reparametrize,
)
from ganlab.spec import ImageSpec, at_least, one_of


def dense(
    widths: Sequence[int],
    norm: str = "none",
    dropout: float = 0.0,
    noise: float = 0.0,
    activation: str = "leaky_relu",
    before_last: Sequence[nn.Module] = (),
) -> list[nn.Module]:
    """Linear layer, normalisation, activation, dropout and noise for each hidden layer.

    The first width is that of the input, the others are those of the hidden layers.  Each module
    of `before_last` stands before the last hidden layer and adds one feature.
    """
    at_least(1, **{f"hidden[{i}]": width for i, width in enumerate(widths[1:])})
    one_of(NORMS, norm=norm)
    one_of(tuple(ACTIVATIONS), activation=activation)
    layers: list[nn.Module] = []
    for i, (fan_in, fan_out) in enumerate(itertools.pairwise(widths)):
        before = before_last if i == len(widths) - 2 else ()
        layers += [
            *before,
            nn.Linear(fan_in + len(before), fan_out, needs_bias(norm)),
            norm1d(norm, fan_out),
            ACTIVATIONS[activation](),
        ]
        if dropout:
            layers.append(Dropout(dropout))
        if noise:
            layers.append(GaussianNoise(noise))
    return layers


def generating(
    widths: Sequence[int],
    shape: tuple[int, ...],
    norm: str,
    *last: nn.Module,
    activation: str = "leaky_relu",
) -> nn.Sequential:
    """`dense`, a linear layer and `last`; the output has shape (N, *shape)."""
    hidden = dense(widths, norm, activation=activation)
    out = nn.Linear(widths[-1], math.prod(shape))
    return nn.Sequential(*hidden, out, *last, nn.Unflatten(1, shape))


class VanillaGenerator(Generator):
    """z (N, latent_dim) -> images (N, C, H, W) in [-1, 1].

    Args:
        hidden: widths of the hidden layers.
        norm: "none", "batch", "layer", "spectral" or "weight".
    """

    def __init__(
        self,
        spec: ImageSpec,
        latent_dim: int,
        hidden: tuple[int, ...] = (256, 512, 1024),
        norm: str = "none",
    ) -> None:
        super().__init__()
        self.layers = generating((latent_dim, *hidden), spec.shape, norm, nn.Tanh())
        reparametrize(self, norm)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class VanillaDiscriminator(FeatureDiscriminator):
    """Images (N, C, H, W) in [-1, 1] -> logits (N,).

    Args:
        hidden: widths of the hidden layers.
        dropout: share of hidden units dropped in training, in [0, 1).
        norm: "none", "batch", "layer", "spectral" or "weight".
        minibatch: "none", "std" (before the last hidden layer) or "discrimination"; with
            minibatch_group: see networks/discriminator.py.
        input_noise, hidden_noise: standard deviations of Gaussian noise, added in training to the
            images and after each hidden layer; 0.3 and 0.5 in the MNIST code of Salimans et al.
            2016.  The features include the last noise.
    """

    def __init__(
        self,
        spec: ImageSpec,
        hidden: tuple[int, ...] = (1024, 512, 256),
        dropout: float = 0.3,
        norm: str = "none",
        minibatch: str = "none",
        input_noise: float = 0.0,
        hidden_noise: float = 0.0,
        minibatch_group: int = 4,
    ) -> None:
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be at least 0 and less than 1, got {dropout}")
        at_least(0, input_noise=input_noise, hidden_noise=hidden_noise)
        widths = (math.prod(spec.shape), *hidden)
        spread = minibatch_std(minibatch, minibatch_group)
        layers = [nn.Flatten(), *dense(widths, norm, dropout, hidden_noise, before_last=spread)]
        if input_noise:
            layers.insert(0, GaussianNoise(input_noise))
        super().__init__(nn.Sequential(*layers), widths[-1], minibatch)
        reparametrize(self, norm)
