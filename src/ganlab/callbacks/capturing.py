"""Iterations are replayed as CUDA graphs where that is possible."""

from typing import Any, Literal

from pytorch_lightning import Trainer

from ganlab.callbacks.base import ModelCallback
from ganlab.devices.graphs import Captured, reason_against
from ganlab.errors import ConfigError
from ganlab.generative import Generative

How = Literal["auto", "graph", "off"]


class Capturing(ModelCallback):
    """Has a GPU replay whole iterations.

    Args:
        how: "auto": where it can be done, else by Python; "graph": it must be; "off": never.

    Raises:
        ConfigError: in training, when it must be and an iteration turns out not to allow it.
    """

    def __init__(self, how: How = "auto") -> None:
        self.how = how
        self.captured: Captured | None = None

    def require(self, trainer: Trainer, model: Generative) -> None:
        """Raises ConfigError where it must be and is known to be impossible."""
        reason = reason_against(model, trainer)
        if self.how == "graph" and reason is not None:
            raise ConfigError([f"compile=graph: {reason}"])

    def on_train_start(self, trainer: Trainer, model: Generative) -> None:
        if self.how == "off":
            return
        reason = reason_against(model, trainer)
        if reason is None:
            self.captured = Captured(model, self._refused)
        elif model.device.type == "cuda":
            self._refused(reason)

    def on_train_end(self, trainer: Trainer, model: Generative) -> None:
        if self.captured is not None:
            self.captured.release()

    def on_exception(self, trainer: Trainer, model: Generative, exception: BaseException) -> None:
        self.on_train_end(trainer, model)  # a run may go back to a checkpoint from here

    def on_save_checkpoint(
        self, trainer: Trainer, model: Generative, checkpoint: dict[str, Any]
    ) -> None:
        """A checkpoint is the same with graphs and without."""
        for optimizer in checkpoint["optimizer_states"]:
            for group in optimizer["param_groups"]:
                group["lr"] = float(group["lr"])
                if "capturable" in group:
                    group["capturable"] = False

    def _refused(self, reason: str) -> None:
        if self.how == "graph":
            raise ConfigError([f"compile=graph: {reason}"])
        print(f"iterations are not captured as CUDA graphs: {reason}", flush=True)
