"""What `ganlab invert` does: it reads the images, searches their latent points, writes both."""

import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ganlab.commands.sampling import numbers_in
from ganlab.conditioning import ByClass
from ganlab.data.images import Images, normalised
from ganlab.data.progress import watched
from ganlab.errors import ConfigError, DataError
from ganlab.experiments.experiment import Experiment
from ganlab.experiments.restore import move_data, require_known, require_sound
from ganlab.plots import pictures
from ganlab.runs.folder import Run
from ganlab.sampler import Sampler
from ganlab.sampling.inversion import Found, Inversion
from ganlab.scoring import tables
from ganlab.scoring.scorecard import spread
from ganlab.spec import ImageSpec
from ganlab.storage import files
from ganlab.storage.archive import Directory
from ganlab.storage.conversion import Conversion
from ganlab.storage.decoding import Decoder, reason


class Target(NamedTuple):
    """name: of the image, for people.  pixels: uint8 (C, H, W)."""

    name: str
    pixels: Tensor


def targets(
    given: str | list[str], gan: Sampler, run: Run, fit: str, root: str | None, *, trust: bool
) -> list[Target]:
    """The images of files, or images of the run's own data such as test:0-15.

    Args:
        given: one or more of these.
        gan: whose images have the size and the colours to which files are converted.
        run: whose data is meant.
        fit: how files become square: crop, pad or squeeze.
        root: location of the data, if it has moved since training.
        trust: build parts that are not ganlab's own, if the run's config names any.

    Raises:
        DataError: an image is missing or cannot be used, or the data has no such image.
        ValueError: the run makes points.
    """
    spec = gan.spec
    if not isinstance(spec, ImageSpec):
        raise ValueError("image: this run makes points; only images are inverted")  # noqa: TRY004
    found, sources = list[Target](), dict[str, Images]()
    for text in [given] if isinstance(given, str) else given:
        own = re.fullmatch(r"(train|test):(.*)", text)
        if own is None:
            found.append(from_file(Path(text), spec, fit))
            continue
        split, numbers = own[1], numbers_in(own[2], "image")
        if split not in sources:
            sources[split] = own_images(run, gan, split, root, trust=trust)
        images = sources[split].images
        if (last := max(numbers, default=0)) >= len(images):
            raise DataError(f"image: {split} has images 0 to {len(images) - 1}, and no {last}")
        found += [Target(f"{split}-{i}", images[i]) for i in numbers]
    if not found:
        raise ValueError("image: name a file, or images of the data such as test:0-15")
    return found


def from_file(path: Path, spec: ImageSpec, fit: str) -> Target:
    """An image file, converted as `data=folder` does.

    Raises:
        DataError: it is missing, or no image.
    """
    if not path.is_file():
        raise DataError(f"image: there is no file '{path}'")
    decoder = Decoder(Directory(path.parent), Conversion(spec.size, spec.channels, fit))
    try:
        content, _ = decoder.pixels(path.name, spec)
    except Exception as error:
        raise DataError(f"image: '{path}': {reason(error)}") from error
    pixels = np.frombuffer(content, np.uint8).reshape(spec.shape).copy()
    return Target(path.stem, torch.from_numpy(pixels))


def own_images(run: Run, gan: Sampler, split: str, root: str | None, *, trust: bool) -> Images:
    """The images of the run's data: those of training, or those held out.

    Raises:
        DataError: they are missing.
        ConfigError: the run's config names what is not trusted.
    """
    config = run.config()
    if not trust:
        require_known(config, ("data",))
    require_sound(run, config, ("data",))
    move_data(config, root)
    data = Experiment(**config).image_data(gan)
    if split == "train":
        data.prepare_data()
        data.setup()
        found = data.images
    else:
        found = data.test_images()
    if found is None:
        raise DataError("image: this data holds no images out; take train:0 or a file")
    if found.images.shape[1:] != gan.spec.shape:
        raise ConfigError(["image: the data has other images now than those of the run"])
    return found


def search(inversion: Inversion, wanted: Sequence[Target], label: int | None) -> list[Found]:
    """The points of all images, one after the other."""
    found = []
    with watched("inverting", len(wanted)) as watch:
        for one in wanted:
            found.append(inversion(normalised(one.pixels), label))
            watch(1)
    return found


def save(
    stem: str, inversion: Inversion, wanted: Sequence[Target], found: Sequence[Found]
) -> list[Path]:
    """Writes STEM.png, .json and .npz: pictures, numbers, points.

    A row of the picture is the target, the image at some steps, and the result.
    """
    rows = [
        torch.cat([normalised(target.pixels).unsqueeze(0), one.steps, one.image.unsqueeze(0)])
        for target, one in zip(wanted, found, strict=True)
    ]
    picture = Path(f"{stem}.png")
    pictures.save(picture, pictures.grid(torch.cat(rows), columns=len(rows[0])))
    numbers = Path(f"{stem}.json")
    files.write(numbers, tables.as_json(document(inversion, wanted, found)) + "\n")
    arrays = {
        "space": np.asarray(found[0].space),
        "points": torch.stack([one.point for one in found]).numpy(),
        "codes": torch.stack([one.code for one in found]).numpy(),
        "images": np.stack([target.name for target in wanted]),
    }
    points = Path(f"{stem}.npz")
    with files.replacing(points) as part, part.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    return [picture, numbers, points]


def document(
    inversion: Inversion, wanted: Sequence[Target], found: Sequence[Found]
) -> dict[str, object]:
    """The numbers, as plain data."""
    asked = ("starts", "steps", "rate", "features", "prior", "seed")
    images = [
        {"image": target.name, "psnr": one.psnr, "loss": one.loss, "start": one.start}
        | {"class": said(inversion, one), "seconds": round(one.seconds, 3)}
        for target, one in zip(wanted, found, strict=True)
    ]
    return {
        "iterations": inversion.gan.iterations,
        "space": found[0].space,
        **{name: getattr(inversion, name) for name in asked},
        "psnr": spread([one.psnr for one in found])._asdict(),
        "images": images,
    }


def said(inversion: Inversion, one: Found) -> int | None:
    """The class that an image was found in; None: G is told none."""
    return int(one.code.argmax()) if isinstance(inversion.gan.conditioning, ByClass) else None


def report(wanted: Sequence[Target], found: Sequence[Found]) -> str:
    """A line for each image, and the mean."""
    lines = [
        f"  {target.name}  PSNR {one.psnr:.2f} dB, {one.seconds:.1f} s"
        for target, one in zip(wanted, found, strict=True)
    ]
    if len(found) > 1:
        seconds = statistics.fmean(one.seconds for one in found)
        mean = tables.spelled(spread([one.psnr for one in found]))
        lines.append(f"  mean of {len(found)}  PSNR {mean} dB, {seconds:.1f} s an image")
    return tables.captioned("\n".join(lines))
