"""How much of a known mixture the generator covers, while it trains."""

from typing import Any

from pytorch_lightning import Trainer

from ganlab.callbacks.base import ModelCallback
from ganlab.callbacks.intervals import due
from ganlab.data.distributions import Mixture
from ganlab.generative import Generative

SAMPLES = 2500  # Srivastava et al. 2017, section 4.1; Lin et al. 2018, section 4.1


class ModeCoverage(ModelCallback):
    """Reads modes_covered, high_quality and kl_modes from 2,500 samples of fixed noise.

    modes_covered: modes with a sample of high quality, one within 3 standard deviations;
    high_quality: their share, in [0, 1]; kl_modes: KL(generated || true) of the frequencies of
    nearest modes, in nats, which chance alone makes (K - 1) / 5,000 (distributions.Coverage).

    Args:
        mixture: what the data is from.
        every: iterations between two readings.
    """

    def __init__(self, mixture: Mixture, every: int) -> None:
        self.mixture, self.every = mixture, every

    def on_train_batch_end(self, trainer: Trainer, model: Generative, *_: Any) -> None:
        if not due(model, self.every) or not trainer.is_global_zero:
            return
        found = self.mixture.coverage(model.sample(SAMPLES))
        model.observations.add("modes_covered", found.modes)
        model.observations.add("high_quality", found.high_quality)
        model.observations.add("kl_modes", found.kl)
