"""Scores at intervals, keeps the best checkpoint, and stops early if scores stop improving.

The best checkpoint is chosen by its score for one noise, so this score is too good: the least of
many numbers with errors is less than its mean.  At the end of a run it is scored on other noise.
"""

import sys
from dataclasses import replace
from typing import Any

import torch
from pytorch_lightning import Trainer

from ganlab.callbacks.base import ModelCallback
from ganlab.callbacks.checkpoints import Checkpoints
from ganlab.callbacks.intervals import due
from ganlab.callbacks.journal import Journal
from ganlab.data import ImageData
from ganlab.errors import DamagedError
from ganlab.generative import Generative
from ganlab.scoring import Plan, Scorecard, Scorer, tables


class Scores(ModelCallback):
    """Logs scores under their full names; scoring itself does not change training.

    Args:
        plan: sets the interval, the score that decides, and the patience.
        journal: logs the scores; does not count the time of scoring.
        checkpoints: saves the best checkpoint.
    """

    def __init__(self, plan: Plan, journal: Journal, checkpoints: Checkpoints) -> None:
        self.plan, self.journal, self.checkpoints = plan, journal, checkpoints
        self.scorer: Scorer | None = None
        self.latest: Scorecard | None = None
        self.best: Scorecard | None = None
        self.fresh: Scorecard | None = None  # the best checkpoint on other noise
        self.since_best = 0  # scorings since the best one

    def state_dict(self) -> dict[str, Any]:
        return {"since_best": self.since_best} | {
            name: card.as_dict() for name, card in self.cards().items()
        }

    def cards(self) -> dict[str, Scorecard]:
        """The latest, the best and the best on fresh noise, as far as they exist."""
        cards = {"latest": self.latest, "best": self.best, "fresh": self.fresh}
        return {name: card for name, card in cards.items() if card is not None}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.since_best = state_dict["since_best"]
        for name in ("latest", "best", "fresh"):
            if name in state_dict:
                setattr(self, name, Scorecard.from_dict(state_dict[name]))

    def prepare(self, data: ImageData, device: torch.device) -> None:
        """Makes the scorer: trains or loads the extractor and reads the real images.

        Raises:
            DataError: the data does not have the real images that the plan needs.
        """
        self.scorer = self.plan.scorer(data, device)

    def on_train_start(self, trainer: Trainer, model: Generative) -> None:
        if not self.checkpoints.has_best:  # the run has gone back to before the first scoring
            self.best, self.fresh, self.since_best = None, None, 0
        # True if the run was killed after it saved its last checkpoint.
        trainer.should_stop |= self.exhausted

    def on_train_batch_end(self, trainer: Trainer, model: Generative, *_: Any) -> None:
        if self.scorer is None or not due(model, self.plan.every):
            return
        with self.journal.paused():
            self.latest = trainer.strategy.broadcast(self.scorer(model))
        self.journal.record(trainer, model, self.latest.named())
        if self.latest.better(self.best, self.plan.best):
            self.best, self.since_best = self.latest, 0
            self.checkpoints.save_best(trainer, model)
        else:
            self.since_best += 1
        if self.exhausted:
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, model: Generative) -> None:
        if model.iterations == model.total_iterations or self.exhausted:
            self.score_again(trainer, model)

    def score_again(self, trainer: Trainer, model: Generative) -> None:
        """Scores best.ckpt on noise that did not help to choose it, unless that has been done."""
        if self.scorer is None or self.best is None or self.fresh is not None:
            return
        try:
            with self.journal.paused(), self.checkpoints.best_weights(model):
                found = self.scorer(model, self.plan.fresh_seed)
        except DamagedError as error:
            sys.stderr.write(f"the best checkpoint is not scored on fresh noise: {error}\n")
            return
        # The model has the best weights, but the age of the last ones.
        protocol = replace(found.protocol, ema=self.best.protocol.ema)
        fresh = replace(found, protocol=protocol, iterations=self.best.iterations)
        self.fresh = trainer.strategy.broadcast(fresh)

    def summary(self) -> dict[str, Any]:
        """The best checkpoint for summary.json; empty before it is scored again.

        `selected_by` is the score that chose it, and `value` the same score on fresh noise, whose
        seed is `seed`.
        """
        if self.best is None or self.fresh is None:
            return {}
        by = self.plan.best
        return {
            "best": {
                "iteration": self.best.iterations,
                "score": self.best.protocol.name(by),
                "selected_by": self.best.scores[by].value,
                "value": self.fresh.scores[by].value,
                "seed": self.fresh.protocol.seed,
            }
        }

    def conclusion(self) -> str:
        """The latest and the best score, in one line; empty before the first scoring."""
        if self.latest is None or self.best is None:
            return ""
        by, name = self.plan.best, self.best.protocol.name(self.plan.best)
        latest, best = (tables.spelled(card.scores[by]) for card in (self.latest, self.best))
        said = f"{name}: {latest}; best {best}, at iteration {self.best.iterations:,}"
        if self.fresh is None:
            return said
        return f"{said}, which has {tables.spelled(self.fresh.scores[by])} on fresh noise"

    @property
    def exhausted(self) -> bool:
        """Whether patience has run out."""
        return self.plan.patience is not None and self.since_best >= self.plan.patience
