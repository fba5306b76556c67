"""example.py of an export: ten lines that draw without ganlab and PyTorch."""

from typing import Any

from ganlab.exporting.interface import codes, noise
from ganlab.sampler import Sampler
from ganlab.spec import ImageSpec, PointSpec

ROWS = 4  # of the picture, and its columns
PICTURE, NUMBERS = "drawn.png", "drawn.csv"  # what it writes, into the working folder
NOISE = {
    "normal": "random.standard_normal((n, {dim}))",
    "uniform": "random.uniform({low}, {high}, (n, {dim}))",
}
CODES = {  # of a kind: a name, and how it is made
    "class": ("label", "np.eye({dim})[np.arange(n) % {dim}]  # the class of each, 0 to {last}"),
    "category": ("category", "np.eye({dim})[np.arange(n) % {dim}]  # of each, 0 to {last}"),
    "continuous": ("continuous", "random.uniform({low}, {high}, (n, {dim}))"),
}
OWN = ("code", "np.zeros((n, {dim}))  # {kind} knows what its numbers mean")
SCRIPT = '''\
"""Draws with {libraries}, and saves {file} in the working folder."""

from pathlib import Path

import numpy as np
import onnxruntime
{imports}
n, random = {n}, np.random.default_rng(seed=0)
{parts}
z = np.concatenate([{names}], axis=1).astype(np.float32)
session = onnxruntime.InferenceSession(Path(__file__).with_name("generator.onnx"))
{end}
'''
IMAGES = """\
(images,) = session.run(["images"], {{"z": z}})  # (n, {channels}, {size}, {size}) in [-1, 1]
rows = images.reshape({rows}, {rows}, {channels}, {size}, {size}).transpose(0, 3, 1, 4, 2)
sheet = rows.reshape({rows} * {size}, {rows} * {size}, {channels}).squeeze()
Image.fromarray(((sheet + 1) * 127.5).round().astype(np.uint8)).save("drawn.png")"""
PLANE = """\
(points,) = session.run(["points"], {"z": z})  # (n, 2), in the data's own units
seen = np.histogram2d(points[:, 1], points[:, 0], bins=200)[0][::-1] > 0
Image.fromarray(seen).resize((400, 400)).save("drawn.png")"""
LISTED = """\
(points,) = session.run(["points"], {{"z": z}})  # (n, {dim}), in the data's own units
np.savetxt("drawn.csv", points, delimiter=",")"""


def script(gan: Sampler) -> str:
    """The text of example.py for a generator."""
    parts = ["noise = " + filled(NOISE[noise(gan)["prior"]], noise(gan))]
    names = ["noise"]
    for code in codes(gan):
        name, template = CODES.get(code["kind"], OWN)
        names.append(name)
        parts.append(f"{name} = {filled(template, code)}")
    return SCRIPT.format(
        libraries=libraries(gan),
        file=file(gan),
        imports="from PIL import Image\n" if file(gan) == PICTURE else "",
        n=ROWS * ROWS if isinstance(gan.spec, ImageSpec) else 2500,
        parts="\n".join(parts),
        names=", ".join(names),
        end=end(gan),
    )


def file(gan: Sampler) -> str:
    """What it writes: a picture, or a list of points that no plane holds."""
    return NUMBERS if isinstance(gan.spec, PointSpec) and gan.spec.dim != 2 else PICTURE


def libraries(gan: Sampler) -> str:
    """What it imports, in words."""
    return f"ONNX Runtime{', NumPy and Pillow' if file(gan) == PICTURE else ' and NumPy'}"


def filled(template: str, part: dict[str, Any]) -> str:
    """A template with the numbers of a part of z."""
    dim = part["to"] - part["from"]
    return template.format(**part, dim=dim, last=dim - 1)


def end(gan: Sampler) -> str:
    """The lines that draw and save."""
    if isinstance(gan.spec, ImageSpec):
        return IMAGES.format(rows=ROWS, channels=gan.spec.channels, size=gan.spec.size)
    return PLANE if gan.spec.dim == 2 else LISTED.format(dim=gan.spec.dim)
