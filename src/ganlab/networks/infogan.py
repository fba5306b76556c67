"""The network of the InfoGAN paper (Chen et al. 2016, appendix C.1), without its codes.

A small network, common in GAN collections for MNIST; Lucic et al. 2018 compare seven GANs on it.
"""

from torch import Tensor, nn

from ganlab.networks.contract import Generator
from ganlab.networks.discriminator import FeatureDiscriminator, minibatch_std
from ganlab.networks.layers import needs_bias, norm1d, norm2d, normal_init, reparametrize
from ganlab.spec import ImageSpec, at_least


def quarter(spec: ImageSpec) -> int:
    """Size of the smallest feature map: a quarter of the image's size.

    Raises:
        ValueError: the size is not a multiple of 4.
    """
    if spec.size % 4:
        raise ValueError(f"infogan takes images whose size is a multiple of 4, got {spec}")
    return spec.size // 4


class InfoGANGenerator(Generator):
    """z (N, latent_dim) -> images (N, C, H, W) in [-1, 1]."""

    def __init__(self, spec: ImageSpec, latent_dim: int) -> None:
        super().__init__()
        side = quarter(spec)
        self.layers = nn.Sequential(
            nn.Linear(latent_dim, 1024, bias=False),
            nn.BatchNorm1d(1024),
            nn.ReLU(inplace=True),
            nn.Linear(1024, 128 * side * side, bias=False),
            nn.BatchNorm1d(128 * side * side),
            nn.ReLU(inplace=True),
            nn.Unflatten(1, (128, side, side)),
            nn.ConvTranspose2d(128, 64, 4, 2, 1, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(64, spec.channels, 4, 2, 1),
            nn.Tanh(),
        ).apply(normal_init(0.02))

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class InfoGANDiscriminator(FeatureDiscriminator):
    """Images (N, C, H, W) in [-1, 1] -> logits (N,).

    Args:
        norm: "batch" (the paper's), "layer", "spectral", "weight" or "none".
        slope: of LeakyReLU for negative values, at least 0: 0.1 in the paper, 0.2 in collections.
        minibatch: "none", "std" (before the dense layer) or "discrimination"; with
            minibatch_group: see networks/discriminator.py.
    """

    def __init__(
        self,
        spec: ImageSpec,
        norm: str = "batch",
        slope: float = 0.1,
        minibatch: str = "none",
        minibatch_group: int = 4,
    ) -> None:
        at_least(0, slope=slope)
        side, spread = quarter(spec), minibatch_std(minibatch, minibatch_group)
        features = nn.Sequential(
            nn.Conv2d(spec.channels, 64, 4, 2, 1),
            nn.LeakyReLU(slope, inplace=True),
            nn.Conv2d(64, 128, 4, 2, 1, bias=needs_bias(norm)),
            norm2d(norm, 128),
            nn.LeakyReLU(slope, inplace=True),
            *spread,
            nn.Flatten(),
            nn.Linear((128 + len(spread)) * side * side, 1024, bias=needs_bias(norm)),
            norm1d(norm, 1024),
            nn.LeakyReLU(slope, inplace=True),
        )
        super().__init__(features, 1024, minibatch)
        self.apply(normal_init(0.02))
        reparametrize(self, norm)
