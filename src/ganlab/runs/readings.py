"""metrics.csv: one row per reading, one column per metric; it may be long, so rows are streamed."""

import csv
from collections.abc import Iterator
from pathlib import Path

AXES = ("iterations", "images_seen", "seconds")


def lines_of(path: Path) -> Iterator[list[str]]:
    """The cells of each line, the names of the columns first.

    An incomplete last line (after a kill or a full disk) is left out.

    Raises:
        OSError: there is no file.
    """
    with path.open(newline="") as file:
        yield from csv.reader(line for line in file if line.endswith("\n"))


def columns_of(path: Path) -> list[str]:
    """The names of the columns; [] if the file is empty."""
    return next(lines_of(path), [])


def rows_of(path: Path) -> Iterator[dict[str, str]]:
    """The rows, cells by column."""
    lines = lines_of(path)
    columns = next(lines, [])
    for cells in lines:
        yield dict(zip(columns, cells, strict=False))


def readings(path: Path) -> Iterator[dict[str, float]]:
    """The rows as numbers, without empty cells; none if there is no file."""
    if path.exists():
        for row in rows_of(path):
            yield {name: float(value) for name, value in row.items() if value}
