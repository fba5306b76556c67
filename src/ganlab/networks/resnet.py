"""Residual networks of SNGAN (Miyato et al. 2018, appendix B.4, table 4), also used by WGAN-GP."""

import math

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from ganlab.networks.attention import SelfAttention
from ganlab.networks.conditional import (
    Conditional,
    conditional_norm2d,
    given,
    noise_and_code,
)
from ganlab.networks.contract import Generator
from ganlab.networks.discriminator import FeatureDiscriminator
from ganlab.networks.layers import norm2d, orthogonal_init, power_of_two, reparametrize
from ganlab.spec import ImageSpec, at_least, one_of


def residual_init(network: nn.Module) -> None:
    """Glorot uniform; gain sqrt(2) for 3x3 kernels, 1 for shortcuts and dense layers.

    As in the published Chainer code; the paper does not describe it.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            wide = isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1)
            nn.init.xavier_uniform_(module.weight, math.sqrt(2) if wide else 1.0)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


INITS = {"glorot": residual_init, "orthogonal": orthogonal_init}


class UpBlock(Conditional):
    """norm, ReLU, upsample, conv, norm, ReLU, conv; shortcut: upsample, 1x1 conv."""

    def __init__(self, fan_in: int, fan_out: int, norm: str, code_dim: int = 0) -> None:
        super().__init__()
        self.norm1 = conditional_norm2d(norm, fan_in, code_dim)
        self.norm2 = conditional_norm2d(norm, fan_out, code_dim)
        self.conv1 = nn.Conv2d(fan_in, fan_out, 3, 1, 1)
        self.conv2 = nn.Conv2d(fan_out, fan_out, 3, 1, 1)
        self.shortcut = nn.Conv2d(fan_in, fan_out, 1)

    def forward(self, x: Tensor, code: Tensor | None = None) -> Tensor:
        h = self.conv1(interpolate(given(self.norm1, x, code).relu(), scale_factor=2))
        h = self.conv2(given(self.norm2, h, code).relu())
        return h + interpolate(self.shortcut(x), scale_factor=2)  # 1x1 first: cheaper, same result


class DownBlock(nn.Module):
    """ReLU, conv, ReLU, conv, average pooling if `down`; shortcut: 1x1 conv, average pooling.

    The first block gets pixels, so it starts without ReLU, and its shortcut pools before the conv.
    """

    def __init__(self, fan_in: int, fan_out: int, norm: str, *, down: bool, first: bool) -> None:
        super().__init__()
        self.down, self.first = down, first
        self.norm1 = nn.Identity() if first else norm2d(norm, fan_in)
        self.norm2 = norm2d(norm, fan_out)
        self.conv1 = nn.Conv2d(fan_in, fan_out, 3, 1, 1)
        self.conv2 = nn.Conv2d(fan_out, fan_out, 3, 1, 1)
        learned = down or fan_in != fan_out
        self.shortcut = nn.Conv2d(fan_in, fan_out, 1) if learned else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(x if self.first else self.norm1(x).relu())
        h = self.conv2(self.norm2(h).relu())
        if not self.down:
            return h + self.shortcut(x)
        return avg_pool2d(h, 2) + self.shortcut(
            avg_pool2d(x, 2)
        )  # pooling first: cheaper, same result


class SumOfPlaces(nn.Module):
    """Sum over all positions: (N, C, H, W) -> (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sum(dim=(2, 3))


class ResNetGenerator(Generator):
    """z (N, latent_dim) -> images (N, C, H, W) in [-1, 1].

    Args:
        width: channels of every block: 256 in SNGAN, 128 in WGAN-GP.
        norm: "conditional_batch" (Miyato & Koyama 2018): the norms of the blocks get the code, the
            first layer gets only the noise, and the last norm is unconditional.  Without a code it
            is "batch" (the papers').  With "batch", "layer", "spectral", "weight" and "none", the
            first layer gets noise and code.
        code_dim: number of entries at the end of z that are the code.
        spectral: also use spectral norm (Zhang et al. 2019, section 4.1), except for the tables of
            gains and biases per code.
        attention: self-attention before the last block, at half the image's size: 16 x 16 for 32
            pixels (Zhang et al. 2019: 32 x 32 for 128).

    Raises:
        ValueError: a size is out of range, or `spectral` is combined with norm="weight".
    """

    takes_code_dim = True

    def __init__(
        self,
        spec: ImageSpec,
        latent_dim: int,
        width: int = 256,
        norm: str = "conditional_batch",
        code_dim: int = 0,
        spectral: bool = False,
        attention: bool = False,
    ) -> None:
        super().__init__()
        at_least(1, width=width)
        at_least(0, code_dim=code_dim)
        at_least(code_dim + 1, latent_dim=latent_dim)
        if spectral and norm == "weight":
            raise ValueError("spectral=true and norm=weight both normalise weights; drop one")
        self.code_dim = code_dim if norm == "conditional_batch" else 0
        ups = power_of_two(spec, "resnet")
        blocks: list[nn.Module] = [UpBlock(width, width, norm, code_dim) for _ in range(ups)]
        if attention:
            blocks.insert(-1, SelfAttention(width))
        self.layers = nn.Sequential(
            nn.Linear(latent_dim - self.code_dim, width * 16),
            nn.Unflatten(1, (width, 4, 4)),
            *blocks,
            conditional_norm2d(norm, width, code_dim=0),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, spec.channels, 3, 1, 1),
            nn.Tanh(),
        )
        residual_init(self)
        reparametrize(self, "spectral" if spectral else norm)

    def forward(self, z: Tensor) -> Tensor:
        x, code = noise_and_code(z, self.code_dim)
        for layer in self.layers:
            x = given(layer, x, code)
        return x


class ResNetDiscriminator(FeatureDiscriminator):
    """Images (N, C, H, W) in [-1, 1] -> logits (N,).

    Blocks halve the image to 8 x 8, at least once; two more keep its size; then positions are
    summed.

    Args:
        width: channels of every block, 128 in the papers.
        norm: "spectral" (SNGAN), "none" or "layer" (WGAN-GP), "weight" or "batch".
        minibatch: "none", "std" or "discrimination": see networks/discriminator.py.
        init: "glorot" (SNGAN's) or "orthogonal" (BigGAN's).
        attention: self-attention after the first block, at half the image's size.
    """

    def __init__(
        self,
        spec: ImageSpec,
        width: int = 128,
        norm: str = "spectral",
        minibatch: str = "none",
        init: str = "glorot",
        attention: bool = False,
    ) -> None:
        at_least(1, width=width)
        one_of(tuple(INITS), init=init)
        halvings = max(1, power_of_two(spec, "resnet") - 1)
        fans = [spec.channels] + [width] * (halvings + 1)
        layers: list[nn.Module] = [
            DownBlock(fans[i], width, norm, down=i < halvings, first=i == 0)
            for i in range(halvings + 2)
        ]
        if attention:
            layers.insert(1, SelfAttention(width))
        layers += [norm2d(norm, width), nn.ReLU(inplace=True), SumOfPlaces()]
        super().__init__(nn.Sequential(*layers), width, minibatch)
        INITS[init](self)
        reparametrize(self, norm)
