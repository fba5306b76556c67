"""Layers of a generator that are told the code: the class, or infoGAN's codes."""

import torch
from torch import Tensor, nn

from ganlab.networks.layers import NORMS, norm2d
from ganlab.spec import one_of

CONDITIONAL_NORMS = (*NORMS, "conditional_batch")


class Conditional(nn.Module):
    """Base of layers called with (x, code)."""


def given(layer: nn.Module, x: Tensor, code: Tensor | None) -> Tensor:
    """The layer's output; the code is for the layers that ask for it."""
    return layer(x, code) if isinstance(layer, Conditional) else layer(x)


class ConditionalBatchNorm2d(Conditional):
    """BatchNorm with a gain and a bias for each code (de Vries et al. 2017, section 3.2).

    x (N, channels, H, W), code (N, code_dim) -> BN(x) (1 + code G) + code B.  A one-hot code picks
    one row of each table, as Miyato & Koyama 2018 have it; it starts as BatchNorm itself.
    """

    def __init__(self, channels: int, code_dim: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        # No dense layers: the initialisations and norms of weights are for those, not for these.
        self.gain = nn.Parameter(torch.zeros(code_dim, channels))
        self.bias = nn.Parameter(torch.zeros(code_dim, channels))

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        gain, bias = 1 + code @ self.gain, code @ self.bias
        return self.norm(x) * gain[..., None, None] + bias[..., None, None]


def conditional_norm2d(kind: str, channels: int, code_dim: int) -> nn.Module:
    """As `norm2d`, and "conditional_batch", which without a code is "batch"."""
    one_of(CONDITIONAL_NORMS, norm=kind)
    if kind != "conditional_batch":
        return norm2d(kind, channels)
    return ConditionalBatchNorm2d(channels, code_dim) if code_dim else nn.BatchNorm2d(channels)


def noise_and_code(z: Tensor, code_dim: int) -> tuple[Tensor, Tensor]:
    """z (N, latent_dim) -> noise (N, latent_dim - code_dim), code (N, code_dim)."""
    noise_dim = z.shape[1] - code_dim
    return z[:, :noise_dim], z[:, noise_dim:]
