"""What `ganlab sample` draws: labels, walks between latent points, and the files."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganlab.callbacks import samples
from ganlab.conditioning import ByClass
from ganlab.data.points import density_of
from ganlab.experiments.experiment import Experiment
from ganlab.experiments.restore import require_known
from ganlab.gan import GAN
from ganlab.latent import Gaussian
from ganlab.plots import pictures
from ganlab.plots.cloud import POINTS_DRAWN, Cloud
from ganlab.runs.folder import Run
from ganlab.spec import PointSpec


def stem_of(gan: GAN, folder: Path, seed: int, labels: list[int] | None) -> Path:
    """The beginning of all file names, in a folder that is created if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    named = f"-labels-{'-'.join(map(str, labels))}" if labels else ""
    return folder / f"iteration-{gan.iterations:07d}-seed-{seed}{named}"


def refuse_for_points(gan: GAN, asked: Mapping[str, object]) -> None:
    """Raises ValueError for each given option that has no meaning for points."""
    given = [name for name, value in asked.items() if value]
    if given and isinstance(gan.spec, PointSpec):
        raise ValueError(
            f"{', '.join(given)}: for images, and this run makes points, drawn as one cloud"
        )


def usual_number(gan: GAN) -> int:
    """The default number of images or points."""
    return POINTS_DRAWN if isinstance(gan.spec, PointSpec) else 64


def painter(
    gan: GAN, run: Path, columns: int | None, *, trust: bool
) -> Callable[[Tensor], np.ndarray]:
    """The function that makes one picture: a grid of images, or a cloud of points over the data."""
    if not isinstance(gan.spec, PointSpec):
        return functools.partial(pictures.grid, columns=columns)
    config = Run(run).config()
    if not trust:
        require_known(config, ("data",))
    source = Experiment(**config).source
    source.prepare()
    return Cloud(source.read().images, density_of(source))


def check_labels(labels: list[int] | None, gan: GAN) -> None:
    """Raises ValueError if labels are given and the generator has no classes, or not these."""
    if labels is None:
        return
    if not isinstance(gan.conditioning, ByClass):
        raise ValueError("labels: the generator of this run has no classes")  # noqa: TRY004
    last = gan.spec.classes - 1
    if not labels or not all(0 <= label <= last for label in labels):
        raise ValueError(f"labels must be one or more of 0 to {last}, got {labels}")


def cycled(labels: list[int] | None, n: int) -> Tensor | None:
    """int64 (n,): the labels in order, repeated as often as needed."""
    return torch.tensor([labels[i % len(labels)] for i in range(n)]) if labels else None


def save_picture(pixels: np.ndarray, path: str) -> Path:
    """Writes uint8 (H, W, 3)."""
    pictures.save(Path(path), pixels)
    return Path(path)


def save_sheets(gan: GAN, stem: str, seed: int) -> list[Path]:
    """Writes a picture of what each code does."""
    shown = samples.sheets(gan, seed)
    return [save_picture(paint(images), f"{stem}-{name}.png") for name, images, paint in shown]


def save_singles(images: Tensor, folder: Path) -> Path:
    """Writes folder/00000.png, 00001.png, ..., in the images' own size."""
    folder.mkdir(exist_ok=True)
    for i, pixels in enumerate(pictures.to_pixels(images)):
        pictures.save(folder / f"{i:05d}.png", pixels)
    return folder


def save_walks(
    gan: GAN, stem: str, rows: int, steps: int, seed: int, labels: list[int] | None
) -> Path:
    """Writes the picture of `walks`, each in a row."""
    latents = walks(gan, rows, steps, seed, cycled(labels, rows))
    pixels = pictures.grid(gan.generate(latents), columns=steps)
    return save_picture(pixels, f"{stem}-interpolate-{rows}x{steps}.png")


def walks(gan: GAN, rows: int, steps: int, seed: int, labels: Tensor | None) -> Tensor:
    """Latents (rows * steps, ...): in each row the noise goes from one point to another.

    The code stays that of the row's start.
    """
    labels = labels.repeat(2) if labels is not None else None
    start, end = gan.fixed_latents(2 * rows, seed, labels).chunk(2)
    dim, spherical = gan.latent.dim, isinstance(gan.latent, Gaussian)
    noise = interpolation(start[:, :dim], end[:, :dim], steps, spherical=spherical)
    return torch.cat([noise, start[:, dim:].repeat_interleave(steps, dim=0)], dim=1)


def interpolation(start: Tensor, end: Tensor, steps: int, *, spherical: bool) -> Tensor:
    """Noise (rows * steps, dim) on paths between rows of `start` and `end`, both (rows, dim).

    Gaussian noise lies near a sphere, and a straight line leaves it, so the path is a great
    circle (White 2016, "Sampling Generative Networks", section 2.1).
    """
    t = torch.linspace(0, 1, steps, device=start.device).view(1, steps, 1)
    start, end = start.unsqueeze(1), end.unsqueeze(1)
    if not spherical:
        return torch.lerp(start, end, t).flatten(0, 1)
    cosine = torch.cosine_similarity(start, end, dim=-1).clamp(-1, 1)
    angle = cosine.arccos().clamp_min(1e-6).unsqueeze(-1)
    path = ((1 - t) * angle).sin() * start + (t * angle).sin() * end
    return (path / angle.sin()).flatten(0, 1)
