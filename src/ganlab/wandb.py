"""Weights & Biases: `ganlab wandb sync` uploads runs, `ganlab wandb dashboard` shows them."""

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
    """Uploads the offline runs in or below a folder, except those already uploaded.

    The parts of a resumed run become one W&B run, in chronological order.  Runs that are still
    training are skipped.

    Args:
        folder: of a run, of a sweep, or above runs; last: the newest run below outputs/.
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
        print(f"{run.path}: {outcome if run in ready else 'still running; upload it later'}")
    print(f"{len(ready) - len(missing)} uploaded, {len(runs) - len(waiting)} were already")
    if missing:
        sys.stderr.write(f"ganlab: some uploads failed, but nothing is lost: {reason(said)}\n")
        raise JobFailedError


def dashboard(
    folder: str, project: str | None = None, entity: str | None = None, file: str | None = None
) -> None:
    """Makes a workspace with panels for everything that the runs in or below a folder have logged.

    With an account, the workspace is created in W&B and its address printed.  Without one, or with
    file=..., its JSON is written to a file.

    Args:
        folder: of a run, of a sweep, or above runs; last: the newest run below outputs/.
        project: of the workspace; null: the project of the runs.
        entity: user or team; null: that of the runs, or the account's default.
        file: of the JSON; null: DIR/workspace.json, only if the workspace cannot be created.
    """
    from ganlab.loggers.account import wandb_mode
    from ganlab.loggers.workspace import Logged, as_json, put_up, workspace

    folder = str(folder_named(folder))
    runs = runs_of(Path(folder))
    chosen = [run.config()["logger"].get("wandb", {}) for run in runs]
    project, entity = (
        given or next((c[key] for c in chosen if c.get(key)), os.environ.get(variable) or usual)
        for key, given, variable, usual in (
            ("project", project, "WANDB_PROJECT", "ganlab"),
            ("entity", entity, "WANDB_ENTITY", ""),
        )
    )
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
    print(f"{path}\nto create it, once logged in: ganlab wandb dashboard {folder}")


def parts(run: Run) -> list[Path]:
    """The files of a run's offline parts, in its folder or WANDB_DIR, in chronological order."""
    found = list(run.path.glob("wandb/offline-run-*/*.wandb"))
    known, elsewhere = run.path / "wandb-id", os.environ.get("WANDB_DIR")
    if elsewhere and known.exists():
        found += Path(elsewhere).glob(f"wandb/offline-run-*-{known.read_text().strip()}/*.wandb")
    return sorted(found, key=lambda file: file.parent.name)  # which begins with the time


def unsent(run: Run) -> list[Path]:
    """The files of a run's offline parts that W&B has not marked as uploaded."""
    return [file for file in parts(run) if not file.with_suffix(".wandb.synced").exists()]


def upload(segments: Iterable[Path]) -> str:
    """Runs `wandb sync`; returns its output, because its exit code is 0 even if it failed."""
    usual = {  # by default, W&B retries without end, and reports errors to its makers
        "WANDB_X_GRAPHQL_RETRY_MAX": "2",
        "WANDB_ERROR_REPORTING": "false",
    }
    files = [str(segment.absolute()) for segment in segments]
    with tempfile.TemporaryDirectory() as folder:
        must = {"WANDB_DIR": folder, "WANDB_SILENT": "false"}  # its log; its reasons
        done = subprocess.run(  # noqa: S603 - a fixed command
            [sys.executable, "-m", "wandb", "sync", "--yes", *files],
            cwd=folder,  # W&B reads settings there, such as the address that gets the key
            env={**usual, **os.environ, **must},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    return done.stdout + done.stderr


def reason(said: str) -> str:
    """The last error in W&B's output, and what to do if that is clear."""
    if "error 401" in said:
        return "W&B's server refuses the API key; run `wandb login`"
    complaints = re.findall(r"\b(?:ERROR|Error:) (.*)", said)
    return complaints[-1] if complaints else "W&B gives no reason"


VERBS = {"sync": sync, "dashboard": dashboard}

if __name__ == "__main__":
    command_line.call_one_of(VERBS)
