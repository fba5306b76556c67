"""Base classes of generators and discriminators.

Any other nn.Module with the same constructor and forward pass also works, with the class attributes
below at their defaults.
"""

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from ganlab.networks.layers import glorot


class Network(nn.Module):
    """Base of generators and discriminators.

    `takes_points`: whether it also works on points (N, d), with a PointSpec; if not, data of points
    is rejected.
    """

    takes_points: ClassVar[bool] = False


class Generator(Network):
    """Latents z (N, latent_dim) -> images (N, C, H, W) in [-1, 1], or points (N, d).

    A subclass is constructed as `Generator(spec, latent_dim, ...)`; `latent_dim` includes the noise
    and the code of conditioning, which follows the noise in z.

    `differentiable`: whether images change smoothly with z, so that a z can be searched for.
    `traceable`: whether images are a fixed graph of operations on z, which ONNX needs; false if z
    seeds a generator of random numbers.
    `takes_code_dim`: whether its constructor has a parameter `code_dim`, the width of the code, to
    treat code and noise separately.
    """

    differentiable: ClassVar[bool] = True
    traceable: ClassVar[bool] = True
    takes_code_dim: ClassVar[bool] = False

    def generate(self, z: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Images, and intermediate results by name, for terms of G's loss that need them."""
        return self(z), {}


class StyleGenerator(Generator):
    """A generator in two steps (Karras et al. 2019): z -> w by `mapping`, w -> images.

    Points w are better to walk in than latents: w may be truncated, mixed and found for an image.

    `layers`: the styles that `synthesis` takes, one for each of its layers.
    `w_mean`: (w_dim,), a buffer: the moving average of w in training.
    """

    layers: int
    w_mean: Tensor

    def mapping(self, z: Tensor) -> Tensor:
        """w (N, w_dim) of latents z (N, latent_dim)."""
        raise NotImplementedError

    def truncated_mapping(self, z: Tensor, psi: float) -> Tensor:
        """w_mean + psi (w - w_mean), the truncation trick (Karras et al. 2019, appendix B)."""
        return torch.lerp(self.w_mean, self.mapping(z), psi)

    def synthesis(self, w: Tensor) -> Tensor:
        """Images (N, C, H, W) of w (N, w_dim), or of one w for each layer (N, layers, w_dim)."""
        raise NotImplementedError

    def generate(self, z: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        w = self.mapping(z)
        return self.synthesis(w), {"w": w}

    def forward(self, z: Tensor) -> Tensor:
        return self.generate(z)[0]


def truncated(generator: nn.Module, psi: float | None) -> Callable[[Tensor], Tensor]:
    """The mapping z -> images, with a StyleGenerator's w truncated by psi.

    psi None, and any other generator: the generator itself.
    """
    if psi is None or not isinstance(generator, StyleGenerator):
        return generator
    return lambda z: generator.synthesis(generator.truncated_mapping(z, psi))


class Discriminator(Network):
    """Images (N, C, H, W) in [-1, 1], or points (N, d) -> logits (N,) or energies (N,).

    A subclass is constructed as `Discriminator(spec, ...)`.

    `energy`: whether its output is an energy: low for real images and never negative.
    `feature_dim`: width of the features that `logits_and_features` returns.
    """

    energy: ClassVar[bool] = False
    feature_dim: int

    @property
    def has_spectral_head(self) -> bool:
        """Whether the last layer has spectral norm; heads of conditioning then have it, too."""
        return False

    def new_head(self, outputs: int) -> nn.Module:
        """A further head for conditioning: features (N, feature_dim) -> (N, outputs)."""
        return glorot(nn.Linear(self.feature_dim, outputs), spectral=self.has_spectral_head)

    def new_embedding(self, code_dim: int) -> nn.Module:
        """For conditioning=projection, called once: code (N, code_dim) -> (N, feature_dim).

        Its inner product with the features is added to the logit.  A discriminator whose logit is
        this product alone changes its own last layer here.
        """
        embedding = nn.Linear(code_dim, self.feature_dim, bias=False)
        return glorot(embedding, spectral=self.has_spectral_head)

    def logits_and_features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N,), and features (N, feature_dim) for conditioning and feature matching."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return self.logits_and_features(x)[0]
