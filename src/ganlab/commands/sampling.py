"""What `ganlab sample` writes beside streams of images: labels, seeds, sheets, walks, films."""

import functools
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
from ganlab.plots import films, pictures
from ganlab.plots.cloud import POINTS_DRAWN, Cloud
from ganlab.runs.folder import Run
from ganlab.sampler import Sampler
from ganlab.sampling.directions import directions, sheet
from ganlab.sampling.drawn import Drawn
from ganlab.sampling.films import Film
from ganlab.sampling.paths import between, interpolation
from ganlab.spec import PointSpec, at_least, seed_range
from ganlab.storage import files

MOST, MANY = 400, 10**6  # images in a grid, seeds in a list
USUAL, WALKS, SHOWN = 64, 16, 3  # images of a grid, walks of a film, images of directions


def seeds_in(given: int | str | list[int]) -> list[int]:
    """The seeds that a text such as 0-99,200 names.

    Raises:
        ValueError: it names none, or one is out of range.
    """
    found = given if isinstance(given, list) else numbers_in(str(given), "seeds")
    at_least(1, **{"number of seeds": len(found)})
    for seed in found:
        seed_range(seed)
    return found


def numbers_in(text: str, name: str) -> list[int]:
    """The numbers that a text such as 0-99,200 names.

    Args:
        text: numbers and ranges.
        name: of the option, for messages.

    Raises:
        ValueError: it is something else, or they are too many.
    """
    spans = [re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip()) for part in text.split(",")]
    if not all(spans):
        raise ValueError(f"{name}: expected numbers and ranges such as 0-99,200, got '{text}'")
    ends = [(int(span[1]), int(span[2] or span[1])) for span in spans if span is not None]
    for first, last in ends:
        if last < first:
            raise ValueError(
                f"{name}: expected a range from the lower number, got '{first}-{last}'"
            )
    if sum(last + 1 - first for first, last in ends) > MANY:
        raise ValueError(f"{name}: at most {MANY:,} at a time, got '{text}'")
    return [number for first, last in ends for number in range(first, last + 1)]


def classes_in(
    given: int | str | list[int | str] | None, gan: Sampler, name: str = "labels"
) -> list[int] | None:
    """The classes that are given by number or by name.

    Raises:
        ValueError: the generator has no classes, or not these.
    """
    if given is None:
        return None
    if not isinstance(gan.conditioning, ByClass):
        raise ValueError(f"{name}: the generator of this run has no classes")  # noqa: TRY004
    listed = given if isinstance(given, list) else [given]
    names, last = gan.class_names, gan.spec.classes - 1
    found = [names.index(one) if one in names else one for one in listed]
    for label in found:
        if isinstance(label, str):
            known = nearest(label, names) or f"; its classes are 0 to {last}, without names"
            raise ValueError(f"{name}: there is no class '{label}'{known}")  # noqa: TRY004
    if not found or not all(0 <= label <= last for label in found):  # type: ignore[operator]
        raise ValueError(f"{name} must be one or more of 0 to {last}, got {listed}")
    return found  # type: ignore[return-value]


def stem_of(gan: Sampler, folder: Path, drawn: Drawn) -> Path:
    """The beginning of all file names, in a folder that is created if it is missing."""
    return files.own_folder(folder) / f"iteration-{gan.iterations:07d}-{drawn}"


def on_device(gan: Sampler) -> Sampler:
    """The GAN on a GPU, if there is one."""
    return gan.to("cuda" if torch.cuda.is_available() else "cpu")


def makes_images(gan: Sampler) -> bool:
    """Whether a GAN makes images rather than points."""
    return not isinstance(gan.spec, PointSpec)


def refuse_for_points(gan: Sampler, asked: Mapping[str, object]) -> None:
    """Raises ValueError for each given option that has no meaning for points."""
    given = [name for name, value in asked.items() if value]
    if given and isinstance(gan.spec, PointSpec):
        raise ValueError(
            f"{', '.join(given)}: for images, and this run makes points, drawn as one cloud"
        )


def refuse_for_seeds(gan: Sampler, asked: Mapping[str, object]) -> None:
    """Raises ValueError for each given option that walks in z, where z is only a seed."""
    given = [name for name, value in asked.items() if value]
    if given and not gan.smooth:
        kind = type(gan.generator).__name__
        raise ValueError(
            f"{', '.join(given)}: a {kind} draws as it goes, and z is its seed; "
            "seeds near each other give images that have nothing in common"
        )


def usual_number(gan: Sampler, *, film: bool = False, directions: bool = False) -> int:
    """The default number of images, walks or points."""
    if isinstance(gan.spec, PointSpec):
        return POINTS_DRAWN
    return WALKS if film else SHOWN if directions else USUAL


def painter(
    gan: Sampler, run: Path, columns: int | None, *, trust: bool
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


def save_sheets(gan: Sampler, stem: str, seed: int, truncation: float | None = None) -> list[Path]:
    """Writes a picture of what each code does."""
    shown = samples.sheets(gan, seed, truncation)
    return [save_picture(paint(images), f"{stem}-{name}.png") for name, images, paint in shown]


def save_walks(
    gan: Sampler,
    stem: str,
    rows: int,
    steps: int,
    seed: int,
    labels: list[int] | None,
    truncation: float | None = None,
) -> Path:
    """Writes the picture of `walks`, each in a row."""
    latents = walks(gan, rows, steps, seed, labels, truncation)
    with gan.truncating(truncation):
        pixels = pictures.grid(gan.generate(latents, truncation=truncation), columns=steps)
    return save_picture(pixels, f"{stem}-interpolate-{rows}x{steps}.png")


def save_directions(drawn: Drawn, stem: str, count: int, steps: int) -> list[Path]:
    """Writes STEM-directions-K.png, each row one direction, and .npz with the directions."""
    found = directions(drawn.gan, count, drawn.seed)
    latents = torch.cat(list(drawn.latents()))
    images = sheet(drawn.gan, found, latents, steps, drawn.truncation)
    name = f"{stem}-directions-{count}"
    picture = save_picture(pictures.grid(images, columns=steps), f"{name}.png")
    arrays = {key: np.asarray(value) for key, value in found._asdict().items()}
    with files.replacing(Path(f"{name}.npz")) as part, part.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    share = ", ".join(f"{100 * one:.1f}" for one in found.share.tolist())
    what = "w" if found.space == "w" else "the features of G's first layer"
    print(f"share of the variance of {what}, %: {share}")
    return [picture, Path(f"{name}.npz")]


def save_film(film: Film, stem: str, kind: films.Format, fps: int) -> Path:
    """Writes STEM-film-KEYFRAMESxFRAMES.KIND."""
    path = Path(f"{stem}-n-{film.walks}-film-{film.keyframes}x{film.between}.{kind}")

    def seen() -> Iterator[np.ndarray]:
        with watched(f"drawing {len(film):,} frames", len(film)) as watch:
            for frame in film:
                yield frame
                watch(1)

    films.save(seen(), len(film), path, kind, fps)
    return path


def walks(
    gan: Sampler,
    rows: int,
    steps: int,
    seed: int,
    labels: list[int] | None,
    truncation: float | None = None,
) -> Tensor:
    """Latents (rows * steps, ...): in each row the noise goes from one point to another.

    The code stays that of the row's start.
    """
    if labels is not None:  # the end of a row has the class of its start
        labels = 2 * [labels[i % len(labels)] for i in range(rows)]
    start, end = gan.fixed_latents(2 * rows, seed, labels, truncation).chunk(2)
    dim, path = gan.latent.dim, between(gan.latent)
    noise = interpolation(start[:, :dim], end[:, :dim], steps, path)
    return torch.cat([noise, start[:, dim:].repeat_interleave(steps, dim=0)], dim=1)
