"""Where a run starts if it does not start from nothing: a checkpoint of another run."""

from pathlib import Path
from typing import Any

from ganlab.errors import ConfigError
from ganlab.runs.folder import CHECKPOINTS, LAST, Run, run_of

ALONE = "the run that starts would be the newest one itself"


def resolved(start: dict[str, Any]) -> dict[str, Any]:
    """What the root key `start` says, with the checkpoint that it means now.

    Args:
        start: `run` is a run's folder, a checkpoint of one or any checkpoint file.

    Raises:
        ConfigError: there is no such run or file, or the run has no checkpoint.
    """
    if start.get("run") is None or start.get("checkpoint") is not None:
        return start
    path = Path(start["run"])
    if start["run"] == LAST:
        raise ConfigError([f"start: name the run; with '{LAST}', {ALONE}"])
    if path.is_file():
        return {**start, "run": str(run_of(path)), "checkpoint": path.name}
    if not path.exists():
        raise ConfigError([f"start: there is no run or checkpoint '{path}'"])
    run = Run(path)
    run.config()
    newest = run.last_checkpoint()
    if run.exported:
        raise ConfigError([f"start: '{path}' is an export, and has no checkpoint to start from"])
    if newest is None:
        raise ConfigError([f"start: '{path}' has no checkpoint"])
    return {**start, "checkpoint": newest.name}


def file_of(start: dict[str, Any]) -> Path:
    """The checkpoint of a resolved `start`."""
    folder, name = Path(start["run"]), start["checkpoint"]
    inside = folder / CHECKPOINTS / name
    return inside if inside.exists() else folder / name
