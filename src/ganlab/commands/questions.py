"""What `ganlab quiz` asks: real images of a run's data, and images that its generator makes."""

from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ganlab.commands.run_data import data_of, images_of
from ganlab.data import ImageData, Images
from ganlab.data.images import normalised
from ganlab.errors import ConfigError, DataError
from ganlab.quizzing import pixels
from ganlab.quizzing.trials import Design, Trial
from ganlab.runs.folder import Run
from ganlab.sampler import Sampler
from ganlab.sampling.drawn import Drawn
from ganlab.scoring.plans import data_name
from ganlab.spec import ImageSpec
from ganlab.training.streams import Stream, mixed

Compress = int | Literal["source"] | None


class Asked(NamedTuple):
    """Which images are shown.

    Args:
        seed: of the choice, the noise and the order.
        truncation: of the noise, as in `Generative.sample`.
        split: the real images: train or test; None: test where the data has it.
        compress: quality of the JPEG that all pass through; source: that of the data's files.
    """

    seed: int
    truncation: float | None
    split: Literal["train", "test"] | None
    compress: Compress


class Questions(NamedTuple):
    """What a quiz asks.

    Args:
        trials: in their order.
        spec: of their images.
        about: what was chosen for them, as the result says it.
    """

    trials: list[Trial]
    spec: ImageSpec
    about: dict[str, Any]


def questions(
    run: Run, gan: Sampler, design: Design, asked: Asked, root: str | None, *, trust: bool
) -> Questions:
    """The trials of a quiz.

    The generated images are of the same classes as the real ones, if G is told classes.

    Args:
        run: whose data is meant.
        gan: generates.
        design: the numbers of trials.
        asked: which images.
        root: location of the data, if it has moved since training.
        trust: build parts that are not ganlab's own, if the run's config names any.

    Raises:
        ConfigError: the data's images are others than those that G makes.
        DataError: images are missing, or too few.
        ValueError: the run makes points, or cannot be truncated, or cannot be compressed.
    """
    if not isinstance(gan.spec, ImageSpec):
        raise ValueError("run: it makes points, and a quiz shows images")  # noqa: TRY004
    gan.check_truncation(asked.truncation)
    data = data_of(run, gan, root, trust=trust)
    split, there = real_images(data, asked.split)
    if there.images.shape[1:] != gan.spec.shape:
        raise ConfigError(["run: its data has other images now than those it was trained on"])
    quality = quality_for(asked.compress, data, gan.spec)
    real, labels = chosen(there, design.images, asked.seed)
    drawn = Drawn(gan, design.images, asked.seed, None, labels, asked.truncation)
    shown, made = (pixels.encoded(images, quality) for images in (real, drawn.all()))
    random = np.random.default_rng(mixed(asked.seed, Stream.QUIZ_ORDER))
    about: dict[str, Any] = {"data": data_name(data.source), "split": split, "compress": quality}
    return Questions(design.trials(shown, made, random), gan.spec, about)


def real_images(data: ImageData, split: str | None) -> tuple[str, Images]:
    """The real images, and which part of the data they are.

    Raises:
        DataError: there are none.
    """
    for part in [split] if split else ["test", "train"]:
        found = images_of(data, part)
        if found is not None:
            return part, found
    raise DataError(f"split: this data has no part {split}; leave split out")


def chosen(images: Images, count: int, seed: int) -> tuple[Tensor, list[int]]:
    """Random images, none twice, as floats in [-1, 1], and their labels.

    Raises:
        DataError: there are too few.
    """
    if (there := len(images.labels)) < count:
        raise DataError(f"n: {count:,} real images are wanted, and there are {there:,}")
    random = np.random.default_rng(mixed(seed, Stream.QUIZ_IMAGES))
    rows = torch.from_numpy(random.choice(there, count, replace=False))
    return normalised(images.images[rows]), images.labels[rows].tolist()


def quality_for(compress: Compress, data: ImageData, spec: ImageSpec) -> int | None:
    """The quality of the JPEG that all images pass through; None: of none.

    Raises:
        ValueError: it is out of range, or a JPEG cannot hold these images.
    """
    if compress == "source":
        return pixels.quality_of(data.source)
    if compress is not None and not 1 <= compress <= 100:
        raise ValueError(f"compress must be from 1 to 100, source or null, got {compress}")
    if compress is not None and spec.channels == 4:
        raise ValueError("compress: JPEG has no transparency; set compress=null")
    return compress
