"""Runs a sweep on Slurm; Hydra takes launchers only from the package `hydra_plugins`."""

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

if TYPE_CHECKING:  # Hydra imports this file at every start, of shell completion too
    from submitit import Executor, Job

    from ganlab.runs.folder import Run


class SlurmLauncher(Launcher):
    """One array of jobs for all runs that are missing; those that are finished are only read.

    The launcher of Hydra's submitit plugin, whose options it has and which is what runs in a job,
    submits every run again and ends at the first job that Slurm gives up.
    """

    def __init__(self, **options: Any) -> None:
        self.options = options

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.config, self.context, self.task = config, hydra_context, task_function

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> list[JobReturn]:
        """Waits for all jobs.

        Raises:
            ConfigError: Slurm takes none of them.
        """
        points = dict(enumerate(map(list, job_overrides), initial_job_idx))
        runs = {number: self._run(overrides) for number, overrides in points.items()}
        missing = [number for number, run in runs.items() if not run.finished]
        jobs = dict(zip(missing, self._submit({n: points[n] for n in missing}), strict=True))
        return [
            awaited(jobs[number], points[number]) if number in jobs else read(runs[number])
            for number in points
        ]

    def _run(self, overrides: list[str]) -> "Run":
        from ganlab.commands.preflight import composed
        from ganlab.sweeps.study import Point

        return composed(self.context.config_loader, self.config, Point(overrides))[1].run

    def _submit(self, points: dict[int, list[str]]) -> "Sequence[Job[JobReturn]]":
        from hydra_plugins.hydra_submitit_launcher.submitit_launcher import SlurmLauncher as Theirs

        from ganlab.errors import ConfigError

        work, state = Theirs(**self.options), Singleton.get_state()
        work.setup(hydra_context=self.context, task_function=self.task, config=self.config)
        calls = [(words, "hydra.sweep.dir", n, str(n), state) for n, words in points.items()]
        try:
            return executor(work.params).map_array(work, *zip(*calls, strict=True)) if calls else []
        except RuntimeError as error:  # there is no srun, or what sbatch has said
            raise ConfigError([f"hydra.launcher: {str(error).splitlines()[-1]}"]) from error


def executor(options: dict[str, Any]) -> "Executor":
    """submitit's, which knows options of every cluster and options that begin with `slurm_`."""
    from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf
    from submitit import AutoExecutor

    shared = {field.name for field in fields(BaseQueueConf)}
    named = {key if key in shared else f"slurm_{key}": value for key, value in options.items()}
    folder, limits = named.pop("submitit_folder"), named.pop("slurm_max_num_timeout")
    made = AutoExecutor(folder, cluster="slurm", slurm_max_num_timeout=limits)
    made.update_parameters(**named)
    return made


def read(run: "Run") -> JobReturn:
    """What the job of a finished run would return."""
    from ganlab.sweeps.record import objective

    print(f"finished already: {run.path}", flush=True)
    returned = JobReturn(status=JobStatus.COMPLETED)
    returned.return_value = objective(run)
    return returned


def awaited(job: "Job[JobReturn]", overrides: list[str]) -> JobReturn:
    """What a job has returned; says so if Slurm has given it up."""
    from submitit.core.utils import FailedJobError, UncompletedJobError

    from ganlab.errors import JobFailedError

    try:
        return job.results()[0]
    except UncompletedJobError as error:
        crashed = isinstance(error, FailedJobError)  # with a traceback: a bug
        said = str(error) if crashed else f"{job.state.lower()}; its log is {job.paths.stderr}"
        print(f"Slurm's job {job.job_id}: {said}", flush=True)
        returned = JobReturn(overrides=overrides, status=JobStatus.FAILED)
        returned.return_value = JobFailedError(said)
        return returned
