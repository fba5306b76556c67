"""`ganlab evaluate images=DIR reference=DATA`: scores of pictures from anywhere."""

from pathlib import Path
from typing import NamedTuple

import torch

from ganlab.commands.composition import Composer, without_hydra
from ganlab.commands.evaluation import Choice, beside, plain_rows, report
from ganlab.commands.preflight import checked
from ganlab.data import Folder, ImageData
from ganlab.data.images import Source
from ganlab.errors import ConfigError
from ganlab.experiments.experiment import Experiment
from ganlab.scoring import ByClassifier, Scorecard, tables
from ganlab.scoring.baselines import Baseline
from ganlab.scoring.baselines import baselines as of_real_images
from ganlab.scoring.stored import score_stored
from ganlab.spec import ImageSpec


class Compared(NamedTuple):
    """Pictures, what they were compared with, their scores, and those of real images."""

    images: Path
    reference: str
    card: Scorecard
    baselines: list[Baseline]


def compared(
    images: str,
    reference: str,
    choice: Choice,
    size: int | None,
    root: str | None,
    *,
    baselines: bool = True,
) -> Compared:
    """The scores of the pictures in a folder, a zip or an array file, printed.

    Args:
        images: where they are.
        reference: the real ones: likewise, or the name of a data set.
        choice: how to score.
        size: pixels to which all of them are resized; None: as they are.
        root: location of the reference's data set.
        baselines: also score real images.

    Raises:
        ConfigError: the pictures and the reference cannot be compared.
        DataError: some of them are missing or damaged.
    """
    real = source_of(reference, size, root)
    plan = choice.plan(None, real.spec.classes)
    alike = real.spec if isinstance(plan, ByClassifier) else None
    fake = pictures_in(images, size, alike)
    generated = fake.read().images
    plan = choice.limited(plan, len(generated))
    plan.check(real)
    data = ImageData(real, batch_size=1, minibatches=1, iterations=1)
    data.prepare_data()
    data.setup()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    scorer = plan.scorer(data, device)
    card = score_stored(scorer, generated[: plan.n])
    print(f"{images}, {plan.n:,} images\n{report(card)}")
    found = of_real_images(scorer, data) if baselines else []
    if baselines:
        print(beside(found, plan.n))
    return Compared(Path(images), reference, card, found)


def pictures_in(images: str, size: int | None, alike: object) -> Folder:
    """The source of the pictures, in the shape of the real ones if the extractor needs that."""
    if isinstance(alike, ImageSpec):
        return Folder(Path(images), size=alike.size, channels=alike.channels)
    return Folder(Path(images), size=size)


def source_of(reference: str, size: int | None, root: str | None) -> Source:
    """The real images: a path, or a choice of the group `data`."""
    if Path(reference).exists():
        return Folder(Path(reference), size=size)
    composer, words = Composer(), [f"data={reference}"]
    options = composer.loader.get_group_options("data")
    if reference not in options:
        known = f"nor a data set ({', '.join(options)})"
        raise ConfigError([f"reference: there is no folder '{reference}', {known}"])
    words += [f"data.root='{root}'"] if root is not None else []
    words += [f"data.size={size}"] if size is not None else []
    cfg, mistakes = composer.compose(words)
    if mistakes:
        raise ConfigError(mistakes)
    return Experiment(**checked(without_hydra(cfg))).source


def as_json(found: Compared) -> str:
    """One document: the pictures, the reference, and the scores with their protocol."""
    about = {"images": str(found.images), "reference": found.reference}
    return tables.as_json(about | found.card.as_dict() | {"baselines": plain_rows(found.baselines)})
