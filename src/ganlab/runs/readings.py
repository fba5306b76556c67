"""metrics.csv: one row per reading, one column per metric; it may be long, so rows are streamed."""

import contextlib
import csv
import io
from collections.abc import Iterator
from pathlib import Path

from ganlab.errors import ConfigError
from ganlab.runs.records import damaged
from ganlab.storage import files

AXES = ("iterations", "images_seen", "seconds")


def lines_of(path: Path) -> Iterator[list[str]]:
    """The cells of each line, the names of the columns first.

    An incomplete last line (after a kill or a full disk) is left out.

    Raises:
        OSError: there is no file.
        ValueError: it is no regular file, or no text.
    """
    with files.opened(path) as raw, io.TextIOWrapper(raw, newline="") as file:
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
    """The rows as numbers, without empty cells; none if there is no file.

    Raises:
        ConfigError: it is damaged.
    """
    if path.exists():
        with explained(path):
            for row in rows_of(path):
                yield {name: float(value) for name, value in row.items() if value}


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turns errors of reading the file into a ConfigError that names it."""
    try:
        yield
    except (ValueError, KeyError, csv.Error) as error:
        why = f"no column {error}" if isinstance(error, KeyError) else str(error)
        raise ConfigError([damaged(path, why)]) from error
    except IsADirectoryError as error:
        raise ConfigError([damaged(path, "it is no regular file")]) from error
