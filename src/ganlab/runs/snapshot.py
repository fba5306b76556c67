"""A run as it is at one moment, for tables of thousands of runs."""

import functools
from typing import Any

from ganlab.runs.folder import Run


class Snapshot(Run):
    """A run whose files are read at most once each, when they are first needed.

    A process that trains, or waits for one that does, wants a `Run`, which reads them anew.
    Nobody may change what `config` and `summary` return.
    """

    def config(self) -> dict[str, Any]:
        return self._config

    def summary(self) -> dict[str, Any]:
        return self._summary

    @functools.cached_property
    def _config(self) -> dict[str, Any]:
        return super().config()

    @functools.cached_property
    def _summary(self) -> dict[str, Any]:
        return super().summary()
