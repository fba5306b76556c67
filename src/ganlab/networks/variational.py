"""Encoders and decoders of variational autoencoders: multilayer perceptrons, and DCGAN's layers."""

import math

from torch import Tensor, nn

from ganlab.networks.contract import Generator, Network
from ganlab.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from ganlab.networks.layers import glorot
from ganlab.networks.vanilla import dense, generating
from ganlab.spec import ImageSpec, PointSpec, Spec


class Decoder(Generator):
    """Latents z -> the mean of p(x | z), which is the sample that is shown.

    The mean of a pixel is the sigmoid of what `natural` gives, in [0, 1], and 2 sigmoid(a) - 1 =
    tanh(a / 2) as images in [-1, 1].  Points have no bounds: the mean is `natural` itself.

    `bounded`: whether x are pixels.
    """

    bounded: bool = True

    def natural(self, z: Tensor) -> Tensor:
        """(N, latent_dim) -> a (N, ...) of the shape of x: the logit of each pixel's mean."""
        raise NotImplementedError

    def forward(self, z: Tensor) -> Tensor:
        a = self.natural(z)
        return (a / 2).tanh() if self.bounded else a


class Encoder(Network):
    """x -> the approximate posterior q(z | x) = N(mean, exp(log_variance)).

    Pixels are in [0, 1].  In [-1, 1] the black background would saturate the first layer's tanh: on
    binary MNIST the bound was 33 nats worse after 1,500 updates (docs/generative.md).
    """

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance, (N, latent_dim) each, of pixels or points."""
        mean, log_variance = self(x).chunk(2, dim=1)
        return mean, log_variance


class MLPDecoder(Decoder):
    """Latents (N, latent_dim) -> means of images (N, C, H, W), or of points (N, d).

    Args:
        hidden: widths of the hidden layers.
        activation: "relu", "leaky_relu", "tanh", "elu" or "softplus".
    """

    takes_points = True

    def __init__(
        self,
        spec: Spec,
        latent_dim: int,
        hidden: tuple[int, ...] = (200, 200),
        activation: str = "tanh",
    ) -> None:
        super().__init__()
        self.bounded = not isinstance(spec, PointSpec)
        widths = (latent_dim, *hidden)
        self.layers = generating(widths, spec.shape, "none", activation=activation)
        glorot_throughout(self)

    def natural(self, z: Tensor) -> Tensor:
        return self.layers(z)


class MLPEncoder(Encoder):
    """Pixels (N, C, H, W) in [0, 1], or points (N, d) -> (N, 2 latent_dim).

    Args:
        hidden: widths of the hidden layers.
        activation: "relu", "leaky_relu", "tanh", "elu" or "softplus".
    """

    takes_points = True

    def __init__(
        self,
        spec: Spec,
        latent_dim: int,
        hidden: tuple[int, ...] = (200, 200),
        activation: str = "tanh",
    ) -> None:
        super().__init__()
        widths = (math.prod(spec.shape), *hidden)
        layers = dense(widths, activation=activation)
        self.layers = nn.Sequential(nn.Flatten(), *layers, nn.Linear(widths[-1], 2 * latent_dim))
        glorot_throughout(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class ConvDecoder(DCGANGenerator, Decoder):
    """Latents -> means of images, by the layers of DCGAN's generator without its tanh.

    Args:
        width, norm: as of DCGANGenerator.
    """

    def __init__(
        self, spec: ImageSpec, latent_dim: int, width: int = 64, norm: str = "batch"
    ) -> None:
        super().__init__(spec, latent_dim, width, norm)
        self.layers = self.layers[:-1]

    def natural(self, z: Tensor) -> Tensor:
        return self.layers(z)

    def forward(self, z: Tensor) -> Tensor:
        return Decoder.forward(self, z)


class ConvEncoder(Encoder):
    """Pixels in [0, 1] -> (N, 2 latent_dim), by DCGAN's discriminator and a linear layer.

    Args:
        width, norm: as of DCGANDiscriminator.
    """

    def __init__(
        self, spec: ImageSpec, latent_dim: int, width: int = 64, norm: str = "batch"
    ) -> None:
        super().__init__()
        trunk = DCGANDiscriminator(spec, width, norm)
        self.features = trunk.features
        self.head = glorot(nn.Linear(trunk.feature_dim, 2 * latent_dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


def glorot_throughout(network: nn.Module) -> None:
    """Glorot-uniform weights and no biases at the start, as in the code of Burda et al. 2016."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            glorot(module)
            nn.init.zeros_(module.bias)
