"""Likelihoods in a run's summary as cards, which sweeps rank as they rank scores."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ganlab.runs.records import NATS, LikelihoodKind, interval_of
from ganlab.scoring.protocol import Provenance
from ganlab.scoring.scorecard import Card, Score

# Of the protocol: what does not keep two from being compared.  Deviations belong to the model.
DESCRIBES = ("iterations", "seed", "likelihood", "units")
NORMAL = 1.96  # standard errors in half of a 95% interval


@dataclass(frozen=True, kw_only=True)
class LikelihoodProtocol(Provenance):
    """How a likelihood came about.

    Args:
        method: the end of its name, such as iwae-5000.
        kind: what it is of log p(x).
        images: how many.
        protocol: all else: data, binarisation, samples, chains, seed.
    """

    method: str
    kind: LikelihoodKind
    images: int
    protocol: dict[str, Any] = field(default_factory=dict)

    def name(self, score: str) -> str:
        """'nll' -> 'nll/iwae-5000'."""
        return f"{score}/{self.method}"

    def sentences(self) -> list[str]:
        """The record in words."""
        bound = f"{NATS[self.kind]} so many nats" if NATS[self.kind] else "the number itself"
        told = [f"{name} {value}" for name, value in self._decisive().items() if name != "images"]
        return [f"{bound}, of {self.images:,} images", ", ".join(told)]

    def differences(self, other: "LikelihoodProtocol") -> list[str]:
        """'binarise: fixed and dynamic' for each convention in which two protocols differ."""
        mine, theirs = self._decisive(), other._decisive()
        return [
            f"{name}: {mine.get(name)} and {theirs.get(name)}"
            for name in {**mine, **theirs}
            if mine.get(name) != theirs.get(name)
        ]

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @property
    def is_density(self) -> bool:
        """Whether it is of a density, of numbers, and not of a probability, of binary pixels."""
        normal = str(self.protocol.get("likelihood", "")).startswith("normal")
        return normal or self.protocol.get("units") == "gaussian"

    def _decisive(self) -> dict[str, Any]:
        told = {name: value for name, value in self.protocol.items() if name not in DESCRIBES}
        of = "density" if self.is_density else "probability"
        return {"method": self.method, "images": self.images, "of": of, **told}


def card(record: Mapping[str, Any]) -> Card:
    """A likelihood as a card with one number, 'nll', in nats.

    Its margin is that of the mean over images and, where the record has an interval, of what else
    was drawn, such as an estimate of log Z.

    Args:
        record: a `Likelihood` of `ganlab.runs.records`.
    """
    protocol = dict(record.get("protocol", {}))
    about = LikelihoodProtocol(
        method=record["name"].removeprefix("nll/"),
        kind=record["kind"],
        images=record["images"],
        protocol=protocol,
    )
    low, high = interval_of(record) or (0.0, 0.0)
    margin = math.hypot(NORMAL * record["error"], (high - low) / 2)
    score = Score(record["nats"], margin if math.isfinite(margin) else None)
    reached = protocol.get("iterations", 0)
    return Card(about, {"nll": score}, reached if isinstance(reached, int) else 0)
