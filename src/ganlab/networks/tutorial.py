"""The small DCGAN of uclaacmai/Generative-Adversarial-Network-Tutorial, for 28 x 28 images."""

import math
from collections.abc import Callable

from torch import Tensor, nn

from ganlab.networks.contract import Generator
from ganlab.networks.discriminator import FeatureDiscriminator, minibatch_std
from ganlab.spec import ImageSpec

SIZE = 28


def require_size(spec: ImageSpec) -> None:
    """Raises ValueError unless the images have the tutorial's size, 28."""
    if spec.size != SIZE:
        raise ValueError(f"tutorial takes images of size {SIZE}; got {spec}")


def truncated_normal(std: float, bias: float) -> Callable[[nn.Module], None]:
    """Weights ~ N(0, std^2), truncated at 2 std as in TensorFlow; constant biases."""

    def init(module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
            if module.bias is not None:
                nn.init.constant_(module.bias, bias)

    return init


class TutorialGenerator(Generator):
    """z (N, latent_dim) -> images (N, C, 28, 28) in [-1, 1].

    z is padded with 0 to a multiple of 4 and becomes a map of 2 x 2 positions (25 channels for 100
    values).  Four transposed convolutions give sizes 3, 6, 12 and 28.
    """

    def __init__(self, spec: ImageSpec, latent_dim: int) -> None:
        super().__init__()
        require_size(spec)
        channels = math.ceil(latent_dim / 4)
        layers: list[nn.Module] = [
            nn.ZeroPad1d((0, 4 * channels - latent_dim)),
            nn.Unflatten(1, (channels, 2, 2)),
            nn.ReLU(),
        ]
        # TensorFlow's "SAME" with stride 2: 2 -> 3 (cropped), 3 -> 6, 6 -> 12; "VALID": 12 -> 28.
        for width, padding, output_padding in ((256, 2, 0), (128, 2, 1), (64, 2, 1)):
            layers += [
                nn.ConvTranspose2d(channels, width, 5, 2, padding, output_padding, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            channels = width
        layers += [nn.ConvTranspose2d(channels, spec.channels, 5, 2, 0, 1), nn.Tanh()]
        self.layers = nn.Sequential(*layers).apply(truncated_normal(0.1, bias=0.1))

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class TutorialDiscriminator(FeatureDiscriminator):
    """Images (N, C, 28, 28) in [-1, 1] -> logits (N,); two small convolutions and no norm.

    Args:
        minibatch: "none", "std" (before the dense layer) or "discrimination"; with
            minibatch_group: see networks/discriminator.py.
    """

    def __init__(self, spec: ImageSpec, minibatch: str = "none", minibatch_group: int = 4) -> None:
        require_size(spec)
        spread = minibatch_std(minibatch, minibatch_group)
        features = nn.Sequential(
            nn.Conv2d(spec.channels, 8, 5, padding=2),
            nn.ReLU(inplace=True),
            nn.AvgPool2d(2),
            nn.Conv2d(8, 16, 5, padding=2),
            nn.ReLU(inplace=True),
            nn.AvgPool2d(2),
            *spread,
            nn.Flatten(),
            nn.Linear((16 + len(spread)) * 7 * 7, 32),
            nn.ReLU(inplace=True),
        )
        super().__init__(features, 32, minibatch)
        self.apply(truncated_normal(0.02, bias=0.0))
