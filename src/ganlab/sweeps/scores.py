"""What a sweep has found: the scores of its runs, seeds together, the best first."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ganlab.config.completion import flattened
from ganlab.errors import ProtocolMismatchError
from ganlab.runs.folder import Run, Which, varied
from ganlab.scoring.scorecard import Score, Scorecard, as_loss, spread
from ganlab.sweeps.record import Job, card_of, cards, distinct
from ganlab.sweeps.study import AGAIN


class Result(NamedTuple):
    """A job, the settings that tell it from the others but for its seed, and its scores if any."""

    job: Job
    settings: Mapping[str, str]
    card: Scorecard | None

    @property
    def label(self) -> str:
        """The settings in one line; runs that differ by their seed alone share it."""
        said = " ".join(f"{key}={value}" for key, value in self.settings.items())
        return said or self.job.run.path.absolute().parent.name

    @property
    def seed(self) -> str:
        """What a sweep says of a run's seed; empty if it says nothing."""
        said = [word.partition("=")[2] for word in self.job.overrides if word.startswith("seed=")]
        return said[-1] if said else ""


class Experiment(NamedTuple):
    """Runs that differ by their seed alone.

    Args:
        label: what tells them from others.
        results: of every run.
        score: mean and standard deviation of those that have one; None: none has.
    """

    label: str
    results: list[Result]
    score: Score | None

    @property
    def cards(self) -> list[Scorecard]:
        """The scores of the runs that have any."""
        return [result.card for result in self.results if result.card is not None]

    def best(self, by: str) -> Result:
        """The run with the best score."""
        return min(self.results, key=lambda result: run_loss(result, by))


def deciding(jobs: Iterable[Job]) -> str:
    """The score by which the runs themselves judge, by short name; frechet if none does."""
    begun = (job.run.config() for job in jobs if job.run.config_file.exists())
    named = (config.get("metrics", {}).get("best") for config in begun)
    return next((name for name in named if name), "frechet")


def shared(jobs: Sequence[Job], by: str) -> str | None:
    """The full name of a score that all scored runs have, where their first ones differ."""
    listed = [[c.protocol.name(by) for c in cards(job.run) if by in c.scores] for job in jobs]
    scored = [names for names in listed if names]
    if len({names[0] for names in scored}) < 2:
        return None
    common = [name for name in scored[0] if all(name in names for names in scored)]
    return common[0] if common else None


def results(
    jobs: Sequence[Job], by: str, which: Which = "best", name: str | None = None
) -> list[Result]:
    """What every job has found so far.

    Args:
        jobs: of one sweep, or found below a folder.
        by: the score that says which of a run's checkpoints is the best.
        which: of a run's checkpoints.
        name: the score by full name, where only one protocol is wanted.
    """
    settings = said(jobs) if any(job.overrides for job in jobs) else configured(jobs)
    return [Result(job, settings[job], card_of(job.run, by, which, name)) for job in jobs]


def said(jobs: Sequence[Job]) -> dict[Job, dict[str, str]]:
    """Of a sweep's jobs the overrides that not all share."""
    pairs = {job: [word.partition("=") for word in words] for job, words in distinct(jobs).items()}
    return {job: {k: v for k, _, v in words if k != "seed"} for job, words in pairs.items()}


def configured(jobs: Sequence[Job]) -> dict[Job, dict[str, str]]:
    """Of runs found in a folder their names, and what differs in their configs."""
    keys = [key for key in varied([job.run for job in jobs]) if key != "seed"]
    told = [key for key in keys if not key.endswith("_target_")]  # those are in the name
    return {job: named(job.run, told) for job in jobs}


def named(run: Run, keys: Iterable[str]) -> dict[str, str]:
    """The name of a run's experiment, and what its config says of some keys."""
    config = dict(flattened(run.config()))
    said = {key: str(config[key]) for key in keys if key in config}
    return {"experiment": run.path.absolute().parent.name, **said}


def experiments(found: Iterable[Result], by: str) -> list[Experiment]:
    """Runs that differ by their seed alone together; of each protocol the best experiment first.

    Raises:
        ProtocolMismatchError: such runs were scored in different ways.
    """
    found = list(found)
    groups: dict[str, list[Result]] = defaultdict(list)
    for result in found:
        groups[result.label].append(result)
    made = [Experiment(label, group, mean(group, by)) for label, group in groups.items()]
    names = protocols(found, by)
    place = {one.label: names.index(n) for one in made for n in protocols(one.results, by)}
    return sorted(made, key=lambda one: (place.get(one.label, len(names)), loss_of(one.score, by)))


def ranked(found: Sequence[Result], by: str) -> list[Experiment]:
    """The scored experiments, the best first; of a study those that the search has not seen."""
    again = [result for result in found if result.job.stage == AGAIN and result.card is not None]
    return [one for one in experiments(again or found, by) if one.score is not None]


def protocols(found: Iterable[Result], by: str) -> list[str]:
    """The full names under which a score stands, in the order in which they come."""
    cards = (result.card for result in found if result.card is not None)
    return list(dict.fromkeys(card.protocol.name(by) for card in cards))


def by_method(found: Iterable[Result]) -> dict[str, list[Result]]:
    """A study's results, method by method."""
    groups: dict[str, list[Result]] = defaultdict(list)
    for result in found:
        groups[result.job.method].append(result)
    return dict(groups)


def mean(found: Iterable[Result], by: str) -> Score | None:
    """Mean and standard deviation of a score over runs; None where none has it.

    Raises:
        ProtocolMismatchError: there are several scores of this short name.
    """
    found = list(found)
    require_one(found, by)
    values = [r.card.scores[by].value for r in found if r.card is not None]
    return spread(values) if values else None


def require_one(found: Iterable[Result], by: str) -> None:
    """Raises ProtocolMismatchError if there are several scores of this short name."""
    if len(names := protocols(found, by)) > 1:
        raise ProtocolMismatchError(
            f"'{by}' is {' in some runs, in others '.join(names)}: set by=..., one of these, or "
            "evaluate all runs alike"
        )


def loss_of(score: Score | None, by: str) -> float:
    """A score as something to make small; infinite where there is none."""
    if score is None or not math.isfinite(score.value):
        return math.inf
    return as_loss(score.value, by)


def run_loss(result: Result, by: str) -> float:
    """A run's score as something to make small."""
    return loss_of(result.card.scores[by] if result.card is not None else None, by)


def unscored(found: Sequence[Result]) -> int:
    """How many runs have no score."""
    return sum(result.card is None for result in found)


def points(found: Iterable[Result], by: str, worst: float) -> list[float]:
    """The scores of runs that have ended; one that has failed counts as the worst."""
    ended = [r for r in found if r.card is not None or r.job.state in ("failed", "stopped")]
    return [worst if r.card is None else r.card.scores[by].value for r in ended]


def best_of(values: Sequence[float], k: int, *, smaller: bool = True) -> float:
    """The expected best of k values drawn without repetition.

    Exact: the i-th best of n is the best of the k with probability C(n - i, k - 1) / C(n, k).  As a
    function of k it is what a budget of k random points is worth (Lucic et al. 2018, section 6).
    """
    ordered = sorted(values, reverse=not smaller)
    n = len(ordered)
    chances = (math.comb(n - i, k - 1) / math.comb(n, k) for i in range(1, n + 1))
    return math.fsum(p * v for p, v in zip(chances, ordered, strict=True))
