"""The runs of a sweep as a table that a page can sort and filter."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ganlab.config.secrets import REDACTED, is_secret
from ganlab.reporting.budget import cut
from ganlab.scoring import tables
from ganlab.scoring.scorecard import less_is_better
from ganlab.sweeps.documents import value_of
from ganlab.sweeps.scores import COLUMNS, Result, run_loss

FEW = 12  # distinct values that are offered one by one
SETTINGS = 24  # columns of settings, at most


class Cell(NamedTuple):
    """A cell.

    Args:
        text: that is shown.
        value: by which rows are sorted and filtered: a number, a text, or None if it is missing.
    """

    text: str
    value: float | str | None


class Column(NamedTuple):
    """A column.

    Args:
        name: its heading.
        kind: number, choice (of few values) or text.
        values: of a choice, in order.
        cells: one for each run.
        score: whether it is one, and whether less is better; None: it is a setting or a state.
    """

    name: str
    kind: str
    values: list[Cell]
    cells: list[Cell]
    score: bool | None = None

    @property
    def is_partial(self) -> bool:
        """Whether some runs have no value."""
        return any(cell.value is None for cell in self.cells)

    @property
    def numbers(self) -> list[float]:
        """The values that are numbers."""
        return [cell.value for cell in self.cells if isinstance(cell.value, int | float)]


def ordered(found: Sequence[Result], by: str) -> list[Result]:
    """The runs, the best first."""
    return sorted(found, key=lambda result: run_loss(result, by))


def columns(
    found: Sequence[Result], states: Sequence[str], health: Sequence[str], by: str
) -> list[Column]:
    """State, settings, seed, scores and health of runs.

    Args:
        found: the runs.
        states: of each.
        health: of each, the ailments in one line.
        by: the score that comes first.
    """
    return [
        column("state", [Cell(state, state) for state in states]),
        *settings(found),
        *scores(found, by),
        column("health", [Cell(cut(names), cut(names)) for names in health]),
    ]


def settings(found: Sequence[Result]) -> list[Column]:
    """The settings that distinguish the runs, methods and stages of a study, and seeds."""
    said = [
        {
            **({"method": r.job.method, "stage": r.job.stage} if r.job.method else {}),
            **r.settings,
            **(
                {"seed": r.seed or seed}
                if (seed := r.job.run.config().get("seed")) is not None
                else {}
            ),
        }
        for r in found
    ]
    names = list(dict.fromkeys(name for row in said for name in row))[:SETTINGS]
    return [column(cut(name), [setting(name, row.get(name)) for row in said]) for name in names]


def setting(name: str, said: Any) -> Cell:
    """The cell of a setting, without a secret."""
    if said is None:
        return Cell("", None)
    if is_secret(name.rpartition(".")[2]):
        return Cell(REDACTED, REDACTED)
    value = value_of(str(said))
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    number = plain and math.isfinite(value)
    return Cell(cut(said), value if number else cut(said))


def scores(found: Sequence[Result], by: str) -> Iterator[Column]:
    """A column for each score by its full name, that which decides first."""
    for short in dict.fromkeys((by, *COLUMNS)):
        cards = [card for result in found for card in result.cards if short in card.scores]
        for name in dict.fromkeys(card.protocol.name(short) for card in cards):
            cells = [score(result, short, name) for result in found]
            yield Column(cut(name), "number", [], cells, less_is_better(short))


def score(result: Result, short: str, name: str) -> Cell:
    """The cell of a score; empty if the run has none by this protocol."""
    having = (card for card in result.cards if short in card.scores)
    card = next((card for card in having if card.protocol.name(short) == name), None)
    if card is None:
        return Cell("", None)
    found = card.scores[short]
    return Cell(tables.spelled(found), found.value if math.isfinite(found.value) else None)


def column(name: str, cells: list[Cell]) -> Column:
    """A column of the kind that its cells have."""
    values = [cell.value for cell in cells if cell.value is not None]
    distinct = list(dict.fromkeys(cell.text for cell in cells if cell.value is not None))
    numeric = bool(values) and all(isinstance(value, int | float) for value in values)
    if numeric and len(distinct) > 1:
        return Column(name, "number", in_order(cells) if len(distinct) <= FEW else [], cells)
    return Column(name, "choice" if len(distinct) <= FEW else "text", in_order(cells), cells)


def in_order(cells: Sequence[Cell]) -> list[Cell]:
    """The distinct cells, numbers by size and words by the alphabet, without the empty ones."""
    known = {cell.text: cell for cell in cells if cell.value is not None}
    return sorted(known.values(), key=lambda cell: (isinstance(cell.value, str), cell.value))


def choices(listed: Sequence[Column], varied: int = 2) -> list[Column]:
    """The columns whose few values are choices by which runs can be grouped."""
    chosen = [c for c in listed if c.score is None and c.name not in ("state", "health")]
    return [c for c in chosen if varied <= len(c.values) <= FEW]
