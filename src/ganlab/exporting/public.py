"""What of a run is for everybody: its config and its command without secrets and home folder."""

from pathlib import Path, PurePath
from typing import Any

from pydantic import BaseModel

from ganlab.config.secrets import redacted, redacted_words
from ganlab.runs import records
from ganlab.runs.folder import Run


class Environment(BaseModel):
    """environment.json, as far as it is told."""

    command: list[str] = []
    gpus: list[str] = []
    libraries: dict[str, str | None] = {}


def config(run: Run) -> dict[str, Any]:
    """The complete config, as it may be published."""
    return dict(homeless(redacted(run.config())))


def command(run: Run) -> list[str]:
    """The words of the command that worked in the run last; empty if it is not known."""
    if not (words := environment(run).command):
        return []
    program = PurePath(words[0])
    module = program.parent.name if program.stem == "__main__" else program.stem
    return ["python", "-m", f"ganlab.{module}", *homeless(redacted_words(words[1:]))]


def environment(run: Run) -> Environment:
    """What environment.json says of the process that worked in the run last.

    Raises:
        ConfigError: it is damaged.
    """
    return Environment(**records.read_if_there(run.environment_file, Environment))


def homeless(node: Any) -> Any:
    """Plain data with ~ in place of the home folder, whose name is often a person's."""
    if isinstance(node, dict):
        return {key: homeless(value) for key, value in node.items()}
    if isinstance(node, list):
        return [homeless(value) for value in node]
    home = str(Path.home())
    return node.replace(home, "~") if isinstance(node, str) and home != "/" else node
