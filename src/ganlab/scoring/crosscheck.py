"""Recomputes the scores of a run with torchmetrics, from the same images and weights."""

import inspect
import itertools
import statistics
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from ganlab.data.progress import watched
from ganlab.errors import ConfigError
from ganlab.metrics.features import exact_float32
from ganlab.metrics.inception import assignment
from ganlab.metrics.inceptionv3 import DIM
from ganlab.metrics.kernel import draws
from ganlab.scoring.evaluation import Evaluation
from ganlab.scoring.plans import ByClassifier, ByInception, Plan
from ganlab.scoring.reference import chosen
from ganlab.scoring.scorecard import Scorecard
from ganlab.storage import weights

if TYPE_CHECKING:
    from torchmetrics import Metric

PART = 64  # images at once
NOTE = (
    "torchmetrics: the same images and weights, resized without antialiasing as in the reference; "
    "is by the same splits, kernel by the same subsets"
)


class Comparison(NamedTuple):
    """The value of a score, by its full name, from ganlab and from torchmetrics."""

    score: str
    ganlab: float
    torchmetrics: float

    @property
    def difference(self) -> float:
        """The difference relative to torchmetrics's value; infinite if that is 0."""
        apart = abs(self.ganlab - self.torchmetrics)
        if apart == 0:
            return 0.0
        return apart / abs(self.torchmetrics) if self.torchmetrics else float("inf")


def require_comparable(plan: Plan) -> ByInception:
    """The plan, if torchmetrics supports the same network and resizing.

    Raises:
        ConfigError: it does not; says what to set instead.
    """
    if not isinstance(plan, ByInception):
        by = "the classifier" if isinstance(plan, ByClassifier) else type(plan).__name__
        fix = "set extractor=inception weights=FILE n=..."
        raise ConfigError([f"check: torchmetrics scores by Inception, not by {by}; {fix}"])
    if plan.clean:
        resize = "torchmetrics does not resize like Pillow"
        raise ConfigError([f"check: {resize}; leave protocol=... out"])
    if find_spec("torch_fidelity") is None:
        install = "pip install 'torchmetrics[image]'"
        raise ConfigError([f"check: torchmetrics needs torch-fidelity for Inception; {install}"])
    return plan


def by_torchmetrics(found: Evaluation, card: Scorecard) -> list[Comparison]:
    """Compares Frechet distance, Inception Score and kernel distance with torchmetrics.

    torchmetrics's network gets the same images as ours, and its metrics compute scores from its
    features.  Splits of the Inception Score and subsets of the kernel distance are random in both
    libraries; torchmetrics gets ours, one at a time.

    Args:
        found: a run, scored by Inception.
        card: the scores of its first pass.

    Raises:
        ConfigError: torchmetrics does not support the extractor or the resizing.
    """
    file = weights.fetch(require_comparable(found.plan).weights)
    protocol, scorer = card.protocol, found.scorer
    real = found.plan.real_images(found.data).images
    order = chosen(len(real), protocol.real)
    made = scorer.images(found.gan, slice(protocol.fake), found.plan.seed)
    parts = itertools.chain(
        ((True, real[which]) for which in order.split(PART)),
        ((False, part) for images in made for part in images.split(PART)),
    )
    kept = {True: len(scorer.reference.vectors), False: len(found.first.vectors)}
    theirs = Torchmetrics(file, kept, found.device)
    with watched("by torchmetrics", protocol.real + protocol.fake) as watch:
        for is_real, images in parts:
            theirs.update(images, real=is_real)
            watch(len(images))
    again = {
        "frechet": theirs.frechet(),
        "is": theirs.inception_score(protocol.splits),
        "kernel": theirs.kernel(*protocol.subsets),
    }
    return [Comparison(protocol.name(n), card.scores[n].value, v) for n, v in again.items()]


class Torchmetrics:
    """torchmetrics's network and its three metrics, in float64 from the features on.

    Args:
        file: Inception's weights.
        kept: number of real (True) and generated (False) images whose features are kept for the
            kernel distance.
        device: for all computations.
    """

    def __init__(self, file: Path, kept: dict[bool, int], device: torch.device) -> None:
        self.device, self.kept = device, kept
        self.features, self.logits = (
            network(file, layer).to(device) for layer in ("2048", "logits_unbiased")
        )
        self.distance = metric("FrechetInceptionDistance", device)
        self.vectors: dict[bool, list[Tensor]] = {True: [], False: []}
        self.answers: list[Tensor] = []

    @torch.no_grad()
    def update(self, images: Tensor, *, real: bool) -> None:
        """Adds uint8 images (N, 1 or 3, H, W)."""
        images = images.to(self.device).expand(-1, 3, -1, -1)
        with exact_float32():
            vectors = self.features(images).double()
            if not real:
                self.answers.append(self.logits(images).double())
        self.distance.update(vectors, real=real)
        if (left := self.kept[real] - sum(map(len, self.vectors[real]))) > 0:
            self.vectors[real].append(vectors[:left])

    def frechet(self) -> float:
        """FrechetInceptionDistance of all images."""
        return float(self.distance.compute())

    def inception_score(self, splits: int) -> float:
        """The mean of torchmetrics's InceptionScore over our splits."""
        logits = torch.cat(self.answers)
        part_of = assignment(len(logits), splits, seed=0).to(self.device)  # as Tally's
        found = []
        for i in range(splits):
            score = metric("InceptionScore", self.device, splits=1)
            score.update(logits[part_of == i])
            found.append(mean_of(score))
        return statistics.fmean(found)

    def kernel(self, subsets: int, size: int) -> float:
        """The mean of torchmetrics's KernelInceptionDistance over our subsets."""
        real, fake = (torch.cat(self.vectors[is_real]) for is_real in (True, False))
        found = []
        for a, b in draws(len(real), len(fake), subsets, size).to(self.device):
            score = metric("KernelInceptionDistance", self.device, subsets=1, subset_size=size)
            score.update(real[a], real=True)
            score.update(fake[b], real=False)
            found.append(mean_of(score))
        return statistics.fmean(found)


class Given(nn.Identity):
    """Passes features through: replaces the network, so that metrics take features, not images."""

    num_features = DIM


def metric(name: str, device: torch.device, **options: int) -> "Metric":
    """A metric of torchmetrics that takes features."""
    from torchmetrics import image

    with warnings.catch_warnings():  # ignores the warning about its memory
        warnings.simplefilter("ignore")
        made: Metric = getattr(image, name)(feature=Given(), **options)
    return made.to(device)


def mean_of(score: "Metric") -> float:
    """The mean from (mean, standard deviation); a single split or subset has no deviation."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mean, _ = score.compute()
    return float(mean)


def network(file: Path, layer: str) -> nn.Module:
    """torchmetrics's Inception, without antialiasing, which newer versions use by default."""
    from torchmetrics.image.fid import NoTrainInceptionV3

    known = inspect.signature(NoTrainInceptionV3).parameters
    options = {"antialias": False} if "antialias" in known else {}
    return NoTrainInceptionV3("inception-v3-compat", [layer], str(file), **options)
