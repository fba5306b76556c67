"""Residual networks of SNGAN (Miyato et al. 2018, appendix B.4, table 4), also used by WGAN-GP."""

import math
from collections.abc import Callable
from functools import partial

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate
from torch.nn.utils.parametrizations import spectral_norm

from ganlab.networks.attention import SelfAttention
from ganlab.networks.conditional import (
    Conditional,
    conditional_norm2d,
    given,
    noise_and_code,
    tables,
)
from ganlab.networks.contract import Generator
from ganlab.networks.discriminator import FeatureDiscriminator, minibatch_std
from ganlab.networks.layers import norm2d, power_of_two, reparametrize, weighted
from ganlab.spec import ImageSpec, at_least, one_of


class UpBlock(Conditional):
    """norm, ReLU, upsample, conv, norm, ReLU, conv; shortcut: upsample, 1x1 conv."""

    def __init__(
        self, fan_in: int, fan_out: int, norm: str, code_dim: int = 0, upsample: str = "nearest"
    ) -> None:
        super().__init__()
        self.upsample = upsample
        self.norm1 = conditional_norm2d(norm, fan_in, code_dim)
        self.norm2 = conditional_norm2d(norm, fan_out, code_dim)
        self.conv1 = nn.Conv2d(fan_in, fan_out, 3, 1, 1)
        self.conv2 = nn.Conv2d(fan_out, fan_out, 3, 1, 1)
        self.shortcut = nn.Conv2d(fan_in, fan_out, 1)

    def forward(self, x: Tensor, code: Tensor | None = None) -> Tensor:
        h = self.conv1(self._doubled(given(self.norm1, x, code).relu()))
        h = self.conv2(given(self.norm2, h, code).relu())
        return h + self._doubled(self.shortcut(x))  # 1x1 first: cheaper, same result

    def _doubled(self, x: Tensor) -> Tensor:
        return interpolate(x, scale_factor=2, mode=self.upsample)


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


class Pool(nn.Module):
    """Sum or mean over all positions: (N, C, H, W) -> (N, C)."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        one_of(("sum", "mean"), pool=kind)
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        return x.sum(dim=(2, 3)) if self.kind == "sum" else x.mean(dim=(2, 3))


def glorot(network: nn.Module, everywhere: bool = True) -> None:
    """Glorot uniform weights; gain sqrt(2) in the blocks' 3x3 kernels, 1 in all other layers.

    As in SNGAN's published Chainer code; the paper does not describe it.  If not `everywhere`,
    shortcuts and G's last convolution stay as torch draws them, as in mimicry's WGAN-GP.  Tables of
    gains and biases per code stay 0.
    """
    blocks = [block for block in network.modules() if isinstance(block, UpBlock | DownBlock)]
    inner = {conv for block in blocks for conv in (block.conv1, block.conv2)}
    for module in weighted(network):
        if everywhere or module in inner or isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight, math.sqrt(2) if module in inner else 1.0)


def each(fill: Callable[[Tensor], object]) -> Callable[[nn.Module], None]:
    """An initialisation that fills all weights, and the tables of gains and biases per code."""

    def init(network: nn.Module) -> None:
        for module in weighted(network):
            fill(module.weight)
        for norm, table in tables(network):
            fill(getattr(norm, table))

    return init


INITS: dict[str, Callable[[nn.Module], None]] = {
    "glorot": glorot,
    "glorot_inner": partial(glorot, everywhere=False),
    "orthogonal": each(nn.init.orthogonal_),  # orthonormal rows or columns (Saxe et al. 2014)
    "normal": each(partial(nn.init.normal_, std=0.02)),
}


def initialize(network: nn.Module, init: str, zero_bias: bool = True) -> None:
    """Draws the weights anew; biases become 0 or stay as torch draws them.

    torch's biases are U(-a, a) with a = 1 / sqrt(fan in): mimicry and BigGAN-PyTorch keep them.
    """
    one_of(tuple(INITS), init=init)
    INITS[init](network)
    for module in weighted(network) if zero_bias else ():
        if module.bias is not None:
            nn.init.zeros_(module.bias)


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
        upsample: "nearest" (the papers') or "bilinear" (mimicry's).
        init: "glorot" (SNGAN's), "glorot_inner" (mimicry's WGAN-GP), "orthogonal" (Brock et al.
            2019) or "normal", N(0, 0.02^2); the last two also draw the tables of gains and biases
            per code, which else start at 0.
        zero_bias: whether biases start at 0, or as torch draws them.
        spectral_tables: also use spectral norm for the tables, as StudioGAN does.

    Raises:
        ValueError: a size is out of range, an option is another word, `spectral` is combined with
            norm="weight", or `spectral_tables` with a Glorot init: tables of 0 have no norm.
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
        upsample: str = "nearest",
        init: str = "glorot",
        zero_bias: bool = True,
        spectral_tables: bool = False,
    ) -> None:
        super().__init__()
        one_of(("nearest", "bilinear"), upsample=upsample)
        at_least(1, width=width)
        at_least(0, code_dim=code_dim)
        at_least(code_dim + 1, latent_dim=latent_dim)
        if spectral and norm == "weight":
            raise ValueError("spectral=true and norm=weight both normalise weights; drop one")
        if spectral_tables and init.startswith("glorot"):
            raise ValueError(f"spectral_tables=true needs init=orthogonal or normal; got {init!r}")
        self.code_dim = code_dim if norm == "conditional_batch" else 0
        ups = power_of_two(spec, "resnet")
        blocks: list[nn.Module] = [
            UpBlock(width, width, norm, code_dim, upsample) for _ in range(ups)
        ]
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
        initialize(self, init, zero_bias)
        reparametrize(self, "spectral" if spectral else norm)
        for table_norm, table in tables(self) if spectral_tables else ():
            spectral_norm(table_norm, table)

    def forward(self, z: Tensor) -> Tensor:
        x, code = noise_and_code(z, self.code_dim)
        for layer in self.layers:
            x = given(layer, x, code)
        return x


class ResNetDiscriminator(FeatureDiscriminator):
    """Images (N, C, H, W) in [-1, 1] -> logits (N,).

    Blocks halve the image to 8 x 8, at least once; two more keep its size; then positions are
    summed or averaged.

    Args:
        width: channels of every block, 128 in the papers.
        norm: "spectral" (SNGAN), "none" or "layer" (WGAN-GP), "weight" or "batch".
        minibatch: "none", "std" (before the last block) or "discrimination"; with
            minibatch_group: see networks/discriminator.py.
        init: "glorot", "glorot_inner", "orthogonal" or "normal", as in ResNetGenerator.
        attention: self-attention after the first block, at half the image's size.
        pool: "sum" (SNGAN's) or "mean" (WGAN-GP's) over positions.
        zero_bias: whether biases start at 0, or as torch draws them.
    """

    def __init__(
        self,
        spec: ImageSpec,
        width: int = 128,
        norm: str = "spectral",
        minibatch: str = "none",
        init: str = "glorot",
        attention: bool = False,
        pool: str = "sum",
        zero_bias: bool = True,
        minibatch_group: int = 4,
    ) -> None:
        at_least(1, width=width)
        spread = minibatch_std(minibatch, minibatch_group)
        halvings = max(1, power_of_two(spec, "resnet") - 1)
        fans = [spec.channels] + [width] * (halvings + 1)
        fans[-1] += len(spread)
        layers: list[nn.Module] = [
            DownBlock(fans[i], width, norm, down=i < halvings, first=i == 0)
            for i in range(halvings + 2)
        ]
        layers[-1:-1] = spread
        if attention:
            layers.insert(1, SelfAttention(width))
        layers += [norm2d(norm, width), nn.ReLU(inplace=True), Pool(pool)]
        super().__init__(nn.Sequential(*layers), width, minibatch)
        initialize(self, init, zero_bias)
        reparametrize(self, norm)
