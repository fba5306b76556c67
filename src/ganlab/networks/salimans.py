"""The networks of Salimans et al. 2016 for MNIST with few labels, as in the authors' code.

https://github.com/openai/improved-gan, mnist_svhn_cifar10/train_mnist_feature_matching.py.
Their pixels are in [0, 1]; both networks convert from and to ganlab's [-1, 1].
"""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from ganlab.networks.contract import Discriminator, Generator
from ganlab.networks.fitted import Fitted
from ganlab.networks.layers import ACTIVATIONS, GaussianNoise
from ganlab.spec import ImageSpec, at_least, one_of


class NormalisedLinear(Fitted):
    """A linear layer with unit weight vectors: scale * (v / |v|) x + bias, an output each.

    `fit` chooses scale and bias so that the outputs for a minibatch have mean 0 and variance 1
    (Salimans & Kingma 2016, section 3).

    Args:
        fan_in, fan_out: widths of the input and of the output.
        std: of the normal distribution that v is drawn from.  Only the direction counts for the
            output; the length decides how fast the direction can turn.
        learns_scale: whether the scale is trained; if not, only `fit` changes it.
    """

    def __init__(
        self, fan_in: int, fan_out: int, *, std: float = 0.1, learns_scale: bool = False
    ) -> None:
        super().__init__()
        self.direction = nn.Parameter(std * torch.randn(fan_out, fan_in))
        self.bias = nn.Parameter(torch.zeros(fan_out))
        scale = torch.ones(fan_out)
        if learns_scale:
            self.scale = nn.Parameter(scale)
        else:
            self.register_buffer("scale", scale)

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)

    @property
    def weight(self) -> Tensor:
        """The weight vectors (fan_out, fan_in), each as long as its scale."""
        length = torch.linalg.vector_norm(self.direction, dim=1)
        return self.direction * (self.scale / length).unsqueeze(1)

    def fit(self, x: Tensor) -> None:
        std, mean = torch.std_mean(linear(x, self.weight), dim=0, correction=0)
        self.scale.div_(std)
        self.bias.copy_(-mean / std)


class Bias(nn.Module):
    """Adds a trained number to each of `features` features, 0 at the start."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(features))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias


class SalimansGenerator(Generator):
    """z (N, latent_dim) -> images (N, C, H, W) in [-1, 1].

    Hidden layers have BatchNorm without a gain and an activation; the last one has unit weight
    vectors with a trained scale, and a sigmoid.

    Args:
        hidden: widths of the hidden layers.
        activation: "leaky_relu" (0.2), "relu", "tanh", "elu" or "softplus", which is the authors'.
    """

    def __init__(
        self,
        spec: ImageSpec,
        latent_dim: int,
        hidden: Sequence[int] = (500, 500),
        activation: str = "softplus",
    ) -> None:
        super().__init__()
        one_of(tuple(ACTIVATIONS), activation=activation)
        at_least(1, **{f"hidden[{i}]": width for i, width in enumerate(hidden)})
        widths, pixels = (latent_dim, *hidden), math.prod(spec.shape)
        layers: list[nn.Module] = []
        for fan_in, fan_out in itertools.pairwise(widths):
            dense = nn.Linear(fan_in, fan_out, bias=False)
            nn.init.xavier_uniform_(dense.weight)
            norm = nn.BatchNorm1d(fan_out, eps=1e-6, affine=False)
            layers += [dense, norm, Bias(fan_out), ACTIVATIONS[activation]()]
        glorot = math.sqrt(2 / (widths[-1] + pixels))
        layers += [NormalisedLinear(widths[-1], pixels, std=glorot, learns_scale=True)]
        self.layers = nn.Sequential(*layers, nn.Sigmoid(), nn.Unflatten(1, spec.shape))

    def forward(self, z: Tensor) -> Tensor:
        return 2 * self.layers(z) - 1


class SalimansDiscriminator(Discriminator):
    """Images (N, C, H, W) in [-1, 1] -> logits (N,).

    Gaussian noise, a layer with unit weight vectors, and ReLU, for each width.  The features are
    those before the last noise.  The head sees the noise, and learns its scale.

    Args:
        hidden: widths of the hidden layers; the last is that of the features.
        input_noise: standard deviation of the noise on pixels in [0, 1], in training.
        hidden_noise: the same on hidden layers.
    """

    def __init__(
        self,
        spec: ImageSpec,
        hidden: Sequence[int] = (1000, 500, 250, 250, 250),
        input_noise: float = 0.3,
        hidden_noise: float = 0.5,
    ) -> None:
        super().__init__()
        at_least(0, input_noise=input_noise, hidden_noise=hidden_noise)
        at_least(1, **{"number of hidden layers": len(hidden)})
        at_least(1, **{f"hidden[{i}]": width for i, width in enumerate(hidden)})
        self.hidden_noise, self.feature_dim = hidden_noise, hidden[-1]
        widths = (math.prod(spec.shape), *hidden)
        layers: list[nn.Module] = [nn.Flatten()]
        for i, (fan_in, fan_out) in enumerate(itertools.pairwise(widths)):
            noise = GaussianNoise(hidden_noise if i else input_noise)
            layers += [noise, NormalisedLinear(fan_in, fan_out), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.head = self.new_head(1)

    def new_head(self, outputs: int) -> nn.Module:
        """A head on the features (N, feature_dim) -> (N, outputs)."""
        last = NormalisedLinear(self.feature_dim, outputs, learns_scale=True)
        return nn.Sequential(GaussianNoise(self.hidden_noise), last)

    def logits_and_features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features((x + 1) / 2)
        return self.head(features).flatten(), features
