"""metrics.csv, which every run writes."""

import csv
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from ganlab.runs.readings import columns_of, explained, rows_of
from ganlab.storage import files


class MetricsFile(Logger):
    """metrics.csv: one row per reading, one column per metric; every run has it.

    No row is kept in memory.

    Args:
        path: the file; a resumed run keeps the rows of its earlier parts.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.columns = path, list[str]()

    @property
    def name(self) -> str:
        return "csv"

    @property
    def version(self) -> str:
        return ""

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace) -> None:
        """Does nothing: config.yaml has the config."""

    @rank_zero_only
    def go_on(self, iteration: int, attempt: int = 0) -> None:
        """Drops rows after `iteration`, which the resumed run will write again."""
        if self.path.exists():
            with explained(self.path):
                self.columns, rows = columns_of(self.path), rows_of(self.path)
                self._rewrite(row for row in rows if int(row["iterations"]) <= iteration)

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        if new := [name for name in metrics if name not in self.columns]:
            rows = rows_of(self.path) if self.columns else ()
            self.columns += new
            self._rewrite(rows)
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self.columns).writerow(metrics)

    def _rewrite(self, rows: Iterable[dict[str, str]]) -> None:
        """Replaces the file by one with all columns and these rows, which may be its own."""
        with files.replacing(self.path) as part, part.open("w", newline="") as file:
            writer = csv.DictWriter(file, self.columns)
            writer.writeheader()
            writer.writerows(rows)
