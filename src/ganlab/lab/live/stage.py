"""A GAN that is ready to be stepped by hand: Lightning's Trainer without its loop."""

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

from pytorch_lightning import Trainer
from pytorch_lightning.strategies import SingleDeviceStrategy
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor
from torch.optim import Optimizer

from ganlab.commands.composition import Composer
from ganlab.data import ImageData
from ganlab.data.images import Images
from ganlab.data.module import MinibatchOrder
from ganlab.errors import ConfigError
from ganlab.experiments.experiment import Experiment
from ganlab.experiments.session import quiet_lightning
from ganlab.gan import GAN
from ganlab.lab.live.setup import Setup
from ganlab.lab.training import composed
from ganlab.training.batch import RealImages
from ganlab.training.streams import Stream

LENGTH = 2**40  # iterations: a live training has no end, and no schedule needs one


class Direct(SingleDeviceStrategy):
    """One device, without Lightning's hooks around each update, which take a tenth of the time.

    Of those hooks a GAN has one, which it calls here.
    """

    def backward(self, closure_loss: Tensor, *_: Any, **__: Any) -> Tensor:
        closure_loss.backward()
        return closure_loss

    def optimizer_step(
        self, optimizer: Optimizer, closure: Callable[[], Any], *_: Any, **options: Any
    ) -> Any:
        closure()
        cast("GAN", self.lightning_module).on_before_optimizer_step(optimizer)
        return optimizer.step(**options)


@functools.cache
def composer() -> Composer:
    """Hydra's composition, which takes a while to make."""
    return Composer()


def experiment_of(setup: Setup) -> Experiment:
    """The experiment of a setup, composed and checked as `ganlab train` does; writes nothing.

    Raises:
        ConfigError: the choices cannot be combined; a sentence for each reason.
    """
    words = [*setup.overrides(), f"iterations={LENGTH}"]
    experiment = Experiment(**composed(words, composer())[1])
    experiment.rehearse()
    return experiment


def refusal(setup: Setup) -> list[str]:
    """Why these choices cannot be combined, in ganlab's own sentences; empty if they can."""
    try:
        experiment_of(setup)
    except ConfigError as error:
        return error.problems
    return []


@dataclass(frozen=True)
class Stage:
    """What an experiment builds, connected as `Trainer.fit` connects it.

    The Trainer owns no loop: whoever holds the stage calls the GAN's steps.
    """

    experiment: Experiment
    gan: GAN
    data: ImageData
    trainer: Trainer

    @classmethod
    def of(cls, setup: Setup) -> "Stage":
        """The stage of a setup, with the weights that its seed decides.

        Raises:
            ConfigError: the choices cannot be combined.
        """
        quiet_lightning()
        # Lightning sets it, and torch then opens NVIDIA's library at every step of an optimizer.
        os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)
        experiment = experiment_of(setup)
        gan = cast("GAN", experiment.build())
        data = experiment.image_data(gan)
        data.prepare_data()
        data.setup()
        direct = {"_target_": f"{__name__}.{Direct.__name__}"}
        trained = replace(experiment, trainer={**experiment.trainer, "strategy": direct})
        trainer = trained.trainer_with([], [])
        gan.trainer = data.trainer = trainer
        trainer.precision_plugin.convert_module(gan)
        trainer.strategy.connect(gan)
        trainer.strategy.setup_environment()
        trainer.state.fn = TrainerFn.FITTING  # the strategy then makes the optimizers, too
        trainer.strategy.setup(trainer)
        gan.train()
        gan.on_train_start()
        return cls(experiment, gan, data, trainer)

    @property
    def optimizers(self) -> list[Optimizer]:
        """In the order of the players."""
        return self.trainer.strategy.optimizers

    @functools.cached_property
    def order(self) -> MinibatchOrder:
        """Which points an iteration trains on."""
        return self._order(self.gan.minibatches, Stream.ORDER)

    @functools.cached_property
    def single_order(self) -> MinibatchOrder:
        """Which points a single update trains on, outside of the iterations."""
        return self._order(1, Stream.SINGLE_UPDATES)

    def _order(self, minibatches: int, key: int) -> MinibatchOrder:
        shape = (minibatches, self.data.batch_size)
        return MinibatchOrder(len(self.points), shape, self.data.seed, key)

    @property
    def points(self) -> Tensor:
        """All real points, (N, d)."""
        return cast("Images", self.data.images).images  # read by `of`

    def batch(self, order: MinibatchOrder, number: int) -> RealImages:
        """The minibatches of an iteration, or of a single update."""
        device = self.trainer.strategy.root_device
        return self.data.transfer_batch_to_device((order(number),), device, 0)
