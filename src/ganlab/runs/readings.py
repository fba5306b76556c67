"""metrics.csv: one row per reading, one column per metric."""

import csv
from pathlib import Path

AXES = ("iterations", "images_seen", "seconds")


def rows_of(path: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv, without an incomplete last line (after a kill or a full disk)."""
    with path.open(newline="") as file:
        whole = [line for line in file if line.endswith("\n")]
    return list(csv.DictReader(whole))


def readings(file: Path) -> list[dict[str, float]]:
    """The rows of metrics.csv as numbers, without empty cells; [] if there is no file."""
    if not file.exists():
        return []
    return [{n: float(v) for n, v in row.items() if v} for row in rows_of(file)]
