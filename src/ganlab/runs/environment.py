"""The environment of a run: process, machine, libraries and code."""

import contextlib
import os
import platform
import subprocess
import sys
import time
from typing import Any

from ganlab.config.secrets import redacted_words

# A stranger's .git/config may name programs that git would run.
QUIET = ("-c", "core.fsmonitor=", "-c", "core.hooksPath=/dev/null")
LIBRARIES = ("ganlab", "torch", "torchvision", "pytorch-lightning", "hydra-core", "numpy", "wandb")


def process() -> str:
    """Describes this process, for the message that a run is locked."""
    job = os.environ.get("SLURM_JOB_ID")
    slurm = f", Slurm job {job}" if job else ""
    since = time.strftime("%Y-%m-%d %H:%M")
    return f"pid {os.getpid()} on {platform.node()}{slurm} since {since}"


def of_now() -> dict[str, Any]:
    """Command, machine, versions and git state of this process, as plain data."""
    import torch

    return {
        "command": redacted_words(sys.argv),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "libraries": {name: _version(name) for name in LIBRARIES},
        "git_commit": git("rev-parse", "HEAD"),
        "git_dirty": bool(git("status", "--porcelain")),
    }


def _version(name: str) -> str | None:
    from importlib import metadata

    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version(name)
    return None


def git(*arguments: str) -> str | None:
    """The output of a git command in the working directory; None outside of a repository."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        command = ["git", *QUIET, *arguments]
        done = subprocess.run(  # noqa: S603 - a fixed command
            command, capture_output=True, text=True, timeout=10, check=True
        )
        return done.stdout.strip()
    return None
