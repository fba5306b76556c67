"""Weights & Biases."""

import contextlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities import rank_zero_only

from ganlab.runs.environment import git
from ganlab.runs.folder import Run
from ganlab.runs.readings import AXES, readings
from ganlab.scoring.protocol import score_named
from ganlab.scoring.scorecard import is_distance
from ganlab.storage import files


class WandbRun(WandbLogger):
    """A Weights & Biases run below RUN/wandb, the same one when the run goes on.

    Args:
        run: the run's folder, with its config and environment.
        name: shown in the dashboard: what distinguishes this run.
        group: the sweep it belongs to, if any.
        project: the dashboard's project.
        entity: user or team; None: the account's default.
        mode: None: the environment's WANDB_MODE, or online with a known API key, else offline.
        tags: shown and searched in the dashboard, beside the names of the run's parts.
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
        self.entity, self.group = entity, group
        parts = run.path.absolute().parent.name.split("-")  # data, model, loss, ...
        self.tags = (*filter(None, parts), *tags)
        self._told = -1  # the last iteration that the dashboard had when this part began
        self._best = dict[str, float]()

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
    def go_on(self, iteration: int, attempt: int = 0) -> None:
        """Knows the best scores up to an iteration, and what the dashboard has of this attempt.

        Args:
            iteration: from which the run goes on.
            attempt: another than the dashboard's: the run has gone back, and what comes is news.
        """
        summary = cast("Any", self.experiment).summary
        if attempt != summary.get("attempt", 0):
            self._told = min(self._told, iteration)
            summary["attempt"] = attempt
        for row in readings(self.run.path / "metrics.csv"):
            if row["iterations"] <= iteration:
                self._keep_best(row)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self._log(dict(metrics))
        self._keep_best(metrics)

    @rank_zero_only
    def log_picture(self, name: str, file: Path, step: int) -> None:
        """A PNG file, which W&B copies."""
        import wandb

        image = wandb.Image(str(file), caption=f"iteration {step:,}")
        self._log({name: image, "iterations": step})

    @rank_zero_only
    def alert(self, title: str, text: str, step: int) -> None:
        """An alert in the dashboard, and by mail or Slack for whoever has asked W&B for that."""
        started, about = cast("Any", self.experiment), f"iteration {step:,}: {text}"
        started.alert(f"{title} ({self._name})", about, level="WARN")

    @rank_zero_only
    def finish(self, status: str) -> str | None:
        """Ends the run, by its status in summary.json; how to upload it if it is offline."""
        if self._experiment is None:
            return None
        if status == "interrupted":  # it will go on: W&B calls it preempted
            self._experiment.mark_preempting()
        self._experiment.finish(0 if status == "finished" else 1)
        self._experiment = None
        return f"ganlab wandb sync {self.run.path}" if self.mode == "offline" else None

    def _log(self, row: dict[str, Any]) -> None:
        started = cast("Any", self.experiment)
        if row["iterations"] >= self._told:  # equal: of that iteration not all may have arrived
            started.log(row)

    def _keep_best(self, metrics: Mapping[str, float]) -> None:
        """Writes each score's best into the summary, where the score itself is the last one.

        W&B's own summary="min" forgets the earlier parts of a run that goes on.
        """
        for name, value in metrics.items():
            if (score := score_named(name)) is None:
                continue
            best = self._best.get(name)
            if best is None or (value < best if is_distance(score) else value > best):
                self._best[name] = value
                found = {f"best/{name}": value, f"best/{name}/iterations": metrics["iterations"]}
                cast("Any", self.experiment).summary.update(found)

    def _start(self) -> Any:
        import wandb

        try:
            started = self._init()
        except wandb.errors.CommError as error:
            print(f"W&B cannot be reached ({error}); this run is logged offline")
            self.mode = "offline"
            started = self._init()
        started.tags = tuple(dict.fromkeys((*started.tags, *self.tags)))  # and those set by hand
        if started.resumed:
            self._told = started.summary.get("iterations", -1)
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
            config={**self.run.config(), "environment": self.run.environment()},
            job_type="train",
            reinit="create_new",
            settings=wandb.Settings(
                silent=True,
                x_transaction_log_flush_interval=1.0,
                git_root=git("rev-parse", "--show-toplevel"),  # not that of the run's folder
                save_code=True,  # the difference to the commit
            ),
            name=self._name,
            project=self._project,
            entity=self.entity,
            group=self.group,
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
