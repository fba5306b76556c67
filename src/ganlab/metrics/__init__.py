"""Scores from features of images, each usable alone: features (N, d) in, a number out.

A score means nothing without its protocol: which extractor, how many images, which real ones.
"""

from ganlab.metrics.frechet import frechet_distance
from ganlab.metrics.inception import inception_score
from ganlab.metrics.kernel import kernel_distance
from ganlab.metrics.moments import Moments
from ganlab.metrics.neighbours import Neighbourhood, neighbourhood

__all__ = [
    "Moments",
    "Neighbourhood",
    "frechet_distance",
    "inception_score",
    "kernel_distance",
    "neighbourhood",
]
