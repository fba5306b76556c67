"""The page: a chapter for each data set, with samples, a table, and what is seen of each kind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ganlab.lab.generative import summary
from ganlab.lab.generative.kinds import Data
from ganlab.lab.generative.measures import Measured
from ganlab.lab.generative.seen import paragraph
from ganlab.lab.generative.summary import Outcome
from ganlab.pages import document, images
from ganlab.scoring import tables
from ganlab.scoring.tables import Row


@dataclass(frozen=True)
class Chapter:
    """All kinds on some data.

    Args:
        data: which.
        outcomes: of each kind.
        reference: of held-out data; None: nothing was trained on it.
        shown: name -> a picture of its samples; "data" first.
    """

    data: Data
    outcomes: Sequence[Outcome]
    reference: Measured | None = None
    shown: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def tables(self) -> dict[str, list[Row]]:
        """Name -> a table; none: nothing was trained."""
        if self.reference is None:
            return {}
        return {
            "what was trained": summary.training(self.outcomes),
            "what it can do": summary.results(self.outcomes, self.reference),
        }

    @property
    def seen(self) -> list[tuple[str, str, str]]:
        """(name, full name, paragraph) of each kind."""
        return [
            (one.entry.kind.name, one.entry.kind.title, self.paragraph(one))
            for one in self.outcomes
        ]

    def paragraph(self, one: Outcome) -> str:
        """What is seen of a kind."""
        return paragraph(one, self.reference or Measured())

    @property
    def reason(self) -> str:
        """Why nothing was trained on it."""
        return "; ".join(dict.fromkeys(one.entry.refusal or "" for one in self.outcomes))

    @property
    def protocol(self) -> list[str]:
        """How the numbers came about."""
        return summary.protocol(self.outcomes)

    def as_markdown(self) -> str:
        """The chapter for a page in Markdown, without pictures."""
        heading = f"### {self.data.title[:1].upper()}{self.data.title[1:]}"
        if self.reference is None:
            return f"{heading}\n\nLeft out: {self.reason}."
        said = [f"**{name}.** {text}" for name, _, text in self.seen]
        how = "\n".join(f"- {sentence}" for sentence in self.protocol)
        made = [as_markdown(f"{self.data.name}: {n}", rows) for n, rows in self.tables.items()]
        return "\n\n".join([heading, *made, *said, how])


def as_markdown(name: str, rows: Sequence[Row]) -> str:
    """A table in Markdown, with its name in the corner."""
    columns = tables.columns_of(rows)
    cells = [[tables.cell(row.get(column, "")) for column in columns] for row in rows]
    return tables.markdown([[name, *columns[1:]], ["---"] * len(columns), *cells])


def page(
    chapters: Sequence[Chapter],
    seconds: float,
    seeds: int,
    overrides: Sequence[str],
    folder: Path,
) -> str:
    """The HTML of a comparison.

    Args:
        chapters: one for each data set.
        seconds: of training, of each run.
        seeds: runs of each kind on each data set.
        overrides: of all runs.
        folder: where they are.
    """
    return document.page(
        __package__,
        "page.html",
        title="Four kinds of generative networks on equal terms",
        chapters=[values(one) for one in chapters],
        seconds=f"{seconds:g}",
        spread=spread(seeds),
        overrides=list(overrides),
        folder=str(folder),
    )


def spread(seeds: int) -> str:
    """What the numbers of a table are."""
    one = "Numbers are of one seed."
    return f"± is the standard deviation over {seeds} seeds." if seeds > 1 else one


def values(chapter: Chapter) -> dict[str, Any]:
    """What the template shows of a chapter."""
    return {
        "name": chapter.data.name,
        "title": chapter.data.title,
        "points": chapter.data.points,
        "reason": chapter.reason,
        "tables": [
            (name, columns, [[row.get(column, "") for column in columns] for row in rows])
            for name, rows in chapter.tables.items()
            for columns in [tables.columns_of(rows)]
        ],
        "pictures": {name: images.data_url(pixels) for name, pixels in chapter.shown.items()},
        "seen": chapter.seen,
        "protocol": chapter.protocol,
        "runs": [
            (one.entry.kind.name, [str(plan.run.path) for plan in one.entry.plans])
            for one in chapter.outcomes
            if one.entry.plans
        ],
    }
