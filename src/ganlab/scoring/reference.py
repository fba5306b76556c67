"""Statistics of real images for the scores, computed once and cached for all runs."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ganlab.data.images import Images
from ganlab.data.progress import watched
from ganlab.errors import DataError
from ganlab.metrics import Moments
from ganlab.metrics.features import Extractor, short_hash
from ganlab.scoring.extraction import tallied
from ganlab.storage import cache
from ganlab.storage.cache import hash_of
from ganlab.training.streams import Stream, stream

FEWEST = 10  # images of each kind, for 10 splits and 5 neighbours


@dataclass(frozen=True)
class Reference:
    """Statistics of real images.

    Args:
        data, split: names of the data set and its split.
        pixels: sha256 of all images and labels of the split, 16 hexadecimal digits.
        available: number of all images of the split.
        moments: of the features of the chosen images.
        vectors: features (kept, d) of the first of them.
        labels: int64 (kept,), the classes of these.
        counts: int64 (classes,), number of chosen images per class.
        predicted: int64 (K,), number of chosen images per class that the extractor predicts.
    """

    data: str
    split: str
    pixels: str
    available: int
    moments: Moments
    vectors: Tensor
    labels: Tensor
    counts: Tensor
    predicted: Tensor

    @classmethod
    def of(
        cls, data: str, split: str, pixels: str, available: int, found: dict[str, Tensor]
    ) -> "Reference":
        """A reference from the tensors that `measured` returns."""
        n, total, products = (found.pop(name) for name in ("n", "sum", "products"))
        moments = Moments(len(total))
        moments.n, moments.sum, moments.products = int(n), total, products
        return cls(data, split, pixels, available, moments, **found)


def reference(
    real: Images,
    extractor: Extractor,
    *,
    data: str,
    split: str,
    classes: int,
    n: int | None = None,
    kept: int = 10_000,
) -> Reference:
    """The statistics of n of the real images, from the cache if possible.

    Args:
        real: all images of the split, in any order.
        extractor: of features, on the device for the computation.
        data, split: names of the data set and its split.
        classes: number of classes of the data.
        n: number of images, drawn without replacement; None: all.
        kept: number of images whose features are kept.

    Raises:
        DataError: there are fewer than n or fewer than FEWEST images.
    """
    n = len(real.labels) if n is None else n
    if len(real.labels) < max(n, FEWEST):
        needed = f"{max(n, FEWEST)} real images are needed"
        raise DataError(f"{needed}, {data} ({split}) has {len(real.labels)}")
    pixels = hash_of({"images": real.images, "labels": real.labels})[:16]
    name = f"reference-{short_hash(f'{pixels} {n} {kept} {extractor.fingerprint}')}"

    def make() -> cache.Entry:
        tensors = measured(real, extractor, n, kept, classes)
        about = {"data": data, "split": split}
        return cache.Entry({key: tensor.cpu() for key, tensor in tensors.items()}, about)

    found = cache.kept(name, make).tensors
    return Reference.of(data, split, pixels, len(real.labels), found)


def chosen(count: int, n: int) -> Tensor:
    """Indices of n out of `count` real images for scoring, in random order: int64 (n,)."""
    return torch.randperm(count, generator=stream("cpu", 0, Stream.SCORED_IMAGES))[:n]


def measured(
    real: Images, extractor: Extractor, n: int, kept: int, classes: int
) -> dict[str, Tensor]:
    """The tensors of a Reference, from n of the images in random order.

    The order does not matter for moments, but the kept features must be a random sample.
    """
    order = chosen(len(real.labels), n)
    labels = real.labels[order]
    with watched("real images", n) as watch:
        tally = tallied(extractor, real.images, order, kept, watch)
    return {
        "n": torch.tensor(n),
        "sum": tally.moments.sum,
        "products": tally.moments.products,
        "vectors": tally.vectors,
        "labels": labels[:kept],
        "counts": labels.bincount(minlength=classes),
        "predicted": tally.histogram,
    }
