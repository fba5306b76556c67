"""Pieces that several networks share."""

import math
from collections.abc import Callable

from torch import nn

from ganlab.spec import ImageSpec, one_of

NORMS = ("batch", "layer", "none")


def norm2d(kind: str, channels: int) -> nn.Module:
    """Normalisation of (N, channels, H, W).

    "layer" is one group over all of an image (Ba et al. 2016), as the critics of Gulrajani et al.
    2017 use it: unlike BatchNorm it leaves each image to itself.
    """
    one_of(NORMS, norm=kind)
    layers: dict[str, Callable[[], nn.Module]] = {
        "batch": lambda: nn.BatchNorm2d(channels),
        "layer": lambda: nn.GroupNorm(1, channels),
        "none": nn.Identity,
    }
    return layers[kind]()


def norm1d(kind: str, features: int) -> nn.Module:
    """Normalisation of (N, features); kinds as in `norm2d`."""
    one_of(NORMS, norm=kind)
    layers: dict[str, Callable[[], nn.Module]] = {
        "batch": lambda: nn.BatchNorm1d(features),
        "layer": lambda: nn.LayerNorm(features),
        "none": nn.Identity,
    }
    return layers[kind]()


def normal_init(std: float) -> Callable[[nn.Module], None]:
    """Weights ~ N(0, std^2), norms' gains ~ N(1, std^2), biases 0 (Radford et al. 2016, sec. 4)."""

    def init(module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, std)
        elif isinstance(module, nn.modules.batchnorm._BatchNorm | nn.GroupNorm | nn.LayerNorm):
            nn.init.normal_(module.weight, 1.0, std)
        else:
            return
        if module.bias is not None:
            nn.init.zeros_(module.bias)

    return init


def doublings(spec: ImageSpec, network: str) -> tuple[int, int]:
    """(smallest feature map, number of doublings) that lead to the image's size.

    28 pixels start from 7, all others from 4: 32 = 4 * 2^3.

    Raises:
        ValueError: the size is neither 28 nor a power of two from 8 on.
    """
    start = 7 if spec.size == 28 else 4
    n = math.log2(spec.size / start)
    if n < 1 or n != int(n):
        raise ValueError(
            f"{network} takes images of size 28 or 8, 16, 32, 64, 128, ...; got {spec}"
        )
    return start, int(n)
