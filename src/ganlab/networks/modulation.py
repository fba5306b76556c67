"""Convolutions whose weights are scaled by a style of each image (Karras et al. 2020b, 2.2)."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d

from ganlab.networks.equalized import Dense
from ganlab.networks.layers import no_autocast
from ganlab.networks.resampling import LowPass


class ModulatedConv(nn.Module):
    """(N, fan_in, H, W) and w (N, w_dim) -> (N, outputs, H, W), or of twice the size.

    The style s = A w + b, with b = 1 at the start, scales the weights' input channels (eq. 1):
    w'_oik = s_i w_oik.  Demodulation then divides them by the standard deviation that outputs would
    have if inputs were independent with variance 1 (eq. 3): w''_oik = w'_oik / |w'_o|.  The scales
    are computed in float32 at least, outside of autocast.

    Args:
        fan_in, outputs: channels.
        w_dim: width of w.
        kernel: height and width of the weights, 1 or 3.
        up: doubles the size: transposed convolution with stride 2, then a low-pass filter.
        demodulate: if not, weights are divided by sqrt(fan_in kernel^2) instead.
        grouped: scales the weights, and convolves the images of a minibatch as groups; else scales
            what goes into one convolution and what comes out.  Both are the same function.  The
            latter takes half of the time on CPUs, and holds no weights of each image.
    """

    def __init__(
        self,
        fan_in: int,
        outputs: int,
        w_dim: int,
        kernel: int = 3,
        *,
        up: bool = False,
        demodulate: bool = True,
        grouped: bool = False,
    ) -> None:
        super().__init__()
        self.style = Dense(w_dim, fan_in, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, fan_in, kernel, kernel))
        self.low = LowPass() if up else None
        self.demodulate, self.grouped = demodulate, grouped

    def scales(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """Factors of the weights: of input channels (N, fan_in), of outputs (N, outputs or 1)."""
        with no_autocast(w):
            style = self.style(w)
            if not self.demodulate:
                return style / math.sqrt(self.weight[0].numel()), torch.ones_like(style[:, :1])
            squares = self.weight.square().sum(dim=(2, 3))
            return style, (style.square() @ squares.T + 1e-8).rsqrt()

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        before, after = (scale.to(x.dtype)[..., None, None] for scale in self.scales(w))
        weight = self.weight.to(x.dtype)
        if self.grouped:
            each = after.unsqueeze(2) * before.unsqueeze(1) * weight  # (N, outputs, fan_in, ...)
            images = x.reshape(1, -1, *x.shape[2:])
            y = self._convolved(images, each.flatten(0, 1), groups=x.shape[0])
            y = y.reshape(x.shape[0], -1, *y.shape[2:])
        else:
            y = after * self._convolved(before * x, weight)
        return y if self.low is None else self.low.blur(y, padding=1, gain=4.0)

    def _convolved(self, x: Tensor, weight: Tensor, groups: int = 1) -> Tensor:
        """x (M, groups fan_in, H, W), weight (groups outputs, fan_in, kernel, kernel)."""
        if self.low is None:
            return conv2d(x, weight, padding=weight.shape[-1] // 2, groups=groups)
        turned = weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)
        return conv_transpose2d(x, turned, stride=2, groups=groups)
