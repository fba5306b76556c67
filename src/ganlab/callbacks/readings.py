"""Health readings at intervals: D's judgement, and samples compared with the data."""

from typing import Any

import torch
from pytorch_lightning import Trainer
from torch import Tensor

from ganlab.callbacks.base import ModelCallback
from ganlab.callbacks.curves import is_probability
from ganlab.callbacks.intervals import due
from ganlab.data import ImageData
from ganlab.data.images import normalised
from ganlab.gan import GAN
from ganlab.generative import Generative
from ganlab.health.readings import (
    RealFeatures,
    features_of,
    logit_gap,
    memorised,
    ranking_accuracy,
    total_variation,
)
from ganlab.health.verdicts import Watch
from ganlab.plots.figures import SCORES
from ganlab.training.streams import Stream, stream

REAL = 2048  # real x for the reference
PART = 64  # samples generated at once, and compared with the training data for memorisation
NUMBERS = 2**28  # values of training data in that comparison (1 GiB of floats); else a random part


class HealthReadings(ModelCallback):
    """Adds health/... to the run's observations, without synchronising with the device.

    Readings use no shared random numbers, leave the networks' modes alone and happen at fixed
    iterations, so they do not change training.

    Args:
        watch: sets the interval and the number of samples.
        data: real data to compare samples with.
    """

    def __init__(self, watch: Watch, data: ImageData) -> None:
        self.watch, self.data = watch, data
        self.latest: dict[str, Tensor] = {}  # scalars on the device
        self._shares: Tensor | None = None

    def state_dict(self) -> dict[str, Any]:
        return {"shares": self._shares}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._shares = state_dict["shares"]

    def on_train_start(self, trainer: Trainer, gan: Generative) -> None:
        self._probable = isinstance(gan, GAN) and is_probability(gan.loss.score)
        drawn = self._drawn(REAL)
        parts = drawn.split(PART)
        real = [features_of(normalised(part.to(gan.device))) for part in parts]
        self._some_real = normalised(drawn[: self.watch.n].to(gan.device)).to(gan.dtype)
        self._reference = RealFeatures(torch.cat(real), self.watch.n)
        self.noise = gan.fixed_latents(self.watch.n)

    def on_train_batch_end(self, trainer: Trainer, gan: Generative, *_: Any) -> None:
        if not due(gan, self.watch.every):
            return
        of_players = self._of_players(gan) if isinstance(gan, GAN) else {}
        with torch.no_grad():
            own = gan.own_readings(self._some_real)
        self.latest = of_players | own | self._of_samples(gan)
        for name in (n for n in self.latest if n not in SCORES):  # which are logged anyway
            gan.observations.add(f"health/{name}", self.latest[name])

    def _of_players(self, gan: GAN) -> dict[str, Tensor]:
        """D's judgement of the last minibatch, and the ratio of G's gradient norm to D's."""
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
    def _of_samples(self, gan: Generative) -> dict[str, Tensor]:
        """How samples compare with the data, and with those of the reading before."""
        samples = [gan.generate(z, averaged=False) for z in self.noise.split(PART)]
        features = torch.cat([features_of(part) for part in samples])
        readings, shares = self._reference.readings(features)
        if self._shares is not None:
            readings["drift"] = total_variation(shares, self._shares.to(shares))
        self._shares = shares
        if due(gan, self.watch.memorisation_every):
            few = samples[0].flatten(1)
            most = NUMBERS // few.shape[1]
            images = self._images()
            known = images if len(images) <= most else self._drawn(most)
            readings["memorised"] = memorised(few, known)
        return readings

    def _drawn(self, n: int) -> Tensor:
        """Up to n random real images; in file order they may be sorted by class."""
        images = self._images()
        chosen = torch.randperm(len(images), generator=stream("cpu", 0, Stream.HEALTH_IMAGES))[:n]
        return images[chosen.to(images.device)]

    def _images(self) -> Tensor:
        """All real images, uint8 (N, C, H, W), or points, float32 (N, d)."""
        if self.data.images is None:
            raise RuntimeError("setup() has not been called")
        return self.data.images.images
