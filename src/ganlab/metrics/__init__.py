"""Scores from features of images; each function is usable alone: features (N, d) in, a number out.

Scores are comparable only under the same protocol: extractor, number of images, real images.
`FrechetDistance`, `InceptionScore`, `KernelDistance` and `PrecisionRecall` are the same scores as
torchmetrics.Metric classes, which take images; `Inception` is the literature's extractor.

May import: spec, storage, training.
Libraries: scipy, torch, torchmetrics, torchvision.
"""

from typing import TYPE_CHECKING, Any

from ganlab.metrics.classes import ClassBalance, class_balance
from ganlab.metrics.frechet import frechet_distance
from ganlab.metrics.inception import inception_score
from ganlab.metrics.infinity import Extrapolation, frechet_infinity
from ganlab.metrics.kernel import kernel_distance
from ganlab.metrics.moments import Moments
from ganlab.metrics.neighbours import (
    ClassShares,
    Neighbourhood,
    memorisation,
    nearest,
    neighbourhood,
    neighbourhood_by_class,
)
from ganlab.metrics.tally import Tally

if TYPE_CHECKING:
    from ganlab.metrics.inceptionv3 import Inception
    from ganlab.metrics.modules import (
        FrechetDistance,
        InceptionScore,
        KernelDistance,
        PrecisionRecall,
    )

__all__ = [
    "ClassBalance",
    "ClassShares",
    "Extrapolation",
    "FrechetDistance",
    "Inception",
    "InceptionScore",
    "KernelDistance",
    "Moments",
    "Neighbourhood",
    "PrecisionRecall",
    "Tally",
    "class_balance",
    "frechet_distance",
    "frechet_infinity",
    "inception_score",
    "kernel_distance",
    "memorisation",
    "nearest",
    "neighbourhood",
    "neighbourhood_by_class",
]


def __getattr__(name: str) -> Any:
    """Imports classes that need torchmetrics or torchvision on first use: that takes a second.

    Raises:
        AttributeError: there is no such name.
    """
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ganlab.metrics import modules

    return getattr(modules, name)


def __dir__() -> list[str]:
    return __all__
