"""What a live training remembers: its whole state every few iterations, and curves of readings."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ganlab.lab.live.setup import Setup

MOST, BYTES = 300, 256 * 2**20  # of the states that are kept
POINTS = 2000  # of a curve


@dataclass(frozen=True)
class Snapshot:
    """The whole state of a training after an iteration.

    Args:
        iterations: done.
        setup: the choices in force.
        state: everything else, tensors copied.
    """

    iterations: int
    setup: Setup
    state: dict[str, Any]

    @property
    def nbytes(self) -> int:
        """Memory of its tensors."""
        return sum(tensor.nbytes for tensor in tensors_in(self.state))


class History:
    """Snapshots in the order of their iterations, thinned as they grow.

    At most MOST are kept, and fewer where they would take more than BYTES.  The one that is dropped
    leaves the smallest gap for its age, so recent ones are dense and old ones sparse; the first and
    the last stay.
    """

    def __init__(self) -> None:
        self._kept: dict[int, Snapshot] = {}

    @property
    def iterations(self) -> list[int]:
        """Iterations to which one can go, in order."""
        return list(self._kept)

    def nearest(self, iteration: int) -> Snapshot:
        """The snapshot that is nearest to an iteration; of two, the earlier one."""
        return self._kept[min(self._kept, key=lambda kept: abs(kept - iteration))]

    def add(self, snapshot: Snapshot) -> None:
        """Keeps a snapshot, in place of one of the same iteration; drops another if need be."""
        self._kept[snapshot.iterations] = snapshot
        if len(self._kept) > max(3, min(MOST, BYTES // max(snapshot.nbytes, 1))):
            del self._kept[self._least()]

    def drop_after(self, iteration: int) -> None:
        """Forgets what comes later."""
        self._kept = {i: snapshot for i, snapshot in self._kept.items() if i <= iteration}

    def _least(self) -> int:
        """The iteration whose snapshot is missed least."""
        kept = self.iterations
        gaps = {
            here: (after - before) / (kept[-1] - here)
            for before, here, after in zip(kept, kept[1:], kept[2:], strict=False)
        }
        return min(gaps, key=lambda here: gaps[here])


class Curves:
    """Readings over iterations, by name; a long curve loses every second of its points."""

    def __init__(self) -> None:
        self._read: dict[str, list[tuple[int, float]]] = {}

    def add(self, iteration: int, readings: Mapping[str, float]) -> None:
        """Adds what was read at an iteration."""
        for name, value in readings.items():
            curve = self._read.setdefault(name, [])
            curve.append((iteration, value))
            if len(curve) > POINTS:
                del curve[1:-1:2]

    def drop_after(self, iteration: int) -> None:
        """Forgets what comes later."""
        for name, curve in self._read.items():
            self._read[name] = [point for point in curve if point[0] <= iteration]

    def all(self) -> dict[str, list[tuple[int, float]]]:
        """(iteration, value) of each reading, by name; lists of the caller's own."""
        return {name: list(curve) for name, curve in self._read.items()}


def copied(value: Any) -> Any:
    """A deep copy of plain data with tensors, detached from what is trained."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(copied, value))
    return value


def tensors_in(value: Any) -> list[Tensor]:
    """All tensors in plain data."""
    if isinstance(value, Tensor):
        return [value]
    items = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(items, list | tuple):
        return []
    return [tensor for item in items for tensor in tensors_in(item)]
