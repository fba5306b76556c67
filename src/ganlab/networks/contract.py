"""What ganlab asks of a generator and of a discriminator: base classes with their declarations.

Any nn.Module with the same constructor and forward pass works, too; it is taken to declare nothing.
"""

from typing import ClassVar

from torch import Tensor, nn


class Network(nn.Module):
    """Base of generators and discriminators.

    `takes_points`: it also works on points (N, d), with a PointSpec; otherwise data of points is
    refused.
    """

    takes_points: ClassVar[bool] = False


class Generator(Network):
    """Latents z (N, latent_dim) -> images (N, C, H, W) in [-1, 1], or points (N, d).

    A subclass is constructed as `Generator(spec, latent_dim, ...)`; `latent_dim` counts the noise
    and the code of conditioning, which follows the noise in z.

    `takes_code_dim`: its constructor has a parameter `code_dim`, the width of the code, because it
    treats the code apart from the noise.
    """

    takes_code_dim: ClassVar[bool] = False

    def generate(self, z: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Images, and by name what was computed on the way that terms of G's loss need."""
        return self(z), {}


class Discriminator(Network):
    """Images (N, C, H, W) in [-1, 1], or points (N, d) -> logits (N,) or energies (N,).

    A subclass is constructed as `Discriminator(spec, ...)`.

    `energy`: its output is an energy, low on real images and never negative.
    `feature_dim`: width of the features that `logits_and_features` returns.
    """

    energy: ClassVar[bool] = False
    feature_dim: int

    @property
    def has_spectral_head(self) -> bool:
        """Whether spectral norm holds its last layer; heads that conditioning adds follow it."""
        return False

    def logits_and_features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N,), and features (N, feature_dim) for conditioning and feature matching."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return self.logits_and_features(x)[0]
