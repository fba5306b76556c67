"""Tables of scores of several runs, with runs that differ only in their seed grouped."""

import csv
import io
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ganlab.runs.folder import Run, science
from ganlab.scoring.protocol import require_alike
from ganlab.scoring.scorecard import Card, Score, Scorecard, spread

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a cell begins that a spreadsheet computes
CAPTION = "± is half of a 95% interval (Student's t)"
ROUNDING = 1e-12  # relative difference of sums in another order

PLUS_MINUS = " ± "

Row = dict[str, str | Score]  # column -> text, or a score


def table(
    scored: Sequence[tuple[Run, Scorecard]],
    columns: Iterable[str],
    beside: Mapping[str, Scorecard] | None = None,
) -> str:
    """A Markdown table: a row per experiment, with means over seeds and their 95% intervals.

    Args:
        scored: runs with their scores.
        columns: short names of the scores to show.
        beside: further rows: label and scores.

    Raises:
        ProtocolMismatchError: the scores are not comparable; says why.
    """
    require_alike((str(run.path), card.protocol) for run, card in scored)
    columns = list(columns)
    protocol = scored[0][1].protocol
    rows = [["experiment", "runs", "iterations", *(protocol.name(name) for name in columns)]]
    rows.append(["---"] * len(rows[0]))
    for label, cards in grouped(scored).items():
        iterations = sorted({f"{card.iterations:,}" for card in cards})
        scores = [spread([card.scores[name].value for card in cards]) for name in columns]
        rows.append([label, str(len(cards)), ", ".join(iterations), *map(spelled, scores)])
    for label, card in (beside or {}).items():
        rows.append([label, "", "", *(spelled(card.scores[name]) for name in columns)])
    return captioned(markdown(rows))


def grouped(scored: Sequence[tuple[Run, Scorecard]]) -> dict[str, list[Scorecard]]:
    """Name of the experiment -> scorecards of its runs, which differ only in their seed."""
    groups: dict[str, list[tuple[Run, Scorecard]]] = defaultdict(list)
    for run, card in scored:
        kept = {key: value for key, value in science(run.config()).items() if key != "seed"}
        groups[json.dumps(kept, sort_keys=True)].append((run, card))
    names = [members[0][0].path.absolute().parent.name for members in groups.values()]
    named: dict[str, list[Scorecard]] = {}
    for name, members in zip(names, groups.values(), strict=True):
        label = name if names.count(name) == 1 else f"{name}/{members[0][0].path.name}"
        named[label] = [card for _, card in members]
    return named


def means(cards: Sequence[Card]) -> dict[str, Any]:
    """Plain data: mean, margin and standard deviation over runs, of all scores that every run has.

    Args:
        cards: of runs scored by one protocol; may be empty.
    """
    first = cards[0].scores if cards else {}
    names = [name for name in first if all(name in card.scores for card in cards)]
    scores = {name: spread([card.scores[name].value for card in cards]) for name in names}
    return {
        "scored": len(cards),
        "iterations": sorted({card.iterations for card in cards}),
        "scores": {n: {"name": cards[0].protocol.name(n), **scores[n]._asdict()} for n in names},
        "protocol": cards[0].protocol.as_dict() if cards else None,
    }


def by_class(cards: Sequence[Scorecard]) -> str:
    """A Markdown table of scores, with a row per class."""
    return by_label({card.protocol.data: card for card in cards})


def by_label(cards: Mapping[str, Scorecard]) -> str:
    """A Markdown table of all scores, with a row per label."""
    names = list(next(iter(cards.values())).scores)
    rows = [[label, *(spelled(card.scores[n]) for n in names)] for label, card in cards.items()]
    return markdown([["", *names], ["---"] * (1 + len(names)), *rows])


def as_markdown(rows: Sequence[Row]) -> str:
    """Rows of named cells as a Markdown table, with all columns that any row has."""
    columns = columns_of(rows)
    cells = [[cell(row.get(column, "")) for column in columns] for row in rows]
    return captioned(markdown([columns, ["---"] * len(columns), *cells]))


def captioned(text: str) -> str:
    """A table, and below it what its ± means, if it has any."""
    return f"{text}\n\n{CAPTION}" if PLUS_MINUS in text else text


def as_csv(rows: Sequence[Row]) -> str:
    """Rows of named cells as CSV: scores as plain numbers, their intervals, deviations and n apart.

    A text that a spreadsheet would compute, as it does `=1+1`, begins with an apostrophe.
    """
    file = io.StringIO()
    flat = [dict(numbers(row)) for row in rows]
    writer = csv.DictWriter(file, columns_of(flat), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return file.getvalue().rstrip("\n")


def as_json(document: Any) -> str:
    """Plain data as one JSON document; NaN and infinities, which JSON lacks, become null."""
    return json.dumps(finite(document), indent=2, ensure_ascii=False, allow_nan=False)


def finite(node: Any) -> Any:
    """Plain data with non-finite numbers replaced by None."""
    if isinstance(node, Mapping):
        return {key: finite(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [finite(value) for value in node]
    return None if isinstance(node, float) and not math.isfinite(node) else node


def columns_of(rows: Iterable[Mapping[str, object]]) -> list[str]:
    """All columns of the rows, in the order of their first appearance."""
    return list(dict.fromkeys(name for row in rows for name in row))


def numbers(row: Row) -> Iterator[tuple[str, str]]:
    """(column, text) of the cells of a row; a score has more where more is known."""
    for name, value in row.items():
        if isinstance(value, Score):
            yield name, repr(value.value)
            if value.margin is not None:
                yield f"{name} (half of its 95% interval)", repr(value.margin)
            if value.deviation is not None:
                yield f"{name} (standard deviation)", repr(value.deviation)
            if value.n > 1:
                yield f"{name} (n)", str(value.n)
        else:
            computed = value.startswith(FORMULA) and not is_number(value)
            yield name, f"'{value}" if computed else value


def is_number(text: str) -> bool:
    """Whether a text is a number, such as -1e-3."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def cell(value: str | Score) -> str:
    """The text of a Markdown cell."""
    return (
        spelled(value)
        if isinstance(value, Score)
        else " ".join(value.replace("|", "\\|").splitlines())
    )


def markdown(rows: Iterable[Sequence[str]]) -> str:
    """Rows of cells as a Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def spelled(score: Score) -> str:
    """'3.206 ± 0.052' with a 95% interval, '3.206 (sd 0.021)' with a deviation alone, or '3.206'.

    To two digits of the error; an error that is no more than rounding is left out.
    """
    error = score.deviation if score.margin is None else score.margin
    if not error or error < ROUNDING * abs(score.value):
        return f"{score.value:.4g}"
    digits = max(0, 1 - math.floor(math.log10(error)))
    value, size = f"{score.value:.{digits}f}", f"{error:.{digits}f}"
    return f"{value} (sd {size})" if score.margin is None else f"{value}{PLUS_MINUS}{size}"
