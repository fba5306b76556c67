"""Scores of a generator: which images are compared, by which extractor, under which protocol.

May import: conditioning, data, errors, generative, metrics, plots, runs, sampler, spec,
storage, training.
Libraries: pydantic, scipy, torch, torchmetrics.
"""

from typing import TYPE_CHECKING, Any

from ganlab.scoring.protocol import Protocol, require_alike
from ganlab.scoring.scorecard import Score, Scorecard

if TYPE_CHECKING:
    from ganlab.scoring.measures import Measure
    from ganlab.scoring.plans import ByClassifier, ByInception, Plan
    from ganlab.scoring.scorer import Scorer

__all__ = [
    "ByClassifier",
    "ByInception",
    "Measure",
    "Plan",
    "Protocol",
    "Score",
    "Scorecard",
    "Scorer",
    "require_alike",
]


def __getattr__(name: str) -> Any:
    """What scores needs torch, which takes seconds to import; what reads scores does not."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ganlab.scoring import measures, plans, scorer

    return next(getattr(m, name) for m in (plans, scorer, measures) if hasattr(m, name))


def __dir__() -> list[str]:
    return __all__
