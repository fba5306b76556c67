"""Which scores of several runs are compared, and which run is the best."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from ganlab.reporting import chosen
from ganlab.reporting.budget import cut
from ganlab.scoring.protocol import Provenance
from ganlab.scoring.scorecard import less_is_better
from ganlab.sweeps.record import Job, likelihoods
from ganlab.sweeps.scores import Result, deciding, results, run_loss, shared


class Ranking(NamedTuple):
    """The results of runs.

    Args:
        by: short name of the score.
        name: its full name; None: no run has it.
        smaller: whether less of it is better.
        results: of each run; only scores by one protocol count.
        protocol: sentences on it.
        left_out: runs whose scores are of other protocols.
        unscored: runs that have no such score by any protocol.
        blank: full name of a likelihood -> runs that have one of another protocol than is shown.
    """

    by: str
    name: str | None
    smaller: bool
    results: list[Result]
    protocol: list[str]
    left_out: int
    unscored: int
    blank: dict[str, int]

    @property
    def order(self) -> list[int]:
        """The indices of the runs, the best first."""
        return sorted(range(len(self.results)), key=lambda i: run_loss(self.results[i], self.by))


def ranked(jobs: Sequence[Job]) -> Ranking:
    """The ranking by the score that the runs' configs name; by the most common protocol."""
    by = deciding(jobs)
    known = [job for job in jobs if job.overrides or job.run.config()]
    found = {result.job: result for result in results(known, by, name=shared(known, by))}
    listed = [found.get(job, Result(job, {}, None)) for job in jobs]
    if not any(job.overrides for job in jobs):
        listed = told_apart(listed)
    blank = not_shown(listed)
    scored = [result.card.protocol for result in listed if result.card is not None]
    if not scored:
        return Ranking(by, None, less_is_better(by), listed, [], 0, len(listed), blank)
    protocol = most_common(scored)
    alike = [only(result, protocol, by) for result in listed]
    left = len(scored) - sum(result.card is not None for result in alike)
    return Ranking(
        by,
        protocol.name(by),
        less_is_better(by),
        alike,
        protocol.sentences(),
        left,
        len(listed) - len(scored),
        blank,
    )


def told_apart(listed: Sequence[Result]) -> list[Result]:
    """Results with the settings that tell their runs apart by their configs."""
    sound = [i for i, result in enumerate(listed) if result.job.run.config()]
    told = chosen.distinguishing([listed[i].job.run.config() for i in sound])
    settings = dict(zip(sound, told, strict=True))
    return [result._replace(settings=settings.get(i, {})) for i, result in enumerate(listed)]


def not_shown(listed: Sequence[Result]) -> dict[str, int]:
    """Full name of a likelihood -> the number of runs that have it, but not by the one protocol."""
    missing: Counter[str] = Counter()
    for result in listed:
        names = {card.protocol.name("nll") for card in likelihoods(result.job.run)}
        shown = {card.protocol.name("nll") for card in result.cards if "nll" in card.scores}
        missing.update(cut(name) for name in names - shown)
    return dict(sorted(missing.items()))


def only(result: Result, protocol: Provenance, by: str) -> Result:
    """A result whose score decides if it is by this protocol, else shows it by its other name."""
    card = result.card
    if card is None or not protocol.differences(card.protocol):
        return result
    named_apart = card.protocol.name(by) != protocol.name(by)
    shown = [*([card] if named_apart else []), *result.beside]
    return result._replace(card=None, beside=shown)


def most_common(protocols: Sequence[Provenance]) -> Provenance:
    """The protocol with which the most others agree."""
    kinds: list[list[Provenance]] = []
    for protocol in protocols:
        for kind in kinds:
            if not kind[0].differences(protocol):
                kind.append(protocol)
                break
        else:
            kinds.append([protocol])
    return max(kinds, key=len)[0]
