"""What a run observes of itself between two readings, without waiting for the device."""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

ADVICE = (
    "Usual causes: learning rates too high for this loss, 16-mixed precision (bf16-mixed has "
    "float32's range), a wasserstein critic without weight_clip or gradient_penalty."
)


class NonFiniteError(Exception):
    """A loss, a penalty, a gradient or a weight is NaN or infinite: training cannot go on."""


class Observations:
    """Collects scalars and logits on the device; `read` averages them and waits once.

    Args:
        score: maps logits to what the loss takes D(x) for.
    """

    def __init__(self, score: Callable[[Tensor], Tensor]) -> None:
        self.score = score
        self.norms = False  # whether gradient norms are wanted; set for iterations that are read
        self._scalars: dict[str, list[Tensor]] = defaultdict(list)
        self._logits: list[tuple[Tensor, Tensor]] = []

    def add(self, name: str, value: Tensor) -> None:
        """Notes one scalar; no copy leaves the device."""
        self._scalars[name].append(value.detach())

    def add_all(self, values: Mapping[str, Tensor]) -> None:
        """Notes several scalars."""
        for name, value in values.items():
            self.add(name, value)

    def add_logits(self, real: Tensor, fake: Tensor) -> None:
        """Notes D's logits on one minibatch, (N,) each."""
        self._logits.append((real.detach(), fake.detach()))

    def latest(self, name: str) -> Tensor | None:
        """The scalar noted last, if any was since the last reading."""
        noted = self._scalars.get(name)
        return noted[-1] if noted else None

    def latest_logits(self) -> tuple[Tensor, Tensor] | None:
        """D's logits on the last minibatch of real and of generated images, if there are any."""
        return self._logits[-1] if self._logits else None

    def read(self) -> dict[str, float]:
        """Means since the last reading, by name; empty if nothing was noted.

        Raises:
            NonFiniteError: one of them is NaN or infinite.
        """
        if not self._scalars:
            return {}
        means = {name: torch.stack(values).float().mean() for name, values in self._scalars.items()}
        if self._logits:
            real, fake = zip(*self._logits, strict=True)
            means["D(x)"], means["D(G(z))"] = self._score(real), self._score(fake)
        self._scalars.clear()
        self._logits.clear()
        values = torch.stack(list(means.values())).tolist()
        read = dict(zip(means, values, strict=True))
        if bad := [name for name, value in read.items() if not math.isfinite(value)]:
            raise NonFiniteError(", ".join(f"{name} is {read[name]}" for name in bad))
        return read

    def state(self) -> dict[str, Any]:
        """What was noted since the last reading, as tensors, for a checkpoint."""
        logits = zip(*self._logits, strict=True)
        return {
            "scalars": {name: torch.stack(values) for name, values in self._scalars.items()},
            "logits": [torch.cat([part.flatten() for part in parts]) for parts in logits],
        }

    def extend(self, state: Mapping[str, Any]) -> None:
        """Notes all of what another's `state` holds; later changes of its tensors are not seen."""
        for name, values in state["scalars"].items():
            self._scalars[name].extend(values.clone())
        if state["logits"]:
            real, fake = (part.clone() for part in state["logits"])
            self._logits.append((real, fake))

    def load_state(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Goes on from there: the next reading is that of a run which never stopped."""
        for name, values in state["scalars"].items():
            self._scalars[name] = list(values.to(device))
        if state["logits"]:
            real, fake = (part.to(device) for part in state["logits"])
            self._logits = [(real, fake)]

    def _score(self, logits: tuple[Tensor, ...]) -> Tensor:
        return self.score(torch.cat([part.flatten().float() for part in logits])).mean()
