"""What is known of the likelihood of images under a model, and how it came about."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from torch import Tensor

# Of log p(x): the number itself; a number that it is at least or at most; one that is near it.
Kind = Literal["exact", "lower bound", "upper bound", "estimate"]


@dataclass(frozen=True, kw_only=True)
class LogLikelihood:
    """Minus the mean log-likelihood of images, in nats per image; less is better.

    Args:
        method: how log p(x) was found, such as iwae-5000; the end of the score's name.
        kind: what it is of log p(x).
        nats: minus the mean of log p(x) over images.
        error: standard error of that mean, from the spread over images.
        interval: 95% interval of `nats` due to what else is drawn, such as an estimate of log Z;
            None: that is in `error`.  An end may be infinite.
        images: how many.
        protocol: all else that decides the number: binarisation, samples, chains, seed.
    """

    method: str
    kind: Kind
    nats: float
    error: float
    images: int
    interval: tuple[float, float] | None = None
    protocol: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls, log_likelihoods: Tensor, method: str, kind: Kind, **protocol: Any
    ) -> "LogLikelihood":
        """Of the log-likelihoods (N,) of N images."""
        values = log_likelihoods.double()
        error = values.std().item() / math.sqrt(len(values)) if len(values) > 1 else math.nan
        return cls(
            method=method,
            kind=kind,
            nats=-values.mean().item(),
            error=error,
            images=len(values),
            protocol=protocol,
        )

    @property
    def name(self) -> str:
        """The score's full name."""
        return f"nll/{self.method}"

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for summary.json; an infinite end of the interval is None."""
        ends = self.interval and [end if math.isfinite(end) else None for end in self.interval]
        return {"name": self.name, **asdict(self), "interval": ends}

    def __str__(self) -> str:
        says = {"lower bound": "at most ", "upper bound": "at least ", "estimate": "about "}
        between = f", 95% {self.interval[0]:.2f} to {self.interval[1]:.2f}" if self.interval else ""
        return (
            f"{self.name}: {says.get(self.kind, '')}{self.nats:.2f} nats (standard error "
            f"{self.error:.2f} over {self.images:,} images{between})"
        )
