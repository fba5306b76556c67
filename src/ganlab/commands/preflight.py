"""The pre-flight: every job of a command line is composed and checked before the first starts."""

import contextlib
import json
import os
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from hydra.core.config_loader import ConfigLoader
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from tqdm import tqdm

from ganlab.commands.composition import Composer, is_adaptive, looks_for_scores, without_hydra
from ganlab.config import once, recipe
from ganlab.config.checks import HYDRA_KEYS, plain, problems
from ganlab.config.completion import complete
from ganlab.config.secrets import redacted_words
from ganlab.config.settings import Settings, range_problems
from ganlab.config.targets import locate
from ganlab.errors import ConfigError, DataError
from ganlab.runs import origin
from ganlab.runs.folder import Run, folder_name, require_writable, science
from ganlab.scoring.scorecard import less_is_better
from ganlab.sweeps.record import Job, Sweep, identity_of
from ganlab.sweeps.study import Point

MANY = 50  # jobs; fewer are checked in some seconds
HOW_MANY = ("n_trials", "n_jobs")  # of a search
SWEEPS = "${output_dir}/sweeps"  # hydra.sweep.dir where nobody has said another
LAUNCHER = ("hydra/launcher", "hydra.launcher")
BY_RESOLVER = "ConfigError raised while resolving interpolation: "  # OmegaConf's words
REQUEUED_WRONG = {"never": "would start again", "last": "may name another run"}


@dataclass(frozen=True)
class Launch:
    """What is about to run.

    Args:
        words: the overrides to pass to Hydra.
        sweep: where the runs are recorded, if the command is a sweep.
        jobs: the jobs of the sweep that are known before it starts.
    """

    words: list[str]
    sweep: Sweep | None = None
    jobs: list[Job] = field(default_factory=list)


def preflight(given: Namespace) -> Launch:
    """Composes and checks every job of a command line; nothing is written.

    Raises:
        ConfigError: all mistakes of all jobs.
    """
    composer = Composer(given.config_dir, given.config_name)
    given.overrides = composer.chosen(given.overrides)
    base = composer.base(given.overrides)
    swept = given.multirun or base.hydra.mode == RunMode.MULTIRUN
    if base.hydra.job.chdir:
        raise ConfigError(["hydra.job.chdir: ganlab makes the folders of runs; leave it out"])
    if not swept and (launched := [o for o in given.overrides if o.startswith(LAUNCHER)]):
        raise ConfigError([f"'{launched[0]}': only a sweep is launched; add -m"])
    require_one_length(given.overrides)
    points = composer.points(given.overrides, base.hydra, sweep=swept)
    if not points:
        raise ConfigError(["a value lists nothing: the sweep has no job"])
    with once.remembering():
        jobs = rehearsed(composer, points, base.hydra.sweeper if swept else None)
    words = composer.words(given.overrides)
    if not swept:
        return Launch(words)
    if os.environ.get("WANDB_RUN_ID") and "wandb" in (base.logger or {}):
        said = "all jobs of the sweep would be one W&B run; unset it, or set logger=csv"
        raise ConfigError([f"WANDB_RUN_ID: {said}"])
    known = [] if is_adaptive(base.hydra.sweeper) else jobs
    require_different(known)
    if base.resume in REQUEUED_WRONG and "slurm" in base.hydra.launcher._target_:
        said = f"{base.resume} {REQUEUED_WRONG[base.resume]} each time that Slurm requeues a job"
        raise ConfigError([f"resume: {said}"])
    varying = [override for override in given.overrides if composer.varies(override)]
    sweep = Sweep(sweep_folder(base, known, varying))
    quoted = str(sweep.path).replace("\\", "\\\\").replace("'", "\\'")
    return Launch([*words, f"hydra.sweep.dir='{quoted}'"], sweep, known)


def shown(given: Namespace) -> list[str]:
    """The overrides of a command line that asks to see the config or the help, for Hydra.

    A budget in images is among them as the number of iterations that follows from it.

    Raises:
        ConfigError: Hydra refuses some.
    """
    if not given.overrides or not (given.cfg or given.help):
        return list(given.overrides)
    composer = Composer(given.config_dir, given.config_name)
    overrides = composer.chosen(given.overrides)
    cfg, found = composer.compose(overrides)
    if found:
        raise ConfigError(found)
    words = composer.words(overrides)
    if OmegaConf.is_interpolation(cfg, "iterations"):
        words.append(f"iterations={iterations(cfg)}")
    if given.help and cfg.get("recipe") is not None:
        print(f"{recipe.read(plain(cfg.recipe))}\n")
        words.append("~recipe")
    return words


def iterations(cfg: DictConfig) -> int:
    """The number of iterations, where a config says it by an interpolation.

    Raises:
        ConfigError: the interpolation cannot be resolved.
    """
    try:
        return cast("int", cfg.iterations)
    except OmegaConfBaseException as error:
        raise ConfigError([said_by(error)]) from error


def said_by(error: OmegaConfBaseException) -> str:
    """OmegaConf's sentence, or that of a resolver of ganlab's."""
    return str(error).splitlines()[0].removeprefix(BY_RESOLVER)


def rehearsed(composer: Composer, points: list[Point], sweeper: DictConfig | None) -> list[Job]:
    """The jobs of all points.

    Raises:
        ConfigError: all mistakes, each once, with the number of jobs that have it.
    """
    jobs, found = list[Job](), Counter[str]()
    for point in watched(points):
        cfg, mistakes = composer.compose(point.overrides)
        try:
            node = sound(without_hydra(cfg), deep=composer.reaches_inside(point.overrides))
            if not mistakes:  # what stands in for an unknown choice may not fit the others
                jobs.append(rehearse(cfg, completed(node), point, sweeper))
        except ConfigError as error:
            mistakes = mistakes + error.problems
        found.update(mistakes)
    if found:
        of = f"of {len(points)} jobs)"
        raise ConfigError([f"{s} (in {n} {of}" if points[1:] else s for s, n in found.items()])
    return jobs


def watched(points: list[Point]) -> Iterable[Point]:
    """The points; of many, says that they are being checked, on a terminal with a bar."""
    if len(points) < MANY:
        return points
    if not sys.stderr.isatty():
        print(f"checking {len(points):,} jobs", file=sys.stderr, flush=True)
    return tqdm(points, "checking", unit=" jobs", disable=None, leave=False, dynamic_ncols=True)


def rehearse(
    cfg: DictConfig, config: dict[str, Any], point: Point, sweeper: DictConfig | None = None
) -> Job:
    """Builds everything that one job needs on the meta device, and returns the job.

    Raises:
        ConfigError: what is wrong.
    """
    from ganlab.experiments.experiment import (
        Experiment,  # torch: seconds, which a wrong name need not wait
    )

    Experiment(**config).rehearse()
    job = job_of(cfg, config, point)
    require_writable(Path(config["output_dir"]))
    if sweeper is not None and looks_for_scores(sweeper):
        require_objective(config, sweeper)
    return job


def job_of(cfg: DictConfig, config: dict[str, Any], point: Point) -> Job:
    """The job of a point, with the folder where it runs.

    Args:
        cfg: as composed, with Hydra's own part.
        config: completed.
        point: its overrides.

    Raises:
        ConfigError: `resume` names a folder that is no run, or another experiment's.
    """
    name = folder_name(cfg.hydra.runtime.choices, config)
    return Job(Run.find(config, name), tuple(point.overrides), point.method, point.stage)


def composed(loader: ConfigLoader, base: DictConfig, point: Point) -> tuple[dict[str, Any], Job]:
    """The completed config of one point of a sweep that has started, and its job.

    Args:
        loader: Hydra's.
        base: what all jobs share, as Hydra has loaded it.
        point: its overrides.
    """
    cfg = loader.load_sweep_config(base, point.overrides)
    config = checked(without_hydra(cfg))
    return config, job_of(cfg, config, point)


def checked(cfg: DictConfig) -> dict[str, Any]:
    """The completed config of one job.

    Raises:
        ConfigError: every key, type and target that is wrong.
    """
    return completed(sound(cfg))


def sound(cfg: DictConfig, *, deep: bool = True) -> dict[str, Any]:
    """The config of one job as plain data, not yet completed.

    Args:
        cfg: without Hydra's own part.
        deep: whether targets are imported, which takes seconds, though a root key is wrong.

    Raises:
        ConfigError: every key, type and target that is wrong, and every count out of range.
    """
    try:
        node = plain(cfg)
    except OmegaConfBaseException as error:
        said = said_by(error)
        if said.endswith(("interpolation type hydra", "HydraConfig was not set")):
            said = "${hydra:...}: only Hydra's own part of the config may refer to it"
        raise ConfigError([said]) from error
    found = [f"{key}: unknown" for key in HYDRA_KEYS if key in node]
    found += problems(node, Settings, deep=deep) + range_problems(node)
    if isinstance(node.get("recipe"), dict):
        found += recipe.mistakes(node["recipe"])
    if found:
        raise ConfigError(found)
    return node


def completed(node: dict[str, Any]) -> dict[str, Any]:
    """A sound config with every default in force.

    Raises:
        ConfigError: every target that is wrong.
    """
    if found := problems(node, Settings):
        raise ConfigError(found)
    config = fingerprinted(complete(node, Settings))
    return {**config, "start": origin.resolved(config["start"])}


def fingerprinted(config: dict[str, Any]) -> dict[str, Any]:
    """The config with the fingerprint of its data's files, where the data has one.

    Data that cannot be read keeps null: the checks that follow say what is wrong.
    """
    data = config["data"]
    source = locate(data["_target_"])
    if "fingerprint" not in data or not hasattr(source, "fingerprint"):
        return config
    given = {key: value for key, value in data.items() if key != "_target_"}
    found = None
    with contextlib.suppress(DataError, ValueError, OSError):
        found = source(**given).fingerprint()
    return {**config, "data": {**data, "fingerprint": found}}


def require_one_length(overrides: list[str]) -> None:
    """Raises ConfigError if a command line says both how many iterations and how many minutes."""
    said = {override.lstrip("+").partition("=")[0]: override for override in overrides}
    if {"iterations", "minutes"} <= said.keys() and said["minutes"].partition("=")[2] != "null":
        ends = f"the clock would end the run, and '{said['iterations']}' would decide nothing"
        raise ConfigError([f"minutes: {ends}; set one of the two"])


def require_different(jobs: list[Job]) -> None:
    """Raises ConfigError if two jobs are the same run: they differ in nothing that counts."""
    seen: dict[Path, Job] = {}
    for job in jobs:
        other = seen.setdefault(job.run.path, job)
        if other is not job:
            words = [
                " ".join(w for w in j.overrides if w not in k.overrides)
                for j, k in ((other, job), (job, other))
            ]
            said = f"'{words[0]}' and '{words[1]}' are" if all(words) else "two jobs are"
            raise ConfigError([f"{said} the same run, '{job.run.path}'; list it once"])


def require_objective(config: dict[str, Any], sweeper: DictConfig) -> None:
    """Raises ConfigError unless the runs have the score that the sweeper optimizes."""
    best = config["metrics"].get("best") if config.get("metrics") else None
    if best is None:
        raise ConfigError(["metrics: this sweeper looks for scores; set metrics=classifier"])
    wanted, direction = "minimize" if less_is_better(best) else "maximize", sweeper.get("direction")
    if (name := getattr(direction, "name", direction)) not in (None, wanted):
        said = f"metrics.best={best} wants {wanted}, got {name}"
        raise ConfigError([f"hydra.sweeper.direction: {said}"])


def sweep_folder(base: DictConfig, jobs: list[Job], varying: list[str]) -> Path:
    """Where the sweep is recorded: sweeps of the same jobs are one, and searches by one rule.

    Args:
        base: what all jobs share.
        jobs: those that are known; empty if the sweeper chooses them while the sweep runs.
        varying: overrides with several values.
    """
    raw = base.hydra.sweep._get_node("dir")._value()
    if raw != SWEEPS:
        return Path(base.hydra.sweep.dir)
    runs = ["/".join(job.run.path.parts[-2:]) for job in jobs]
    return Path(base.hydra.sweep.dir) / identity_of(runs or search_of(base, varying))


def search_of(base: DictConfig, varying: list[str]) -> list[str]:
    """Everything that decides the results of a sweeper that chooses its own jobs.

    The number of trials does not count: more trials continue the same search.
    """
    sweeper = OmegaConf.to_container(base.hydra.sweeper, resolve=True)
    rule = {k: v for k, v in cast("dict[str, Any]", sweeper).items() if k not in HOW_MANY}
    shared = science(checked(without_hydra(base)))
    return [
        *redacted_words(varying),
        *(json.dumps(one, sort_keys=True, default=str) for one in (rule, shared)),
    ]
