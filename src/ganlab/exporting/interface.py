"""generator.json: how z is made and what comes out, for those who have no ganlab."""

import itertools
from typing import Any

from ganlab import __version__
from ganlab.conditioning import ByClass, InfoGAN
from ganlab.errors import ConfigError
from ganlab.exporting.onnx import INPUT, output_of
from ganlab.generative import Generative
from ganlab.latent import Gaussian, Uniform
from ganlab.runs.folder import Run, identity
from ganlab.sampler import Sampler
from ganlab.spec import ImageSpec


def document(run: Run, gan: Generative) -> dict[str, Any]:
    """What the file holds, as plain data."""
    return {
        "ganlab": __version__,
        "run": origin(run),
        "iterations": gan.iterations,
        "images_seen": gan.images_seen,
        "parameters": parameters(gan),
        "input": {
            "name": INPUT,
            "type": "float32",
            "shape": ["n", gan.latent.dim + gan.conditioning.code_dim],
            "noise": noise(gan),
            "code": codes(gan),
        },
        "output": output(gan),
    }


def origin(run: Run) -> dict[str, str]:
    """Which run an export is of: its name, and the hash of all that affects its results."""
    parts = run.path.absolute().parts
    return {"name": "/".join(parts[-2:]), "id": identity(run.config())}


def parameters(gan: Sampler) -> int:
    """Numbers that were trained in the generator."""
    return sum(parameter.numel() for parameter in gan.sampler.parameters())


def noise(gan: Sampler) -> dict[str, Any]:
    """The entries of z that are noise, and how they are distributed; they are independent.

    Raises:
        ConfigError: a reader without ganlab could not draw from it.
    """
    latent: Any = gan.latent
    entries = {"from": 0, "to": latent.dim}
    if isinstance(latent, Uniform):
        return {**entries, "prior": "uniform", "low": latent.low, "high": latent.high}
    if isinstance(latent, Gaussian):
        return {**entries, "prior": "normal", "mean": 0.0, "deviation": 1.0}
    own = f"{type(latent).__module__}.{type(latent).__name__}"
    raise ConfigError([f"latent: an export says how to draw Gaussian or Uniform noise, got {own}"])


def codes(gan: Sampler) -> list[dict[str, Any]]:
    """The entries of z after the noise, in their order; a code of one's own is named by its class.

    class: the class that is drawn; category, continuous: codes whose meaning G has found.
    """
    told = gan.conditioning
    if isinstance(told, ByClass):
        parts = [(told.code_dim, one_hot("class", gan.class_names))]
    elif isinstance(told, InfoGAN):
        uniform = {"kind": "continuous", "values": "uniform", "low": -1.0, "high": 1.0}
        parts = [(told.categories, one_hot("category", [])), (told.continuous, uniform)]
    else:
        parts = [(told.code_dim, {"kind": type(told).__name__, "values": "unknown"})]
    ends = list(itertools.accumulate((n for n, _ in parts), initial=gan.latent.dim))
    spans = itertools.pairwise(ends)
    return [
        {"from": start, "to": end, **part}
        for (start, end), (n, part) in zip(spans, parts, strict=True)
        if n
    ]


def one_hot(kind: str, names: list[str]) -> dict[str, Any]:
    """One entry is 1 and the others are 0."""
    return {"kind": kind, "values": "one-hot", "names": names}


def output(gan: Sampler) -> dict[str, Any]:
    """Name, type, shape and range of what comes out."""
    found = {"name": output_of(gan), "type": "float32", "shape": ["n", *gan.spec.shape]}
    if isinstance(gan.spec, ImageSpec):
        return {**found, "layout": "NCHW", "low": -1.0, "high": 1.0}
    return {**found, "unit": "the data's own"}
