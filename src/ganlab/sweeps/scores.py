"""The scores of a sweep's runs, grouped over seeds and ranked."""

import itertools
import math
import operator
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ganlab.config.completion import flattened
from ganlab.errors import ProtocolMismatchError
from ganlab.runs.folder import Run, Which, varied
from ganlab.scoring.scorecard import Card, Score, as_loss, spread
from ganlab.sweeps.record import Job, card_of, distinct, known, likelihoods
from ganlab.sweeps.study import AGAIN

COLUMNS = ("frechet", "is", "kernel", "precision", "recall", "nll")  # of tables


class Result(NamedTuple):
    """A job, its distinguishing settings without the seed, and its scores if it has any.

    Args:
        job: its run.
        settings: that distinguish it from the others.
        card: the scores that decide; None: it has none.
        beside: what does not decide and is shown: the newest of each of its likelihoods, if its
            protocol is that of the first run that has one of this name.
    """

    job: Job
    settings: Mapping[str, str]
    card: Card | None
    beside: Sequence[Card] = ()

    @property
    def cards(self) -> list[Card]:
        """All that is to be shown of the run's scores and likelihoods."""
        return [*([self.card] if self.card is not None else []), *self.beside]

    @property
    def label(self) -> str:
        """The settings in one line; runs that differ only in their seed have the same label."""
        said = " ".join(f"{key}={value}" for key, value in self.settings.items())
        return said or self.job.run.path.absolute().parent.name

    @property
    def seed(self) -> str:
        """The run's seed in the sweep's overrides; empty if they do not set it."""
        said = [word.partition("=")[2] for word in self.job.overrides if word.startswith("seed=")]
        return said[-1] if said else ""


class ExperimentScores(NamedTuple):
    """Runs that differ only in their seed.

    Args:
        label: distinguishes them from other experiments.
        results: of every run.
        score: mean over runs with the score, and its 95% interval; None if none has it.
    """

    label: str
    results: list[Result]
    score: Score | None

    @property
    def cards(self) -> list[Card]:
        """The scores of all runs that have any."""
        return [result.card for result in self.results if result.card is not None]

    @property
    def shown(self) -> list[Card]:
        """The same, and the likelihoods of all runs."""
        return [card for result in self.results for card in result.cards]

    def best(self, by: str) -> Result:
        """The run with the best score."""
        return min(self.results, key=lambda result: run_loss(result, by))


def by_name(cards: Iterable[Card], names: Iterable[str]) -> dict[str, list[Score]]:
    """Full name -> the scores of all cards that have one of these short names."""
    found: dict[str, list[Score]] = defaultdict(list)
    for card, name in itertools.product(cards, names):
        if name in card.scores:
            found[card.protocol.name(name)].append(card.scores[name])
    return found


def deciding(jobs: Iterable[Job]) -> str:
    """The short name of the score in the runs' `metrics.best`.

    If it is not set: nll if the runs have likelihoods and no scores, else frechet.
    """
    jobs = list(jobs)
    begun = (job.run.config() for job in jobs if job.run.config_file.exists())
    named = (config.get("metrics", {}).get("best") for config in begun)
    if decided := next((name for name in named if name), None):
        return decided
    found = {name for job in jobs for card in known(job.run) for name in card.scores}
    return "nll" if found == {"nll"} else "frechet"


def shared(jobs: Sequence[Job], by: str) -> str | None:
    """The full name of a score that all scored runs share; None if they use one protocol anyway.

    Also None if the runs share no score.
    """
    listed = [[c.protocol.name(by) for c in known(job.run) if by in c.scores] for job in jobs]
    scored = [names for names in listed if names]
    if len({names[0] for names in scored}) < 2:
        return None
    common = [name for name in scored[0] if all(name in names for names in scored)]
    return common[0] if common else None


def results(
    jobs: Sequence[Job], by: str, which: Which = "best", name: str | None = None
) -> list[Result]:
    """The results of all jobs so far.

    Args:
        jobs: of one sweep, or found below a folder.
        by: short name of the score that decides which scoring of a run is the best.
        which: the last or the best scoring.
        name: full name of the score, to accept only its protocol.
    """
    settings = said(jobs) if any(job.overrides for job in jobs) else configured(jobs)
    chosen = {job: card_of(job.run, by, which, name) for job in jobs}
    likely = {job: beside(job.run, chosen[job]) for job in jobs}
    first = {n: card.protocol for job in reversed(jobs) for n, card in likely[job].items()}
    return [
        Result(
            job,
            settings[job],
            chosen[job],
            [c for n, c in likely[job].items() if not first[n].differences(c.protocol)],
        )
        for job in jobs
    ]


def beside(run: Run, chosen: Card | None) -> dict[str, Card]:
    """Full name -> the newest of each likelihood of a run, without that which was chosen."""
    newest = {card.protocol.name("nll"): card for card in likelihoods(run)}
    taken = chosen.protocol.name("nll") if chosen is not None else None
    return {name: card for name, card in newest.items() if name != taken}


def said(jobs: Sequence[Job]) -> dict[Job, dict[str, str]]:
    """The overrides of each job that not all jobs share, without the seed."""
    pairs = {job: [word.partition("=") for word in words] for job, words in distinct(jobs).items()}
    return {job: {k: v for k, _, v in words if k != "seed"} for job, words in pairs.items()}


def configured(jobs: Sequence[Job]) -> dict[Job, dict[str, str]]:
    """The name of each run's experiment, and the settings that differ between their configs."""
    names = {job: job.run.path.absolute().parent.name for job in jobs}
    configs = {job: dict(flattened(job.run.config())) for job in jobs}

    def is_named(key: str) -> bool:
        """Whether runs of one name have one value there."""
        pairs = {(names[job], str(configs[job].get(key))) for job in jobs}
        return len(pairs) == len({*names.values()})

    keys = [key for key in varied([job.run for job in jobs]) if key != "seed"]
    keys = [key for key in keys if not (key.endswith("_target_") and is_named(key))]
    return {
        job: {"experiment": names[job], **{k: str(config[k]) for k in keys if k in config}}
        for job, config in configs.items()
    }


def experiments(found: Iterable[Result], by: str) -> list[ExperimentScores]:
    """Groups runs that differ only in their seed; sorts by protocol, then the best first.

    Raises:
        ProtocolMismatchError: runs of one experiment were scored by different protocols.
    """
    found = list(found)
    groups: dict[str, list[Result]] = defaultdict(list)
    for result in found:
        groups[result.label].append(result)
    made = [ExperimentScores(label, group, mean(group, by)) for label, group in groups.items()]
    names = protocols(found, by)
    place = {one.label: names.index(n) for one in made for n in protocols(one.results, by)}
    return sorted(made, key=lambda one: (place.get(one.label, len(names)), loss_of(one.score, by)))


def ranked(found: Sequence[Result], by: str) -> list[ExperimentScores]:
    """The scored experiments, the best first; in a study, only those with fresh seeds, if any."""
    again = [result for result in found if result.job.stage == AGAIN and result.card is not None]
    return [one for one in experiments(again or found, by) if one.score is not None]


def protocols(found: Iterable[Result], by: str) -> list[str]:
    """The distinct full names of a score, in order of appearance."""
    cards = (result.card for result in found if result.card is not None)
    return list(dict.fromkeys(card.protocol.name(by) for card in cards))


def by_method(found: Iterable[Result]) -> dict[str, list[Result]]:
    """Method -> its results, in a study."""
    groups: dict[str, list[Result]] = defaultdict(list)
    for result in found:
        groups[result.job.method].append(result)
    return dict(groups)


def mean(found: Iterable[Result], by: str) -> Score | None:
    """Mean of a score over runs, and its 95% interval; None if no run has it.

    Raises:
        ProtocolMismatchError: the runs used different protocols for this score.
    """
    found = list(found)
    require_one(found, by)
    values = [r.card.scores[by].value for r in found if r.card is not None]
    return spread(values) if values else None


def require_one(found: Iterable[Result], by: str) -> None:
    """Raises ProtocolMismatchError if the runs used different protocols for this score."""
    if len(names := protocols(found, by)) > 1:
        raise ProtocolMismatchError(
            f"'{by}' is {' in some runs and '.join(names)} in others: set by=..., one of these, or "
            "evaluate all runs alike"
        )


def loss_of(score: Score | None, by: str) -> float:
    """A score as a loss to minimise; infinite if it is missing or not finite."""
    if score is None or not math.isfinite(score.value):
        return math.inf
    return as_loss(score.value, by)


def run_loss(result: Result, by: str) -> float:
    """A run's score as a loss to minimise."""
    return loss_of(result.card.scores[by] if result.card is not None else None, by)


def unscored(found: Sequence[Result]) -> int:
    """The number of runs without scores."""
    return sum(result.card is None for result in found)


def points(found: Iterable[Result], by: str, worst: float) -> list[float]:
    """The scores of runs that have ended; failed ones without a score count as `worst`."""
    ended = [r for r in found if r.card is not None or r.job.state in ("failed", "stopped")]
    return [worst if r.card is None else r.card.scores[by].value for r in ended]


def best_of(values: Sequence[float], k: int, *, smaller: bool = True) -> float:
    """The expected best of k values drawn without replacement.

    Exact: the i-th best of n is the best of the k with probability C(n - i, k - 1) / C(n, k).  Over
    k, it shows the expected result of a budget of k random points (Lucic et al. 2018, section 6).
    """
    ordered = sorted(values, reverse=not smaller)
    n = len(ordered)
    # Each chance is the one before it times (n - i - k + 1) / (n - i); the first is k / n.
    steps = ((n - i - k + 1) / (n - i) for i in range(1, n - k + 1))
    chances = itertools.accumulate(steps, operator.mul, initial=k / n)
    return math.fsum(p * v for p, v in zip(chances, ordered, strict=False))
