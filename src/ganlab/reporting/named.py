"""The runs that somebody names: runs themselves, sweeps, and folders above runs."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ganlab.reporting.tolerant import Tolerant
from ganlab.runs.folder import Run
from ganlab.sweeps.record import Job, jobs_in


def is_run(folder: Path) -> bool:
    """Whether a folder is a run, whole or not."""
    return Run(folder).config_file.exists()


def jobs_of(folders: Sequence[Path]) -> list[Job]:
    """The runs in the order in which they are named, each once.

    Raises:
        ConfigError: a folder holds none, or is a sweep with a damaged record.
    """
    found: dict[Path, Job] = {}
    for folder in folders:
        for job in [Job(Run(folder))] if is_run(folder) else jobs_in(folder):
            found.setdefault(job.run.path.resolve(), job)
    jobs = list(found.values())
    if not all(job.overrides for job in jobs):  # settings come from the configs of all of them
        jobs = [replace(job, overrides=()) for job in jobs]
    return [replace(job, run=Tolerant(job.run.path)) for job in jobs]
