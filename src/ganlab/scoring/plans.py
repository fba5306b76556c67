"""What `metrics=...` chooses: by which extractor to score, how often, and what to do about it."""

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch

from ganlab.data import ImageData, Images
from ganlab.data.images import Source
from ganlab.data.progress import watched
from ganlab.data.stacked import StackedMNIST
from ganlab.errors import ConfigError, DataError
from ganlab.metrics.classifier import (
    FEATURES,
    Classifier,
    ClassifierNetwork,
    Stacked,
    accuracy,
    train_classifier,
)
from ganlab.metrics.features import Extractor, short_hash
from ganlab.metrics.inceptionv3 import DIM, Inception, tensors_of
from ganlab.metrics.infinity import doubtful
from ganlab.scoring.measures import MEASURES, Measure
from ganlab.scoring.protocol import Split
from ganlab.scoring.reference import FEWEST, Reference, reference
from ganlab.scoring.scorer import Scorer
from ganlab.spec import ImageSpec, PointSpec, at_least, one_of, seed_range
from ganlab.storage import cache, weights
from ganlab.storage.cache import hash_of

FRESH = 2**31  # from the seed of the noise in training to that of the last scoring
NO_CLASSES = (
    "metrics=classifier learns the classes of the data, which has none; set metrics=inception"
)
TRANSPARENT = (
    "metrics=inception: Inception looks at grey or RGB images, and this data has 4 channels; "
    "set data.channels=3 or metrics=none"
)
NO_PICTURES = (
    "metrics: scores compare features of images, and this data is points, whose modes are counted "
    "anyway; set metrics=none"
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Scores during training, and how a run is scored afterwards unless it is told otherwise.

    Args:
        every: iterations between two scorings; the last iteration is always scored.
        n: generated images in each.
        split: real images that they are compared with.
        real: how many of these, drawn at random; None: all.
        kept: images of each kind that kernel distance, precision, recall, density and coverage look
            at; their features stay in memory.
        seed: of the noise, the same each time.
        best: the score whose best checkpoint is kept.
        also: scores of your own, in addition to ganlab's.
        patience: scorings without a better one after which the run ends; None: it never does.
    """

    every: int = 1000
    n: int = 10_000
    split: Split = "train"
    real: int | None = None
    kept: int = 10_000
    seed: int = 0
    best: str = "frechet"
    patience: int | None = None
    also: tuple[Measure, ...] = ()

    def __post_init__(self) -> None:
        at_least(1, every=self.every, patience=self.patience)
        at_least(FEWEST, n=self.n, real=self.real, kept=self.kept)
        seed_range(self.seed)
        names = (name for measure in (*MEASURES, *self.also) for name in measure.names)
        one_of(tuple(names), best=self.best)

    @property
    def fresh_seed(self) -> int:
        """A seed whose noise no scoring during training has used."""
        return (self.seed + FRESH) % 2**32

    def check(self, source: Source) -> None:
        """Makes sure that scoring can be done before anything else is.

        Raises:
            ConfigError: it cannot.
        """
        if isinstance(source.spec, PointSpec):
            raise ConfigError([NO_PICTURES])

    def extractor(self, data: ImageData) -> Extractor:
        """The extractor for this data; made now, if it is not in the cache."""
        raise NotImplementedError

    def dimensions(self, source: Source) -> int | None:
        """The dimension of the features of this data; None: only the extractor knows."""
        return None

    def doubt(self, source: Source) -> str:
        """Why the distance extrapolated from n images is doubtful; empty: it is not, or is unknown.

        Raises:
            ValueError: there are too few images.
        """
        dimensions = self.dimensions(source)
        return doubtful(self.n, dimensions) if dimensions is not None else ""

    def scorer(self, data: ImageData, device: torch.device | str = "cpu") -> Scorer:
        """Compares with this data; works on a device.

        Raises:
            DataError: there are not the real images that are asked for.
        """
        name, extractor = data_name(data.source), self.extractor(data).to(device)
        found = self._reference(self.real_images(data), data, extractor, name, self.real)
        return Scorer(extractor, found, self.n, self.seed, self.kept, also=self.also)

    def scorer_of_class(self, data: ImageData, extractor: Extractor, label: int) -> Scorer:
        """Compares with the images of one class alone, and generates its share of n."""
        real = self.real_images(data)
        part = Images(*(tensor[real.labels == label] for tensor in real))
        name = f"{data_name(data.source)}, class {label}"
        found = self._reference(part, data, extractor, name, None)
        n = self.n // data.spec.classes
        return Scorer(extractor, found, n, self.seed, self.kept, also=self.also)

    def _reference(
        self, real: Images, data: ImageData, extractor: Extractor, name: str, n: int | None
    ) -> Reference:
        classes = max(data.spec.classes, 1)
        return reference(
            real, extractor, data=name, split=self.split, classes=classes, n=n, kept=self.kept
        )

    def real_images(self, data: ImageData) -> Images:
        """All images of the split.

        Raises:
            DataError: none are held out.
        """
        real = data.images if self.split == "train" else data.test_images()
        if real is None:
            raise DataError("metrics.split: this data holds no images out; set metrics.split=train")
        if not data.spec.classes:  # G is told no class, even if the held-out images have some
            real = real._replace(labels=torch.zeros_like(real.labels))
        return real


@dataclass(frozen=True, kw_only=True)
class ByClassifier(Plan):
    """By a compact classifier of the data's own classes, trained once for all runs.

    Args:
        classifier_seed: of its weights and its order of images.
    """

    classifier_seed: int = 0

    def check(self, source: Source) -> None:
        super().check(source)
        seed_range(self.classifier_seed)
        if source.spec.classes < 2:
            raise ConfigError([NO_CLASSES])

    def dimensions(self, source: Source) -> int:
        return 3 * FEATURES if isinstance(source, StackedMNIST) else FEATURES

    def extractor(self, data: ImageData) -> Extractor:
        if isinstance(data.source, StackedMNIST):  # a digit in each channel: learnt from digits
            digits = data.source.digits
            return Stacked(self._classifier(digits, digits.read(), lambda: None))
        if data.images is None:
            raise RuntimeError("setup() has not been called")
        return self._classifier(data.source, data.images, lambda: held_out(data))

    def _classifier(
        self, source: Source, images: Images, unseen: Callable[[], Images | None]
    ) -> Classifier:
        """Read from the cache, or trained and put there with its accuracy on unseen images."""
        spec, name = cast("ImageSpec", source.spec), f"classifier-{data_name(source)}"
        key = short_hash(f"{hash_of(images._asdict())} {self.classifier_seed}")

        def make() -> cache.Entry:
            with watched(f"training {name}", None) as watch:
                network = train_classifier(
                    *images, spec.classes, seed=self.classifier_seed, progress=lambda *_: watch(1)
                )
            test = unseen()
            right = accuracy(Classifier(name, network), *test) if test is not None else None
            if right is not None:
                print(f"{name} is trained: it names {right:.2%} of the held-out images rightly")
            return cache.Entry(network.state_dict(), {"accuracy": right})

        found = cache.kept(f"{name}-{key}", make)
        network = ClassifierNetwork(spec, width=len(found.tensors["layers.0.weight"]))
        network.load_state_dict(found.tensors)
        return Classifier(name, network)


@dataclass(frozen=True, kw_only=True)
class ByInception(Plan):
    """By the Inception-v3 of 2015-12-05, as FID and IS are in the literature.

    Args:
        n: `fid` and `is` are of 50,000 images; `kid` also wants kept=50000, 410 MB of each kind.
        weights: their file; None: where `ganlab fetch-weights` puts them, downloaded if missing.
        clean: resize as Pillow does, not as TensorFlow 1 did (Parmar et al. 2022).
    """

    n: int = 50_000
    weights: Path | None = None
    clean: bool = False

    def check(self, source: Source) -> None:
        super().check(source)
        if source.spec.shape[0] > 3:
            raise ConfigError([TRANSPARENT])
        file = weights.fetch(self.weights)
        require_weights(file, file.stat().st_mtime_ns)

    def dimensions(self, source: Source) -> int:
        return DIM

    def extractor(self, data: ImageData) -> Extractor:
        file = weights.fetch(self.weights)
        return Inception(file, "pil_bicubic" if self.clean else "tf1_bilinear")


@functools.cache  # once for all jobs of a sweep
def require_weights(file: Path, _changed_at: int) -> None:
    """Raises ValueError unless the file holds an Inception network."""
    tensors_of(file)


def data_name(source: Source) -> str:
    """FashionMNIST -> fashion_mnist."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(source).__name__).lower()


def held_out(data: ImageData) -> Images | None:
    """The data's test images, if it has any that can be read."""
    try:
        return data.test_images()
    except DataError:
        return None
