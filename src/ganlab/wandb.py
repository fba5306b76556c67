"""Runs on Weights & Biases: `ganlab wandb sync DIR` uploads, `ganlab wandb dashboard DIR` draws."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from ganlab.commands import command_line
from ganlab.errors import ConfigError, JobFailedError
from ganlab.runs.folder import Run, folder_named
from ganlab.storage import files
from ganlab.sweeps.record import runs_of


def sync(folder: str) -> None:
    """Uploads the offline runs in or below a folder; what is uploaded already is left alone.

    The parts of a run that was interrupted become one run, in the order of their time.  A run that
    is still at work is left for later.

    Args:
        folder: of a run, of a sweep, or any above runs; last: the newest run below outputs/.
    """
    folder = str(folder_named(folder))
    runs = [run for run in runs_of(Path(folder)) if parts(run)]
    if not runs:
        raise ConfigError([f"nothing to upload below '{folder}': no run there was logged offline"])
    waiting = [run for run in runs if unsent(run)]
    ready = [run for run in waiting if not run.locked()]
    said = upload(file for run in ready for file in unsent(run)) if ready else ""
    missing = [run for run in ready if unsent(run)]
    for run in waiting:
        outcome = "not uploaded" if run in missing else "uploaded"
        print(f"{run.path}: {outcome if run in ready else 'at work, to upload when it has ended'}")
    print(f"{len(ready) - len(missing)} uploaded, {len(runs) - len(waiting)} were already")
    if missing:
        sys.stderr.write(f"ganlab: not all is uploaded, and nothing is lost: {reason(said)}\n")
        raise JobFailedError


def dashboard(
    folder: str, project: str | None = None, entity: str | None = None, file: str | None = None
) -> None:
    """Makes a workspace with panels of all that the runs in or below a folder have logged.

    With an account it is put up and its address printed; without one, or with file=..., its JSON
    is written, to look at or to keep.

    Args:
        folder: of a run, of a sweep, or any above runs; last: the newest run below outputs/.
        project: where it is put up; null: where the runs are.
        entity: user or team; null: the runs', or the account's default.
        file: write it here; null: DIR/workspace.json, if it cannot be put up.
    """
    from ganlab.loggers.wandb import wandb_mode
    from ganlab.loggers.workspace import Logged, as_json, put_up, workspace

    folder = str(folder_named(folder))
    runs = runs_of(Path(folder))
    chosen = [run.config()["logger"].get("wandb", {}) for run in runs]
    project = project or next((c["project"] for c in chosen if c.get("project")), "ganlab")
    entity = entity or next((c["entity"] for c in chosen if c.get("entity")), "")
    made = workspace(Logged.by(runs), name=f"GANs of {folder}", project=project, entity=entity)
    if file is None and wandb_mode() == "online":
        try:
            print(put_up(made))
        except ConnectionError as error:
            print(f"W&B cannot be reached ({error})")
        else:
            return
    path = Path(file) if file else Path(folder) / "workspace.json"
    files.write(path, as_json(made))
    print(f"{path}\nto put it up, once logged in: ganlab wandb dashboard {folder}")


def parts(run: Run) -> list[Path]:
    """The files of its offline parts, in the order of their time."""
    return sorted(run.path.glob("wandb/offline-run-*/*.wandb"))


def unsent(run: Run) -> list[Path]:
    """Those of its offline parts that W&B has not marked as uploaded."""
    return [file for file in parts(run) if not file.with_suffix(".wandb.synced").exists()]


def upload(segments: Iterable[Path]) -> str:
    """What `wandb sync` says; its exit code is 0 even where it has failed."""
    patience = {"WANDB_X_GRAPHQL_RETRY_MAX": "2"}  # tries anew; W&B itself does not end
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(  # noqa: S603 - a fixed command
            [
                sys.executable,
                "-m",
                "wandb",
                "sync",
                "--yes",
                *(str(s.absolute()) for s in segments),
            ],
            cwd=folder,  # W&B reads settings, and an address to send the key to, from where it is
            env={**patience, **os.environ, "WANDB_DIR": folder},  # its own log goes there
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    return done.stdout + done.stderr


def reason(said: str) -> str:
    """The last complaint in what W&B said."""
    complaints = re.findall(r"\b(?:ERROR|Error:) (.*)", said)
    return complaints[-1] if complaints else "W&B does not say why"


VERBS = {"sync": sync, "dashboard": dashboard}

if __name__ == "__main__":
    command_line.call_one_of(VERBS)
