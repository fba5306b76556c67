"""State and results of a sweep: `python -m ganlab.sweep status|table|best|plot DIR`."""

import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from ganlab.commands import command_line
from ganlab.errors import ConfigError
from ganlab.runs.folder import LAST, Which, folder_named
from ganlab.scoring import tables
from ganlab.scoring.protocol import Provenance, require_alike, score_named
from ganlab.scoring.scorecard import Card, spread
from ganlab.scoring.tables import Row
from ganlab.spec import at_least
from ganlab.sweeps import documents
from ganlab.sweeps.documents import command_of
from ganlab.sweeps.record import STATES, jobs_in
from ganlab.sweeps.scores import (
    COLUMNS,
    ExperimentScores,
    Result,
    by_method,
    by_name,
    deciding,
    experiments,
    loss_of,
    ranked,
    require_one,
    results,
    run_loss,
    shared,
    unscored,
)
from ganlab.sweeps.study import AGAIN


def status(folder: str, format: Literal["markdown", "json"] = "markdown") -> None:  # noqa: A002
    """Prints the state and progress of every run of a sweep.

    Args:
        folder: of a sweep, such as outputs/sweeps/1a2b3c4d, or any folder with runs below it; last:
            the newest sweep below outputs/sweeps.
        format: json is one document.
    """
    said, folder = folder, str(folder_named(folder, "sweep"))
    jobs = jobs_in(Path(folder))
    found = results(jobs, deciding(jobs))
    states = {result.job: result.job.state for result in found}
    if format == "json":
        print(tables.as_json(documents.status(folder, states, found)))
        return
    introduce(said, folder)
    rows = [status_row(result, states[result.job]) for result in found]
    counts = Counter(states.values())
    print(tables.as_markdown(rows))
    print(", ".join(f"{counts[state]} {state}" for state in STATES if counts[state]))


def table(
    folder: str,
    by: str | None = None,
    checkpoint: Which = "best",
    format: Literal["markdown", "csv", "json"] = "markdown",  # noqa: A002 - as people say it
    seeds: Literal["together", "apart"] = "together",
) -> None:
    """Prints the scores of all experiments, the best first.

    For a study: each method's best point, and its scores with fresh seeds.

    Args:
        folder: of a sweep, or any folder with runs below it; last: the newest sweep.
        by: the score to sort by, by short or full name (frechet, fid, nll); null: metrics.best of
            the runs.
        checkpoint: of each run; best: the one with the best score; last: the newest.
        format: csv has intervals, deviations and n in separate columns; json is one document,
            with every score and its protocol.
        seeds: together: means over seeds with their 95% intervals; apart: a row per run.
    """
    said, folder = folder, str(folder_named(folder, "sweep"))
    by, found = judged(folder, by, checkpoint)
    if format == "json":
        print(tables.as_json(documents.table(folder, found, by, seeds)))
        return
    if seeds == "apart":
        rows = [run_row(result) for result in sorted(found, key=lambda r: run_loss(r, by))]
    elif any(result.job.method for result in found):
        rows = study_rows(found, by)
    else:
        rows = [experiment_row(one) for one in experiments(found, by)]
    if format == "csv":
        print(tables.as_csv(rows))
        return
    introduce(said, folder)
    print(tables.as_markdown(rows))


def best(
    folder: str,
    by: str | None = None,
    checkpoint: Which = "best",
    top: int = 1,
    format: Literal["text", "json"] = "text",  # noqa: A002 - as people say it
) -> None:
    """Prints the best experiment by its mean over seeds, its best run, and a command to sample it.

    For a study, only runs with fresh seeds count, if there are any.

    Args:
        folder: of a sweep, or any folder with runs below it; last: the newest sweep.
        by: the score, by short or full name (frechet, fid, nll); null: metrics.best of the runs.
        checkpoint: of each run; best: the one with the best score; last: the newest.
        top: number of experiments.
        format: json is one document, with every score and its protocol.
    """
    at_least(1, top=top)
    folder = str(folder_named(folder, "sweep"))
    by, found = judged(folder, by, checkpoint)
    require_scored(found, by, folder)
    require_one(found, by)
    first = ranked(found, by)[:top]
    if format == "json":
        print(tables.as_json(documents.best(folder, first, by, checkpoint)))
        return
    print("\n".join(praise(one, by, checkpoint) for one in first))


def plot(
    folder: str, by: str | None = None, checkpoint: Which = "best", output: str | None = None
) -> Path:
    """Draws scores over iterations and per run; for a study, the expected best score by budget.

    Args:
        folder: of a sweep, or any folder with runs below it; last: the newest sweep.
        by: the score, by short or full name (frechet, fid, nll); null: metrics.best of the runs.
        checkpoint: of each run; best: the one with the best score; last: the newest.
        output: the PNG file; null: DIR/SCORE.png.
    """
    from ganlab.plots import figures, pictures
    from ganlab.sweeps import charts

    folder = str(folder_named(folder, "sweep"))
    by, found = judged(folder, by, checkpoint)
    require_scored(found, by, folder)
    require_one(found, by)
    draw = charts.study if any(result.job.method for result in found) else charts.sweep
    path = Path(output) if output is not None else Path(folder) / f"{by}.png"
    pictures.save(path, figures.to_pixels(draw(found, by)))
    print(path)
    return path


def judged(
    folder: str, by: str | None = None, checkpoint: Which = "best"
) -> tuple[str, list[Result]]:
    """The short name of the score that decides, and the results of all runs.

    Raises:
        ConfigError: there are no runs, or none has the requested score.
        ProtocolMismatchError: scores with the same name are not comparable.
    """
    jobs, asked = jobs_in(Path(folder)), by
    by = by or deciding(jobs)
    short = score_named(by) or by  # 'fid' is frechet by one protocol; 'is' is already short
    name, by = (by if short != by else None), short
    found = results(jobs, by, checkpoint, name or shared(jobs, by))
    if asked is not None:
        require_scored(found, asked, folder)
    named: dict[str, list[tuple[str, Provenance]]] = {}
    for one in found:
        if one.card is not None:
            whose = (str(one.job.run.path), one.card.protocol)
            named.setdefault(one.card.protocol.name(by), []).append(whose)
    for protocols in named.values():
        require_alike(protocols)
    return by, found


def require_scored(found: Sequence[Result], by: str, folder: str) -> None:
    """Raises ConfigError if no run has a score."""
    if all(result.card is None for result in found):
        raise ConfigError([f"by: no run of '{folder}' has a score '{by}'"])


def introduce(said: str, folder: str) -> None:
    """Prints the folder of the sweep if the user gave `last`."""
    if said == LAST:
        print(f"{folder}\n")


def status_row(result: Result, state: str) -> Row:
    """The table row of one run: state, progress, folder and settings."""
    job = result.job
    how_far = f"{job.run.reached():,}" if job.run.config_file.exists() else ""
    if (total := documents.length(job.run)) is not None:
        how_far = f"{how_far} of {total:,}"
    stage = {"method": job.method, "stage": job.stage} if job.method else {}
    about = {"experiment": result.label} | ({"seed": seed} if (seed := result.seed) else {})
    return {"state": state, "iterations": how_far, "run": str(job.run.path), **stage, **about}


def run_row(result: Result) -> Row:
    """The table row of one run: settings and scores."""
    row: Row = {"run": str(result.job.run.path), **result.settings}
    if seed := result.seed:
        row["seed"] = seed
    if result.card is not None:
        row["iterations"] = f"{result.card.iterations:,}"
    row |= scores_of(result.cards)
    return row


def experiment_row(one: ExperimentScores) -> Row:
    """The table row of an experiment: means of scores over its seeds, with 95% intervals."""
    reached = sorted({card.iterations for card in one.cards})
    some = f"{len(one.cards)} of {len(one.results)}"
    runs = some if len(one.cards) < len(one.results) else str(len(one.results))
    iterations = ", ".join(f"{n:,}" for n in reached)
    settings = one.results[0].settings or {"experiment": one.label}
    return {**settings, "runs": runs, "iterations": iterations, **scores_of(one.shown)}


def study_rows(found: Sequence[Result], by: str) -> list[Row]:
    """A table row per method: its best point, and the scores of that point with fresh seeds."""
    rows: list[tuple[float, Row]] = []
    for method, tried in by_method(found).items():
        searched = [result for result in tried if result.job.stage != AGAIN]
        again = experiments([result for result in tried if result.job.stage == AGAIN], by)
        first, failed = min(searched, key=lambda r: run_loss(r, by)), unscored(searched)
        row: Row = {"method": method, "points": str(len(searched)), "without a score": str(failed)}
        if first.card is not None:
            name = first.card.protocol.name(by)
            row |= {name: first.card.scores[by], "best point": first.label}
        order = loss_of(again[0].score, by) if again else run_loss(first, by)
        if again:
            row |= {f"{n}, fresh seeds": s for n, s in scores_of(again[0].cards, (by,)).items()}
            row["seeds"] = str(len(again[0].cards))
        rows.append((order, row))
    return [row for _, row in sorted(rows, key=lambda pair: pair[0])]


def scores_of(cards: Sequence[Card], names: Sequence[str] = COLUMNS) -> Row:
    """Full name of each score -> its mean over runs, with a 95% interval."""
    return {name: spread([s.value for s in one]) for name, one in by_name(cards, names).items()}


def praise(one: ExperimentScores, by: str, checkpoint: Which) -> str:
    """Text on an experiment: its score, its best run, and the command that samples from it."""
    run, n = one.best(by).job.run, len(one.cards)
    seeds = f" (95% interval of the mean over {n} seeds)" if n > 1 else ""
    name, score = one.cards[0].protocol.name(by), tables.cell(one.score or "")
    command = shlex.join(command_of(run, checkpoint))
    return f"{name} {score}{seeds}: {one.label}\n  {run.path}\n  {command}"


VERBS: dict[str, Callable[..., Any]] = {
    "status": status,
    "table": table,
    "best": best,
    "plot": plot,
}

if __name__ == "__main__":
    command_line.call_one_of(VERBS)
