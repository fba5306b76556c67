"""The output of `ganlab sweep ... format=json`: plain data with a fixed set of keys.

Unknown values are null.  Names, settings and numbers are the same as in the text tables.
"""

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import yaml
from omegaconf import OmegaConf

from ganlab.runs.folder import Run, Which
from ganlab.scoring import tables
from ganlab.scoring.scorecard import Card, spread
from ganlab.sweeps.record import STATES, Job, State
from ganlab.sweeps.scores import (
    ExperimentScores,
    Result,
    by_method,
    by_name,
    experiments,
    loss_of,
    run_loss,
    unscored,
)
from ganlab.sweeps.study import AGAIN

Document = dict[str, Any]


def status(folder: str, states: Mapping[Job, State], found: Sequence[Result]) -> Document:
    """The state and progress of every run, and the number of runs in each state."""
    counts = Counter(states.values())
    runs = [standing(result, states[result.job]) for result in found]
    return {"folder": folder, "counts": {state: counts[state] for state in STATES}, "runs": runs}


def table(
    folder: str, found: Sequence[Result], by: str, seeds: Literal["together", "apart"]
) -> Document:
    """All scores, the best first, as `runs` (seeds apart), `methods` (studies) or `experiments`."""
    document: Document = {"folder": folder, "by": by}
    if seeds == "apart":
        ranked = sorted(found, key=lambda result: run_loss(result, by))
        return document | {"runs": [run(result) for result in ranked]}
    if any(result.job.method for result in found):
        return document | {"methods": methods(found, by)}
    return document | {"experiments": [experiment(one) for one in experiments(found, by)]}


def best(folder: str, ranked: Sequence[ExperimentScores], by: str, checkpoint: Which) -> Document:
    """The best experiments, each with its best run and the command that samples from it."""
    praised = []
    for one in ranked:
        first = one.best(by).job.run
        drawn = {"run": str(first.path), "command": command_of(first, checkpoint)}
        praised.append(experiment(one) | drawn)
    return {"folder": folder, "by": by, "best": praised}


def standing(result: Result, state: State) -> Document:
    """State and progress of one run."""
    job = result.job
    progress = {
        "iterations": job.run.reached(),
        "of": length(job.run),
        "error": job.run.summary().get("error"),
    }
    return {"run": str(job.run.path), "state": state, **progress, **about(result)}


def length(run: Run) -> int | None:
    """The number of iterations of a run; None: it has not begun, or the clock ends it."""
    begun = run.config_file.exists()
    return run.config()["iterations"] if begun and not by_clock(run) else None


def by_clock(run: Run) -> bool:
    """Whether the clock ends a run, as far as it has begun."""
    return run.config_file.exists() and run.config().get("minutes") is not None


def run(result: Result) -> Document:
    """One run with all its scores."""
    card = result.card.as_dict() if result.card is not None else None
    unknown: Document = {"iterations": None, "repeats": None, "scores": {}, "protocol": None}
    shown = {**about(result), **(card or unknown), "likelihoods": likelihoods(result.cards)}
    return {"run": str(result.job.run.path), **shown}


def about(result: Result) -> Document:
    """What distinguishes a run: settings, seed (from the sweep, else the config), method, stage."""
    run = result.job.run
    known = run.config().get("seed") if run.config_file.exists() else None
    seed = value_of(result.seed) if result.seed else known
    stage = {"method": result.job.method or None, "stage": result.job.stage or None}
    return {"settings": settings(result), "seed": seed, **stage}


def experiment(one: ExperimentScores) -> Document:
    """An experiment, with the mean of every score over its seeds, its interval and deviation."""
    about = {"experiment": one.label, "settings": settings(one.results[0])}
    means = tables.means(one.cards) | {"likelihoods": likelihoods(one.shown)}
    return about | {"runs": len(one.results)} | means


def likelihoods(cards: Sequence[Card]) -> Document:
    """Full name -> nats: of a run, or the mean over runs with its interval and deviation."""
    means = {
        name: one[0] if len(one) == 1 else spread([s.value for s in one])
        for name, one in by_name(cards, ["nll"]).items()
    }
    return {name: score._asdict() for name, score in means.items()}


def methods(found: Sequence[Result], by: str) -> list[Document]:
    """A study's methods: the best point of each, and the same point with fresh seeds."""
    made = []
    for method, tried in by_method(found).items():
        searched = [result for result in tried if result.job.stage != AGAIN]
        fresh = experiments([result for result in tried if result.job.stage == AGAIN], by)
        first = min(searched, key=lambda result: run_loss(result, by))
        order = loss_of(fresh[0].score, by) if fresh else run_loss(first, by)
        document = {
            "method": method,
            "points": len(searched),
            "unscored": unscored(searched),
            "best": run(first) if first.card is not None else None,
            "again": experiment(fresh[0]) if fresh else None,
        }
        made.append((order, document))
    return [document for _, document in sorted(made, key=lambda pair: pair[0])]


def command_of(run: Run, checkpoint: Which) -> list[str]:
    """The command that samples from a run, as a list of words."""
    # A run that was scored only after training has no best checkpoint.
    kept = checkpoint if run.best_checkpoint() else "last"
    return ["python", "-m", "ganlab.sample", f"run={run.path}", f"checkpoint={kept}"]


def settings(result: Result) -> Document:
    """The settings that distinguish a run's experiment, with values parsed."""
    return {key: value_of(text) for key, text in result.settings.items()}


@functools.lru_cache(maxsize=2**14)  # the runs of a sweep share most of theirs
def value_of(text: str) -> Any:
    """The value of a command-line word: '1e-3' is a number, 'hinge' a string."""
    try:
        return OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"]))["value"]  # type: ignore[call-overload, index]
    except yaml.YAMLError:
        return text
