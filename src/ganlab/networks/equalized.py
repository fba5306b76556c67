"""Layers whose weights learn at one rate (Karras et al. 2018, section 4.1), and what is between.

Weights start from N(0, 1) and are scaled by 1 / sqrt(fan_in) in every pass.  Adam moves a weight by
about its learning rate, whatever its scale, so layers of any width change by the same share.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, leaky_relu, linear

from ganlab.networks.resampling import LowPass


class Dense(nn.Module):
    """(N, fan_in) -> (N, outputs): rate (W x / sqrt(fan_in) + b), with W ~ N(0, 1 / rate^2).

    Args:
        fan_in, outputs: widths.
        bias: value that b starts from.
        rate: multiplier of the learning rate; 0.01 in StyleGAN's mapping network.
    """

    def __init__(self, fan_in: int, outputs: int, bias: float = 0.0, rate: float = 1.0) -> None:
        super().__init__()
        self.rate = rate
        self.weight = nn.Parameter(torch.randn(outputs, fan_in) / rate)
        self.bias = nn.Parameter(torch.full((outputs,), bias))

    def forward(self, x: Tensor) -> Tensor:
        scale = self.rate / math.sqrt(self.weight.shape[1])
        return linear(x, (scale * self.weight).to(x.dtype), (self.rate * self.bias).to(x.dtype))


class Conv(nn.Module):
    """(N, fan_in, H, W) -> (N, outputs, H, W), or half of the size.

    Args:
        fan_in, outputs: channels.
        kernel: its height and width, 1 or 3.
        down: halves the size: low-pass filter, then stride 2.
        bias: whether there is one; it starts at 0.
    """

    def __init__(
        self, fan_in: int, outputs: int, kernel: int, *, down: bool = False, bias: bool = True
    ) -> None:
        super().__init__()
        self.low = LowPass() if down else None
        self.padding = kernel // 2
        self.weight = nn.Parameter(torch.randn(outputs, fan_in, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        scale = 1 / math.sqrt(self.weight[0].numel())
        weight = (scale * self.weight).to(x.dtype)
        bias = None if self.bias is None else self.bias.to(x.dtype)
        if self.low is None:
            return conv2d(x, weight, bias, padding=self.padding)
        return conv2d(self.low.blur(x, padding=self.padding + 1), weight, bias, stride=2)


class Activation(nn.Module):
    """sqrt(2) LeakyReLU(0.2), which about keeps the mean square, times a gain.

    Args:
        gain: factor of the result.
        clamp: greatest absolute value before the gain; None: no limit.
    """

    def __init__(self, gain: float = 1.0, clamp: float | None = None) -> None:
        super().__init__()
        self.gain, self.clamp = gain, clamp

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * limited(math.sqrt(2) * leaky_relu(x, 0.2), self.clamp)

    def extra_repr(self) -> str:
        return f"gain={self.gain:.4g}, clamp={self.clamp}"


class Precision(nn.Module):
    """Goes on in bfloat16, or in float32 at least."""

    def __init__(self, low: bool) -> None:
        super().__init__()
        self.low = low

    def forward(self, x: Tensor) -> Tensor:
        return x.bfloat16() if self.low else x.to(torch.promote_types(x.dtype, torch.float32))

    def extra_repr(self) -> str:
        return f"low={self.low}"


def limited(x: Tensor, clamp: float | None) -> Tensor:
    """x between -clamp and clamp; x itself for None."""
    return x if clamp is None else x.clamp(-clamp, clamp)


def unit(x: Tensor) -> Tensor:
    """Rows (N, d) scaled to a mean square of 1."""
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()
