"""The Weights & Biases logger."""

import contextlib
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities import rank_zero_only

from ganlab.config.secrets import hidden, redacted_words
from ganlab.errors import ConfigError
from ganlab.loggers import account
from ganlab.loggers.account import Mode
from ganlab.runs.environment import git
from ganlab.runs.folder import Run
from ganlab.runs.readings import AXES, readings
from ganlab.scoring.protocol import score_named
from ganlab.scoring.scorecard import less_is_better
from ganlab.storage import files


class WandbRun(WandbLogger):
    """Logs to a Weights & Biases run in RUN/wandb; a resumed run continues the same W&B run.

    Where an option is None, W&B's variable counts if it is set: WANDB_PROJECT, WANDB_ENTITY,
    WANDB_MODE, WANDB_NAME, WANDB_RUN_GROUP, WANDB_NOTES.  So do WANDB_TAGS, WANDB_RUN_ID for a new
    run, and WANDB_DIR in place of the run's folder.

    Args:
        run: the run's folder, with its config and environment.
        title: distinguishes this run.
        sweep: that the run belongs to, if any.
        project: the W&B project; None: ganlab.
        entity: user or team; None: the account's default.
        mode: None: online if an API key is known, else offline.  Online becomes offline where W&B's
            server does not answer.
        name: shown in the dashboard; None: the title.
        group: of the run in the dashboard; None: the sweep.
        notes: on the run.
        tags: W&B tags, in addition to the names of the run's parts.
        patch: whether what the working copy has beyond its commit is stored, as diff.patch.
    """

    def __init__(
        self,
        run: Run,
        title: str,
        sweep: str | None,
        project: str | None = None,
        entity: str | None = None,
        mode: Mode | None = None,
        name: str | None = None,
        group: str | None = None,
        notes: str | None = None,
        tags: tuple[str, ...] = (),
        patch: bool = False,
    ) -> None:
        heard = os.environ.get
        self.run, self.mode = run, self._mode_here(mode) or "offline"
        super().__init__(
            save_dir=run.path,
            project=project or heard("WANDB_PROJECT") or "ganlab",
            name=hidden(name or heard("WANDB_NAME") or title),
        )
        self.entity, self.group = entity, group or heard("WANDB_RUN_GROUP") or sweep
        self.notes, self.patch = hidden(notes) if notes else None, patch
        parts = run.path.absolute().parent.name.split("-")  # data, model, loss, ...
        self.tags = (*filter(None, parts), *map(hidden, tags))
        self._told = -1  # the last iteration that W&B had when this part of the run began
        self._best = dict[str, float]()

    @staticmethod
    @rank_zero_only
    def _mode_here(mode: Mode | None) -> Mode:
        return account.mode_here(mode)

    @staticmethod
    def check(
        mode: Mode | None = None,
        project: str | None = None,
        tags: Sequence[str] = (),
        **_: object,
    ) -> None:
        """Checks a logger's options before anything starts, by asking W&B's server if need be.

        Raises:
            ValueError: W&B has no key though it must be online, its server refuses the key, or W&B
                takes no such project, tag or id.
        """
        heard = os.environ.get
        named = {"project": project or heard("WANDB_PROJECT"), "run_id": heard("WANDB_RUN_ID")}
        account.check(mode, **named, run_tags=tuple(tags))

    @property
    @rank_zero_only
    def experiment(self) -> Any:
        """The W&B run, started at the first use.

        Overrides Lightning's property, which attaches to any run that is open in the process (so
        the jobs of a sweep would merge) and passes deprecated arguments.
        """
        if self._experiment is None:
            self._experiment = self._start()
        return self._experiment

    @rank_zero_only
    def go_on(self, iteration: int, attempt: int = 0) -> None:
        """Restores the best scores up to an iteration, and finds which rows W&B already has.

        Args:
            iteration: from which the run goes on.
            attempt: if it differs from W&B's, the run has gone back to `iteration`, and later rows
                are logged again.
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
        """Logs a PNG file; W&B copies it."""
        image = account.client().Image(str(file), caption=f"iteration {step:,}")
        self._log({name: image, "iterations": step})

    @rank_zero_only
    def alert(self, title: str, text: str, step: int) -> None:
        """Raises an alert in W&B, which also sends mail or Slack messages if configured there."""
        started, about = cast("Any", self.experiment), f"iteration {step:,}: {text}"
        started.alert(f"{title} ({self._name})", about, level="WARN")

    @rank_zero_only
    def finish(self, status: str) -> str | None:
        """Ends the W&B run; returns the command that uploads it if it is offline.

        Args:
            status: as in summary.json.
        """
        if self._experiment is None:
            return None
        if status == "interrupted":  # it can be resumed, which W&B calls preempted
            self._experiment.mark_preempting()
        self._experiment.finish(0 if status == "finished" else 1)
        self._experiment = None
        return f"ganlab wandb sync {self.run.path}" if self.mode == "offline" else None

    @rank_zero_only
    def keep_fresh(self, scores: Mapping[str, float], iteration: int) -> None:
        """Replaces best/... in W&B's summary by scores of the best checkpoint on fresh noise."""
        for name, value in scores.items():
            found = {f"best/{name}": value, f"best/{name}/iterations": iteration}
            cast("Any", self.experiment).summary.update(found)

    def _log(self, row: dict[str, Any]) -> None:
        started = cast("Any", self.experiment)
        if row["iterations"] >= self._told:  # equal: that iteration may be incomplete
            started.log(row)

    def _keep_best(self, metrics: Mapping[str, float]) -> None:
        """Writes the best value of each score into W&B's summary, as best/...

        W&B's own summary="min" forgets the earlier parts of a resumed run.
        """
        for name, value in metrics.items():
            if (score := score_named(name)) is None:
                continue
            best = self._best.get(name)
            if best is None or (value < best if less_is_better(score) else value > best):
                self._best[name] = value
                found = {f"best/{name}": value, f"best/{name}/iterations": metrics["iterations"]}
                cast("Any", self.experiment).summary.update(found)

    def _start(self) -> Any:
        errors = account.client().errors
        try:
            started = self._init()
        except errors.AuthenticationError as error:
            raise ConfigError([f"logger.wandb: {error}; {account.WAY_OUT}"]) from error
        except errors.CommError as error:
            reason = str(error).splitlines()[0]
            print(f"W&B cannot start the run ({reason}); it is logged offline", flush=True)
            account.client().teardown()  # its process believes that the run has begun
            self.mode = "offline"
            started = self._init()
        started.tags = tuple(dict.fromkeys((*started.tags, *self.tags)))  # keeps tags set by hand
        if started.resumed:
            self._told = started.summary.get("iterations", -1)
        for axis in AXES:
            started.define_metric(axis, hidden=True)
        started.define_metric("*", step_metric="iterations")
        return started

    def _init(self) -> Any:
        wandb, typed = account.client(), sys.argv
        sys.argv = redacted_words(typed)  # W&B stores the command
        try:
            return self._init_with(wandb)
        finally:
            sys.argv = typed

    def _init_with(self, wandb: ModuleType) -> Any:
        return wandb.init(
            dir=self._dir(),
            id=self._kept_id(),
            resume="allow",
            mode=self.mode,
            config={**self.run.config(), "environment": self.run.environment()},
            job_type="train",
            reinit="create_new",
            settings=wandb.Settings(
                silent=True,
                x_transaction_log_flush_interval=1.0,
                git_root=git("rev-parse", "--show-toplevel"),  # else W&B takes the run's folder
                save_code=self.patch,
            ),
            name=self._name,
            project=self._project,
            entity=self.entity,
            group=self.group,
            notes=self.notes,
        )

    def _dir(self) -> Path:
        """Where W&B makes its folder; into one that is missing it would write nothing."""
        chosen = Path(os.environ.get("WANDB_DIR") or self.run.path)
        chosen.mkdir(parents=True, exist_ok=True)
        return chosen

    def _kept_id(self) -> str:
        """The id of the W&B run, kept in the run's folder for when the run is resumed."""
        file = self.run.path / "wandb-id"
        with contextlib.suppress(OSError):
            return file.read_text().strip()
        files.write(file, new := os.environ.get("WANDB_RUN_ID") or secrets.token_hex(4))
        return new
