"""The scores as torchmetrics.Metric classes, for use in any LightningModule.

They give the same results as the functions of this package, for batches of any size.
"""

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from ganlab.metrics.checks import finite_rows
from ganlab.metrics.features import Extractor, Features, exact_float32
from ganlab.metrics.frechet import frechet_distance
from ganlab.metrics.inception import inception_score
from ganlab.metrics.inceptionv3 import Inception
from ganlab.metrics.kernel import kernel_distance
from ganlab.metrics.moments import Moments
from ganlab.metrics.neighbours import neighbourhood
from ganlab.spec import at_least
from ganlab.storage import weights

KINDS = {True: "real", False: "fake"}


class OfFeatures(Metric):
    """Base of the scores: holds an extractor, and may keep real features across resets.

    The extractor is not a submodule.  So checkpoints, optimizers and the precision of the module
    that owns the metric do not affect it; it moves to the device of the images.  With FeatureShare
    of torchmetrics, several metrics share one pass.

    Args:
        extractor: an extractor, or the file of Inception's weights; None: the file that
            `ganlab fetch-weights` writes, downloaded if missing.
        reset_real_features: whether `reset` also forgets the real images.
        options: of torchmetrics.Metric.

    Raises:
        ganlab.errors.ConfigError: the file does not exist, or cannot be downloaded.
        ValueError: the file does not hold Inception's weights.
    """

    is_differentiable = False
    full_state_update = False
    feature_network = "extractor"  # where FeatureShare looks for it
    extractor: Extractor

    def __init__(
        self,
        extractor: Extractor | str | Path | None = None,
        *,
        reset_real_features: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._widths: dict[str, int] = {}
        if not isinstance(extractor, Extractor):
            extractor = Inception(weights.fetch(extractor))
        self.__dict__["extractor"] = extractor.eval()  # not by setattr, which would register it
        self.dim, self.classes = extractor.dim, extractor.classes
        self.reset_real_features = reset_real_features

    def forward(self, *_: Any, **__: Any) -> Any:
        """Not supported: the score of one minibatch has no meaning.

        Raises:
            TypeError: always.
        """
        name = type(self).__name__
        raise TypeError(f"{name} has no value of one minibatch: call update(...), then compute()")

    def reset(self) -> None:
        """Forgets all images, except the real ones if `reset_real_features` is False."""
        real = [name for name in self._defaults if name.startswith("real")]
        kept = {} if self.reset_real_features else {n: copy.copy(getattr(self, n)) for n in real}
        super().reset()
        for name, state in {**self._no_rows(), **kept}.items():
            setattr(self, name, state)

    def _keep_rows(self, name: str, width: int) -> None:
        """Adds a state of rows (N, width): a list of parts, gathered in the order of processes."""
        self.add_state(name, [], dist_reduce_fx="cat")
        self._widths[name] = width
        setattr(self, name, self._no_rows()[name])

    def _no_rows(self) -> dict[str, list[Tensor]]:
        """An empty part for each such state, so that a process without images can be gathered."""
        return {n: [torch.zeros(0, d, device=self.device)] for n, d in self._widths.items()}

    @torch.no_grad()
    def _features(self, images: Tensor) -> Features:
        """The extractor's features of uint8 images (N, C, H, W).

        Raises:
            ValueError: the images have a wrong type or shape, or a feature is not finite.
        """
        if images.dtype != torch.uint8 or images.ndim != 4:
            got = f"{images.dtype} {tuple(images.shape)}"
            raise ValueError(f"images must be uint8 (N, C, H, W) in 0..255, got {got}")
        extractor = self.extractor.to(images.device)
        with exact_float32(), torch.autocast(images.device.type, enabled=False):
            vectors, logits = extractor(images)
        return Features(finite_rows("features", vectors), finite_rows("logits", logits))


class FrechetDistance(OfFeatures):
    """The Frechet distance between all real and all generated images (`frechet_distance`).

    Keeps sums in float64, not features; the result does not depend on batches and processes.

    Args:
        extractor, reset_real_features, options: as in `OfFeatures`.
    """

    higher_is_better = False
    real_n: Tensor
    real_sum: Tensor
    real_products: Tensor
    fake_n: Tensor
    fake_sum: Tensor
    fake_products: Tensor

    def __init__(
        self,
        extractor: Extractor | str | Path | None = None,
        *,
        reset_real_features: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(extractor, reset_real_features=reset_real_features, **options)
        for kind in KINDS.values():
            zeros = Moments(self.dim)
            self.add_state(f"{kind}_n", torch.tensor(0), dist_reduce_fx="sum")
            self.add_state(f"{kind}_sum", zeros.sum, dist_reduce_fx="sum")
            self.add_state(f"{kind}_products", zeros.products, dist_reduce_fx="sum")

    def update(self, images: Tensor, real: bool) -> None:
        """Adds uint8 images (N, C, H, W) in 0..255.

        Raises:
            ValueError: the images have a wrong type or shape, or a feature is not finite.
        """
        found = Moments.of(self._features(images).vectors)
        for name in ("n", "sum", "products"):
            state = getattr(self, f"{KINDS[real]}_{name}")
            added = torch.as_tensor(getattr(found, name), device=state.device)
            # Not +=, which raises if a reset happened in inference mode.
            setattr(self, f"{KINDS[real]}_{name}", state + added)

    def compute(self) -> Tensor:
        """The distance, float64 ().

        Raises:
            ValueError: there are fewer than two real or two generated images.
        """
        real, fake = (self._moments(kind) for kind in KINDS.values())
        require("FrechetDistance", 2, real.n, fake.n)
        return torch.tensor(frechet_distance(real, fake), dtype=torch.float64, device=self.device)

    def _moments(self, kind: str) -> Moments:
        found = Moments(self.dim)
        found.n = int(getattr(self, f"{kind}_n"))
        found.sum, found.products = getattr(self, f"{kind}_sum"), getattr(self, f"{kind}_products")
        return found


class InceptionScore(OfFeatures):
    """The Inception Score of all generated images, as a mean over splits (`inception_score`).

    Keeps the logits of all images: 200 MB for 50,000 images with Inception.

    Args:
        extractor, options: as in `OfFeatures`.
        splits, seed: as in `inception_score`.
    """

    higher_is_better = True
    fake_logits: list[Tensor]

    def __init__(
        self,
        extractor: Extractor | str | Path | None = None,
        *,
        splits: int = 10,
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(extractor, **options)
        at_least(1, splits=splits)
        self.splits, self.seed = splits, seed
        self._keep_rows("fake_logits", self.classes)

    def update(self, images: Tensor, real: bool = False) -> None:
        """Adds uint8 images (N, C, H, W) in 0..255; ignores real ones.

        Raises:
            ValueError: the images have a wrong type or shape, or a logit is not finite.
        """
        if not real:
            self.fake_logits.append(self._features(images).logits)

    def compute(self) -> Tensor:
        """The score, float64 ().

        Raises:
            ValueError: there are fewer images than splits.
        """
        found, _ = inception_score(joined(self.fake_logits), self.splits, self.seed)
        return torch.tensor(found, dtype=torch.float64, device=self.device)


class OfPairs(OfFeatures):
    """Base of scores that compare pairs of images; keeps the first features of each kind.

    Each process keeps up to `kept` features, and the first `kept` of all gathered ones are used.
    If each process has a contiguous share of the images, one process would use the same.

    Args:
        extractor, reset_real_features, options: as in `OfFeatures`.
        kept: number of images of each kind to compare, the first ones.
    """

    real_vectors: list[Tensor]
    fake_vectors: list[Tensor]

    def __init__(
        self,
        extractor: Extractor | str | Path | None = None,
        *,
        kept: int = 10_000,
        reset_real_features: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(extractor, reset_real_features=reset_real_features, **options)
        at_least(2, kept=kept)
        self.kept = kept
        for kind in KINDS.values():
            self._keep_rows(f"{kind}_vectors", self.dim)

    def update(self, images: Tensor, real: bool) -> None:
        """Adds uint8 images (N, C, H, W) in 0..255, until `kept` are there.

        Raises:
            ValueError: the images have a wrong type or shape, or a feature is not finite.
        """
        rows: list[Tensor] = getattr(self, f"{KINDS[real]}_vectors")
        if (left := self.kept - sum(map(len, rows))) > 0:
            rows.append(self._features(images).vectors[:left])

    def _vectors(self) -> tuple[Tensor, Tensor]:
        """Features (N, d) of real and generated images."""
        real, fake = (joined(getattr(self, f"{kind}_vectors")) for kind in KINDS.values())
        return real[: self.kept], fake[: self.kept]


class KernelDistance(OfPairs):
    """The kernel distance, KID, as a mean over subsets (`kernel_distance`).

    Args:
        extractor, kept, reset_real_features, options: as in `OfPairs`.
        subsets: number of subsets.
        size: images of each kind in a subset, or all if there are fewer.
        seed: of the draws.
    """

    higher_is_better = False

    def __init__(
        self,
        extractor: Extractor | str | Path | None = None,
        *,
        subsets: int = 100,
        size: int = 1000,
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(extractor, **options)
        at_least(1, subsets=subsets)
        at_least(2, size=size)
        self.subsets, self.size, self.seed = subsets, size, seed

    def compute(self) -> Tensor:
        """The distance, float64 ().

        Raises:
            ValueError: there are fewer than two real or two generated images.
        """
        real, fake = self._vectors()
        require("KernelDistance", 2, len(real), len(fake))
        size = min(self.size, len(real), len(fake))
        found, _ = kernel_distance(real, fake, self.subsets, size, self.seed)
        return torch.tensor(found, dtype=torch.float64, device=self.device)


class PrecisionRecall(OfPairs):
    """Precision, recall, density and coverage (`neighbourhood`).

    Args:
        extractor, kept, reset_real_features, options: as in `OfPairs`.
        k: balls reach to the k-th neighbour; 3 in Kynkaanniemi et al. 2019, 5 in Naeem et al. 2020.
    """

    higher_is_better = True

    def __init__(
        self, extractor: Extractor | str | Path | None = None, *, k: int = 5, **options: Any
    ) -> None:
        super().__init__(extractor, **options)
        at_least(1, k=k)
        self.k = k

    def compute(self) -> dict[str, Tensor]:
        """precision, recall, density and coverage, float64 () each.

        Raises:
            ValueError: there are at most k real or k generated images.
        """
        real, fake = self._vectors()
        require("PrecisionRecall", self.k + 1, len(real), len(fake))
        found = neighbourhood(real, fake, self.k)._asdict()
        return {
            name: torch.tensor(value, dtype=torch.float64, device=self.device)
            for name, value in found.items()
        }


def joined(parts: list[Tensor] | Tensor) -> Tensor:
    """All rows of a state; torchmetrics has already joined them if it has gathered them."""
    return parts if isinstance(parts, Tensor) else torch.cat(parts)


def require(name: str, fewest: int, real: int, fake: int) -> None:
    """Raises ValueError if there are fewer than `fewest` real or generated images."""
    if min(real, fake) < fewest:
        needs = f"at least {fewest} real and {fewest} generated images"
        raise ValueError(f"{name} needs {needs}, got {real} and {fake}")
