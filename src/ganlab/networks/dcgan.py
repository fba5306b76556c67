"""DCGAN: all-convolutional networks with BatchNorm (Radford et al. 2016, section 3, figure 1)."""

import itertools

from torch import Tensor, nn

from ganlab.networks.contract import Generator
from ganlab.networks.discriminator import FeatureDiscriminator, minibatch_std
from ganlab.networks.layers import (
    NORMS,
    doublings,
    needs_bias,
    norm2d,
    normal_init,
    reparametrize,
    rising,
)
from ganlab.spec import ImageSpec, at_least, one_of


class DCGANGenerator(Generator):
    """z (N, latent_dim) -> images (N, C, H, W) in [-1, 1].

    Args:
        width: channels before the last layer; each layer before has twice as many.
        norm: "batch" (the paper's), "layer", "spectral", "weight" or "none".
    """

    def __init__(
        self, spec: ImageSpec, latent_dim: int, width: int = 64, norm: str = "batch"
    ) -> None:
        super().__init__()
        at_least(1, width=width)
        one_of(NORMS, norm=norm)
        start, ups = doublings(spec, "dcgan")
        channels = width * 2 ** (ups - 1)
        layers = [
            nn.Unflatten(1, (latent_dim, 1, 1)),
            nn.ConvTranspose2d(latent_dim, channels, start, bias=needs_bias(norm)),
            norm2d(norm, channels),
            nn.ReLU(inplace=True),
            *rising(channels, ups - 1, norm),
            nn.ConvTranspose2d(width, spec.channels, 4, 2, 1),
            nn.Tanh(),
        ]
        self.layers = nn.Sequential(*layers).apply(normal_init(0.02, gains=0.02))
        reparametrize(self, norm)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class DCGANDiscriminator(FeatureDiscriminator):
    """Images (N, C, H, W) in [-1, 1] -> logits (N,).

    Args:
        width: channels after the first layer; each layer after it has twice as many.
        norm: "batch" (the paper's), "layer", "spectral", "weight" or "none"; the first layer is
            normalised only by "spectral" and "weight".
        minibatch: "none", "std" (before the last convolution) or "discrimination"; with
            minibatch_group: see networks/discriminator.py.
    """

    def __init__(
        self,
        spec: ImageSpec,
        width: int = 64,
        norm: str = "batch",
        minibatch: str = "none",
        minibatch_group: int = 4,
    ) -> None:
        at_least(1, width=width)
        one_of(NORMS, norm=norm)
        end, downs = doublings(spec, "dcgan")
        spread = minibatch_std(minibatch, minibatch_group)
        fans = [spec.channels] + [width * 2**i for i in range(downs)]
        layers: list[nn.Module] = []
        for i, (fan_in, fan_out) in enumerate(itertools.pairwise(fans)):
            first, before = i == 0, spread if i == downs - 1 else []
            bias = first or needs_bias(norm)
            layers += [
                *before,
                nn.Conv2d(fan_in + len(before), fan_out, 4, 2, 1, bias=bias),
                *([] if first else [norm2d(norm, fan_out)]),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        super().__init__(nn.Sequential(*layers, nn.Flatten()), fans[-1] * end**2, minibatch)
        self.apply(normal_init(0.02, gains=0.02))
        reparametrize(self, norm)
