"""Where metrics and pictures go.  All loggers count iterations, never optimizer steps."""

import contextlib
import csv
import io
import os
import secrets
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from pytorch_lightning.loggers import Logger, TensorBoardLogger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only

from ganlab import files
from ganlab.runs import Run

AXES = ("iterations", "images_seen", "seconds")


class MetricsFile(Logger):
    """metrics.csv: one row per reading, one column per metric; every run has it.

    Args:
        path: the file; rows of an earlier part of the run are kept.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.columns = path, list[str]()
        self.rows: list[dict[str, Any]] = []

    @property
    def name(self) -> str:
        return "csv"

    @property
    def version(self) -> str:
        return ""

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace) -> None:
        """The config is in config.yaml."""

    @rank_zero_only
    def go_on(self, iteration: int) -> None:
        """Keeps the rows up to an iteration: those after it are about to be made again."""
        if self.path.exists():
            rows = rows_of(self.path)
            self.rows = [row for row in rows if int(row["iterations"]) <= iteration]
            self.columns = list(rows[0]) if rows else []
            self._rewrite()

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.rows.append(dict(metrics))
        new = [name for name in metrics if name not in self.columns]
        self.columns += new
        if new:
            self._rewrite()
        else:
            with self.path.open("a", newline="") as file:
                csv.DictWriter(file, self.columns).writerow(metrics)

    def _rewrite(self) -> None:
        file = io.StringIO(newline="")
        writer = csv.DictWriter(file, self.columns)
        writer.writeheader()
        writer.writerows(self.rows)
        files.write(self.path, file.getvalue())


def rows_of(path: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv, without a last line that a kill or a full disk cut short."""
    with path.open(newline="") as file:
        whole = [line for line in file if line.endswith("\n")]
    return list(csv.DictReader(whole))


class TensorBoardRun(TensorBoardLogger):
    """TensorBoard event files in RUN/tensorboard."""

    def __init__(self, run: Run, name: str, group: str | None) -> None:
        super().__init__(run.path, name="tensorboard", version="")

    @rank_zero_only
    def log_picture(self, name: str, pixels: np.ndarray, step: int) -> None:
        """uint8 (H, W, 3)."""
        self.experiment.add_image(name, pixels, step, dataformats="HWC")


class WandbRun(WandbLogger):
    """A Weights & Biases run below RUN/wandb, the same one when the run goes on.

    Args:
        run: the run's folder, with its config.
        name: shown in the dashboard: what distinguishes this run.
        group: the sweep it belongs to, if any.
        project: the dashboard's project.
        entity: user or team; None: the account's default.
        mode: None: the environment's WANDB_MODE, or online with a known API key, else offline.
        tags: shown and searched in the dashboard.
    """

    def __init__(
        self,
        run: Run,
        name: str,
        group: str | None,
        project: str = "ganlab",
        entity: str | None = None,
        mode: Literal["online", "offline", "disabled"] | None = None,
        tags: tuple[str, ...] = (),
    ) -> None:
        self.run, self.mode = run, mode or wandb_mode()
        super().__init__(save_dir=run.path, project=project, name=name)
        self.entity, self.group, self.tags = entity, group, tags

    @property
    @rank_zero_only
    def experiment(self) -> Any:
        """The run, started at the first use.

        Overrides Lightning's property, which attaches to whatever run is open in the process (so
        the jobs of a sweep would merge) and passes arguments that W&B is removing.
        """
        if self._experiment is None:
            self._experiment = self._start()
        return self._experiment

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        cast("Any", self.experiment).log(dict(metrics))

    @rank_zero_only
    def log_picture(self, name: str, pixels: np.ndarray, step: int) -> None:
        """uint8 (H, W, 3); W&B would show a float image black."""
        import wandb

        cast("Any", self.experiment).log({name: wandb.Image(pixels), "iterations": step})

    @rank_zero_only
    def finish(self, exit_code: int) -> str | None:
        """Ends the run; returns how to upload it if it was offline."""
        if self._experiment is None:
            return None
        folder = self.run.path / "wandb" / Path(self._experiment.dir).parent.name
        self._experiment.finish(exit_code)
        self._experiment = None
        return f"wandb sync {folder}" if self.mode == "offline" else None

    def _start(self) -> Any:
        import wandb

        try:
            started = self._init()
        except wandb.errors.CommError as error:
            print(f"W&B cannot be reached ({error}); this run is logged offline")
            self.mode = "offline"
            started = self._init()
        for axis in AXES:
            started.define_metric(axis, hidden=True)
        started.define_metric("*", step_metric="iterations")
        return started

    def _init(self) -> Any:
        import wandb

        return wandb.init(
            dir=self.run.path,
            id=self._kept_id(),
            resume="allow",
            mode=self.mode,
            config=self.run.config(),
            job_type="train",
            reinit="create_new",
            settings=wandb.Settings(silent=True, x_transaction_log_flush_interval=1.0),
            name=self._name,
            project=self._project,
            entity=self.entity,
            group=self.group,
            tags=self.tags,
        )

    def _kept_id(self) -> str:
        """Random, kept in the run's folder: the dashboard's run goes on when this one does."""
        file = self.run.path / "wandb-id"
        with contextlib.suppress(OSError):
            return file.read_text().strip()
        files.write(file, new := secrets.token_hex(4))
        return new


def wandb_mode() -> Literal["online", "offline", "disabled"]:
    """WANDB_MODE if it is set; else online if an API key is known, offline if not.  Never asks."""
    if (mode := os.environ.get("WANDB_MODE")) in ("online", "offline", "disabled"):
        return mode  # type: ignore[return-value]
    import wandb

    return "online" if wandb.login(prompt=False, verify=False) else "offline"
