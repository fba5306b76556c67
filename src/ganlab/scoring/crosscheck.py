"""The scores of one run once more, by torchmetrics: the same images, the same weights."""

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
    "torchmetrics: the same images and weights, resized without antialiasing as the reference "
    "does; is in the same parts, kernel on the same subsets"
)


class Comparison(NamedTuple):
    """A score under its full name, as ganlab and as torchmetrics finds it."""

    score: str
    ganlab: float
    torchmetrics: float

    @property
    def difference(self) -> float:
        """How far they are apart, as a part of torchmetrics's; infinite if that is 0."""
        apart = abs(self.ganlab - self.torchmetrics)
        if apart == 0:
            return 0.0
        return apart / abs(self.torchmetrics) if self.torchmetrics else float("inf")


def require_comparable(plan: Plan) -> ByInception:
    """The plan, if torchmetrics can score by the same network and the same resizing.

    Raises:
        ConfigError: it cannot, with what to say instead.
    """
    if not isinstance(plan, ByInception):
        by = "the classifier" if isinstance(plan, ByClassifier) else type(plan).__name__
        say = "set extractor=inception weights=FILE n=..."
        raise ConfigError([f"check: torchmetrics scores by Inception, this is by {by}; {say}"])
    if plan.clean:
        resize = "torchmetrics does not resize as Pillow does"
        raise ConfigError([f"check: {resize}; leave protocol=cleanfid out"])
    if find_spec("torch_fidelity") is None:
        install = "pip install 'torchmetrics[image]'"
        raise ConfigError([f"check: torchmetrics needs torch-fidelity for Inception; {install}"])
    return plan


def by_torchmetrics(found: Evaluation, card: Scorecard) -> list[Comparison]:
    """Frechet distance, Inception Score and kernel distance beside torchmetrics's own.

    torchmetrics's network sees the very images that ours has seen, and its classes make scores of
    what that says.  The Inception Score's parts and the kernel distance's subsets are random in
    both: torchmetrics is given ours, one at a time.

    Args:
        found: a run, scored by Inception.
        card: the scores of its first pass.

    Raises:
        ConfigError: the scores are by another extractor.
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
    theirs = Torchmetrics(file, kept, found.gan.device)
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
        kept: of how many real (True) and generated (False) images the features are kept, for the
            kernel distance.
        device: where all is computed.
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
        """Takes the next uint8 images (N, 1 or 3, H, W)."""
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
        """InceptionScore of each part by itself; their mean."""
        logits = torch.cat(self.answers)
        part_of = assignment(len(logits), splits, seed=0).to(self.device)  # as Tally's
        found = []
        for i in range(splits):
            score = metric("InceptionScore", self.device, splits=1)
            score.update(logits[part_of == i])
            found.append(mean_of(score))
        return statistics.fmean(found)

    def kernel(self, subsets: int, size: int) -> float:
        """KernelInceptionDistance of each subset by itself; their mean."""
        real, fake = (torch.cat(self.vectors[is_real]) for is_real in (True, False))
        found = []
        for a, b in draws(len(real), len(fake), subsets, size).to(self.device):
            score = metric("KernelInceptionDistance", self.device, subsets=1, subset_size=size)
            score.update(real[a], real=True)
            score.update(fake[b], real=False)
            found.append(mean_of(score))
        return statistics.fmean(found)


class Given(nn.Identity):
    """In the place of a network: torchmetrics's metrics are given features, not images."""

    num_features = DIM


def metric(name: str, device: torch.device, **options: int) -> "Metric":
    """One of torchmetrics's metrics, of features."""
    from torchmetrics import image

    with warnings.catch_warnings():  # of the memory that it takes
        warnings.simplefilter("ignore")
        made: Metric = getattr(image, name)(feature=Given(), **options)
    return made.to(device)


def mean_of(score: "Metric") -> float:
    """The first of mean and standard deviation; one part or subset has no deviation."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mean, _ = score.compute()
    return float(mean)


def network(file: Path, layer: str) -> nn.Module:
    """torchmetrics's Inception, resizing as TensorFlow 1 did; newer ones antialias if not told."""
    from torchmetrics.image.fid import NoTrainInceptionV3

    known = inspect.signature(NoTrainInceptionV3).parameters
    options = {"antialias": False} if "antialias" in known else {}
    return NoTrainInceptionV3("inception-v3-compat", [layer], str(file), **options)
