"""Numbers that a run records between two readings, without waiting for the device."""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ganlab.errors import NonFiniteError


@dataclass(frozen=True)
class Layout:
    """Where each observation stands in a vector of them: scalars by name, then logits.

    Args:
        scalars: (name, how many) in the order of the vector.
        logits: (how many of real images, how many of generated ones) of each of D's passes.
    """

    scalars: tuple[tuple[str, int], ...]
    logits: tuple[tuple[int, int], ...]

    def unpack(self, vector: Tensor) -> tuple[dict[str, Tensor], list[tuple[Tensor, Tensor]]]:
        """The scalars (n,) by name, and the logits of each pass, as views."""
        sizes = [n for _, n in self.scalars] + [n for pair in self.logits for n in pair]
        parts = iter(vector.split(sizes))
        scalars = {name: next(parts) for name, _ in self.scalars}
        return scalars, [(next(parts), next(parts)) for _ in self.logits]


class Observations:
    """Collects scalars and logits on any device; `read` averages them and waits once.

    They come from the device that trains, from callbacks on the CPU, or from a checkpoint, and are
    moved to one device only when they are read.

    Args:
        score: maps logits to D(x) as the loss defines it.
    """

    def __init__(self, score: Callable[[Tensor], Tensor]) -> None:
        self.score = score
        self.norms = False  # whether gradient norms are wanted; set for iterations that are read
        self._scalars: dict[str, list[Tensor]] = defaultdict(list)
        self._logits: list[tuple[Tensor, Tensor]] = []
        self._packed: list[tuple[Layout, Tensor]] = []  # of graphs, not yet looked at

    def add(self, name: str, value: Tensor | float) -> None:
        """Records one scalar; nothing is copied from the device."""
        tensor = value.detach() if isinstance(value, Tensor) else torch.tensor(float(value))
        self._scalars[name].append(tensor)

    def add_all(self, values: Mapping[str, Tensor | float]) -> None:
        """Records several scalars."""
        for name, value in values.items():
            self.add(name, value)

    def add_logits(self, real: Tensor, fake: Tensor) -> None:
        """Records D's logits on one minibatch, (N,) each."""
        self._logits.append((real.detach(), fake.detach()))

    def add_packed(self, layout: Layout, vector: Tensor) -> None:
        """Records the result of another `packed`; the vector must not change afterwards."""
        self._packed.append((layout, vector))

    def packed(self) -> tuple[Layout, Tensor]:
        """Everything recorded, as one vector: the output of a CUDA graph."""
        self._unpack()
        scalars = {name: together(values) for name, values in self._scalars.items()}
        logits = [part.flatten() for pair in self._logits for part in pair]
        sizes = [len(part) for part in logits]
        layout = Layout(
            tuple((name, len(values)) for name, values in scalars.items()),
            tuple(zip(sizes[::2], sizes[1::2], strict=True)),
        )
        return layout, torch.cat([*scalars.values(), *logits])

    def latest(self, name: str) -> Tensor | None:
        """The last recorded scalar of a name, if any was recorded since the last reading."""
        self._unpack()
        noted = self._scalars.get(name)
        return noted[-1].flatten()[-1] if noted else None

    def latest_logits(self) -> tuple[Tensor, Tensor] | None:
        """D's last recorded logits, on real and on generated images."""
        self._unpack()
        return self._logits[-1] if self._logits else None

    def read(self) -> dict[str, float]:
        """Means since the last reading: of every scalar, and D(x) and D(G(z)) of the logits.

        Raises:
            NonFiniteError: one of them is NaN or infinite.
        """
        self._unpack()
        if not self._scalars:
            return {}
        means = {name: together(values).float().mean() for name, values in self._scalars.items()}
        if self._logits:
            real, fake = zip(*self._logits, strict=True)
            means["D(x)"], means["D(G(z))"] = self._score(real), self._score(fake)
        self._scalars.clear()
        self._logits.clear()
        values = together(list(means.values())).tolist()
        read = dict(zip(means, values, strict=True))
        if bad := [name for name, value in read.items() if not math.isfinite(value)]:
            raise NonFiniteError(", ".join(f"{name} is {read[name]}" for name in bad))
        return read

    def state(self) -> dict[str, Any]:
        """Everything recorded since the last reading, as tensors, for a checkpoint."""
        self._unpack()
        logits = zip(*self._logits, strict=True)
        return {
            "scalars": {name: together(values) for name, values in self._scalars.items()},
            "logits": [together(parts) for parts in logits],
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restores a state: the next reading is the same as in an uninterrupted run."""
        for name, values in state["scalars"].items():
            self._scalars[name] = [values]
        if state["logits"]:
            real, fake = state["logits"]
            self._logits = [(real, fake)]

    def _score(self, logits: tuple[Tensor, ...]) -> Tensor:
        return self.score(together(logits).float()).mean()

    def _unpack(self) -> None:
        for layout, vector in self._packed:
            scalars, logits = layout.unpack(vector)
            for name, values in scalars.items():
                self._scalars[name].append(values)
            self._logits += logits
        self._packed.clear()


def together(tensors: Sequence[Tensor]) -> Tensor:
    """All numbers of these tensors as one vector, on the accelerator if one of them is there."""
    devices = {tensor.device: None for tensor in tensors}
    device = next((d for d in devices if d.type != "cpu"), torch.device("cpu"))
    return torch.cat([tensor.to(device).flatten() for tensor in tensors])
