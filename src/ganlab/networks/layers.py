"""Layers and initialisations that several networks share."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from ganlab.spec import ImageSpec, one_of

NORMS = ("batch", "layer", "spectral", "weight", "none")
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "leaky_relu": lambda: nn.LeakyReLU(0.2),
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "elu": nn.ELU,
    "softplus": nn.Softplus,
}
Weighted = nn.Linear | nn.Conv2d | nn.ConvTranspose2d


def autocast(device: torch.device) -> bool:
    """Whether operations on a device choose their own precision now; "meta" has no such context."""
    kind = device.type
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)


@contextmanager
def no_autocast(x: Tensor) -> Iterator[None]:
    """Context in which operations keep the type of their inputs, on the device of x."""
    if not autocast(x.device):
        yield
        return
    with torch.autocast(x.device.type, enabled=False):
        yield


def norm2d(kind: str, channels: int) -> nn.Module:
    """Normalisation of (N, channels, H, W).

    "layer" normalises over all channels and pixels of an image (Ba et al. 2016), as in the critics
    of Gulrajani et al. 2017; unlike BatchNorm it does not mix images.  "spectral" and "weight"
    normalise weights, not activations: see `reparametrize`.
    """
    one_of(NORMS, norm=kind)
    layers: dict[str, Callable[[], nn.Module]] = {
        "batch": lambda: nn.BatchNorm2d(channels),
        "layer": lambda: nn.GroupNorm(1, channels),
        "spectral": nn.Identity,
        "weight": nn.Identity,
        "none": nn.Identity,
    }
    return layers[kind]()


def norm1d(kind: str, features: int) -> nn.Module:
    """Normalisation of (N, features); kinds as in `norm2d`."""
    one_of(NORMS, norm=kind)
    layers: dict[str, Callable[[], nn.Module]] = {
        "batch": lambda: nn.BatchNorm1d(features),
        "layer": lambda: nn.LayerNorm(features),
        "spectral": nn.Identity,
        "weight": nn.Identity,
        "none": nn.Identity,
    }
    return layers[kind]()


def needs_bias(norm: str) -> bool:
    """Whether a layer before the norm needs a bias; BatchNorm and LayerNorm have their own."""
    return norm not in ("batch", "layer")


def rising(channels: int, times: int, norm: str) -> list[nn.Module]:
    """`times` transposed convolutions, each doubling the size and halving the channels."""
    layers: list[nn.Module] = []
    for _ in range(times):
        layers += [
            nn.ConvTranspose2d(channels, channels // 2, 4, 2, 1, bias=needs_bias(norm)),
            norm2d(norm, channels // 2),
            nn.ReLU(inplace=True),
        ]
        channels //= 2
    return layers


def weighted(network: nn.Module) -> list[Weighted]:
    """All dense layers and convolutions of the network."""
    return [module for module in network.modules() if isinstance(module, Weighted)]


def reparametrize(network: nn.Module, norm: str) -> None:
    """Normalises the weights of all layers for "spectral" and "weight"; call it after initialising.

    "spectral" divides a weight by its largest singular value, estimated by one power iteration per
    training pass (Miyato et al. 2018, algorithm 1).  "weight" learns length and direction of each
    output's weights separately (Salimans & Kingma 2016, eq. 2); initially the layer is unchanged.
    """
    for module in weighted(network):
        if norm == "spectral":
            spectral_norm(module)
        elif norm == "weight":
            weight_norm(module, dim=1 if isinstance(module, nn.ConvTranspose2d) else 0)


class Dropout(nn.Dropout):
    """Dropout whose masks take a third of the time of torch's on CPUs (torch 2.14)."""

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or not self.training:
            return super().forward(x)
        kept = torch.rand(x.shape) >= self.p  # float32 for any x; bfloat16 would be too coarse
        return x * (kept.to(x.dtype) / (1 - self.p))


class GaussianNoise(nn.Module):
    """Adds N(0, std^2) noise in training; does nothing in evaluation."""

    def __init__(self, std: float) -> None:
        super().__init__()
        self.std = std

    def forward(self, x: Tensor) -> Tensor:
        return x + self.std * torch.randn_like(x) if self.training else x

    def extra_repr(self) -> str:
        return f"std={self.std}"


def normal_init(std: float, gains: float = 0.0) -> Callable[[nn.Module], None]:
    """Weights ~ N(0, std^2) (Radford et al. 2016, section 4), biases 0.

    Gains of norms ~ N(1, gains^2); with gains=0 they stay 1.
    """

    def init(module: nn.Module) -> None:
        if isinstance(module, Weighted):
            nn.init.normal_(module.weight, 0.0, std)
        elif gains and isinstance(
            module, nn.modules.batchnorm._BatchNorm | nn.GroupNorm | nn.LayerNorm
        ):
            nn.init.normal_(module.weight, 1.0, gains)
        else:
            return
        if module.bias is not None:
            nn.init.zeros_(module.bias)

    return init


def glorot(layer: nn.Linear, *, spectral: bool = False) -> nn.Module:
    """The layer with Glorot-uniform weights, and with spectral norm if asked."""
    nn.init.xavier_uniform_(layer.weight)
    return spectral_norm(layer) if spectral else layer


def doublings(spec: ImageSpec, network: str) -> tuple[int, int]:
    """(size of the smallest feature map, number of doublings to the image's size).

    28 pixels start from 7, all other sizes from 4: 32 = 4 * 2^3.

    Raises:
        ValueError: the size is neither 28 nor a power of two of at least 8.
    """
    return (7, 2) if spec.size == 28 else (4, power_of_two(spec, network, also="28 or "))


def power_of_two(spec: ImageSpec, network: str, also: str = "") -> int:
    """Number of doublings from 4 pixels to the image's size.

    Raises:
        ValueError: the size is not a power of two of at least 8.
    """
    n = math.log2(spec.size / 4)
    if n < 1 or n != int(n):
        sizes = f"{also}8, 16, 32, 64, 128, ..."
        raise ValueError(f"{network} takes images of size {sizes}; got {spec}")
    return int(n)
