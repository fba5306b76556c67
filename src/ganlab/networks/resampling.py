"""Changes of an image's size by a low-pass filter, so that no aliases appear.

Zhang 2019, "Making Convolutional Networks Shift-Invariant Again"; StyleGAN2's filter has the taps
[1, 3, 3, 1] (Karras et al. 2020b, appendix B).  R3GAN's has the same: its [1, 2, 1] filters pixels
that are doubled, and [1, 2, 1] * [1, 1] = [1, 3, 3, 1].
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ganlab.networks.grouped import Geometry, convolution
from ganlab.spec import at_least


class LowPass(nn.Module):
    """A separable symmetric filter whose weights sum to 1; outside of an image is 0.

    Every channel is filtered by itself.  All of it can be differentiated twice.

    Args:
        taps: the filter in one dimension, at least two numbers.
    """

    kernel: Tensor

    def __init__(self, taps: Sequence[float] = (1, 3, 3, 1)) -> None:
        super().__init__()
        at_least(2, **{"number of taps": len(taps)})
        row = torch.tensor(taps, dtype=torch.float32)
        square = torch.outer(row, row)
        self.register_buffer("kernel", square / square.sum(), persistent=False)
        self.taps = len(taps)

    def blur(self, x: Tensor, padding: int, gain: float = 1.0) -> Tensor:
        """(N, C, H, W) -> the same with `padding` zeros on each side and `taps` - 1 pixels less."""
        return convolution(x, gain * self._of_each(x), Geometry(1, padding, x.shape[1]))

    def up(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, 2H, 2W): zeros between the pixels, filtered, times 4."""
        edge = (self.taps - 2) // 2
        geometry = Geometry(2, edge, x.shape[1], transposed=True)
        y = convolution(x, 4 * self._of_each(x), geometry)
        return y[:, :, : 2 * x.shape[2], : 2 * x.shape[3]]

    def down(self, x: Tensor) -> Tensor:
        """(N, C, 2H, 2W) -> (N, C, H, W): filtered, every other pixel."""
        edge = (self.taps - 1) // 2
        return convolution(x, self._of_each(x), Geometry(2, edge, x.shape[1]))

    def _of_each(self, x: Tensor) -> Tensor:
        """The filter as weights (C, 1, taps, taps) of a convolution of C groups."""
        return self.kernel.to(x.dtype).expand(x.shape[1], 1, -1, -1)

    def extra_repr(self) -> str:
        return f"taps={self.taps}"
