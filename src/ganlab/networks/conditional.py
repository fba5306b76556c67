"""Generator layers that are conditioned on the code: the class, or InfoGAN's codes."""

import torch
from torch import Tensor, nn

from ganlab.networks.layers import NORMS, norm2d
from ganlab.spec import one_of

CONDITIONAL_NORMS = (*NORMS, "conditional_batch")


class Conditional(nn.Module):
    """Base of layers called with (x, code)."""


def given(layer: nn.Module, x: Tensor, code: Tensor | None) -> Tensor:
    """The output of a layer; only Conditional layers get the code."""
    return layer(x, code) if isinstance(layer, Conditional) else layer(x)


class ConditionalBatchNorm2d(Conditional):
    """BatchNorm with a gain and a bias for each code (de Vries et al. 2017, section 3.2).

    x (N, channels, H, W), code (N, code_dim) -> BN(x) (1 + code G) + code B.  A one-hot code
    selects a row of G and of B, as in Miyato & Koyama 2018.  G and B start at 0: plain BatchNorm.
    """

    def __init__(self, channels: int, code_dim: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        # Parameters, not dense layers, so that weight initialisations and norms leave them alone.
        self.gain = nn.Parameter(torch.zeros(code_dim, channels))
        self.bias = nn.Parameter(torch.zeros(code_dim, channels))

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        gain, bias = 1 + code @ self.gain, code @ self.bias
        return self.norm(x) * gain[..., None, None] + bias[..., None, None]


def tables(network: nn.Module) -> list[tuple[ConditionalBatchNorm2d, str]]:
    """All tables of gains and biases per code, as (norm, name of the parameter)."""
    norms = (norm for norm in network.modules() if isinstance(norm, ConditionalBatchNorm2d))
    return [(norm, name) for norm in norms for name in ("gain", "bias")]


def conditional_norm2d(kind: str, channels: int, code_dim: int) -> nn.Module:
    """Like `norm2d`, with the additional kind "conditional_batch"; without a code it is "batch"."""
    one_of(CONDITIONAL_NORMS, norm=kind)
    if kind != "conditional_batch":
        return norm2d(kind, channels)
    return ConditionalBatchNorm2d(channels, code_dim) if code_dim else nn.BatchNorm2d(channels)


def noise_and_code(z: Tensor, code_dim: int) -> tuple[Tensor, Tensor]:
    """z (N, latent_dim) -> noise (N, latent_dim - code_dim), code (N, code_dim)."""
    noise_dim = z.shape[1] - code_dim
    return z[:, :noise_dim], z[:, noise_dim:]
