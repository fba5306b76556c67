"""A run's folder: its identity, its files, and whether to start, go on or leave it alone."""

import contextlib
import glob
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn

import yaml
from filelock import FileLock, Timeout

from ganlab.config.checks import conf_dir
from ganlab.config.completion import flattened
from ganlab.config.secrets import redacted
from ganlab.config.settings import NOT_SCIENCE
from ganlab.errors import ConfigError, DiskFullError, RunBusyError
from ganlab.runs import environment, plain_yaml, records
from ganlab.storage import checkpoint, files

BEST, CHECKPOINTS = "best.ckpt", "checkpoints"
Which = Literal["last", "best"]  # of a run's checkpoints
Kind = Literal["run", "sweep"]
EXPORTED = "generator.safetensors"  # in a folder that `ganlab export` wrote
LAST = "last"  # in place of a folder: the newest one; a folder of that name is ./last
PRECISIONS = {  # those with several names; None is Lightning's default
    "16": "16-mixed",
    "bf16": "bf16-mixed",
    "64": "64-true",
    "32": None,
    "32-true": None,
}
OUTPUTS = Path("outputs")  # where runs are that nobody has sent elsewhere
RECORD = "sweep.json"  # in a sweep's folder


def folder_named(name: str | Path, kind: Kind = "run", outputs: Path = OUTPUTS) -> Path:
    """The folder that somebody names; the text `last` names the newest run or sweep.

    A run is as new as its config.yaml or its summary.json, whichever was written later: to train,
    to go on and to score are work on it.  A sweep is as new as the start of its last job.

    Args:
        name: a path, or `last`.
        kind: of what `last` is the newest: a run below `outputs`, or a sweep below outputs/sweeps.
        outputs: where these are looked for.

    Raises:
        ConfigError: it is `last`, and there is none.
    """
    if name != LAST:
        return Path(name)
    where = outputs if kind == "run" else outputs / "sweeps"
    if kind == "run":
        found = [run.path for run in runs_in(where)]
    else:
        found = [record.parent for record in where.glob(f"*/{RECORD}")]
    if (last := newest(found)) is None:
        said = f"'{LAST}' is the newest {kind} below '{where}', and there is none"
        raise ConfigError([f"{said}; a folder of that name is './{LAST}'"])
    return last


def pointed_at(run: str | Path, checkpoint: str = LAST) -> tuple[Path, str]:
    """A run's folder, and which of its checkpoints, from what somebody writes.

    Args:
        run: a run's folder, or a checkpoint file in one, or a folder above runs or a pattern such
            as outputs/*/*, of which the newest run is meant, or `last`.
        checkpoint: last, best, the number of an iteration, or the name of a file.

    Raises:
        ConfigError: there is no such run.
    """
    folder = folder_named(run)
    if "*" in str(run) and not folder.exists():
        folder = newest(Path(file).parent for file in glob.glob(f"{run}/config.yaml")) or folder  # noqa: PTH207
    if folder.is_file():
        return run_of(folder), folder.name
    if folder.is_dir() and not (folder / "config.yaml").exists():
        folder = newest(one.path for one in runs_in(folder)) or folder
    return folder, checkpoint


def newest(folders: Iterable[Path]) -> Path | None:
    """The run or sweep that was worked on last; None if there are none."""
    return max(folders, key=lambda folder: (worked_on(folder), folder), default=None)


def run_of(file: Path) -> Path:
    """The run that a checkpoint is in, or else its folder."""
    return file.parent.parent if file.absolute().parent.name == CHECKPOINTS else file.parent


def worked_on(folder: Path) -> int:
    """When a run or a sweep was last worked on, in nanoseconds; 0 if nothing says so."""
    files = (folder / name for name in ("config.yaml", "summary.json", RECORD))
    return max((file.stat().st_mtime_ns for file in files if file.exists()), default=0)


def science(config: dict[str, Any]) -> dict[str, Any]:
    """The part of a completed config that decides a run's results, without secrets."""
    config = redacted(config)
    kept = {key: value for key, value in config.items() if key not in NOT_SCIENCE}
    metrics = kept.pop("metrics", {})
    if metrics.get("patience") is not None:  # otherwise scoring leaves the run as it would be
        kept["metrics"] = metrics
    health = kept.pop("health", {})
    if health.get("action") in ("stop", "rollback"):  # otherwise it only looks
        kept["health"] = health
    if health.get("action") == "rollback":  # to one of the checkpoints
        kept["checkpoint_every"] = config["checkpoint_every"]
    kept.pop("minutes" if kept.get("minutes") is None else "iterations", None)  # the other ends it
    start = kept.pop("start", {})
    if start.get("run") is not None:
        run = "/".join(Path(start["run"]).absolute().parts[-2:])  # however its path is spelled
        kept["start"] = {"from": f"{run}/{start['checkpoint']}", "networks": start.get("networks")}
    precision = config["trainer"].get("precision")
    kept["trainer"] = {"precision": PRECISIONS.get(str(precision), precision)}
    if "download" in config["data"]:  # what can be downloaded is the same wherever it lies
        kept["data"] = {k: v for k, v in config["data"].items() if k not in ("root", "download")}
    elif config["data"].get("fingerprint"):  # the files are what counts
        kept["data"] = {k: v for k, v in config["data"].items() if k != "root"}
    return kept


def folder_name(choices: Mapping[str, str], config: Mapping[str, Any]) -> str:
    """`<data>-<model>-<loss>`, then conditioning, augmentation and regularizers if there are any.

    A model that is no GAN has no loss to name.

    Where a class was set that is not the choice's own, its name stands in place of the choice's.

    Args:
        choices: of Hydra's groups, by group.
        config: completed.
    """
    named = {g: name_of(g, choices[g], config[g]) for g in ("data", "model", "loss") if config[g]}
    further = {g: name_of(g, choices[g], config[g]) for g in ("conditioning", "augment")}
    parts = [*named.values(), *(name for name in further.values() if name != "none")]
    for name, node in config.get("regularizer", {}).items():
        parts.append(name_of("regularizer", name, {name: node}))
    return "-".join(parts)


def name_of(group: str, choice: str, node: Mapping[str, Any]) -> str:
    """The choice of a group, or the name of the class that was set in place of the choice's own.

    The class of a part, such as a VAE's likelihood, stands behind the choice.

    Args:
        group: of the config, such as "loss".
        choice: its chosen option.
        node: what the config has there.
    """
    file = conf_dir() / group / f"{choice}.yaml"
    chosen = yaml.safe_load(file.read_text()) if file.is_file() else None
    own = targets_of((chosen or {}).get(group, chosen) or {})  # some files set root keys, too
    for path, target in targets_of(node).items():
        if own.get(path, target) != target:
            words = r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])"  # where one begins
            named = re.sub(words, "_", target.rpartition(".")[2]).lower()
            part = "_target_" in node and path != "_target_"  # of a whole that has a class
            return f"{choice}-{named}" if part else named
    return choice


def targets_of(node: Mapping[str, Any]) -> dict[str, Any]:
    """Every `_target_` of a node, by its dotted path."""
    return {path: v for path, v in flattened(dict(node)) if path.rpartition(".")[2] == "_target_"}


def identity(config: dict[str, Any]) -> str:
    """8 hexadecimal digits: the hash of the science."""
    text = json.dumps(science(config), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def differences(mine: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """'d_steps: 1 there, 2 here' for each scientific key in which two configs differ."""
    here, there = dict(flattened(science(mine))), dict(flattened(science(theirs)))
    keys = [key for key in here | there if here.get(key) != there.get(key)]
    return [f"  {key}: {there.get(key)} there, {here.get(key)} here" for key in keys]


def varied(runs: Sequence["Run"]) -> list[str]:
    """Dotted keys of the science in which runs differ."""
    configs = [dict(flattened(science(run.config()))) for run in runs]
    keys = dict.fromkeys(key for config in configs for key in config)
    return [key for key in keys if len({json.dumps(c.get(key)) for c in configs}) > 1]


class Run:
    """The folder of one run; nothing in it is ever replaced but by its own continuation."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints, self.samples = path / CHECKPOINTS, path / "samples"
        self.config_file, self.summary_file = path / "config.yaml", path / "summary.json"
        self.lock_file, self.holder_file = path / ".lock", path / ".lock-holder"
        self.environment_file = path / "environment.json"

    @classmethod
    def find(cls, config: dict[str, Any], name: str) -> "Run":
        """The folder where a completed config runs, by `resume`; creates nothing.

        Raises:
            ConfigError: `resume` names a folder that is no run, or one of another science.
        """
        home, resume = Path(config["output_dir"]) / name, config["resume"]
        if resume == "auto":
            return cls(home / identity(config))
        if resume == "never":
            return cls(unused(home / identity(config)))
        named = folder_named(resume, outputs=Path(config["output_dir"]))
        run = cls(run_of(named) if named.is_file() else named)
        if named.is_file() and named.name != (newest := run.last_checkpoint() or named).name:
            said = f"a run goes on from its newest checkpoint, {newest.name}"
            raise ConfigError([f"resume: {said}; to start a new run from '{named}': start={named}"])
        if run.exported:
            raise ConfigError([f"resume: '{run.path}' is an export: its generator alone is there"])
        if changed := differences(config, run.config()):
            another = f"resume: '{run.path}' is another experiment:\n"
            longer = f"\nto start a new run from its weights: start={run.path}"
            raise ConfigError([another + "\n".join(changed) + longer])
        return run

    def config(self) -> dict[str, Any]:
        """The completed config that the run was started with last, without secrets.

        Raises:
            ConfigError: there is no such run.
        """
        try:
            return plain_yaml.read(self.config_file)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ConfigError([f"'{self.path}' is no run: it has no config.yaml"]) from error
        except OSError as error:
            raise ConfigError([f"'{self.config_file}' cannot be read: {error.strerror}"]) from error
        except (TypeError, ValueError) as error:
            raise ConfigError([f"'{self.config_file}' is damaged: {error}"]) from error

    def summary(self) -> dict[str, Any]:
        """What summary.json says; empty before the run's first start.

        Raises:
            ConfigError: it is damaged.
        """
        return records.read_if_there(self.summary_file, records.Summary)

    def environment(self) -> dict[str, Any]:
        """What environment.json says of the process that worked here last; empty before it."""
        return records.read_if_there(self.environment_file, dict[str, Any])

    def begin(self) -> None:
        """Notes in summary.json that a stretch of work has begun: who is killed cannot note it."""
        before = {"scores": [], **self.summary()}
        before.pop("error", None)
        self._write_summary({**before, "status": "running"})

    def conclude(self, status: str, results: dict[str, Any], error: str | None = None) -> None:
        """Writes summary.json: how the run ended, its last readings and all scores so far."""
        failure = {"error": error} if error is not None else {}
        summary = self.summary()
        kept = {key: summary[key] for key in ("likelihoods",) if key in summary}
        scores = summary.get("scores", [])
        self._write_summary({"status": status, **failure, **results, **kept, "scores": scores})

    def note_scores(self, records: list[dict[str, Any]]) -> None:
        """Adds scores to summary.json: to those of the same protocol and iteration, or beside."""
        summary, merged = self.summary(), dict[str, dict[str, Any]]()
        for record in [*summary.get("scores", []), *records]:
            key = json.dumps([record[k] for k in ("iterations", "repeats", "protocol")])
            scores = merged.get(key, record)["scores"] | record["scores"]
            merged[key] = {**record, "scores": scores}
        self._write_summary({**summary, "scores": list(merged.values())})

    def note_likelihoods(self, records: list[dict[str, Any]]) -> None:
        """Adds likelihoods to summary.json, in place of those of the same name and protocol."""
        if not records:
            return
        summary, merged = self.summary(), dict[str, dict[str, Any]]()
        for record in [*summary.get("likelihoods", []), *records]:
            merged[json.dumps([record["name"], record["images"], record["protocol"]])] = record
        self._write_summary({**summary, "likelihoods": list(merged.values())})

    def forget_scores(self, after: int) -> None:
        """Takes what later iterations scored out of summary.json: the run goes back."""
        summary = self.summary()
        kept = {"scores": [s for s in summary.get("scores", []) if s["iterations"] <= after]}
        if found := summary.get("likelihoods"):
            kept["likelihoods"] = [x for x in found if x["protocol"].get("iterations", 0) <= after]
        self._write_summary({**summary, **kept})

    def _write_summary(self, summary: dict[str, Any]) -> None:
        files.write(self.summary_file, json.dumps(summary, indent=2))

    @property
    def exported(self) -> bool:
        """Whether the folder holds a generator alone, as `ganlab export` writes it."""
        return (self.path / EXPORTED).exists() and not self.checkpoints.exists()

    @property
    def finished(self) -> bool:
        """Whether the run has reached its last iteration."""
        return self.summary().get("status") == "finished"

    def reached(self) -> int:
        """The iteration of the newest checkpoint; 0 before the first."""
        newest = self.last_checkpoint()
        return checkpoint.iteration(newest) if newest is not None else 0

    def last_checkpoint(self) -> Path | None:
        """The newest checkpoint, sound or not, or None."""
        return next(reversed(checkpoint.listed(self.checkpoints)), None)

    def sound_checkpoint(self) -> tuple[Path | None, list[Path]]:
        """The newest checkpoint that is as it was written, or None; the newer, damaged ones."""
        damaged: list[Path] = []
        for path in reversed(checkpoint.listed(self.checkpoints)):
            if checkpoint.is_sound(path):
                return path, damaged
            damaged.append(path)
        return None, damaged

    def best_checkpoint(self) -> Path | None:
        """The one with the best score, or None."""
        path = self.checkpoints / BEST
        return path if path.exists() else None

    def checkpoint(self, name: str) -> Path:
        """The checkpoint of an iteration, or of a file name.

        Raises:
            ConfigError: there is none; names those that there are.
        """
        named = checkpoint.name(int(name)) if name.isdecimal() and len(name) < 16 else name
        found = [path for path in self.checkpoints.glob("*.ckpt") if path.name == named]
        if not found:
            have = [str(checkpoint.iteration(path)) for path in checkpoint.listed(self.checkpoints)]
            known = ", ".join([*have, "last", "best"])
            raise ConfigError([f"checkpoint: '{self.path}' has no '{name}' ({known})"])
        return found[0]

    @contextlib.contextmanager
    def working(self, config: dict[str, Any]) -> Iterator[None]:
        """Creates the folder and keeps other processes out of it.

        The lock is the kernel's and ends with its process, however that ends.

        Raises:
            RunBusyError: another process works in it.
            ConfigError: it cannot be written.
        """
        lock = FileLock(self.lock_file)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0.2)  # `locked` may hold it for a moment
        except Timeout as error:
            raise RunBusyError([self._occupied()]) from error
        except OSError as error:
            refuse(self.path, error.strerror)
        try:
            self._prepare(config)
            yield
        finally:
            with contextlib.suppress(OSError):  # whatever ended the work is the news
                self.holder_file.unlink(missing_ok=True)
            lock.release()

    def locked(self) -> bool:
        """Whether some process, maybe this one, is working in the folder now; creates nothing.

        Raises:
            OSError: the lock may not be opened.
        """
        if not self.lock_file.exists():
            return False
        try:
            with FileLock(self.lock_file).acquire(timeout=0):
                return False
        except Timeout:
            return True

    @contextlib.contextmanager
    def full_disk_explained(self) -> Iterator[None]:
        """Turns the OSError of a disk without room into a DiskFullError that says what to do."""
        try:
            yield
        except OSError as error:
            if error.errno not in files.FULL:
                raise
            last = self.last_checkpoint()
            saved = f"the last checkpoint is {last.name}" if last else "there is no checkpoint yet"
            raise DiskFullError(
                f"the disk of '{self.path}' is full ({error.strerror}); {saved}; "
                "to go on, make room and give the same command again"
            ) from error

    def _prepare(self, config: dict[str, Any]) -> None:
        """What lies in the folder before work begins."""
        try:
            files.write(self.holder_file, environment.process())
            for folder in (self.checkpoints, self.samples):
                folder.mkdir(exist_ok=True)
            for folder in (self.path, self.checkpoints, self.samples):
                files.remove_parts(folder)
            # Of a run that goes on only what is no science may have changed.
            files.write(self.config_file, yaml.safe_dump(redacted(config), sort_keys=False))
            files.write(self.environment_file, json.dumps(environment.of_now(), indent=2))
        except OSError as error:
            refuse(self.path, error.strerror)

    def _occupied(self) -> str:
        """That another process works in the folder, and which one if that can be read."""
        by = ""
        with contextlib.suppress(OSError, ValueError):
            by = f": {self.holder_file.read_text()}"
        return f"another process is working in '{self.path}'{by}"


def runs_below(folder: Path) -> list[Run]:
    """Every run in a folder or below it, by path; the folder may be a run itself.

    Raises:
        ConfigError: there is none.
    """
    if not (runs := runs_in(folder)):
        raise ConfigError([f"there is no run in or below '{folder}'"])
    return runs


def runs_in(folder: Path) -> list[Run]:
    """The same; none if there is none, or no such folder.  A run has no other runs inside."""
    found = []
    for path, folders, names in os.walk(folder):
        if "config.yaml" in names and "checkpoints" in folders:  # W&B keeps files of this name, too
            found.append(Path(path))
            folders.clear()
    return [Run(path) for path in sorted(found)]


def unused(path: Path) -> Path:
    """The path itself, or the first of PATH-2, PATH-3, ... that does not exist."""
    candidates = (path, *(path.with_name(f"{path.name}-{i}") for i in range(2, 10_000)))
    return next(candidate for candidate in candidates if not candidate.exists())


def require_writable(folder: Path, key: str = "output_dir") -> None:
    """Raises ConfigError if files cannot be made in a folder, existing or not; makes nothing.

    Args:
        folder: where.
        key: the option that names it, for the message.
    """
    nearest = next(
        path for path in (folder.absolute(), *folder.absolute().parents) if path.exists()
    )
    if not nearest.is_dir():
        refuse(folder, "Not a directory", key)
    if not os.access(nearest, os.W_OK | os.X_OK):
        refuse(folder, "Permission denied", key)


def refuse(folder: Path, reason: str | None, key: str = "output_dir") -> NoReturn:
    """Raises the ConfigError of a folder that cannot be written."""
    raise ConfigError([f"{key}: cannot write to '{folder}': {reason}"])
