"""Reports verdicts on a run's health and acts on them."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Trainer
from torch import Tensor
from tqdm import tqdm

from ganlab.callbacks.base import ModelCallback
from ganlab.callbacks.checkpoints import Checkpoints, write
from ganlab.callbacks.intervals import due
from ganlab.callbacks.journal import Journal
from ganlab.callbacks.readings import PART, HealthReadings
from ganlab.errors import NonFiniteError
from ganlab.generative import Generative
from ganlab.health.verdicts import Detector, Verdict, Watch, diverged
from ganlab.plots import pictures
from ganlab.storage import checkpoint


class Health(ModelCallback):
    """Reports each ailment of the run once, and takes the action of `watch`.

    Args:
        watch: settings.
        readings: takes the readings.  It comes before the journal in the order of callbacks, and
            this one after it, so that only the journal waits for the device.
        checkpoints: keeps the last healthy checkpoint, and saves those of snapshots.
        folder: where snapshots go.
        paint: makes a picture, uint8 (H, W, 3), of a snapshot's samples.
    """

    def __init__(
        self,
        watch: Watch,
        readings: HealthReadings,
        checkpoints: Checkpoints,
        folder: Path,
        paint: Callable[[Tensor], np.ndarray] = pictures.grid,
    ) -> None:
        self.watch, self.readings, self.checkpoints = watch, readings, checkpoints
        self.folder, self.paint = folder, paint
        self.detector = Detector(watch)
        self.verdicts: list[Verdict] = []
        self.ended: Verdict | None = None  # verdict because of which the run stops or goes back
        self._before = 0  # iteration of the healthy checkpoint before checkpoints.pinned

    def state_dict(self) -> dict[str, Any]:
        return {
            "detector": self.detector.state(),
            "verdicts": [verdict.as_dict() for verdict in self.verdicts],
            "ended": self.ended.as_dict() if self.ended is not None else None,
            "healthy": self.checkpoints.pinned,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.detector.load_state(state_dict["detector"])
        self.verdicts = [Verdict(**verdict) for verdict in state_dict["verdicts"]]
        self.ended = Verdict(**ended) if (ended := state_dict["ended"]) is not None else None
        self.checkpoints.pinned = state_dict["healthy"]

    def on_train_start(self, trainer: Trainer, model: Generative) -> None:
        # True if the run was killed after it saved its last checkpoint.
        trainer.should_stop |= self.ended is not None
        if self.watch.action == "rollback" and self.checkpoints.pinned is None:
            self.checkpoints.pinned = model.iterations
            self.checkpoints.save(trainer, model)

    def on_train_batch_end(self, trainer: Trainer, model: Generative, *_: Any) -> None:
        if due(model, self.watch.every):
            self._judge(trainer, model)
        ill = self.detector.ailing or self.ended is not None
        if due(model, self.checkpoints.every) and not ill:
            self._before = self.checkpoints.pinned or 0
            self.checkpoints.pinned = model.iterations

    def _judge(self, trainer: Trainer, model: Generative) -> None:
        """Judges the latest readings, and acts on a verdict."""
        latest = self.readings.latest
        found = dict(zip(latest, torch.stack(list(latest.values())).tolist(), strict=True))
        found = trainer.strategy.broadcast(found)  # processes read different minibatches
        for verdict in self.detector.read({**found, "iterations": model.iterations}):
            self._act(trainer, model, verdict)

    def diverged(self, model: Generative, error: NonFiniteError) -> bool:
        """Records the verdict on non-finite values; returns whether the run may go back."""
        self.verdicts.append(diverged(model.iterations, str(error)))
        if self.watch.action == "rollback" and self._may_go_back(model):
            self.ended = self.verdicts[-1]
        return self.ended is not None

    def goes_back(self, model: Generative) -> int | None:
        """The iteration to go back to; None if the run need not or cannot go back."""
        if self.watch.action != "rollback" or self.ended is None or not self._may_go_back(model):
            return None
        return checkpoint.iteration(self._healthy)

    def go_back(self, model: Generative, journal: Journal) -> None:
        """Makes the last healthy checkpoint the newest one and marks it as the next attempt.

        Weights and counts go back, the time that the run has taken does not.
        It is written before later ones are removed, so a run killed in between repeats this.
        """
        path = self._healthy
        saved = checkpoint.read(path)
        saved["attempt"] = model.attempt + 1
        saved["callbacks"][self.state_key]["verdicts"] = [v.as_dict() for v in self.verdicts]
        saved["callbacks"][journal.state_key]["seconds"] = journal.stopwatch.seconds()
        write(saved, path)
        self.checkpoints.drop_after(checkpoint.iteration(path))
        print(
            f"back to {path.name}, attempt {model.attempt + 1} of {self.watch.rollbacks}: other "
            f"noise, learning rates times {0.5 ** (model.attempt + 1):g}",
            flush=True,
        )

    def conclusion(self) -> str:
        """All ailments of the run, in one line."""
        names = ", ".join(f"{v.ailment} at iteration {v.iteration:,}" for v in self.verdicts)
        return f"health: {names or 'no ailment was found'}"

    @property
    def _healthy(self) -> Path:
        """The last healthy checkpoint; the one before if non-finite weights prevented its save."""
        pinned = self.checkpoints.folder / checkpoint.name(self.checkpoints.pinned or 0)
        return pinned if pinned.exists() else pinned.with_name(checkpoint.name(self._before))

    def _may_go_back(self, model: Generative) -> bool:
        return model.attempt < self.watch.rollbacks and self._healthy.exists()

    def _act(self, trainer: Trainer, model: Generative, verdict: Verdict) -> None:
        """Reports a verdict and takes the action."""
        self.verdicts.append(verdict)
        if trainer.is_global_zero:
            tqdm.write(f"iteration {verdict.iteration:,}: {verdict}")
            sys.stdout.flush()  # a log file is read while the run goes on
            for logger in trainer.loggers:
                if hasattr(logger, "alert"):
                    logger.alert(verdict.ailment, str(verdict), verdict.iteration)
        if self.watch.action == "snapshot":
            self._keep(trainer, model, verdict)
        if self.watch.action in ("stop", "rollback"):
            self.ended = self.ended or verdict
            trainer.should_stop = True

    def _keep(self, trainer: Trainer, model: Generative, verdict: Verdict) -> None:
        """Saves a checkpoint and a grid of samples, which are never removed."""
        kept = self.folder / f"{verdict.ailment}-{checkpoint.name(verdict.iteration)}"
        self.folder.mkdir(exist_ok=True)
        self.checkpoints.keep_as(trainer, model, kept)
        if trainer.is_global_zero:
            pixels = self.paint(model.generate(self.readings.noise[:PART], averaged=False))
            pictures.save(kept.with_suffix(".png"), pixels)
