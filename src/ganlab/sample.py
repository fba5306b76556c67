"""Images from a trained run: `python -m ganlab.sample run=DIR n=64`."""

import functools
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganlab import cli, load, pictures
from ganlab.callbacks import samples
from ganlab.conditioning import ByClass
from ganlab.data.points import density_of
from ganlab.experiment import Experiment, Which, require_known
from ganlab.figures import POINTS_DRAWN, Cloud
from ganlab.gan import GAN
from ganlab.latent import Gaussian
from ganlab.runs import Run
from ganlab.spec import PointSpec, at_least, seed_range


def sample(
    run: str,
    n: int | None = None,
    seed: int = 0,
    columns: int | None = None,
    singles: bool = False,
    interpolate: int = 0,
    steps: int = 8,
    labels: list[int] | None = None,
    sheets: bool = False,
    checkpoint: Which = "last",
    output: str | None = None,
    trust: bool = False,
) -> list[Path]:
    """Draws from a checkpoint of a run; returns the files and folders written.

    Args:
        run: the run's folder.
        n: images in the grid; null: 64, or 2,500 points.
        seed: of the noise; the same seed and run give the same images.
        columns: images per row of the grid; null: a square.
        singles: save each image as a PNG of its own, too.
        interpolate: rows of a second grid that walk from one latent point to another.
        steps: images in such a row.
        labels: classes to draw, one after the other, where G is told one; null: all.
        sheets: save the pictures that show what each code does: classes, infoGAN's codes.
        checkpoint: last: the newest; best: the one with the best score in training.
        output: folder for the files; null: RUN/sampled.
        trust: build parts that are not ganlab's own, if the run's config names any.
    """
    at_least(1, n=n, columns=columns)
    at_least(0, interpolate=interpolate)
    seed_range(seed)
    at_least(2, steps=steps)
    gan = load(run, checkpoint, trust=trust)
    check_labels(labels, gan)
    if points := isinstance(gan.spec, PointSpec):
        refuse_for_points(columns=columns, singles=singles, interpolate=interpolate, sheets=sheets)
    n = n or (POINTS_DRAWN if points else 64)
    paint = cloud(run, trust=trust) if points else functools.partial(pictures.grid, columns=columns)
    stem = stem_of(gan, Path(output or Path(run) / "sampled"), seed, labels)
    images = gan.sample(n, seed, cycled(labels, n))
    written = [save_picture(paint(images), f"{stem}-n-{n}.png")]
    if singles:
        written.append(save_singles(images, Path(f"{stem}-n-{n}")))
    if interpolate:
        along = walked(gan, interpolate, steps, seed, cycled(labels, interpolate))
        written.append(save_picture(along, f"{stem}-interpolate-{interpolate}x{steps}.png"))
    shown = samples.sheets(gan, seed) if sheets else ()
    return written + [save_picture(pixels, f"{stem}-{name}.png") for name, pixels in shown]


def stem_of(gan: GAN, folder: Path, seed: int, labels: list[int] | None) -> Path:
    """How the names of all files begin, in a folder that is there."""
    folder.mkdir(parents=True, exist_ok=True)
    named = f"-labels-{'-'.join(map(str, labels))}" if labels else ""
    return folder / f"iteration-{gan.iterations:07d}-seed-{seed}{named}"


def check_labels(labels: list[int] | None, gan: GAN) -> None:
    """Raises ValueError unless there are none, or G is told classes and these are some of them."""
    if labels is None:
        return
    if not isinstance(gan.conditioning, ByClass):
        raise ValueError("labels: the generator of this run is told no class")  # noqa: TRY004
    last = gan.spec.classes - 1
    if not labels or not all(0 <= label <= last for label in labels):
        raise ValueError(f"labels must be one or more of 0 to {last}, got {labels}")


def refuse_for_points(**asked: object) -> None:
    """Raises ValueError for each option that is given and means nothing for points."""
    if given := [name for name, value in asked.items() if value]:
        raise ValueError(
            f"{', '.join(given)}: for images, and this run makes points, drawn as one cloud"
        )


def cloud(run: str, *, trust: bool) -> Cloud:
    """What draws a run's points over those that it was trained on."""
    config = Run(Path(run)).config()
    if not trust:
        require_known(config, ("data",))
    source = Experiment(**config).source
    source.prepare()
    return Cloud(source.read().images, density_of(source))


def cycled(labels: list[int] | None, n: int) -> Tensor | None:
    """int64 (n,): the labels one after the other, over and over."""
    return torch.tensor([labels[i % len(labels)] for i in range(n)]) if labels else None


def save_picture(pixels: np.ndarray, path: str) -> Path:
    """Writes uint8 (H, W, 3)."""
    pictures.save(Path(path), pixels)
    return Path(path)


def save_singles(images: Tensor, folder: Path) -> Path:
    """Writes folder/00000.png, 00001.png, ..., in the images' own size."""
    folder.mkdir(exist_ok=True)
    for i, pixels in enumerate(pictures.to_pixels(images)):
        pictures.save(folder / f"{i:05d}.png", pixels)
    return folder


def walked(gan: GAN, rows: int, steps: int, seed: int, labels: Tensor | None) -> np.ndarray:
    """The picture of `walks`, each in a row."""
    return pictures.grid(gan.generate(walks(gan, rows, steps, seed, labels)), columns=steps)


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

    Gaussian noise lies near a sphere, which a straight line leaves: there the path is the great
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


if __name__ == "__main__":
    for path in cli.call(sample):
        print(path)
