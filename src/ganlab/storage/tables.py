"""Pictures in the rows of parquet and Arrow files, as Hugging Face's data sets have them."""

import functools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from ganlab.errors import DataError
from ganlab.storage.archive import read, require_small, stamp

PARQUET, ARROW, ROW = ".parquet", ".arrow", ".row"
SUFFIXES = (PARQUET, ARROW)
IMAGES, LABELS = ("image", "img", "picture"), ("label", "labels", "fine_label", "class")
PARTS = ("train", "validation", "valid", "val", "test")  # names of folders; files begin with one

Index = dict[str, tuple[str, int, int]]  # name -> (file, group of rows, row)


class Tables:
    """Rows of files with a column of pictures, which may have a column of labels.

    A row's name is that of a file in the folder of its part and its class: train/00007/NAME.row.

    Args:
        root: a file or the folder of the files.
        files: their names; "" is the root itself.
        index: where the rows are; None: find out.
    """

    descriptors: tuple[int, ...] = ()

    def __init__(self, root: Path, files: Sequence[str], index: Index | None = None) -> None:
        self.root, self.files, self.skipped = Path(root), sorted(files), Counter[str]()
        if index is not None:
            self._index = index

    def names(self) -> list[str]:
        return list(self._index)

    def read(self, name: str) -> bytes:
        file, group, row = self._index[name]
        value = self._pictures(file, group)[row].as_py()
        content, path = (
            (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value, None)
        )
        if content is None and path is not None:
            if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
                raise ValueError(f"'{path}' is outside of the folder")
            return read(str((self.root / file).parent / path))
        if content is None:
            raise ValueError("the row has no picture")
        require_small(len(content))
        return content

    def sizes(self, names: Sequence[str]) -> list[int]:
        return [stamp(str(self.root / file))[0] for file in self.files]

    def stamps(self, names: Sequence[str]) -> list[int]:
        return [number for file in self.files for number in stamp(str(self.root / file))]

    def described(self) -> list[Any]:
        return ["tables", str(self.root), self.files, self._index]

    @cached_property
    def _index(self) -> Index:
        index = Index()
        for file in self.files:
            try:
                for name, group, row in self._rows(file):
                    index[name] = file, group, row
            except (OSError, ValueError) as error:  # those of pyarrow are among these
                raise DataError(f"data.root: '{self.root / file}': {error}") from error
        return index

    def _rows(self, file: str) -> Iterator[tuple[str, int, int]]:
        """(name, group of rows, row in it) of each row."""
        table, stem = opened(self.root / file), Path(file or self.root.name).stem
        column = column_of(table, IMAGES)
        if column is None:
            raise ValueError(f"no column {' or '.join(IMAGES)}, only {', '.join(table.columns)}")
        label, number = column_of(table, LABELS), 0
        part = part_of(PurePosixPath(file or self.root.name))
        classes = class_names(table, label)
        for group, rows in enumerate(table.groups):
            labels = [None] * rows
            if label is not None:
                labels = table.column(group, label).to_pylist()
            for row, value in enumerate(labels):
                folders = [f"{part}/" if part else "", folder_of(value, classes)]
                yield f"{''.join(folders)}{stem}-{number:08}{ROW}", group, row
                number += 1

    @functools.lru_cache(maxsize=1)  # noqa: B019 - rows are read in order, of one object
    def _pictures(self, file: str, group: int) -> Any:
        table = opened(self.root / file)
        return table.column(group, column_of(table, IMAGES))


class Parquet:
    """A parquet file, read by groups of rows.

    Attributes:
        schema: columns, and what the writer has noted.
        groups: number of rows of each group.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet

        self._file = pyarrow.parquet.ParquetFile(path)
        self.schema, about = self._file.schema_arrow, self._file.metadata
        self.groups = [about.row_group(i).num_rows for i in range(about.num_row_groups)]

    @property
    def columns(self) -> list[str]:
        return list(self.schema.names)

    def column(self, group: int, name: str | None) -> Any:
        """The values of a column in a group."""
        return self._file.read_row_group(group, columns=[name]).column(0)


class Arrow:
    """An Arrow file as `save_to_disk` writes it: one group, mapped into memory."""

    def __init__(self, path: Path) -> None:
        import pyarrow.ipc

        with pyarrow.memory_map(str(path)) as file:
            self._table = pyarrow.ipc.open_stream(file).read_all()
        self.schema, self.groups = self._table.schema, [self._table.num_rows]

    @property
    def columns(self) -> list[str]:
        return list(self.schema.names)

    def column(self, group: int, name: str | None) -> Any:
        """The values of a column."""
        return self._table.column(name)


def opened(path: Path) -> Parquet | Arrow:
    """A table.

    Raises:
        DataError: pyarrow is not installed.
        OSError, ValueError: the file is damaged.
    """
    try:
        import pyarrow as pa  # noqa: F401
    except ImportError as error:
        needs = "parquet and Arrow files need pyarrow: pip install 'ganlab[parquet]'"
        raise DataError(f"data.root: {needs}") from error
    return Arrow(path) if path.suffix.lower() == ARROW else Parquet(path)


def part_of(file: PurePosixPath) -> str | None:
    """The part that a file is of, by the name of a folder above it or the beginning of its own."""
    for folder in file.parts[:-1]:
        if folder.lower() in PARTS:
            return folder.lower()
    return next((part for part in PARTS if file.stem.lower().startswith(part)), None)


def column_of(table: Parquet | Arrow, names: Sequence[str]) -> str | None:
    """The first of these columns that there is."""
    return next((name for name in names if name in table.columns), None)


def class_names(table: Parquet | Arrow, label: str | None) -> list[str]:
    """Those that Hugging Face's library has noted; empty if there are none."""
    try:
        noted = json.loads((table.schema.metadata or {})[b"huggingface"])
        return list(map(str, noted["info"]["features"][label]["names"]))
    except (KeyError, TypeError, ValueError):
        return []


def folder_of(label: Any, classes: Sequence[str]) -> str:
    """The folder of a class, with a slash; folders are sorted as numbers are."""
    if label is None:
        return ""
    if isinstance(label, int):
        name = f" {classes[label]}" if 0 <= label < len(classes) else ""
        label = f"{label:06}{name}"
    return f"{label}".replace("/", "-") + "/"
