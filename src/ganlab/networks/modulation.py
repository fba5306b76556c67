"""Convolutions whose weights a style scales, for each image by itself (Karras et al. 2020b, 2.2)."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d

from ganlab.networks.equalized import Dense, no_autocast
from ganlab.networks.resampling import LowPass


class ModulatedConv(nn.Module):
    """(N, fan_in, H, W) and w (N, w_dim) -> (N, outputs, H, W), or of twice the size.

    The style s = A w + b, with b = 1 at the start, scales the weights' input channels (eq. 1):
    w'_oik = s_i w_oik.  Demodulation then divides them by the standard deviation that outputs would
    have if inputs were independent with variance 1 (eq. 3): w''_oik = w'_oik / |w'_o|.  The images
    of a minibatch are the groups of one convolution.  The scales are computed in float32 at least,
    outside of autocast.

    Args:
        fan_in, outputs: channels.
        w_dim: width of w.
        kernel: height and width of the weights, 1 or 3.
        up: doubles the size: transposed convolution with stride 2, then a low-pass filter.
        demodulate: if not, the weights are scaled by 1 / sqrt(fan_in kernel^2) instead.
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
    ) -> None:
        super().__init__()
        self.style = Dense(w_dim, fan_in, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, fan_in, kernel, kernel))
        self.low = LowPass() if up else None
        self.demodulate = demodulate

    def scales(self, w: Tensor) -> Tensor:
        """Factors (N, outputs, fan_in) of the weights; (N, 1, fan_in) without demodulation."""
        with no_autocast(w):
            style = self.style(w)
            if not self.demodulate:
                return style.unsqueeze(1) / math.sqrt(self.weight[0].numel())
            squares = self.weight.square().sum(dim=(2, 3))
            lengths = (style.square() @ squares.T + 1e-8).rsqrt()
            return lengths.unsqueeze(2) * style.unsqueeze(1)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        n = len(x)
        scales = self.scales(w).to(x.dtype)[..., None, None]
        weight = scales * self.weight.to(x.dtype)  # (N, outputs, fan_in, kernel, kernel)
        images = x.reshape(1, -1, *x.shape[2:])  # (1, N fan_in, H, W)
        if self.low is None:
            padding = self.weight.shape[-1] // 2
            y = conv2d(images, weight.flatten(0, 1), padding=padding, groups=n)
            return y.reshape(n, -1, *y.shape[2:])
        turned = weight.transpose(1, 2).flatten(0, 1)
        y = conv_transpose2d(images, turned, stride=2, groups=n)
        return self.low.blur(y.reshape(n, -1, *y.shape[2:]), padding=1, gain=4.0)
