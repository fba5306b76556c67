"""The networks that a page runs, exported and checked against PyTorch."""

import copy
from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn

from ganlab.errors import ConfigError
from ganlab.exploring import graphs
from ganlab.exploring.graphs import Graph
from ganlab.exporting import onnx as export
from ganlab.networks.contract import StyleGenerator
from ganlab.sampler import Sampler


class Networks(NamedTuple):
    """What a page runs to draw an image.

    Args:
        graphs: by name.  `images` makes an image (1, C, H, W) of z and the code, or of w;
            `mapping`, which a StyleGenerator alone has, makes w of z and the code.
        away: the greatest difference of a value of an image from PyTorch's, in [-1, 1].
    """

    graphs: Mapping[str, Graph]
    away: float

    @property
    def multiplications(self) -> int:
        """Of one image."""
        return sum(map(graphs.multiplications, self.graphs.values()))


class Styles(nn.Module):
    """z (n, latent.dim + code_dim) -> w (n, d) of a StyleGenerator."""

    def __init__(self, network: StyleGenerator) -> None:
        super().__init__()
        self.network = network

    def forward(self, z: Tensor) -> Tensor:
        return self.network.mapping(z).float()


class Synthesis(nn.Module):
    """w (n, d) -> images (n, C, H, W) in [-1, 1] of a StyleGenerator."""

    def __init__(self, network: StyleGenerator) -> None:
        super().__init__()
        self.network = network

    def forward(self, w: Tensor) -> Tensor:
        return self.network.synthesis(w).float().clamp(-1, 1)


def networks_of(sampler: Sampler, *, half: bool = False) -> Networks:
    """The networks of a generator of images.

    Args:
        sampler: on any device; it stays as it is.
        half: round the weights to float16.

    Raises:
        ConfigError: PyTorch cannot export the network, or it draws other images then.
    """
    said = {"images": export.onnx_of(sampler)}
    if half:
        said["images"] = graphs.rounded(said["images"])
    away = export.difference(sampler, said["images"])
    if not half and away > export.TOLERANCE:
        raise ConfigError([f"ONNX Runtime's images differ from PyTorch's by up to {away:.2g}"])
    network = export.in_float32(copy.deepcopy(sampler.sampler).cpu()).eval()
    if isinstance(network, StyleGenerator):
        z = sampler.fixed_latents(2).cpu().float()
        w = network.mapping(z).detach().float()
        said = {
            "mapping": export.exported(Styles(network), z, "w", ("z", "w")),
            "images": export.exported(Synthesis(network), w, "images", ("w", "in [-1, 1]")),
        }
        if half:
            said = {name: graphs.rounded(onnx) for name, onnx in said.items()}
    return Networks({name: graphs.simplified(onnx) for name, onnx in said.items()}, away)
