"""StyleGAN2's generator with skip connections and its discriminator (Karras et al. 2020b).

As in StyleGAN2-ADA (Karras et al. 2020a), which adds classes.  conf/model/stylegan2 is config F.
"""

from typing import Any

import torch
from torch import Tensor, cat, nn

from ganlab.networks.conditional import noise_and_code
from ganlab.networks.contract import StyleGenerator
from ganlab.networks.discriminator import FeatureDiscriminator, minibatch_std
from ganlab.networks.equalized import Activation, Conv, Dense, Precision, limited
from ganlab.networks.layers import doublings
from ganlab.networks.mapping import LabelMapping, Mapping
from ganlab.networks.modulation import ModulatedConv
from ganlab.networks.resampling import LowPass
from ganlab.spec import ImageSpec, at_least, positive

W_DECAY = 0.995  # of the moving average of w, in a pass


def widths(spec: ImageSpec, base: int, most: int) -> list[tuple[int, int]]:
    """(size, channels) of each stage, from the smallest: min(base / size, most) channels.

    Raises:
        ValueError: the image's size, or a number, is out of range.
    """
    at_least(1, most=most)
    at_least(spec.size, base=base)
    start, ups = doublings(spec, "stylegan2")
    sizes = [start * 2**i for i in range(ups + 1)]
    return [(size, min(base // size, most)) for size in sizes]


class NoiseInput(nn.Module):
    """Adds strength * N(0, 1) to each pixel, the same for all channels; the strength starts at 0.

    The noise is fresh in training and fixed in evaluation, where an image is so a function of z.
    """

    fixed: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("fixed", torch.randn(size, size))

    def forward(self, x: Tensor) -> Tensor:
        noise = torch.randn_like(x[:, :1]) if self.training else self.fixed.to(x.dtype)
        return x + self.strength.to(x.dtype) * noise


class StyledConv(nn.Module):
    """A modulated convolution, noise, bias and LeakyReLU: x (N, C, H, W), w (N, w_dim)."""

    def __init__(
        self,
        fan_in: int,
        outputs: int,
        w_dim: int,
        size: int,
        *,
        up: bool,
        noise: bool,
        clamp: float | None,
        grouped: bool,
    ) -> None:
        super().__init__()
        self.conv = ModulatedConv(fan_in, outputs, w_dim, up=up, grouped=grouped)
        self.noise = NoiseInput(size) if noise else nn.Identity()
        self.bias = nn.Parameter(torch.zeros(outputs, 1, 1))
        self.activation = Activation(clamp=clamp)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        x = self.noise(self.conv(x, w))
        return self.activation(x + self.bias.to(x.dtype))


class ToImage(nn.Module):
    """x (N, C, H, W), w (N, w_dim) -> the stage's share (N, channels, H, W) of the image."""

    def __init__(
        self, fan_in: int, channels: int, w_dim: int, *, clamp: float | None, grouped: bool
    ) -> None:
        super().__init__()
        self.conv = ModulatedConv(
            fan_in, channels, w_dim, kernel=1, demodulate=False, grouped=grouped
        )
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))
        self.clamp = clamp

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        x = self.conv(x, w)
        return limited(x + self.bias.to(x.dtype), self.clamp)


class Stage(nn.Module):
    """All layers of G at one size: convolutions and the share of the image."""

    def __init__(self, precision: Precision, convs: list[StyledConv], to_image: ToImage) -> None:
        super().__init__()
        self.precision, self.convs = precision, nn.ModuleList(convs)
        self.to_image = to_image


class StyleGAN2Generator(StyleGenerator):
    """z (N, latent_dim) -> images (N, C, H, W).

    The mapping makes w of the noise and of an embedding of the code.  Stages double the size of a
    learned constant, of 4 x 4 pixels, or 7 x 7 for images of 28; w scales the weights of every
    convolution.  The image is the sum of all stages' shares.  As in the authors' code it has no
    bounds: training draws its pixels to [-1, 1], and what makes pictures or scores clamps them.

    In training, noise inputs are fresh, styles are mixed and `w_mean` follows w.  In evaluation the
    noise is fixed: an image is a function of z.

    Args:
        code_dim: number of entries at the end of z that are the code.
        base, most: a stage of s x s pixels has min(base / s, most) channels; `base` is at least the
            image's size.
        w_dim: width of w and of the mapping.
        mapping_layers: of the mapping, at least 1.
        mixing: probability that a minibatch's layers from a random one on get the w of other noise,
            N(0, 1), under the same codes, in training (style mixing, Karras et al. 2019).
        noise: whether there are noise inputs.
        clamp: greatest absolute value of activations, greater than 0; None: no limit.
        bf16_stages: how many of the largest sizes compute in bfloat16; never the smallest size.
        grouped: see ModulatedConv; the images are the same.

    Raises:
        ValueError: the image's size or a number is out of range.
    """

    takes_code_dim = True

    def __init__(
        self,
        spec: ImageSpec,
        latent_dim: int,
        code_dim: int = 0,
        base: int = 32768,
        most: int = 512,
        w_dim: int = 512,
        mapping_layers: int = 8,
        mixing: float = 0.9,
        noise: bool = True,
        clamp: float | None = 256.0,
        bf16_stages: int = 0,
        grouped: bool = False,
    ) -> None:
        super().__init__()
        at_least(0, code_dim=code_dim, mixing=mixing, bf16_stages=bf16_stages)
        at_least(code_dim + 1, latent_dim=latent_dim)
        at_least(1, w_dim=w_dim)
        positive(clamp=clamp)
        if mixing > 1:
            raise ValueError(f"mixing must be at most 1, got {mixing}")
        sizes = widths(spec, base, most)
        self.code_dim, self.mixing = code_dim, mixing
        self.mapper = Mapping(latent_dim - code_dim, code_dim, w_dim, mapping_layers)
        size, fan_in = sizes[0]
        self.start = nn.Parameter(torch.randn(fan_in, size, size))
        self.stages: list[Stage] = nn.ModuleList()  # type: ignore[assignment]
        options: dict[str, Any] = {"clamp": clamp, "grouped": grouped}
        for i, (size, channels) in enumerate(sizes):
            convs = [
                StyledConv(fans, channels, w_dim, size, up=up, noise=noise, **options)
                for fans, up in ((fan_in, True), (channels, False))
                if i or not up
            ]
            precision = Precision(i > 0 and i >= len(sizes) - bf16_stages)
            to_image = ToImage(channels, spec.channels, w_dim, **options)
            self.stages.append(Stage(precision, convs, to_image))
            fan_in = channels
        self.low = LowPass()
        self.layers = 2 * len(sizes)  # the last is the last stage's share of the image
        self.register_buffer("w_mean", torch.zeros(w_dim))

    def mapping(self, z: Tensor) -> Tensor:
        return self.mapper(*noise_and_code(z, self.code_dim))

    def synthesis(self, w: Tensor) -> Tensor:
        styles = w if w.ndim == 3 else self._for_each_layer(w)
        x = self.start.expand(styles.shape[0], -1, -1, -1)
        image, layer = x, 0
        for i, stage in enumerate(self.stages):
            x = stage.precision(x)
            for conv in stage.convs:
                x = conv(x, styles[:, layer])
                layer += 1
            # A share has the style of the next stage's first convolution.
            share = stage.to_image(x, styles[:, layer]).to(styles.dtype)
            image = self.low.up(image) + share if i else share
        return image

    def generate(self, z: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        w = self.mapping(z)
        styles = self._for_each_layer(w)
        if self.training:
            with torch.no_grad():
                self.w_mean.lerp_(w.mean(dim=0).to(self.w_mean), 1 - W_DECAY)
            if self.mixing:
                styles = self._mixed(styles, z)
        return self.synthesis(styles), {"w": styles}

    def _for_each_layer(self, w: Tensor) -> Tensor:
        return w.unsqueeze(1).expand(-1, self.layers, -1)

    def _mixed(self, styles: Tensor, z: Tensor) -> Tensor:
        """The same with probability 1 - `mixing`; else layers from a random one on get others."""
        noise, code = noise_and_code(z, self.code_dim)
        others = self._for_each_layer(self.mapping(cat([torch.randn_like(noise), code], dim=1)))
        layer = torch.arange(self.layers, device=z.device)
        cutoff = torch.randint(1, self.layers, (), device=z.device)
        own = (layer < cutoff) | (torch.rand((), device=z.device) >= self.mixing)
        return torch.where(own.unsqueeze(1), styles, others)


class Halving(nn.Module):
    """x (N, C, 2H, 2W) -> (N, outputs, H, W): two convolutions, and a skip connection if asked."""

    def __init__(self, channels: int, outputs: int, *, residual: bool, clamp: float | None) -> None:
        super().__init__()
        gain = 0.5**0.5 if residual else 1.0  # two branches have the variance of one
        self.layers = nn.Sequential(
            Conv(channels, channels, 3),
            Activation(clamp=clamp),
            Conv(channels, outputs, 3, down=True),
            Activation(gain, clamp),
        )
        self.low = LowPass()
        self.skip = Conv(channels, outputs, 1, bias=False) if residual else None
        self.gain = gain

    def forward(self, x: Tensor) -> Tensor:
        y = self.layers(x)
        return y if self.skip is None else y + self.gain * self.skip(self.low.down(x))


class StyleGAN2Discriminator(FeatureDiscriminator):
    """Images (N, C, H, W) in [-1, 1] -> logits (N,).

    With conditioning=projection it is StyleGAN2-ADA's for classes: its last layer has as many
    outputs as features, and the logit is their inner product with a mapping of the class, over
    sqrt(outputs).

    Args:
        base, most, clamp, bf16_stages: as in StyleGAN2Generator.
        residual: whether stages have skip connections, as in config F; without them it is the plain
            discriminator of StyleGAN2-ADA for CIFAR-10.
        minibatch: "std" (before the last convolution), "none" or "discrimination"; with
            minibatch_group: see networks/discriminator.py.
        mapping_layers: of the mapping of classes, with conditioning=projection.

    Raises:
        ValueError: the image's size, a number or a word is out of range.
    """

    def __init__(
        self,
        spec: ImageSpec,
        base: int = 32768,
        most: int = 512,
        residual: bool = True,
        minibatch: str = "std",
        minibatch_group: int = 4,
        mapping_layers: int = 8,
        clamp: float | None = 256.0,
        bf16_stages: int = 0,
    ) -> None:
        at_least(0, bf16_stages=bf16_stages)
        at_least(1, mapping_layers=mapping_layers)
        positive(clamp=clamp)
        spread = minibatch_std(minibatch, minibatch_group)
        (size, last), *others = widths(spec, base, most)
        sizes = [channels for _, channels in reversed(others)]
        first = [Conv(spec.channels, sizes[0], 1), Activation(clamp=clamp)]
        layers: list[nn.Module] = [Precision(bf16_stages > 0), *first]
        for i, (channels, outputs) in enumerate(zip(sizes, [*sizes[1:], last], strict=True)):
            layers.append(Precision(i < bf16_stages))
            layers.append(Halving(channels, outputs, residual=residual, clamp=clamp))
        layers += [
            Precision(low=False),
            *spread,
            Conv(last + len(spread), last, 3),
            Activation(clamp=clamp),
            nn.Flatten(),
            Dense(last * size**2, last),
            Activation(),
        ]
        super().__init__(nn.Sequential(*layers), last, minibatch)
        self.mapping_layers, self.projects = mapping_layers, False
        self.head = Dense(self.head_dim, 1)

    def new_head(self, outputs: int) -> nn.Module:
        return Dense(self.feature_dim, outputs)

    def new_embedding(self, code_dim: int) -> nn.Module:
        self.head, self.projects = Dense(self.head_dim, self.feature_dim), True
        return LabelMapping(code_dim, self.feature_dim, self.mapping_layers)

    def logits_and_features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(x)
        answers = self.head(self.compare(features))
        if self.projects:
            return answers.new_zeros(len(answers)), answers
        return answers.flatten(), features
