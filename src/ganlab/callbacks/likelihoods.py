"""The likelihood of held-out images at intervals, of a model that has one."""

from typing import Any

from pytorch_lightning import Trainer

from ganlab.callbacks.base import ModelCallback
from ganlab.callbacks.intervals import due
from ganlab.generative import Generative
from ganlab.scoring.likelihood import HeldOut
from ganlab.spec import at_least
from ganlab.training.likelihood import LogLikelihood


class Likelihoods(ModelCallback):
    """Logs nll/...: minus the log-likelihood of held-out images in nats, or a bound of it.

    The last one goes into summary.json with its protocol.  Training is not disturbed.

    Args:
        every: iterations between two; the last iteration always has one.
        samples: the effort: k of the bound.
        n: held-out images, drawn once; null: all.
        seed: of these, and of what is drawn for each.
    """

    def __init__(
        self, every: int = 1000, samples: int = 50, n: int | None = 1000, seed: int = 0
    ) -> None:
        at_least(1, every=every, samples=samples)
        at_least(2, n=n)
        self.every, self.samples, self.n, self.seed = every, samples, n, seed
        self.latest: list[dict[str, Any]] = []
        self._held_out: HeldOut | None = None

    def state_dict(self) -> dict[str, Any]:
        return {"latest": self.latest}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.latest = state_dict["latest"]

    def on_train_batch_end(self, trainer: Trainer, model: Generative, *_: Any) -> None:
        if not due(model, self.every):
            return
        if self._held_out is None:
            self._held_out = HeldOut(trainer.datamodule, self.n, self.seed)  # type: ignore[attr-defined]
        found: list[LogLikelihood] = self._held_out(model, self.samples, self.seed)
        for one in found:
            model.observations.add(one.name, one.nats)
        self.latest = [one.as_dict() for one in found]
