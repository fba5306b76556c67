"""Grouped convolutions whose second derivatives are grouped convolutions, too.

Penalties of D's gradient differentiate twice, and torch (2.14) then computes one small convolution
for each group: 96 for a block of R3GAN, one for each channel of a filter.  Here both gradients of a
convolution are operations that can be differentiated the same way, and any number of times.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

from ganlab.networks.layers import autocast

aten = torch.ops.aten


class Geometry(NamedTuple):
    """What a convolution by a square kernel does, apart from its weights.

    `spare`: rows and columns that a transposed one adds at the far ends.
    """

    stride: int
    padding: int
    groups: int
    transposed: bool = False
    spare: tuple[int, int] = (0, 0)

    def back(self, images: Tensor, kernel: int, given: Tensor) -> "Geometry":
        """Of the convolution that takes gradients at the output to gradients at the images."""
        if self.transposed:
            return self._replace(transposed=False, spare=(0, 0))
        rows, columns = (
            there - ((here - 1) * self.stride - 2 * self.padding + kernel)
            for there, here in zip(images.shape[2:], given.shape[2:], strict=True)
        )
        return self._replace(transposed=True, spare=(rows, columns))

    def arguments(self) -> tuple[Any, ...]:
        """As torch takes them, after the bias."""
        stride, padding, dilation = ([n, n] for n in (self.stride, self.padding, 1))
        return stride, padding, dilation, self.transposed, self.spare, self.groups


def convolution(x: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    """Images (N, C, H, W) and weights, laid out as in torch -> (N, C', H', W')."""
    if autocast(x.device):
        half = torch.get_autocast_dtype(x.device.type)
        x, weight = x.to(half), weight.to(half)
    return _Convolution.apply(x, weight, geometry)


class _Convolution(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = geometry
        return aten.convolution(x, weight, None, *geometry.arguments())

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> Any:
        (x, weight), geometry = ctx.saved_tensors, ctx.geometry
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            of_x = convolution(given, weight, geometry.back(x, weight.shape[2], given))
        if ctx.needs_input_grad[1]:
            of_weight = _OfWeight.apply(given, x, weight, geometry)
        return of_x, of_weight, None


class _OfWeight(Function):
    """The gradient of a convolution by its weights, bilinear in `given` and x."""

    @staticmethod
    def forward(ctx: Any, given: Tensor, x: Tensor, like: Tensor, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(given, x)
        ctx.geometry = geometry
        wanted, arguments = [False, True, False], geometry.arguments()
        return aten.convolution_backward(given, x, like, None, *arguments, wanted)[1]

    @staticmethod
    def backward(ctx: Any, given_weight: Tensor) -> Any:
        (given, x), geometry = ctx.saved_tensors, ctx.geometry
        of_given = of_x = None
        if ctx.needs_input_grad[0]:
            of_given = convolution(x, given_weight, geometry)
        if ctx.needs_input_grad[1]:
            back = geometry.back(x, given_weight.shape[2], given)
            of_x = convolution(given, given_weight, back)
        return of_given, of_x, None, None
