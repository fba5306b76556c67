"""The scores of one generator at one time, with their protocol."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, Field, ValidationError

from ganlab.runs.records import Count, reason
from ganlab.scoring.protocol import Protocol, Provenance

# Ganlab's scores that are better if they are less.
LESS_IS_BETTER = ("frechet", "frechet_infinity", "kernel", "kl", "nll")


CONFIDENCE = 0.95


class Score(NamedTuple):
    """A number, or the mean of several, and how uncertain it is.

    Args:
        value: the number.
        margin: half of its 95% interval.
        deviation: standard deviation: between n runs or repeats; of a single scoring, between the
            parts or subsets of images that the score is a mean of.
        n: how many runs or repeats it is the mean of.
    """

    value: float
    margin: float | None = None
    deviation: float | None = None
    n: int = 1


@dataclass(frozen=True)
class Card:
    """Numbers by short name ('frechet'), as of an iteration; means of several repeats if so."""

    protocol: Provenance
    scores: dict[str, Score]
    iterations: int
    repeats: int = 1

    def named(self) -> dict[str, float]:
        """Values by full name: 'fid', 'frechet/classifier-mnist/10k'."""
        return {self.protocol.name(name): score.value for name, score in self.scores.items()}

    def better(self, other: "Card | None", by: str) -> bool:
        """Whether this one's score named `by` is better than another's, or the first."""
        if other is None or math.isnan(other.scores[by].value):
            return True
        return as_loss(self.scores[by].value, by) < as_loss(other.scores[by].value, by)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        scores = {name: score._asdict() for name, score in self.scores.items()}
        names = {name: self.protocol.name(name) for name in scores}
        return {
            "iterations": self.iterations,
            "repeats": self.repeats,
            "scores": {name: {"name": names[name], **score} for name, score in scores.items()},
            "protocol": self.protocol.as_dict(),
        }


@dataclass(frozen=True)
class Scorecard(Card):
    """Scores of one protocol."""

    protocol: Protocol

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "Scorecard":
        """The inverse of `as_dict`, of a record that anybody may have written.

        Raises:
            ValueError: it is no such record; says where.
        """
        try:
            found = Record.model_validate(record)
        except ValidationError as error:
            raise ValueError(reason(error)) from error
        scores = {name: one.score() for name, one in found.scores.items()}
        return cls(found.protocol, scores, found.iterations, found.repeats)


class Number(BaseModel):
    """A score in a record."""

    value: float
    margin: float | None = None
    deviation: float | None = None
    n: Annotated[Count, Field(ge=1)] = 1

    def score(self) -> Score:
        """The score that it records."""
        return Score(self.value, self.margin, self.deviation, self.n)


class Record(BaseModel):
    """What `Scorecard.as_dict` makes."""

    iterations: Count
    repeats: Annotated[Count, Field(ge=1)]
    # The names of scores become names of files.
    scores: dict[Annotated[str, Field(pattern=r"^\w+$")], Number]
    protocol: Protocol


def less_is_better(name: str) -> bool:
    """Whether less of a score is better: of ganlab's own, and of names that end in 'distance'."""
    return name in LESS_IS_BETTER or name.endswith("distance")


def as_loss(value: float, by: str) -> float:
    """A score as something to make small."""
    return value if less_is_better(by) else -value


def mean_of(cards: Sequence[Scorecard]) -> Scorecard:
    """Means of repeats with their intervals; a single one is what it is."""
    if len(cards) == 1:
        return cards[0]
    names = cards[0].scores
    scores = {name: spread([card.scores[name].value for card in cards]) for name in names}
    return replace(cards[0], scores=scores, repeats=len(cards))


def spread(values: Sequence[float]) -> Score:
    """The mean and, of more than one value, its margin and the standard deviation (n - 1)."""
    if len(values) < 2:
        return Score(statistics.fmean(values))
    deviation = statistics.stdev(values)
    return Score(statistics.fmean(values), margin(deviation, len(values)), deviation, len(values))


def margin(deviation: float, n: int) -> float:
    """Half of the 95% interval of the mean of n normal values (Student 1908): 2.48 sd if n is 3.

    Args:
        deviation: standard deviation of the values, with n - 1.
        n: at least 2.
    """
    from scipy.special import stdtrit  # the quantile of Student's t

    return float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * deviation / math.sqrt(n)
