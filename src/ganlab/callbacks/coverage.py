"""How many modes of a known mixture the generator covers, during training."""

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from pytorch_lightning import Trainer

from ganlab.callbacks.base import ModelCallback
from ganlab.callbacks.intervals import due
from ganlab.data.distributions import Mixture
from ganlab.generative import Generative

SAMPLES = 2500  # Srivastava et al. 2017, section 4.1; Lin et al. 2018, section 4.1


class ModeCoverage(ModelCallback):
    """Logs modes_covered, high_quality and kl_modes of 2,500 samples from fixed noise.

    A sample is of high quality if it is within 3 standard deviations of a mode.
    modes_covered: number of modes with a high-quality sample.
    high_quality: share of high-quality samples, in [0, 1].
    kl_modes: KL(generated || true) between frequencies of nearest modes, in nats; a perfect
    generator of K modes has (K - 1) / 5,000 on average, from sampling alone
    (distributions.Coverage).

    Args:
        mixture: the distribution of the data.
        every: iterations between two readings.
        paused: excludes the time spent in it from the time of training.
    """

    def __init__(
        self,
        mixture: Mixture,
        every: int,
        paused: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
    ) -> None:
        self.mixture, self.every, self.paused = mixture, every, paused

    def on_train_batch_end(self, trainer: Trainer, model: Generative, *_: Any) -> None:
        if not due(model, self.every) or not trainer.is_global_zero:
            return
        with self.paused():
            found = self.mixture.coverage(model.sample(SAMPLES))
        model.observations.add("modes_covered", found.modes)
        model.observations.add("high_quality", found.high_quality)
        model.observations.add("kl_modes", found.kl)
