"""What a trained run can do: how near its samples are to the data, and how likely it finds it."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganlab import load
from ganlab.data import ImageData
from ganlab.data.distributions import Mixture
from ganlab.data.images import normalised
from ganlab.data.points import distribution_of
from ganlab.generative import Generative
from ganlab.lab.generative.kinds import Kind
from ganlab.lab.training import Planned
from ganlab.metrics import Moments, frechet_distance, neighbourhood
from ganlab.runs.folder import Run
from ganlab.sampler import Sampler
from ganlab.scoring import ByClassifier
from ganlab.scoring.baselines import HELD_OUT
from ganlab.scoring.evaluation import Evaluation
from ganlab.scoring.likelihood import HeldOut
from ganlab.scoring.plans import held_out
from ganlab.storage import files

FILE = "compared.json"  # in a run's folder
NEIGHBOURS = 5  # k of precision and recall, as for images
LOOKED_AT = 256  # images whose sharpness is measured
SCORES = ("frechet", "precision", "recall", "modes", "kl")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """How much is measured.

    Args:
        n: samples that are compared with the data.
        held_out: images, or points, whose likelihood is asked for.
        seed: of the samples.
    """

    n: int
    held_out: int = 1000
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What is known of one run, or of held-out data in its place.

    Args:
        numbers: by name: scores, sharpness, readings of the model's own; iterations, seconds.
        likelihoods: as `LogLikelihood.as_dict` makes them.
        protocol: how the scores came about, in sentences.
        asked: what was asked for, and of which weights.
    """

    numbers: dict[str, float] = field(default_factory=dict)
    likelihoods: list[dict[str, Any]] = field(default_factory=list)
    protocol: list[str] = field(default_factory=list)
    asked: dict[str, Any] = field(default_factory=dict)


def measured(plan: Planned, kind: Kind, wanted: Wanted) -> Measured:
    """What is known of a finished run; what was found before is read from its folder."""
    file, asked = plan.run.path / FILE, {**asdict(wanted), "iterations": plan.run.reached()}
    if (known := found_before(file)) is not None and known.asked == asked:
        return known
    model, data = load(plan.run.path), data_of(plan)
    assert isinstance(model, Generative)  # noqa: S101 - a run of training is no export
    numbers, protocol = scores(plan.run, model, data, wanted)
    likelihoods = HeldOut(data, wanted.held_out, wanted.seed)(model, kind.effort, wanted.seed)
    records = [one.as_dict() for one in likelihoods]
    plan.run.note_likelihoods(records)
    with torch.no_grad():
        own = model.own_readings(real_images(data)[: wanted.held_out])
    numbers |= {name: float(value) for name, value in own.items()}
    numbers |= {"iterations": model.iterations, "seconds": plan.run.summary()["seconds"]}
    if model.ema_decay is not None:
        numbers["average"] = model.ema_decay
    found = Measured(numbers=numbers, likelihoods=records, protocol=protocol, asked=asked)
    files.write(file, json.dumps(asdict(found), indent=1))
    return found


def found_before(file: Path) -> Measured | None:
    """What an earlier command has found of a run; None: nothing, or nothing that can be read."""
    try:
        return Measured(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def data_of(plan: Planned) -> ImageData:
    """The data of a run, read."""
    experiment = plan.experiment
    data = experiment.image_data(experiment.build())
    data.prepare_data()
    data.setup()
    return data


def real_images(data: ImageData) -> Tensor:
    """Training images in [-1, 1], or points; at most 1,000, as `HeldOut` would choose them."""
    assert data.images is not None  # noqa: S101 - it is set up
    return normalised(data.images.images[:1000])


def scores(
    run: Run, model: Sampler, data: ImageData, wanted: Wanted
) -> tuple[dict[str, float], list[str]]:
    """Scores of samples by name, and their protocol in sentences."""
    mixture = distribution_of(data.source)
    if isinstance(mixture, Mixture):
        samples = model.sample(wanted.n, wanted.seed)
        return of_points(samples, training_points(data), mixture)
    evaluation = Evaluation(model, data, ByClassifier(n=wanted.n, seed=wanted.seed))
    card = evaluation.score()
    run.note_scores([card.as_dict()])
    numbers = {name: card.scores[name].value for name in SCORES}
    numbers["sharpness"] = sharpness(model.sample(LOOKED_AT)) / sharpness(real_images(data))
    return numbers, [card.protocol.name("frechet"), *card.protocol.sentences()]


def reference(plan: Planned, wanted: Wanted) -> Measured:
    """What held-out data has by the same measures, which no model can be asked to exceed."""
    data = data_of(plan)
    unseen = held_out(data)
    assert unseen is not None  # noqa: S101 - all data that is compared holds some out
    mixture = distribution_of(data.source)
    if isinstance(mixture, Mixture):
        points = unseen.images[: wanted.n]
        numbers, protocol = of_points(points, training_points(data), mixture)
        numbers["nll"] = -float(mixture.log_density(unseen.images).mean())
        numbers["all_modes"] = len(mixture)
        return Measured(numbers=numbers, protocol=protocol)
    model = plan.experiment.build()
    found = Evaluation(model, data, ByClassifier(n=wanted.n, seed=wanted.seed)).baselines()
    card = next(one.card for one in found if one.images == HELD_OUT)
    numbers = {name: card.scores[name].value for name in SCORES}
    numbers["sharpness"] = sharpness(normalised(unseen.images)) / sharpness(real_images(data))
    numbers["all_modes"] = data.spec.classes
    return Measured(numbers=numbers, protocol=card.protocol.sentences())


def training_points(data: ImageData) -> Tensor:
    """The points that a run was trained on (N, d)."""
    assert data.images is not None  # noqa: S101 - it is set up
    return data.images.images


def of_points(
    samples: Tensor, real: Tensor, mixture: Mixture
) -> tuple[dict[str, float], list[str]]:
    """Scores of points (M, d), which are their own features, and their protocol in sentences.

    Args:
        samples: generated points; non-finite ones count for no mode and are left out else.
        real: as many of them as there are samples are compared.
        mixture: the distribution of the data.
    """
    coverage = mixture.coverage(samples)
    finite = samples[samples.isfinite().all(dim=1)].float()
    kept = real[: len(samples)]
    near = neighbourhood(kept, finite, NEIGHBOURS)
    numbers = {
        "frechet": frechet_distance(Moments.of(real), Moments.of(finite)),
        "precision": near.precision,
        "recall": near.recall,
        "modes": coverage.modes,
        "kl": coverage.kl,
        "high_quality": coverage.high_quality,
    }
    sentences = [
        f"Fréchet distance of the points themselves, {len(samples):,} against {len(real):,}",
        f"precision and recall of {len(samples):,} points of each kind, {NEIGHBOURS} neighbours",
    ]
    return numbers, sentences


def sharpness(images: Tensor) -> float:
    """The mean difference of neighbouring pixels of images (N, C, H, W)."""
    across, down = (images.diff(dim=dim).abs().mean() for dim in (2, 3))
    return float(across + down) / 2
