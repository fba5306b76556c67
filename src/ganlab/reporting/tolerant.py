"""A run of which everything that can be read is read."""

import contextlib
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ganlab.errors import ConfigError
from ganlab.runs.folder import Run, science
from ganlab.runs.records import damaged
from ganlab.scoring.scorecard import Scorecard

T = TypeVar("T")


class Tolerant(Run):
    """A run whose files are read once each; what is damaged is as if it were not there.

    Attributes:
        missing: a sentence for each thing that could not be read so far.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.missing: list[str] = []

    def config(self) -> dict[str, Any]:
        return self._config

    def summary(self) -> dict[str, Any]:
        return self._summary

    def environment(self) -> dict[str, Any]:
        return self._environment

    def reached(self) -> int:
        with contextlib.suppress(ValueError):  # a file was renamed
            return super().reached()
        return 0

    def attempt(self, read: Callable[[], T]) -> T | None:
        """What is read, or None, with the reason in `missing`."""
        try:
            return read()
        except ConfigError as error:
            self.missing += error.problems
        except OSError as error:
            self.missing.append(f"'{error.filename}' cannot be read: {error.strerror}")
        return None

    @functools.cached_property
    def _config(self) -> dict[str, Any]:
        if not self.config_file.exists():
            return {}
        found = self.attempt(super().config) or {}
        try:
            science(found)
        except (AttributeError, KeyError, TypeError) as error:
            if found:
                self.missing.append(damaged(self.config_file, f"it lacks {error}"))
            return {}
        return found

    @functools.cached_property
    def _summary(self) -> dict[str, Any]:
        found = self.attempt(super().summary) or {}
        kept = [record for record in found.get("scores", []) if self._is_score(record)]
        return {**found, "scores": kept}

    @functools.cached_property
    def _environment(self) -> dict[str, Any]:
        return self.attempt(super().environment) or {}

    def _is_score(self, record: dict[str, Any]) -> bool:
        try:
            Scorecard.from_dict(record)
        except ValueError as error:
            self.missing.append(damaged(self.summary_file, f"scores: {error}"))
            return False
        return True
