"""Iterations are replayed as CUDA graphs where that is possible."""

from typing import Any, Literal

from pytorch_lightning import Callback, Trainer

from ganlab.devices.graphs import Captured, reason_against
from ganlab.errors import ConfigError
from ganlab.gan import GAN

How = Literal["auto", "graph", "off"]


class Capturing(Callback):
    """Has a GPU replay whole iterations.

    Args:
        how: "auto": where it can be done, else by Python; "graph": it must be; "off": never.

    Raises:
        ConfigError: in training, when it must be and an iteration turns out not to allow it.
    """

    def __init__(self, how: How = "auto") -> None:
        self.how = how
        self.captured: Captured | None = None

    def require(self, trainer: Trainer, gan: GAN) -> None:
        """Raises ConfigError where it must be and is known to be impossible."""
        reason = reason_against(gan, trainer)
        if self.how == "graph" and reason is not None:
            raise ConfigError([f"compile=graph: {reason}"])

    def on_train_start(self, trainer: Trainer, gan: GAN) -> None:  # type: ignore[override]
        if self.how == "off":
            return
        reason = reason_against(gan, trainer)
        if reason is None:
            self.captured = Captured(gan, self._refused)
        elif gan.device.type == "cuda":
            self._refused(reason)

    def on_train_end(self, trainer: Trainer, gan: GAN) -> None:  # type: ignore[override]
        if self.captured is not None:
            self.captured.release()

    def on_exception(self, trainer: Trainer, gan: GAN, exception: BaseException) -> None:  # type: ignore[override]
        self.on_train_end(trainer, gan)  # a run may go back to a checkpoint from here

    def on_save_checkpoint(self, trainer: Trainer, gan: GAN, checkpoint: dict[str, Any]) -> None:  # type: ignore[override]
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
