"""The networks that a page runs, exported and checked against PyTorch."""

import copy
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ganlab.errors import ConfigError
from ganlab.exploring import graphs
from ganlab.exploring.graphs import Graph
from ganlab.exporting import onnx as export
from ganlab.networks.contract import StyleGenerator
from ganlab.sampler import Sampler

LEVEL = 1 / 127.5  # a grey level of 256
SAMPLES = 16  # images that are compared


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
        ConfigError: it draws random numbers, PyTorch cannot export it, or it draws other images
            then.
    """
    if reason := export.untraceable(sampler):
        then = "so a point has no image that a page could show"
        raise ConfigError([f"run: {reason}, {then}; `ganlab sample` draws some"])
    network = export.in_float32(copy.deepcopy(sampler.sampler).cpu()).eval()
    if isinstance(network, StyleGenerator):
        z = sampler.fixed_latents(2).cpu().float()
        w = network.mapping(z).detach().float()
        said = {
            "mapping": export.exported(Styles(network), z, "w", ("z", "w")),
            "images": export.exported(Synthesis(network), w, "images", ("w", "in [-1, 1]")),
        }
    else:
        said = {"images": export.onnx_of(sampler)}
    if half:
        said = {name: graphs.rounded(onnx) for name, onnx in said.items()}
    made = {name: graphs.simplified(onnx) for name, onnx in said.items()}
    away = difference(sampler, list(made.values()))
    if not half and away > LEVEL:
        raise ConfigError([f"ONNX Runtime's images differ from PyTorch's by up to {away:.2g}"])
    return Networks(made, away)


def difference(sampler: Sampler, chain: Sequence[Graph]) -> float:
    """The greatest difference of a value of SAMPLES images from PyTorch's.

    Args:
        sampler: that draws.
        chain: graphs that make an image of a latent, one after the other.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    sessions = [onnxruntime.InferenceSession(graph.SerializeToString(), options) for graph in chain]
    z, far = sampler.fixed_latents(SAMPLES).cpu().float(), 0.0
    with torch.no_grad():
        expected = export.Picture(sampler)(z)
    for row, image in zip(z.split(1), expected, strict=True):
        x = row.numpy()
        for session in sessions:
            x = session.run(None, {session.get_inputs()[0].name: x})[0]
        apart = (torch.from_numpy(x[0]) - image).abs().nan_to_num(nan=float("inf"))
        far = max(far, apart.max().item())
    return far
