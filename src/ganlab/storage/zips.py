"""The files inside a zip."""

import zipfile
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from ganlab.errors import DataError
from ganlab.storage.archive import LARGEST, require_small, stamp


class Zip:
    """The files inside a zip, which is opened once because its directory may be long."""

    descriptors: tuple[int, ...] = ()

    def __init__(self, root: Path) -> None:
        self.root, self.skipped = Path(root), Counter[str]()

    def names(self) -> list[str]:
        return [name for name in self._file.namelist() if not name.endswith("/")]

    def read(self, name: str) -> bytes:
        require_small(self._file.getinfo(name).file_size)
        with self._file.open(name) as member:  # never more than its directory says
            return member.read(LARGEST)

    def sizes(self, names: Sequence[str]) -> list[int]:
        return [self._file.getinfo(name).file_size for name in names]

    def stamps(self, names: Sequence[str]) -> list[int]:
        found = list(stamp(str(self.root)))
        for entry in map(self._file.getinfo, names):
            found.extend((entry.file_size, entry.CRC, entry.header_offset))
        return found

    def described(self) -> list[Any]:
        return ["zip", str(self.root)]

    @cached_property
    def _file(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.root)
        except Exception as error:
            raise DataError(f"data.root: '{self.root}' is no zip: {error}") from error
