"""Readings of a run's health at intervals, verdicts on them, and what is done about these."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Callback, Trainer
from torch import Tensor
from tqdm import tqdm

from ganlab import checkpoint, pictures
from ganlab.callbacks.checkpoints import Checkpoints, WholeFiles
from ganlab.callbacks.curves import is_probability
from ganlab.callbacks.intervals import due
from ganlab.data import ImageData
from ganlab.data.images import normalised
from ganlab.diagnostics import (
    CHOICE,
    Reference,
    features_of,
    logit_gap,
    memorised,
    ranking_accuracy,
    total_variation,
)
from ganlab.figures import SCORES
from ganlab.gan import GAN
from ganlab.health import Detector, Verdict, Watch, diverged
from ganlab.latent import stream
from ganlab.observations import NonFiniteError

REAL = 2048  # real x that the reference looks at
PART = 64  # samples at once, as in a grid; so many are compared with all training data
NUMBERS = 2**28  # of these at most, a GiB as floats: beyond, with as many as that, drawn at random


class Health(Callback):
    """Logs health/..., says once what ails the run, and acts on it.

    Readings draw from no shared random numbers, leave modes alone and are functions of the
    iteration, so the run goes on as if there were none, unless it is told to stop or to go back.

    Args:
        watch: how.
        data: the measure of samples.
        checkpoints: keeps the last healthy one, and that of a snapshot.
        folder: of snapshots.
        paint: makes their pictures, uint8 (H, W, 3), of samples.
    """

    def __init__(
        self,
        watch: Watch,
        data: ImageData,
        checkpoints: Checkpoints,
        folder: Path,
        paint: Callable[[Tensor], np.ndarray] = pictures.grid,
    ) -> None:
        self.watch, self.data, self.checkpoints, self.folder = watch, data, checkpoints, folder
        self.paint = paint
        self.detector = Detector(watch)
        self.verdicts: list[Verdict] = []
        self.ended: Verdict | None = None  # by which the run is to stop or to go back
        self._shares: Tensor | None = None
        self._before = 0  # the healthy checkpoint before that of checkpoints.pinned

    def state_dict(self) -> dict[str, Any]:
        return {
            "detector": self.detector.state(),
            "verdicts": [verdict.as_dict() for verdict in self.verdicts],
            "ended": self.ended.as_dict() if self.ended is not None else None,
            "shares": self._shares.tolist() if self._shares is not None else None,
            "healthy": self.checkpoints.pinned,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.detector.load_state(state_dict["detector"])
        self.verdicts = [Verdict(**verdict) for verdict in state_dict["verdicts"]]
        self.ended = Verdict(**ended) if (ended := state_dict["ended"]) is not None else None
        shares = state_dict["shares"]
        self._shares = torch.tensor(shares) if shares is not None else None
        self.checkpoints.pinned = state_dict["healthy"]

    def on_train_start(self, trainer: Trainer, gan: GAN) -> None:  # type: ignore[override]
        trainer.should_stop |= self.ended is not None  # killed after the checkpoint of its end
        self._probable = is_probability(gan.loss.score)
        parts = self._chosen(REAL).split(PART)
        real = [features_of(normalised(part.to(gan.device))) for part in parts]
        self._reference = Reference(torch.cat(real), self.watch.n)
        self._noise = gan.fixed_latents(self.watch.n)
        if self.watch.action == "rollback" and gan.iterations == 0:
            self.checkpoints.pinned = 0
            self.checkpoints.save(trainer, gan)

    def on_train_batch_end(self, trainer: Trainer, gan: GAN, *_: Any) -> None:  # type: ignore[override]
        if due(gan, self.watch.every):
            self._read(trainer, gan)
        ill = self.detector.ailing or self.ended is not None
        if due(gan, self.checkpoints.every) and not ill:
            self._before = self.checkpoints.pinned or 0
            self.checkpoints.pinned = gan.iterations

    def _read(self, trainer: Trainer, gan: GAN) -> None:
        """Takes a reading, has it logged and judged, and acts on a verdict."""
        tensors = self._of_players(gan) | self._of_samples(gan)
        found = dict(zip(tensors, torch.stack(list(tensors.values())).tolist(), strict=True))
        found = trainer.strategy.broadcast(found)  # each process has seen its share of the images
        for name in (n for n in found if n not in SCORES):  # which are logged anyway
            gan.observations.add(f"health/{name}", found[name])
        for verdict in self.detector.read({**found, "iterations": gan.iterations}):
            self._act(trainer, gan, verdict)

    def diverged(self, gan: GAN, error: NonFiniteError) -> bool:
        """Notes the verdict on numbers that are not finite; whether the run may go back."""
        self.verdicts.append(diverged(gan.iterations, str(error)))
        if self.watch.action == "rollback" and self._may_go_back(gan):
            self.ended = self.verdicts[-1]
        return self.ended is not None

    def goes_back(self, gan: GAN) -> int | None:
        """The iteration to which the run is to go back and can; None: it is not, or cannot."""
        if self.watch.action != "rollback" or self.ended is None or not self._may_go_back(gan):
            return None
        return checkpoint.iteration(self._healthy)

    def go_back(self, gan: GAN) -> None:
        """Makes the last healthy checkpoint the newest, and such that another attempt follows.

        It is written before those after it are removed: who is killed in between does it again.
        """
        path = self._healthy
        saved = checkpoint.read(path)
        saved["attempt"] = gan.attempt + 1
        saved["callbacks"][self.state_key]["verdicts"] = [v.as_dict() for v in self.verdicts]
        WholeFiles().save_checkpoint(saved, path)
        self.checkpoints.drop_after(checkpoint.iteration(path))
        print(
            f"back to {path.name}, attempt {gan.attempt + 1} of {self.watch.rollbacks}: other "
            f"noise, {0.5 ** (gan.attempt + 1):g} of the learning rates",
            flush=True,
        )

    def conclusion(self) -> str:
        """What was found in the whole run, in one line."""
        names = ", ".join(f"{v.ailment} at iteration {v.iteration:,}" for v in self.verdicts)
        return f"health: {names or 'no ailment was found'}"

    @property
    def _healthy(self) -> Path:
        """The last healthy checkpoint; what was to be the last may have had no finite weights."""
        pinned = self.checkpoints.folder / checkpoint.name(self.checkpoints.pinned or 0)
        return pinned if pinned.exists() else pinned.with_name(checkpoint.name(self._before))

    def _may_go_back(self, gan: GAN) -> bool:
        return gan.attempt < self.watch.rollbacks and self._healthy.exists()

    def _of_players(self, gan: GAN) -> dict[str, Tensor]:
        """How D judges the last minibatch, and how large G's gradient is beside D's."""
        readings: dict[str, Tensor] = {}
        if (logits := gan.observations.latest_logits()) is not None:
            real, fake = (part.flatten().float() for part in logits)
            if self._probable:
                score = gan.loss.score
                readings |= {"D(x)": score(real).mean(), "D(G(z))": score(fake).mean()}
            if gan.loss.energy:
                real, fake = -real, -fake
            readings["d_accuracy"] = ranking_accuracy(real, fake)
            readings["logit_gap"] = logit_gap(real, fake)
            readings["logit_size"] = torch.cat([real, fake]).abs().mean()
        g, d = (gan.observations.latest(f"grad_norm/{player}") for player in "gd")
        if g is not None and d is not None:
            readings["gradient_ratio"] = g / d.clamp(min=1e-12)
        return {name: value.to(gan.device).float() for name, value in readings.items()}

    @torch.no_grad()
    def _of_samples(self, gan: GAN) -> dict[str, Tensor]:
        """How samples compare with the data, and with those of the reading before."""
        samples = [gan.generate(z, averaged=False) for z in self._noise.split(PART)]
        features = torch.cat([features_of(part) for part in samples])
        readings, shares = self._reference.readings(features)
        if self._shares is not None:
            readings["drift"] = total_variation(shares, self._shares.to(shares))
        self._shares = shares
        if due(gan, self.watch.memorisation_every):
            few = samples[0].flatten(1)
            most = NUMBERS // few.shape[1]
            readings["memorised"] = memorised(few, self._chosen(most))
        return readings

    def _chosen(self, most: int) -> Tensor:
        """All real images, uint8 (N, C, H, W), or as many as that, drawn at random."""
        if self.data.images is None:
            raise RuntimeError("setup() has not been called")
        images = self.data.images.images
        if len(images) <= most:
            return images
        chosen = torch.randperm(len(images), generator=stream("cpu", CHOICE))[:most]
        return images[chosen.to(images.device)]

    def _act(self, trainer: Trainer, gan: GAN, verdict: Verdict) -> None:
        """Says it, and does what is to be done."""
        self.verdicts.append(verdict)
        if trainer.is_global_zero:
            tqdm.write(f"iteration {verdict.iteration:,}: {verdict}")
            sys.stdout.flush()  # a log file is read while the run goes on
            for logger in trainer.loggers:
                if hasattr(logger, "alert"):
                    logger.alert(verdict.ailment, str(verdict), verdict.iteration)
        if self.watch.action == "snapshot":
            self._keep(trainer, gan, verdict)
        if self.watch.action in ("stop", "rollback"):
            self.ended = self.ended or verdict
            trainer.should_stop = True

    def _keep(self, trainer: Trainer, gan: GAN, verdict: Verdict) -> None:
        """A checkpoint and a grid of samples in the folder, which no rotation touches."""
        kept = self.folder / f"{verdict.ailment}-{checkpoint.name(verdict.iteration)}"
        self.folder.mkdir(exist_ok=True)
        self.checkpoints.keep_as(trainer, gan, kept)
        if trainer.is_global_zero:
            pixels = self.paint(gan.generate(self._noise[:PART], averaged=False))
            pictures.save(kept.with_suffix(".png"), pixels)
