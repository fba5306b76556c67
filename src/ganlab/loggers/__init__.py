"""Loggers of metrics and pictures.  All count iterations, not optimizer steps.

May import: config, errors, runs, scoring, storage.
Libraries: PIL, numpy, pydantic, pytorch_lightning, wandb, wandb_workspaces.
"""

from ganlab.loggers.metrics_file import MetricsFile
from ganlab.loggers.tensorboard import TensorBoardRun
from ganlab.loggers.wandb import WandbRun

__all__ = ["MetricsFile", "TensorBoardRun", "WandbRun"]
