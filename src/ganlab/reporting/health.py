"""What a page says of a run's health: the verdicts, or why there are none."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from ganlab.reporting.budget import LINES, cut

PREFIX = "health/"  # of readings
Standing = Literal["ailing", "no ailment", "not watched", "not known"]
# Standing -> the sentence of a run without verdicts.
SENTENCES: Mapping[Standing, str] = {
    "no ailment": "No ailment was found.",
    "not watched": "It was not watched.",
    "not known": "It is not known: there are no readings of it, or no verdicts, "
    "which a run writes at its end.",
}


class Ailment(NamedTuple):
    """A verdict on the run's health, and its place on a line of the run's iterations.

    Args:
        name, evidence, advice: as the run reported it.
        since, iteration: the window.
        start, length: of the window, in percent of the run.
    """

    name: str
    evidence: str
    advice: str
    since: int
    iteration: int
    start: float
    length: float


class Health(NamedTuple):
    """The health of a run.

    Args:
        standing: whether it is known, and whether something ails the run.
        ailments: the verdicts, in the order of the run; none unless it is ailing.
    """

    standing: Standing
    ailments: Sequence[Ailment]

    @property
    def sentence(self) -> str:
        """What is said of a run without verdicts; empty if it is ailing."""
        return SENTENCES.get(self.standing, "")

    @property
    def names(self) -> str:
        """The ailments in one line, or else the standing."""
        return ", ".join(one.name for one in self.ailments) or self.standing


def health(
    config: Mapping[str, Any], summary: Mapping[str, Any], readings: Mapping[str, Any], reached: int
) -> Health:
    """The health of a run.

    Args:
        config: of the run; {} if it cannot be read.
        summary: of the run.
        readings: its curves by name.
        reached: the iteration of its newest checkpoint.
    """
    if found := ailments(summary, reached):
        return Health("ailing", found)
    if config and not config.get("health"):
        return Health("not watched", ())
    read = any(name.startswith(PREFIX) for name in readings)
    return Health("no ailment" if read and "health" in summary else "not known", ())


def ailments(summary: Mapping[str, Any], reached: int) -> list[Ailment]:
    """The verdicts, in the order of the run."""
    listed = summary.get("health", [])[:LINES]
    end = max([reached, summary.get("iterations", 0), 1, *(v["iteration"] for v in listed)])
    return [
        Ailment(
            name=cut(verdict["ailment"]),
            evidence=cut(verdict["evidence"]),
            advice=cut(verdict["advice"]),
            since=verdict["since"],
            iteration=verdict["iteration"],
            start=100 * min(verdict["since"], end) / end,
            length=100 * max(0, verdict["iteration"] - verdict["since"]) / end,
        )
        for verdict in listed
    ]
