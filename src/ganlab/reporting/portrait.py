"""A run as a page shows it: facts, the command that repeats it, scores, health, quizzes."""

import functools
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from ganlab.plots.figures import Series
from ganlab.reporting.budget import LINES, cut
from ganlab.reporting.health import Health, health
from ganlab.reporting.tolerant import Tolerant
from ganlab.runs import records
from ganlab.runs.folder import Run
from ganlab.runs.readings import AXES
from ganlab.scoring import tables
from ganlab.scoring.scorecard import Score, Scorecard
from ganlab.sweeps.record import Job, State, cards

SCORINGS = 12  # of one protocol that are shown, the newest
QUIZ = {  # of RUN/quiz/*.json, in the order of the table
    "mode": "mode",
    "paired": "paired",
    "exposure_ms": "exposure (ms)",
    "iteration": "iteration",
    "trials": "trials",
    "errors": "errors",
    "error_rate": "error rate",
    "interval": "95% interval",
}
LIKELIHOOD = ("score", "nats", "standard error", "95% interval", "images", "iteration", "protocol")
MULTIRUN = ("-m", "--multirun")


class ScoreTable(NamedTuple):
    """Scores of one protocol.

    Args:
        protocol: sentences.
        names: full names of the scores.
        rows: iteration, number of repeats, and a text for each score ("" if it is missing).
        left_out: earlier scorings that are not in the rows.
    """

    protocol: list[str]
    names: list[str]
    rows: list[tuple[int, int, list[str]]]
    left_out: int


@dataclass(frozen=True)
class Portrait:
    """What a page says of a run, as plain texts and numbers."""

    name: str
    path: str
    state: State
    error: str | None
    facts: dict[str, str]
    environment: dict[str, str]
    command: str | None
    health: Health
    scores: list[ScoreTable]
    likelihoods: list[list[str]]
    quizzes: list[list[str]]


def portrait(job: Job, run: Tolerant, readings: Mapping[str, Series]) -> Portrait:
    """The portrait of a run; what is missing is noted in `run.missing`."""
    summary, about = {**latest(readings), **run.summary()}, run.environment()
    error = summary.get("error")
    return Portrait(
        name=cut("/".join(run.path.absolute().parts[-2:])),
        path=cut(place(run.path)),
        state=job.state,
        error=cut(error) if error else None,
        facts=facts(run, summary, about),
        environment=dict(environment(about)),
        command=command(job.overrides, about),
        health=health(run.config(), run.summary(), readings, run.reached()),
        scores=score_tables(cards(run)),
        likelihoods=[likelihood(record) for record in summary.get("likelihoods", [])[:LINES]],
        quizzes=quizzes(run),
    )


def place(folder: Path) -> Path:
    """A folder's path from where the command runs; of one elsewhere, its last two parts."""
    here = folder.absolute()
    if here.is_relative_to(Path.cwd()):
        return here.relative_to(Path.cwd())
    return Path(*here.parts[-2:])


def latest(readings: Mapping[str, Series]) -> dict[str, Any]:
    """What a run has reached by its readings: its summary says so only at the end."""
    last = {name: readings[name][1][-1] for name in AXES if name in readings}
    return {name: value if name == "seconds" else int(value) for name, value in last.items()}


def facts(run: Run, summary: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, str]:
    """Name -> value of what a reader wants to know first."""
    reached = summary.get("iterations") or run.reached()
    total, minutes = run.config().get("iterations"), run.config().get("minutes")
    planned = f" of {total:,}" if isinstance(total, int) and minutes is None else ""
    found = {"iterations": f"{reached:,}{planned}"}
    if images := summary.get("images_seen"):
        found["images seen"] = f"{images:,}"
    if seconds := summary.get("seconds"):
        found["time"] = duration(seconds)
    if devices := about.get("gpus"):
        found["device"] = cut(
            ", ".join(map(str, devices)) if isinstance(devices, list) else devices
        )
    elif about:
        found["device"] = "CPU"
    if best := summary.get("best"):
        value = tables.spelled(Score(best["value"]))
        found[cut(best["score"])] = f"{value} (best, at iteration {best['iteration']:,})"
    return found


def duration(seconds: float) -> str:
    """'35.8 s', '12 min 5 s', '3 h 20 min'."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def environment(about: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(name, value) of where and by what the run was made."""
    if commit := about.get("git_commit"):
        changed = " with uncommitted changes" if about.get("git_dirty") else ""
        yield "commit", f"{cut(commit)}{changed}"
    for name in ("python", "platform", "processors"):
        if about.get(name):
            yield name, cut(about[name])
    libraries = about.get("libraries")
    if isinstance(libraries, dict):
        yield "libraries", cut(", ".join(f"{n} {v}" for n, v in libraries.items() if v))


def command(overrides: Sequence[str], about: Mapping[str, Any]) -> str | None:
    """The command that repeats a run; None: nothing says so.

    A run of a sweep is repeated alone, from its overrides.
    """
    if overrides:
        return cut(shlex.join(["python", "-m", "ganlab.train", *overrides]), 4_000)
    words = about.get("command")
    if not (isinstance(words, list) and words and all(isinstance(word, str) for word in words)):
        return None
    program, *rest = words
    said = shlex.join(["python", "-m", module, *rest] if (module := module_of(program)) else words)
    whole = f"{said}    # the whole sweep" if set(MULTIRUN) & set(rest) else said
    return cut(whole, 4_000)


def module_of(program: str) -> str | None:
    """'ganlab.train' for '/somewhere/ganlab/train.py'; None for other programs."""
    path = PurePosixPath(program.replace("\\", "/")).with_suffix("")
    if "ganlab" not in path.parts[:-1]:
        return "ganlab.train" if path.name == "ganlab" else None
    inside = path.parts[len(path.parts) - path.parts[::-1].index("ganlab") - 1 :]
    return ".".join(part for part in inside if part != "__main__")


def score_tables(scored: Sequence[Scorecard]) -> list[ScoreTable]:
    """A table for each protocol."""
    groups: dict[tuple[str, ...], list[Scorecard]] = {}
    for card in scored:
        groups.setdefault(tuple(card.protocol.sentences()), []).append(card)
    return [score_table(sentences, group) for sentences, group in list(groups.items())[:LINES]]


def score_table(sentences: Sequence[str], group: Sequence[Scorecard]) -> ScoreTable:
    """The scorings of one protocol, by iteration."""
    shorts = list(dict.fromkeys(name for card in group for name in card.scores))
    ordered = sorted(group, key=lambda card: card.iterations)
    rows = [
        (
            card.iterations,
            card.repeats,
            [tables.spelled(card.scores[n]) if n in card.scores else "" for n in shorts],
        )
        for card in ordered[-SCORINGS:]
    ]
    names = [cut(group[0].protocol.name(short)) for short in shorts]
    return ScoreTable([cut(one) for one in sentences], names, rows, len(ordered) - len(rows))


def likelihood(record: Mapping[str, Any]) -> list[str]:
    """A row for a likelihood, cells as in LIKELIHOOD."""
    protocol = dict(record.get("protocol", {}))
    iteration = protocol.pop("iterations", "")
    return [
        cut(record["name"]),
        f"{records.NATS[record['kind']]} {record['nats']:,.2f}".strip(),
        f"{record['error']:.2f}",
        " – ".join(f"{end:,.2f}" for end in records.interval_of(record) or []),
        f"{record['images']:,}",
        f"{iteration:,}" if isinstance(iteration, int) else cut(iteration),
        cut(", ".join(f"{name} {value}" for name, value in protocol.items())),
    ]


def quizzes(run: Tolerant) -> list[list[str]]:
    """A row for each result of `ganlab quiz` that is not damaged, cells as in QUIZ."""
    files = sorted((run.path / "quiz").glob("*.json"))[:LINES]
    found = [run.attempt(functools.partial(records.read, file, dict[str, Any])) for file in files]
    return [[spelled(name, one.get(name)) for name in QUIZ] for one in found if one is not None]


def spelled(name: str, value: Any) -> str:
    """A value of a quiz's result as text."""
    numbers = value if isinstance(value, list) else [value]
    if name in ("error_rate", "interval") and all(isinstance(n, int | float) for n in numbers):
        return " – ".join(f"{n:.1%}" for n in numbers)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else cut(value)
