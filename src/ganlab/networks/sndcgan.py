"""The standard CNNs of spectral normalisation (Miyato et al. 2018, appendix B.4, table 3)."""

from torch import Tensor, nn

from ganlab.networks.contract import Generator
from ganlab.networks.discriminator import FeatureDiscriminator, minibatch_std
from ganlab.networks.layers import (
    needs_bias,
    norm2d,
    normal_init,
    power_of_two,
    reparametrize,
    rising,
)
from ganlab.spec import ImageSpec, at_least, one_of


class SNDCGANGenerator(Generator):
    """z (N, latent_dim) -> images (N, C, H, W) in [-1, 1].

    Args:
        width: channels before the last layer; the first layer has width * size / 4.
        norm: "batch" (the paper's), "layer", "spectral", "weight" or "none".
        first_norm: whether norm and ReLU also follow the dense layer, as in common collections;
            the paper's table has neither.
    """

    def __init__(
        self,
        spec: ImageSpec,
        latent_dim: int,
        width: int = 64,
        norm: str = "batch",
        first_norm: bool = False,
    ) -> None:
        super().__init__()
        at_least(1, width=width)
        ups = power_of_two(spec, "sndcgan")
        channels = width * 2**ups
        layers = [
            nn.Linear(latent_dim, channels * 16, bias=not first_norm or needs_bias(norm)),
            nn.Unflatten(1, (channels, 4, 4)),
            *([norm2d(norm, channels), nn.ReLU(inplace=True)] if first_norm else []),
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
        doubling: which convolution doubles the channels: "after" the halving one (the paper's
            table) or the halving one itself, "while" it halves; twice the parameters.
        minibatch: "none", "std" (before the last convolution) or "discrimination"; with
            minibatch_group: see networks/discriminator.py.
    """

    def __init__(
        self,
        spec: ImageSpec,
        width: int = 64,
        norm: str = "spectral",
        doubling: str = "after",
        minibatch: str = "none",
        minibatch_group: int = 4,
    ) -> None:
        at_least(1, width=width)
        one_of(("after", "while"), doubling=doubling)
        downs = power_of_two(spec, "sndcgan")
        spread = minibatch_std(minibatch, minibatch_group)
        layers: list[nn.Module] = [
            nn.Conv2d(spec.channels, width, 3, 1, 1),
            nn.LeakyReLU(0.1, inplace=True),
        ]
        for i in range(downs):
            between = width if doubling == "after" else 2 * width
            before = spread if i == downs - 1 else []
            layers += [
                nn.Conv2d(width, between, 4, 2, 1, bias=needs_bias(norm)),
                norm2d(norm, between),
                nn.LeakyReLU(0.1, inplace=True),
                *before,
                nn.Conv2d(between + len(before), 2 * width, 3, 1, 1, bias=needs_bias(norm)),
                norm2d(norm, 2 * width),
                nn.LeakyReLU(0.1, inplace=True),
            ]
            width *= 2
        super().__init__(nn.Sequential(*layers, nn.Flatten()), width * 16, minibatch)
        self.apply(normal_init(0.02))
        reparametrize(self, norm)
