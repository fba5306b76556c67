"""What `ganlab sample` draws: labels, walks between latent points, and the files."""

import functools
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganlab.callbacks import samples
from ganlab.conditioning import ByClass
from ganlab.config.words import nearest
from ganlab.data.points import density_of
from ganlab.data.progress import watched
from ganlab.experiments.experiment import Experiment
from ganlab.experiments.restore import require_known, require_sound
from ganlab.gan import GAN
from ganlab.latent import Gaussian
from ganlab.plots import pictures
from ganlab.plots.cloud import POINTS_DRAWN, Cloud
from ganlab.runs.folder import Run
from ganlab.spec import PointSpec, at_least, seed_range
from ganlab.storage import files

MOST, AT_ONCE, MANY = 400, 256, 10**6  # images in a grid, images at once, seeds in a list
LONGEST = 40  # letters of the seeds in the name of a file


class Drawn:
    """The images that are asked for; they are generated part by part.

    Args:
        gan: generates them.
        n: how many, unless `seeds` says so.
        seed: of the noise.
        seeds: the first image of each; None: n images of one seed.
        labels: classes, repeated as often as needed; None: one after the other.
    """

    def __init__(
        self,
        gan: GAN,
        n: int,
        seed: int = 0,
        seeds: list[int] | None = None,
        labels: list[int] | None = None,
    ) -> None:
        self.gan, self.n = gan, len(seeds) if seeds is not None else n
        self.seed, self.seeds, self.labels = seed, seeds, labels

    @functools.cached_property
    def latents(self) -> Tensor:
        """One row for each image."""
        if self.seeds is not None:
            return self.gan.seeded_latents(self.seeds, self.labels)
        return self.gan.fixed_latents(self.n, self.seed, self.labels)

    def parts(self) -> Iterator[Tensor]:
        """Images (N, C, H, W) in [-1, 1], some hundreds at a time; points (N, dim)."""
        for z in self.latents.split(AT_ONCE):
            yield self.gan.generate(z)

    def all(self) -> Tensor:
        """All of them."""
        return torch.cat(list(self.parts()))

    @property
    def names(self) -> list[str]:
        """The name of each image: its seed, or its number."""
        if self.seeds is not None:
            return [f"seed-{seed:05d}" for seed in self.seeds]
        return [f"{i:05d}" for i in range(self.n)]

    def __str__(self) -> str:
        named = f"-labels-{'-'.join(map(str, self.labels))}" if self.labels else ""
        return f"seeds-{self._spelled}{named}" if self.seeds else f"seed-{self.seed}{named}"

    @property
    def _spelled(self) -> str:
        """The seeds in the name of a file: all of them, or the first, the last and a hash."""
        listed = self.seeds or []
        text = "+".join(map(str, listed))
        if len(text) <= LONGEST:
            return text
        digest = hashlib.sha256(text.encode()).hexdigest()[:6]
        return f"{listed[0]}-to-{listed[-1]}-{digest}"


def seeds_in(given: str | list[int]) -> list[int]:
    """The seeds that a text such as 0-99,200 names.

    Raises:
        ValueError: it names none, or one is out of range.
    """
    if isinstance(given, list):
        found = given
    else:
        spans = [re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip()) for part in given.split(",")]
        if not all(spans):
            raise ValueError(f"seeds: expected numbers and ranges such as 0-99,200, got '{given}'")
        ends = [(int(span[1]), int(span[2] or span[1])) for span in spans if span is not None]
        if sum(max(0, last + 1 - first) for first, last in ends) > MANY:
            raise ValueError(f"seeds: at most {MANY:,} at a time, got '{given}'")
        found = [seed for first, last in ends for seed in range(first, last + 1)]
    at_least(1, **{"number of seeds": len(found)})
    for seed in found:
        seed_range(seed)
    return found


def classes_in(given: int | str | list[int | str] | None, gan: GAN) -> list[int] | None:
    """The classes that are given by number or by name.

    Raises:
        ValueError: the generator has no classes, or not these.
    """
    if given is None:
        return None
    if not isinstance(gan.conditioning, ByClass):
        raise ValueError("labels: the generator of this run has no classes")  # noqa: TRY004
    listed = given if isinstance(given, list) else [given]
    names, last = gan.class_names, gan.spec.classes - 1
    found = [names.index(one) if one in names else one for one in listed]
    for label in found:
        if isinstance(label, str):
            known = nearest(label, names) or f"; its classes are 0 to {last}, without names"
            raise ValueError(f"labels: there is no class '{label}'{known}")  # noqa: TRY004
    if not found or not all(0 <= label <= last for label in found):  # type: ignore[operator]
        raise ValueError(f"labels must be one or more of 0 to {last}, got {listed}")
    return found  # type: ignore[return-value]


def stem_of(gan: GAN, folder: Path, drawn: Drawn) -> Path:
    """The beginning of all file names, in a folder that is created if it is missing."""
    return files.own_folder(folder) / f"iteration-{gan.iterations:07d}-{drawn}"


def makes_images(gan: GAN) -> bool:
    """Whether a GAN makes images rather than points."""
    return not isinstance(gan.spec, PointSpec)


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
    require_sound(Run(run), config, ("data",))
    source = Experiment(**config).source
    source.prepare()
    return Cloud(source.read().images, density_of(source))


def save_picture(pixels: np.ndarray, path: str) -> Path:
    """Writes uint8 (H, W, 3)."""
    pictures.save(Path(path), pixels)
    return Path(path)


def save_sheets(gan: GAN, stem: str, seed: int) -> list[Path]:
    """Writes a picture of what each code does."""
    shown = samples.sheets(gan, seed)
    return [save_picture(paint(images), f"{stem}-{name}.png") for name, images, paint in shown]


def save_singles(drawn: Drawn, folder: Path) -> Path:
    """Writes folder/00000.png, 00001.png, ..., in the images' own size."""
    files.own_folder(folder)
    names = iter(drawn.names)
    with watched(f"drawing {drawn.n:,} images", drawn.n) as watch:
        for images in drawn.parts():
            for pixels in pictures.to_pixels(images):
                pictures.save(folder / f"{next(names)}.png", pixels)
            watch(len(images))
    return folder


def save_array(drawn: Drawn, path: Path) -> Path:
    """Writes uint8 (n, H, W, C), or float32 (n, dim) of points, part by part."""
    images = makes_images(drawn.gan)
    shape = drawn.gan.spec.shape
    each = (*shape[1:], shape[0]) if images else shape
    about = {"descr": "|u1" if images else "<f4", "fortran_order": False, "shape": (drawn.n, *each)}
    with files.replacing(path) as part, part.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, about)
        with watched(f"drawing {drawn.n:,} images", drawn.n) as watch:
            for generated in drawn.parts():
                pixels = pictures.to_pixels(generated) if images else generated.cpu().numpy()
                file.write(pixels.tobytes())
                watch(len(pixels))
    return path


def save_walks(
    gan: GAN, stem: str, rows: int, steps: int, seed: int, labels: list[int] | None
) -> Path:
    """Writes the picture of `walks`, each in a row."""
    latents = walks(gan, rows, steps, seed, labels)
    pixels = pictures.grid(gan.generate(latents), columns=steps)
    return save_picture(pixels, f"{stem}-interpolate-{rows}x{steps}.png")


def walks(gan: GAN, rows: int, steps: int, seed: int, labels: list[int] | None) -> Tensor:
    """Latents (rows * steps, ...): in each row the noise goes from one point to another.

    The code stays that of the row's start.
    """
    if labels is not None:  # the end of a row has the class of its start
        labels = 2 * [labels[i % len(labels)] for i in range(rows)]
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
