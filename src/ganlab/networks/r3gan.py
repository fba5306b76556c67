"""R3GAN's networks: residual blocks of grouped convolutions, no normalisation (Huang et al. 2024).

"The GAN is dead; long live the GAN!", config E, with the sizes and the initialisation of the
authors' code.  Both players have one stage for each size from 4 x 4 on, G's in reverse order of
D's.  What keeps them stable without norms is the start: a residual branch is 0, and its inner
variance shrinks with the number of blocks.
"""

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from ganlab.networks.conditional import noise_and_code
from ganlab.networks.contract import Discriminator, Generator
from ganlab.networks.grouped import Geometry, convolution
from ganlab.networks.layers import doublings
from ganlab.networks.resampling import LowPass
from ganlab.spec import ImageSpec, at_least

SLOPE = 0.2
EXPANSION = 2  # channels inside of a block over those outside
GAIN = math.sqrt(2 / (1 + SLOPE**2))  # keeps the variance through a leaky ReLU (He et al. 2015)
BINOMIAL = (1, 3, 3, 1)  # [1, 2, 1], the paper's filter, over pixels that are doubled: * [1, 1]


class Pointwise(nn.Conv2d):
    """A 1x1 convolution that computes in the type of its input, by weights of any type."""

    def __init__(self, fan_in: int, fan_out: int, bias: bool = False) -> None:
        super().__init__(fan_in, fan_out, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return self._conv_forward(x, self.weight.to(x.dtype), bias)


class Grouped(nn.Conv2d):
    """The same, 3x3 in groups."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__(channels, channels, 3, padding=1, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        y = convolution(x, self.weight.to(x.dtype), Geometry(1, 1, self.groups))
        return y + cast("Tensor", self.bias).to(x.dtype)[:, None, None]


def scaled(layer: nn.Conv2d | nn.Linear, gain: float = 1.0) -> nn.Module:
    """The layer with weights ~ N(0, gain^2 / fan-in) and biases 0."""
    nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(layer.weight[0].numel()))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class Block(nn.Module):
    """(N, C, H, W) -> the same: x + down(lrelu(mix(lrelu(up(x))))).

    `up` and `down` are 1x1, to 2 C channels and back, `mix` is 3x3 in groups.  `down` starts at 0.

    Args:
        channels: C.
        group: channels of a group, at most 2 C and a divisor of it.
        blocks: number of blocks in the whole network.
    """

    def __init__(self, channels: int, group: int, blocks: int) -> None:
        super().__init__()
        inner, gain = EXPANSION * channels, GAIN * blocks ** (-1 / 4)
        self.up = scaled(Pointwise(channels, inner, bias=True), gain)
        self.mix = scaled(Grouped(inner, inner // group), gain)
        self.down = scaled(Pointwise(inner, channels), 0.0)

    def forward(self, x: Tensor) -> Tensor:
        h = leaky_relu(self.up(x), SLOPE)
        return x + self.down(leaky_relu(self.mix(h), SLOPE))


def widened(fan_in: int, fan_out: int) -> list[nn.Module]:
    """A 1x1 convolution where the number of channels changes."""
    return [] if fan_in == fan_out else [scaled(Pointwise(fan_in, fan_out))]


class Up(LowPass):
    """(N, C, H, W) -> (N, C, 2H, 2W)."""

    def forward(self, x: Tensor) -> Tensor:
        return self.up(x)


class Down(LowPass):
    """(N, C, 2H, 2W) -> (N, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return self.down(x)


class Stage(nn.Sequential):
    """All layers of one size, computed in bfloat16 if `bf16`, else in the weights' own type."""

    def __init__(self, *layers: nn.Module, bf16: bool) -> None:
        super().__init__(*layers)
        self.bf16 = bf16

    def forward(self, x: Tensor) -> Tensor:
        own = next(self.parameters()).dtype
        return super().forward(x.to(torch.bfloat16 if self.bf16 else own))


class Basis(nn.Module):
    """(N, F) -> (N, channels, side, side): a learned image times linear(x), channel by channel."""

    def __init__(self, features: int, channels: int, side: int) -> None:
        super().__init__()
        self.image = nn.Parameter(torch.randn(channels, side, side))
        self.linear = scaled(nn.Linear(features, channels, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return self.image * self.linear(x)[..., None, None]


class Readout(nn.Module):
    """(N, channels, side, side) -> (N, channels): products with a learned image by channel.

    It is a depthwise convolution over the whole map.
    """

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.image = nn.Parameter(torch.randn(channels, side, side) / side)

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.image).sum(dim=(2, 3))


class Plan:
    """The sizes of both players' stages, from the smallest on.

    `sides`: pixels.  `widths`: channels.  `blocks`: number of them.  `bf16`: whether in bfloat16.

    Args:
        spec: shape of the images.
        width, group, blocks, bf16_stages: as in R3GANGenerator.
    """

    def __init__(
        self,
        spec: ImageSpec,
        width: int | Sequence[int],
        group: int,
        blocks: int | Sequence[int],
        bf16_stages: int,
    ) -> None:
        start, times = doublings(spec, "r3gan")
        self.sides = [start * 2**i for i in range(times + 1)]
        n = len(self.sides)
        if isinstance(width, int):
            at_least(1, width=width)
            width = [max(1, 32 * width // max(32, side)) for side in self.sides]
        self.widths, self.blocks = list(width), [blocks] * n if isinstance(blocks, int) else blocks
        for name, numbers in (("width", self.widths), ("blocks", self.blocks)):
            if len(numbers) != n:
                sizes = ", ".join(map(str, self.sides))
                raise ValueError(
                    f"{name} must be one number or {n}, for the sizes {sizes}; got {len(numbers)}"
                )
            for number in numbers:
                at_least(1, **{name: number})
        at_least(1, group=group)
        at_least(0, bf16_stages=bf16_stages)
        self.bf16 = [i > 0 and i >= n - bf16_stages for i in range(n)]
        self._group = group

    def body(self, i: int) -> list[Block]:
        """The blocks of stage i."""
        inner = EXPANSION * self.widths[i]
        group = min(self._group, inner)
        if inner % group:
            raise ValueError(f"2 * width must be a multiple of group={group}, got {inner}")
        every = sum(self.blocks)
        return [Block(self.widths[i], group, every) for _ in range(self.blocks[i])]


class R3GANGenerator(Generator):
    """z (N, latent_dim) -> images (N, C, H, W), near [-1, 1] once trained: no tanh bounds them.

    The noise, and a linear embedding of the code beside it, weight the channels of a learned image.

    Args:
        code_dim: number of entries at the end of z that are the code.
        width: channels up to 32 pixels, half as many for each doubling beyond; or one number for
            each stage, from the smallest on.  768 in the paper.
        group: channels of a group of the 3x3 convolutions; 2 * width / group is the paper's
            cardinality, 96.
        blocks: residual blocks of each stage, or one number for each.
        bf16_stages: how many of the highest sizes compute in bfloat16, 3 in the paper for 32
            pixels; the smallest never does.
        embedding: width of the embedding of the code.

    Raises:
        ValueError: the size is neither 28 nor a power of two of at least 8, or an option is out of
            range.
    """

    takes_code_dim = True

    def __init__(
        self,
        spec: ImageSpec,
        latent_dim: int,
        code_dim: int = 0,
        width: int | list[int] = 768,
        group: int = 16,
        blocks: int | list[int] = 2,
        bf16_stages: int = 0,
        embedding: int = 64,
    ) -> None:
        super().__init__()
        at_least(0, code_dim=code_dim)
        at_least(code_dim + 1, latent_dim=latent_dim)
        at_least(1, embedding=embedding)
        plan = Plan(spec, width, group, blocks, bf16_stages)
        self.code_dim = code_dim
        embed = scaled(nn.Linear(code_dim, embedding, bias=False)) if code_dim else nn.Identity()
        self.embedding = embed
        features = latent_dim - code_dim + (embedding if code_dim else 0)
        first: list[nn.Module] = [Basis(features, plan.widths[0], plan.sides[0])]
        stages = [Stage(*first, *plan.body(0), bf16=False)]
        for i in range(1, len(plan.sides)):
            rise = [*widened(plan.widths[i - 1], plan.widths[i]), Up(BINOMIAL)]
            stages.append(Stage(*rise, *plan.body(i), bf16=plan.bf16[i]))
        last = scaled(Pointwise(plan.widths[-1], spec.channels))
        self.layers = nn.Sequential(*stages, last)

    def forward(self, z: Tensor) -> Tensor:
        noise, code = noise_and_code(z, self.code_dim)
        told = torch.cat([noise, self.embedding(code)], dim=1) if self.code_dim else noise
        return self.layers(told).to(z.dtype)


class R3GANDiscriminator(Discriminator):
    """Images (N, C, H, W) in [-1, 1] -> logits (N,).

    The features are channel by channel a product of the smallest map with a learned image.  With
    conditioning=projection the logit is the projection alone, as in the authors' code.

    Args:
        width, group, blocks, bf16_stages: as in R3GANGenerator.

    Raises:
        ValueError: as in R3GANGenerator.
    """

    def __init__(
        self,
        spec: ImageSpec,
        width: int | list[int] = 768,
        group: int = 16,
        blocks: int | list[int] = 2,
        bf16_stages: int = 0,
    ) -> None:
        super().__init__()
        plan = Plan(spec, width, group, blocks, bf16_stages)
        first = scaled(Pointwise(spec.channels, plan.widths[-1]))
        wide, side = plan.widths[0], plan.sides[0]
        stages = []
        for i in reversed(range(1, len(plan.sides))):
            fall = [Down(BINOMIAL), *widened(plan.widths[i], plan.widths[i - 1])]
            stages.append(Stage(*plan.body(i), *fall, bf16=plan.bf16[i]))
        stages[0].insert(0, first)
        stages.append(Stage(*plan.body(0), Readout(wide, side), bf16=False))
        self.feature_dim = wide
        self.features = nn.Sequential(*stages)
        self.head: nn.Module | None = scaled(nn.Linear(wide, 1, bias=False))

    def new_embedding(self, classes: int) -> nn.Module:
        """A linear embedding of the class, mapped linearly to the features; D's own head goes."""
        self.head = None
        width = self.feature_dim
        embed = scaled(nn.Linear(classes, width, bias=False), gain=1 / math.sqrt(width))
        return nn.Sequential(embed, scaled(nn.Linear(width, width, bias=False)))

    def logits_and_features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(x)
        if self.head is None:
            return features.new_zeros(len(features)), features
        return self.head(features).flatten(), features
