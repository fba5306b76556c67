"""Runs a study (ganlab.sweeps.study); Hydra looks for sweepers in the package `hydra_plugins`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

if TYPE_CHECKING:  # Hydra imports this file at every start, of shell completion too
    from ganlab.sweeps.record import Job
    from ganlab.sweeps.study import Point


class StudySweeper(Sweeper):
    """Launches every trial, then the best of each method again with fresh seeds."""

    launcher: Launcher
    config: DictConfig
    hydra_context: HydraContext

    def __init__(self, **_options: Any) -> None:
        """The options are `ganlab.sweeps.study.read`'s, who takes them from the config."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.config, self.hydra_context = config, hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            config=config, hydra_context=hydra_context, task_function=task_function
        )

    def sweep(self, arguments: list[str]) -> list[JobReturn]:
        """All trials at once, so that a cluster can run them side by side; then the best ones."""
        from ganlab.sweeps import study
        from ganlab.sweeps.record import Sweep

        plan = study.read(self.config.hydra.sweeper)
        trials = plan.trials(arguments)
        returns = self._launch(trials, 0)
        values = [value(returned) for returned in returns]
        if not plan.budget:
            return [*returns]
        config, _ = self._composed(trials[0])
        chosen = study.best(trials, values, config["metrics"]["best"])
        again = [retried for trial in chosen for retried in plan.again(trial, config["seed"])]
        record = Sweep(Path(self.config.hydra.sweep.dir))
        record.add([self._composed(trial)[1] for trial in again])
        return [*returns, *self._launch(again, len(trials))]

    def _launch(self, trials: "Sequence[Point]", first: int) -> Sequence[JobReturn]:
        overrides = [trial.overrides for trial in trials]
        return self.launcher.launch(overrides, first) if overrides else []

    def _composed(self, trial: "Point") -> "tuple[dict[str, Any], Job]":
        """The completed config of a trial, and its job."""
        from ganlab.commands.preflight import composed

        return composed(self.hydra_context.config_loader, self.config, trial)


def value(returned: JobReturn) -> float | None:
    """The score of a job; None if it has failed, which it has said."""
    from ganlab.errors import JobFailedError

    try:
        return returned.return_value
    except JobFailedError:
        return None
