"""Scores from features of images, each usable alone: features (N, d) in, a number out.

A score means nothing without its protocol: which extractor, how many images, which real ones.

May import: spec, storage, training.
Libraries: scipy, torch, torchvision.
"""

from ganlab.metrics.classes import ClassBalance, class_balance
from ganlab.metrics.frechet import Extrapolation, frechet_distance, frechet_infinity
from ganlab.metrics.inception import inception_score
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

__all__ = [
    "ClassBalance",
    "ClassShares",
    "Extrapolation",
    "Moments",
    "Neighbourhood",
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
