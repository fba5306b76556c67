"""Replays iterations as CUDA graphs if possible."""

from typing import Any, Literal

from pytorch_lightning import Trainer

from ganlab.callbacks.base import ModelCallback
from ganlab.devices.graphs import Captured, reason_against
from ganlab.errors import ConfigError
from ganlab.generative import Generative

How = Literal["auto", "graph", "off"]


class Capturing(ModelCallback):
    """Captures whole iterations as CUDA graphs and replays them.

    Args:
        how: "auto": capture if possible, else train eagerly and print why; "graph": require
            capture; "off": never capture.

    Raises:
        ConfigError: during training, with "graph", if an iteration cannot be captured.
    """

    def __init__(self, how: How = "auto") -> None:
        self.how = how
        self.captured: Captured | None = None

    def require(self, trainer: Trainer, model: Generative) -> None:
        """Raises ConfigError if capture is required but known to be impossible."""
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
        self.on_train_end(trainer, model)  # training may go on from an earlier checkpoint

    def on_save_checkpoint(
        self, trainer: Trainer, model: Generative, checkpoint: dict[str, Any]
    ) -> None:
        """Removes traces of capture, so that checkpoints are the same with and without graphs."""
        for optimizer in checkpoint["optimizer_states"]:
            for group in optimizer["param_groups"]:
                group["lr"] = float(group["lr"])
                if "capturable" in group:
                    group["capturable"] = False

    def _refused(self, reason: str) -> None:
        if self.how == "graph":
            raise ConfigError([f"compile=graph: {reason}"])
        print(f"iterations are not captured as CUDA graphs: {reason}", flush=True)
