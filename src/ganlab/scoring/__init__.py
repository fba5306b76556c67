"""Scores of a generator: which images are compared, by which extractor, under which protocol."""

from ganlab.scoring.plans import ByClassifier, ByInception, Plan
from ganlab.scoring.protocol import Protocol, UnlikeProtocols, require_alike
from ganlab.scoring.scorecard import Score, Scorecard
from ganlab.scoring.scorer import Scorer

__all__ = [
    "ByClassifier",
    "ByInception",
    "Plan",
    "Protocol",
    "Score",
    "Scorecard",
    "Scorer",
    "UnlikeProtocols",
    "require_alike",
]
