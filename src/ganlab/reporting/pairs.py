"""Grids of two choices: the scores of the runs in each cell, and the best of them to look at."""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

from ganlab.reporting.chosen import FIRST
from ganlab.reporting.table import Cell, Column
from ganlab.scoring import tables
from ganlab.scoring.scorecard import spread
from ganlab.sweeps.scores import Result, run_loss

MOST = 28  # pairs


class Group(NamedTuple):
    """The runs of a cell.

    Args:
        run: index of the best one, or the first if none is scored.
        score: mean with its interval; "" without scores.
        scored, runs: how many.
    """

    run: int
    score: str
    scored: int
    runs: int


class Pair(NamedTuple):
    """A grid.

    Args:
        rows, columns: the two choices; the empty value is last if some runs have none.
        cells: of each row and column; None: there is no such run.
    """

    rows: Column
    columns: Column
    cells: list[list[Group | None]]


def pairs(found: Sequence[Result], choices: Sequence[Column], by: str) -> list[Pair]:
    """A grid for each pair of choices; model, loss, conditioning and data first."""
    first = sorted(choices, key=lambda c: FIRST.index(c.name) if c.name in FIRST else len(FIRST))
    return [
        pair(found, *two, by) for two in itertools.islice(itertools.combinations(first, 2), MOST)
    ]


def pair(found: Sequence[Result], rows: Column, columns: Column, by: str) -> Pair:
    """The grid of two choices."""
    cells: dict[tuple[str, str], list[int]] = {}
    for i, (one, other) in enumerate(zip(rows.cells, columns.cells, strict=True)):
        cells.setdefault((one.text, other.text), []).append(i)
    rows, columns = with_missing(rows), with_missing(columns)
    table = [
        [
            group(found, members, by) if (members := cells.get((row.text, column.text))) else None
            for column in columns.values
        ]
        for row in rows.values
    ]
    return Pair(rows, columns, table)


def with_missing(choice: Column) -> Column:
    """A choice whose values have the empty one, too, if some runs have none."""
    missing = [Cell("", None)] if choice.is_partial else []
    return choice._replace(values=[*choice.values, *missing])


def group(found: Sequence[Result], members: Sequence[int], by: str) -> Group:
    """The runs of one cell."""
    best = min(members, key=lambda i: run_loss(found[i], by))
    cards = [card for i in members if (card := found[i].card) is not None]
    values = [v for card in cards if math.isfinite(v := card.scores[by].value)]
    return Group(best, tables.spelled(spread(values)) if values else "", len(values), len(members))
