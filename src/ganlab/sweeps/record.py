"""A sweep's record: its jobs, the state of each run, and the scores of each run."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from filelock import FileLock

from ganlab.config.secrets import redacted_words, redacted_yaml
from ganlab.errors import ConfigError
from ganlab.runs import records
from ganlab.runs.folder import RECORD, Run, Which, runs_below
from ganlab.runs.snapshot import Snapshot
from ganlab.scoring import nll
from ganlab.scoring.scorecard import Card, Scorecard
from ganlab.storage import files

State = Literal["finished", "running", "interrupted", "failed", "stopped", "waiting"]
STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True)
class Job:
    """One run of a sweep, whether it has started or not.

    Args:
        run: its folder; it need not exist yet.
        overrides: of the config, from the sweep.
        method: in a study, the method that the run tries.
        stage: in a study, the stage that the run belongs to.
        label: NAME=VALUE words that tell it from the others; empty: its overrides do.
    """

    run: Run
    overrides: tuple[str, ...] = ()
    method: str = ""
    stage: str = ""
    label: tuple[str, ...] = ()

    @property
    def state(self) -> State:
        """The current state of the run."""
        status: State | None = self.run.summary().get("status")
        if status == "finished":
            return status
        try:
            locked = self.run.locked()
        except OSError:  # another user's run: trust its summary
            locked = status == "running"
        if locked:
            return "running"
        if status in ("failed", "stopped"):
            return status
        return "interrupted" if self.run.config_file.exists() else "waiting"


class Sweep:
    """The folder of a sweep, with the list of its jobs in sweep.json; the runs are elsewhere.

    The folder's name follows from the jobs, so a sweep that is started again finds its record.

    Args:
        path: the folder; it need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.file = path, path / RECORD

    def jobs(self) -> list[Job]:
        """All jobs added so far, in order; of several with the same run, the first.

        Raises:
            ConfigError: the folder is not a sweep, or its record is damaged.
        """
        try:
            record = records.read(self.file, records.SweepRecord)
        except FileNotFoundError as error:
            raise ConfigError([f"'{self.path}' is not a sweep: it has no {RECORD}"]) from error
        named = {about["run"]: about for about in reversed(record["jobs"])}
        return [self._job(about) for about in reversed(named.values())]

    def add(self, jobs: Iterable[Job]) -> None:
        """Adds jobs whose runs are not in the record yet; safe with concurrent processes.

        Takes the secrets out of what Hydra has written, too.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path / ".lock"):
            known = self.jobs() if self.file.exists() else []
            runs = {job.run.path.resolve() for job in known}
            new = [job for job in jobs if job.run.path.resolve() not in runs]
            if new or not self.file.exists():
                listed = [self._plain(job) for job in [*known, *new]]
                files.write(self.file, json.dumps({"jobs": listed}, indent=1))
            else:
                self.file.touch()  # `last` means the sweep with the newest file
            if (hydras := self.path / "multirun.yaml").exists():
                files.write(hydras, redacted_yaml(hydras.read_text()))

    def _plain(self, job: Job) -> dict[str, Any]:
        # Relative, so that the folder of outputs can be moved as a whole.
        where = os.path.relpath(job.run.path.absolute(), self.path.absolute())
        tried = {"method": job.method, "stage": job.stage} if job.method else {}
        named = {"label": redacted_words(job.label)} if job.label else {}
        return {"run": where, "overrides": redacted_words(job.overrides), **tried, **named}

    def _job(self, about: dict[str, Any]) -> Job:
        path = Path(os.path.normpath(self.path / about["run"]))
        overrides, label = tuple(about["overrides"]), tuple(about.get("label", ()))
        return Job(Run(path), overrides, about.get("method", ""), about.get("stage", ""), label)


def standing(sweep: Sweep) -> str:
    """The state of a sweep as text: a summary line, and a line per run that began but is not done.

    Finished and waiting runs have no line.
    """
    jobs = sweep.jobs()
    states, words = {job: job.state for job in jobs}, distinct(jobs)
    counts = Counter(states.values())
    told = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    lines = [f"{sweep.path}: {told or 'no runs'}"]
    for job, state in states.items():
        if state not in ("finished", "waiting"):
            why = job.run.summary().get("error") if state in ("failed", "stopped") else None
            named = f"{' '.join(words[job])} ({job.run.path})"
            lines.append(f"  {state}: {named}" + (f": {why}" if why else ""))
    return "\n".join(lines)


def distinct(jobs: Sequence[Job]) -> dict[Job, list[str]]:
    """What distinguishes each job: what not all share of labels or overrides, except Hydra's."""
    words = {
        job: [w.lstrip("+") for w in job.label or job.overrides if not w.startswith("hydra")]
        for job in jobs
    }
    shared = set.intersection(*map(set, words.values())) if len(jobs) > 1 else set()
    return {job: [word for word in said if word not in shared] for job, said in words.items()}


def jobs_in(folder: Path) -> list[Job]:
    """The jobs of a sweep if the folder is one, else the runs in and below it, as they are now.

    Raises:
        ConfigError: there are none.
    """
    recorded = (folder / RECORD).exists()
    jobs = Sweep(folder).jobs() if recorded else [Job(run) for run in runs_below(folder)]
    return [replace(job, run=Snapshot(job.run.path)) for job in jobs]


def runs_of(folder: Path) -> list[Run]:
    """The runs that have begun, of a sweep or in and below a folder.

    Raises:
        ConfigError: there are none.
    """
    runs = [job.run for job in jobs_in(folder) if job.run.config_file.exists()]
    if not runs:
        raise ConfigError([f"no run in '{folder}' has begun"])
    return runs


def cards(run: Run) -> list[Scorecard]:
    """All scores in a run's summary, those of training before those of `evaluate`.

    Raises:
        ConfigError: the summary is damaged.
    """
    scores = run.summary().get("scores", [])
    try:
        return [Scorecard.from_dict(record) for record in scores]
    except ValueError as error:
        raise ConfigError([records.damaged(run.summary_file, f"scores: {error}")]) from error


def likelihoods(run: Run) -> list[Card]:
    """All likelihoods in a run's summary.

    Raises:
        ConfigError: the summary is damaged.
    """
    return [nll.card(record) for record in run.summary().get("likelihoods", [])]


def known(run: Run) -> list[Card]:
    """All scores and likelihoods in a run's summary."""
    return [*cards(run), *likelihoods(run)]


def card_of(run: Run, by: str, which: Which = "best", name: str | None = None) -> Card | None:
    """The scores of a run's last or best scoring, all by one protocol; None if there are none.

    Args:
        by: short name of the score that decides ('frechet'; 'nll': a likelihood).
        which: the last or the best scoring; the best checkpoint's on fresh noise, where there is
            one, since the score that chose it is too good.
        name: its full name ('fid'), which implies the protocol; None: the first protocol used.
    """
    found = [card for card in known(run) if by in card.scores]
    found = [card for card in found if name in (None, card.protocol.name(by))]
    alike = [c for c in found if not found[0].protocol.differences(c.protocol)]
    if not alike:
        return None
    chosen = max(alike, key=lambda card: card.iterations)
    if which == "best":
        best = run.summary().get("best") or {}
        once = (best.get("iteration"), best.get("seed"))
        if fresh := [c for c in alike if (c.iterations, seed_of(c)) == once]:
            return fresh[0]
        for card in alike:
            chosen = card if card.better(chosen, by) else chosen
    return chosen


def seed_of(card: Card) -> int | None:
    """The seed of the noise of scores; a likelihood is of held-out images and has no noise."""
    return card.protocol.seed if isinstance(card, Scorecard) else None


def objective(run: Run) -> float | None:
    """The objective for sweepers: the score of the run's best checkpoint, if any."""
    by = run.config().get("metrics", {}).get("best")
    card = card_of(run, by) if by else None
    return card.scores[by].value if card is not None else None


def identity_of(words: Sequence[str]) -> str:
    """The hash of a set of words: 8 hexadecimal digits."""
    return hashlib.sha256("\n".join(sorted(words)).encode()).hexdigest()[:8]
