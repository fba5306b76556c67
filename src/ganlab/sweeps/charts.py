"""Charts of sweeps and studies."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from ganlab.plots import figures
from ganlab.plots.figures import INK, OTHERS
from ganlab.scoring.scorecard import less_is_better
from ganlab.sweeps.documents import by_clock
from ganlab.sweeps.scores import ExperimentScores, Result, best_of, by_method, experiments, points
from ganlab.sweeps.study import AGAIN

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = (figures.D, figures.G, *OTHERS, "#7F7F7F", "#000000")
BUDGETS = 200  # points of a line over k
MOST = 12  # experiments in a chart; more would be hard to tell apart
WIDE, DPI = 10.0, 120


def sweep(found: Sequence[Result], by: str) -> "Figure":
    """A chart of the best experiments: score over iterations, and the spread over runs.

    If the clock ends all of the runs, the score is over minutes, a line per run.

    Args:
        found: results of runs; at least one has the score.
        by: the score's short name.
    """
    ranked = [one for one in experiments(found, by) if one.score is not None]
    shown = ranked[:MOST]
    figure, (left, right) = canvas(title(ranked, by), 2, height=1.4 + 0.34 * max(6, len(shown)))
    timed = all(by_clock(r.job.run) for one in shown for r in one.results)
    for one, color in zip(shown, colors(len(shown)), strict=True):
        (draw_minutes if timed else draw_progress)(left, one, by, color)
    left.set_xlabel("minutes" if timed else "iterations", color=INK, fontsize=9)
    left.xaxis.set_major_formatter("{x:g}" if timed else "{x:,.0f}")
    values = [[c.scores[by].value for c in one.cards] for one in shown]
    draw_spread(right, [shorten(one.label) for one in shown], values, colors(len(shown)))
    name = shown[0].cards[0].protocol.name(by)
    for axes in (left, right):
        figures.quiet(axes)
    if has_ratios(by):
        logarithmic(left, "y")
        if spans_much(values):
            logarithmic(right, "x")
    left.set_ylabel(name, color=INK, fontsize=9)
    right.set_xlabel(name, color=INK, fontsize=9)
    return figure


def study(found: Sequence[Result], by: str) -> "Figure":
    """A chart of the methods of a study: expected best score by budget, and spread of scores.

    Left: the expected best of k random points (Lucic et al. 2018, figure 2).  Middle: the scores of
    all points.  Right: each method's best point, trained again with fresh seeds.  A failed run
    counts as the worst score of all runs.

    Args:
        found: results of a study's runs; at least one has the score.
        by: the score's short name.
    """
    smaller = less_is_better(by)
    scores = [r.card.scores[by].value for r in found if r.card is not None]
    worst = max(scores) if smaller else min(scores)
    methods = by_method(found)
    searched = {
        name: points([r for r in tried if r.job.stage != AGAIN], by, worst)
        for name, tried in methods.items()
    }
    again = {
        name: points([r for r in tried if r.job.stage == AGAIN], by, worst)
        for name, tried in methods.items()
    }
    name = next(r.card.protocol.name(by) for r in found if r.card is not None)
    palette = colors(len(methods))
    heading = f"{len(methods)} methods · {len(scores)} runs · {name}"
    figure, panels = canvas(heading, 3, height=1.5 + 0.36 * len(methods))
    draw_budget(panels[0], searched, palette, smaller=smaller)
    draw_spread(panels[1], list(methods), list(searched.values()), palette)
    draw_spread(panels[2], [""] * len(methods), list(again.values()), palette)
    titles = ("expected best of k points", "every point", "the best again, with fresh seeds")
    for axes, heading in zip(panels, titles, strict=True):
        axes.set_title(heading, loc="left", fontsize=9, color=INK)
        figures.quiet(axes)
    if has_ratios(by):
        logarithmic(panels[0], "y")
        if spans_much(searched.values()):
            for axes in panels[1:]:
                logarithmic(axes, "x")
        panels[2].set_xlim(panels[1].get_xlim())
    return figure


def draw_minutes(axes: "Axes", one: ExperimentScores, by: str, color: str) -> None:
    """Draws the scores of each run of an experiment over minutes of training."""
    for result in one.results:
        if result.card is not None:
            readings = figures.read(result.job.run.path / "metrics.csv")
            scored = [result.card.iterations], [result.card.scores[by].value]  # after training
            x, y = readings.get(result.card.protocol.name(by), scored)
            minutes = np.interp(x, *readings["seconds"]) / 60
            axes.plot(minutes, y, color=color, lw=1.2, marker="o", ms=2.5)


def draw_progress(axes: "Axes", one: ExperimentScores, by: str, color: str) -> None:
    """Draws an experiment's mean score over iterations, and its range over seeds."""
    at: dict[float, list[float]] = {}
    for result in one.results:
        if result.card is not None:
            readings = figures.read(result.job.run.path / "metrics.csv")
            scored = [result.card.iterations], [result.card.scores[by].value]  # after training
            x, y = readings.get(result.card.protocol.name(by), scored)
            for iteration, value in zip(x, y, strict=True):
                at.setdefault(iteration, []).append(value)
    x = sorted(at)
    axes.plot(x, [np.mean(at[i]) for i in x], color=color, lw=1.4, marker="o", ms=2.5)
    axes.fill_between(
        x, [min(at[i]) for i in x], [max(at[i]) for i in x], color=color, alpha=0.15, lw=0
    )


def draw_budget(
    axes: "Axes", searched: Mapping[str, list[float]], palette: Sequence[str], *, smaller: bool
) -> None:
    """Draws the expected best score of k random points over k."""
    for values, color in zip(searched.values(), palette, strict=True):
        # Some hundred budgets make the same line as thousands.
        budget = np.unique(np.linspace(1, len(values), min(len(values), BUDGETS)).round()).astype(
            int
        )
        best = [best_of(values, int(k), smaller=smaller) for k in budget]
        axes.plot(budget, best, color=color, lw=1.4, marker="o", ms=2.5)
    axes.set_xlabel("k", color=INK, fontsize=9)
    axes.locator_params("x", integer=True)


def draw_spread(
    axes: "Axes",
    names: Sequence[str],
    values: Sequence[Sequence[float]],
    palette: Sequence[str],
) -> None:
    """Draws a row per name, from top to bottom: a dot per value, and a bar at the mean."""
    places = range(len(values) - 1, -1, -1)
    for place, listed, color in zip(places, values, palette, strict=True):
        axes.plot(listed, [place] * len(listed), "o", color=color, ms=4, alpha=0.6, mew=0)
        if listed:
            axes.plot([np.mean(listed)], [place], "|", color=color, ms=14, mew=2)
    axes.set_yticks(list(places), list(names))
    axes.set_ylim(-0.7, len(values) - 0.3)


def canvas(heading: str, n: int, height: float) -> "tuple[Figure, list[Axes]]":
    """A figure with n panels side by side."""
    from matplotlib.figure import Figure

    figure = Figure((WIDE, height), dpi=DPI, layout="constrained", facecolor="white")
    figure.suptitle(heading, x=0.01, ha="left", fontsize=10, color=INK)
    return figure, list(figure.subplots(1, n))


def has_ratios(by: str) -> bool:
    """Whether factors of a score mean something: those of distances, not of nats (below 0, too)."""
    return less_is_better(by) and by != "nll"


def spans_much(groups: Iterable[Sequence[float]]) -> bool:
    """Whether distances spread over more than a factor of 5, which calls for a log scale."""
    values = [value for group in groups for value in group]
    return min(values) > 0 and max(values) > 5 * min(values)


def logarithmic(axes: "Axes", which: Literal["x", "y"]) -> None:
    """Sets a logarithmic scale with plain tick labels: 5, 10, 20, 50."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def colors(n: int) -> list[str]:
    """n colours; they repeat if there are more than in COLORS."""
    return [COLORS[i % len(COLORS)] for i in range(n)]


def title(ranked: Sequence[ExperimentScores], by: str) -> str:
    """The heading of a sweep's chart."""
    runs = sum(len(one.cards) for one in ranked)
    left_out = f", the best {MOST} drawn" if len(ranked) > MOST else ""
    name = ranked[0].cards[0].protocol.name(by)
    return f"{len(ranked)} experiments{left_out} · {runs} runs · {name}"


def shorten(text: str, most: int = 48) -> str:
    """A label of at most `most` characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
