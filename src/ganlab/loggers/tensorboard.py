"""The optional TensorBoard logger."""

from pathlib import Path

import numpy as np
from PIL import Image
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only

from ganlab.runs.folder import Run


class TensorBoardRun(TensorBoardLogger):
    """TensorBoard event files in RUN/tensorboard."""

    def __init__(self, run: Run, title: str, sweep: str | None) -> None:
        super().__init__(run.path, name="tensorboard", version="")

    @rank_zero_only
    def log_picture(self, name: str, file: Path, step: int) -> None:
        """Logs a PNG file as an RGB image."""
        pixels = np.asarray(Image.open(file).convert("RGB"))
        self.experiment.add_image(name, pixels, step, dataformats="HWC")

    @rank_zero_only
    def alert(self, title: str, text: str, step: int) -> None:
        """Logs a verdict on the run's health as text."""
        self.experiment.add_text(f"health/{title}", text, step)
