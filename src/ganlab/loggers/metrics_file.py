"""metrics.csv, which every run writes."""

import csv
import io
from argparse import Namespace
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from ganlab.runs.readings import rows_of
from ganlab.storage import files


class MetricsFile(Logger):
    """metrics.csv: one row per reading, one column per metric; every run has it.

    Args:
        path: the file; a resumed run keeps the rows of its earlier parts.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.columns = path, list[str]()
        self.rows: list[dict[str, Any]] = []

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
            rows = rows_of(self.path)
            self.rows = [row for row in rows if int(row["iterations"]) <= iteration]
            self.columns = list(rows[0]) if rows else []
            self._rewrite()

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.rows.append(dict(metrics))
        new = [name for name in metrics if name not in self.columns]
        self.columns += new
        if new:
            self._rewrite()
        else:
            with self.path.open("a", newline="") as file:
                csv.DictWriter(file, self.columns).writerow(metrics)

    def _rewrite(self) -> None:
        file = io.StringIO(newline="")
        writer = csv.DictWriter(file, self.columns)
        writer.writeheader()
        writer.writerows(self.rows)
        files.write(self.path, file.getvalue())
