"""The standard CNNs of spectral normalisation (Miyato et al. 2018, appendix B.4, table 3)."""

from torch import Tensor, nn

from ganlab.networks.contract import Generator
from ganlab.networks.discriminator import FeatureDiscriminator
from ganlab.networks.layers import (
    needs_bias,
    norm2d,
    normal_init,
    power_of_two,
    reparametrize,
    rising,
)
from ganlab.spec import ImageSpec, at_least


class SNDCGANGenerator(Generator):
    """z (N, latent_dim) -> images (N, C, H, W) in [-1, 1].

    Args:
        width: channels before the last layer; the first layer has width * size / 4.
        norm: "batch" (the paper's), "layer", "spectral", "weight" or "none".
    """

    def __init__(
        self, spec: ImageSpec, latent_dim: int, width: int = 64, norm: str = "batch"
    ) -> None:
        super().__init__()
        at_least(1, width=width)
        ups = power_of_two(spec, "sndcgan")
        channels = width * 2**ups
        layers = [
            nn.Linear(latent_dim, channels * 16),
            nn.Unflatten(1, (channels, 4, 4)),
            *rising(channels, ups, norm),
            nn.Conv2d(width, spec.channels, 3, 1, 1),
            nn.Tanh(),
        ]
        self.layers = nn.Sequential(*layers).apply(normal_init(0.02))
        reparametrize(self, norm)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class SNDCGANDiscriminator(FeatureDiscriminator):
    """Images (N, C, H, W) in [-1, 1] -> logits (N,).

    Args:
        width: channels of the first layer; they double with each halving of the image.
        norm: "spectral" (the paper's), "weight", "batch", "layer" or "none".
        minibatch: "none", "std" or "discrimination": see networks/discriminator.py.
    """

    def __init__(
        self, spec: ImageSpec, width: int = 64, norm: str = "spectral", minibatch: str = "none"
    ) -> None:
        at_least(1, width=width)
        downs = power_of_two(spec, "sndcgan")
        layers: list[nn.Module] = [
            nn.Conv2d(spec.channels, width, 3, 1, 1),
            nn.LeakyReLU(0.1, inplace=True),
        ]
        for _ in range(downs):
            for channels, kernel, stride in ((width, 4, 2), (2 * width, 3, 1)):
                layers += [
                    nn.Conv2d(width, channels, kernel, stride, 1, bias=needs_bias(norm)),
                    norm2d(norm, channels),
                    nn.LeakyReLU(0.1, inplace=True),
                ]
            width *= 2
        super().__init__(nn.Sequential(*layers, nn.Flatten()), width * 16, minibatch)
        self.apply(normal_init(0.02))
        reparametrize(self, norm)
