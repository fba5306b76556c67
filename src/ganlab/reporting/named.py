"""The runs that somebody names: runs themselves, sweeps, and folders above runs."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ganlab.errors import ConfigError
from ganlab.reporting.tolerant import Tolerant
from ganlab.runs.folder import Run
from ganlab.sweeps.record import Job, jobs_in


def is_run(folder: Path) -> bool:
    """Whether a folder is a run, whole or not."""
    return Run(folder).config_file.exists()


def jobs_of(folders: Sequence[Path]) -> list[Job]:
    """The runs in the order in which they are named, each once.

    Raises:
        ConfigError: a folder holds none, is an export, or is a sweep with a damaged record.
    """
    if exports := [folder for folder in folders if Run(folder).exported]:
        said = "is an export: its generator alone is there; name the run itself"
        raise ConfigError([f"runs: '{folder}' {said}" for folder in exports])
    found: dict[Path, Job] = {}
    for folder in folders:
        for job in [Job(Run(folder))] if is_run(folder) else jobs_in(folder):
            found.setdefault(job.run.path.resolve(), job)
    jobs = list(found.values())
    one_sweep = len(folders) == 1 and all(job.overrides for job in jobs)
    if not one_sweep:  # settings come from the configs of all of them
        jobs = [replace(job, overrides=()) for job in jobs]
    return [replace(job, run=Tolerant(job.run.path)) for job in jobs]
