"""The page of a report: what is known of the runs, put into one HTML file."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from ganlab.errors import ConfigError
from ganlab.pages import document
from ganlab.pages import plots as bokeh
from ganlab.plots.figures import Series
from ganlab.reporting import (
    attachments,
    best,
    budget,
    coordinates,
    curves,
    frames,
    pairs,
    seeds,
    settings,
    table,
)
from ganlab.reporting.budget import cut
from ganlab.reporting.named import jobs_of
from ganlab.reporting.portrait import LIKELIHOOD, QUIZ, Portrait, place, portrait
from ganlab.reporting.ranking import Ranking, ranked
from ganlab.reporting.tolerant import Tolerant
from ganlab.sweeps.record import STATES, Job
from ganlab.sweeps.scores import Result

PACKAGE = "ganlab.reporting"
WIDE, NARROW = 800, 280  # pixels of a picture of samples, of one run and of several
LABEL, SHORT = 160, 60  # letters of what tells a run from the others, and of that in a menu
FEW = 4  # runs whose sheets of codes are shown, too


class Shown(NamedTuple):
    """A run in a report.

    Args:
        run: its folder.
        portrait: what is said of it.
        readings: its curves.
        frames: its samples over time.
    """

    run: Tolerant
    portrait: Portrait
    readings: dict[str, Series]
    frames: dict[str, frames.Frames]

    @property
    def curves(self) -> dict[str, Any]:
        """The readings for the page."""
        return curves.plain(self.readings)

    @property
    def pictures(self) -> dict[str, list[list[Any]]]:
        """The samples for the page: kind -> [iteration, URL] of each."""
        return {kind: list(map(list, listed.shown)) for kind, listed in self.frames.items()}


def report(folders: Sequence[Path], stamp: str | None = None) -> str:
    """The HTML of a report.

    Args:
        folders: runs, sweeps, or folders above runs.
        stamp: of a watched page: what it shows is as old as this; None: it is a file.

    Raises:
        ConfigError: there are no runs, or the page would be too large.
    """
    jobs = jobs_of(folders)
    most = curves.points(len(jobs))
    with ThreadPoolExecutor() as pool:  # decoding and encoding pictures leaves Python's lock
        runs = list(pool.map(lambda job: shown(job, most, len(jobs)), jobs))
    values = one(runs[0]) if len(runs) == 1 else several(jobs, runs, folders)
    thinned = any(curves.is_thinned(run.readings, most) for run in runs)
    arranged = curves.groups(run.readings for run in runs)
    drawn = {**curves.plots(arranged, [run.readings for run in runs]), **values.pop("plots", {})}
    html = document.page(
        PACKAGE,
        "run.html" if len(runs) == 1 else "runs.html",
        needs=["server"] if stamp is not None else [],
        runs=runs,
        stamp=stamp,
        missing=[cut(sentence) for run in runs for sentence in run.run.missing][: budget.LINES],
        curve_points=most if thinned else None,
        groups=arranged,
        library=bokeh.library() if drawn else "",
        elements=bokeh.deferred(drawn),
        likelihood=LIKELIHOOD,
        **values,
    )
    if (size := len(html.encode())) > budget.PAGE:
        said = f"the report would have {size / 1e6:.0f} MB, more than {budget.PAGE / 1e6:.0f}"
        raise ConfigError([f"{said}: name fewer of the {len(runs)} runs"])
    return html


def shown(job: Job, most: int, runs: int) -> Shown:
    """A run, its curves and pictures within their share of the page."""
    run = job.run
    assert isinstance(run, Tolerant)  # noqa: S101 - `jobs_of` makes no other
    readings = run.attempt(lambda: curves.read(run.path, most)) or {}
    share, width = budget.PICTURES // runs, WIDE if runs <= FEW else NARROW
    sheets = runs <= FEW
    pictures = run.attempt(lambda: frames.frames(run.path, share, width, sheets=sheets)) or {}
    return Shown(run, portrait(job, run, readings), readings, pictures)


def one(run: Shown) -> dict[str, Any]:
    """What the page of one run has besides."""
    return {
        "title": run.portrait.name,
        "chosen": [0],
        "run": run,
        "settings": settings.settings(run.run.config()),
        "quiz": QUIZ.values(),
        "attachments": run.run.attempt(lambda: attachments.attachments(run.run.path)) or [],
    }


def several(jobs: Sequence[Job], runs: Sequence[Shown], folders: Sequence[Path]) -> dict[str, Any]:
    """What the page of several runs has besides."""
    ranking = ranked(jobs)
    found = ranking.results
    states = [run.portrait.state for run in runs]
    columns = table.columns(found, states, [run.portrait.health.names for run in runs], ranking.by)
    grouped = table.choices(columns)
    labels, short = labels_of(found, LABEL), labels_of(found, SHORT)
    first = folders[0].absolute()
    title = first.name if len(folders) == 1 else f"{len(runs)} runs"
    values = {
        "title": cut(title),
        "folder": cut(place(folders[0])) if len(folders) == 1 else None,
        "counts": {state: states.count(state) for state in STATES if state in states},
        "ranking": ranking,
        "columns": columns,
        "order": ranking.order,
        "chosen": ranking.order[:2],
        "choices": [(i, f"{runs[i].portrait.name} · {short[i]}") for i in ranking.order],
        "labels": labels,
        "differences": settings.differences([run.run.config() for run in runs]),
        "spreads": [],
        "pairs": [],
        "budgets": None,
        "axes": [],
        "plots": {},
    }
    return values | (analysed(ranking, columns, grouped, labels) if ranking.name else {})


def labels_of(found: Sequence[Result], most: int) -> list[str]:
    """What tells each run from the others, with the seed where the settings alone do not.

    Args:
        found: the runs.
        most: letters of the settings of one.
    """
    shared = Counter(result.label for result in found)
    labels = []
    for result in found:
        seed = result.seed or result.job.run.config().get("seed")
        alone = shared[result.label] == 1 or seed is None
        labels.append(cut(result.label, most) + ("" if alone else f" seed={cut(seed, most)}"))
    return labels


def analysed(
    ranking: Ranking,
    columns: Sequence[table.Column],
    grouped: Sequence[table.Column],
    labels: Sequence[str],
) -> dict[str, Any]:
    """What the scores of several runs say of their settings."""
    found, by = ranking.results, ranking.by
    made: dict[str, Any] = {}
    drawn: dict[str, Any] = {}
    axes = coordinates.axes(columns)
    if len(axes) > 1 and len(found) > 2:
        shades = coordinates.colours(columns)
        drawn["coordinates"] = coordinates.plot(axes, shades, labels)
        made["axes"] = [(one.name, one.kind, one.low, one.high) for one in axes]
        made["width"] = coordinates.width(len(axes))
    if sum(result.card is not None for result in found) > 1:
        made["budgets"] = best.lines(found, grouped, by)
        drawn["budgets"] = best.plot()
        made["spreads"] = seeds.spreads(found, by)
    if len(found) > 2:
        made["pairs"] = pairs.pairs(found, grouped, by)
    return made | {"plots": drawn}
