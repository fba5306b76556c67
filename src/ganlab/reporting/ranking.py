"""Which scores of several runs are compared, and which run is the best."""

from collections.abc import Sequence
from typing import NamedTuple

from ganlab.scoring.protocol import Provenance
from ganlab.scoring.scorecard import less_is_better
from ganlab.sweeps.record import Job
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
    """

    by: str
    name: str | None
    smaller: bool
    results: list[Result]
    protocol: list[str]
    left_out: int

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
    scored = [result.card.protocol for result in listed if result.card is not None]
    if not scored:
        return Ranking(by, None, less_is_better(by), listed, [], 0)
    protocol = most_common(scored)
    alike = [only(result, protocol, by) for result in listed]
    left = len(scored) - sum(result.card is not None for result in alike)
    return Ranking(by, protocol.name(by), less_is_better(by), alike, protocol.sentences(), left)


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
