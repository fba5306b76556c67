"""The base class of callbacks; subclasses may narrow the model's type in their hooks."""

from typing import Any

from pytorch_lightning import Callback, Trainer

from ganlab.training.labels import labelled

# Lightning types its hooks for any LightningModule; as Any, subclasses may narrow the type.
AnyCallback: Any = Callback


class ModelCallback(AnyCallback):
    """A Lightning callback whose subclasses declare the model they need: a Generative or a GAN.

    The hooks of a subclass around an iteration get a label in profiles.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for hook in ("on_train_batch_start", "on_train_batch_end"):
            if hook in vars(cls):
                setattr(cls, hook, labelled(f"bookkeeping/{cls.__name__}")(vars(cls)[hook]))

    def on_train_start(self, trainer: Trainer, model: Any) -> None:
        """Before the first iteration."""

    def on_train_batch_start(self, trainer: Trainer, model: Any, *_: Any) -> None:
        """Before each iteration."""

    def on_train_batch_end(self, trainer: Trainer, model: Any, *_: Any) -> None:
        """After each iteration."""

    def on_train_end(self, trainer: Trainer, model: Any) -> None:
        """After the last iteration."""

    def on_exception(self, trainer: Trainer, model: Any, exception: BaseException) -> None:
        """After an error or an interruption."""

    def on_save_checkpoint(self, trainer: Trainer, model: Any, checkpoint: dict[str, Any]) -> None:
        """Before a checkpoint is written."""
