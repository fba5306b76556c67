"""Command lines: every mistake is found and said before Hydra starts the first job.

The only module that knows Hydra's inside (its argument parser, composition and sweeper): Hydra's
own messages stop at the first mistake of the first job and exit with 1.
"""

import functools
import inspect
import json
import os
import re
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from ganlab.config import (
    ConfigError,
    complete,
    conf_dir,
    nearest,
    parameters,
    plain,
    problems,
)
from ganlab.data.images import DataError
from ganlab.experiment import Experiment
from ganlab.runs import Run, require_writable

CONFIG = "train"
HELP = {"-h", "--help"}
INTERRUPTED = 130  # exit code, as a shell reports a program ended by Ctrl-C


class JobFailed(Exception):  # noqa: N818 - nothing is wrong with the program
    """A job has failed and said why; a sweep's other jobs go on."""


def main(task: Callable[[DictConfig], Any]) -> None:
    """Runs a Hydra task on sys.argv after checking every job that it would start."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors reach `exit_with_message`, not stderr
    arguments = get_args_parser().parse_intermixed_args()
    flags = [word for word in sys.argv[1:] if word not in arguments.overrides]
    with exit_with_message():
        added = set() if asks_only(arguments) else preflight(arguments)
        overrides = [f"++{o}" if o.partition("=")[0] in added else o for o in arguments.overrides]
        sys.argv[1:] = flags + overrides  # Hydra wants flags first
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=CONFIG)(task)()


def call(function: Callable[..., Any]) -> Any:
    """Calls a function with the `name=value` words of sys.argv, checked against its signature."""
    with exit_with_message():
        return called(function, sys.argv[1:])


def call_one_of(functions: Mapping[str, Callable[..., Any]]) -> Any:
    """Calls the function that sys.argv names first: `VERB [VALUE] [name=value ...]`.

    Args:
        functions: by verb; VALUE is their first parameter's.
    """
    words = sys.argv[1:]
    if not words or words[0] in HELP:
        width = max(map(len, functions))
        print("usage: VERB [DIR] [name=value ...]\n")
        for verb, function in functions.items():
            print(f"  {verb:{width}}  {str(inspect.getdoc(function)).splitlines()[0]}")
        print("\n`VERB --help` explains one.")
        raise SystemExit(0)
    with exit_with_message():
        return called(*chosen(functions, words))


def chosen(
    functions: Mapping[str, Callable[..., Any]], words: list[str]
) -> tuple[Callable[..., Any], list[str]]:
    """The function of a verb, and its arguments all as `name=value`.

    Raises:
        ConfigError: there is no such verb.
    """
    verb, *rest = words
    if verb not in functions:
        known = f"{nearest(verb, functions)} ({', '.join(functions)})"
        raise ConfigError([f"there is no '{verb}'{known}"])
    function = functions[verb]
    if rest and "=" not in rest[0] and rest[0] not in HELP:
        first = next(iter(parameters(function)))
        text = json.dumps(rest[0], ensure_ascii=False)  # a folder called 12345678 is no number
        rest[0] = f"{first}={text}"
    return function, rest


def called(function: Callable[..., Any], words: list[str]) -> Any:
    """What a function returns for `name=value` words, or its docstring if they ask for help.

    Raises:
        ConfigError: all mistakes in the words, or what the function refuses.
    """
    if HELP & set(words):
        print(inspect.getdoc(function))
        raise SystemExit(0)
    if odd := [word for word in words if "=" not in word]:
        raise ConfigError([f"'{word}': expected name=value" for word in odd])
    require_yaml(words)
    node = plain(OmegaConf.from_dotlist(words))
    if found := problems(node, function):
        raise ConfigError(found)
    try:
        return function(**node)
    except ValueError as error:
        raise ConfigError([str(error)]) from error


def require_yaml(words: list[str]) -> None:
    """Raises ConfigError unless the value of each `name=value` can be read."""
    found = []
    for word in words:
        try:
            OmegaConf.from_dotlist([word])
        except yaml.YAMLError:
            quoted = f"""{word.partition("=")[0]}='"..."'"""
            found.append(f"'{word}': the value must be quoted once more: {quoted}")
    if found:
        raise ConfigError(found)


def asks_only(arguments: Namespace) -> bool:
    """Whether the command line asks about the config instead of running it."""
    names = ("help", "hydra_help", "version", "cfg", "info", "shell_completion")
    return any(getattr(arguments, name, None) for name in names)


def preflight(arguments: Namespace) -> set[str]:
    """Composes and rehearses every job.

    Returns:
        Keys that are parameters but in no YAML: Hydra wants to hear ++key=value.

    Raises:
        ConfigError: all mistakes of all jobs.
    """
    composer = Composer(arguments.config_dir)
    points = composer.points(arguments.overrides, sweep=arguments.multirun)
    found: dict[str, int] = {}
    for point in points:
        for problem in mistakes(composer, point):
            found[problem] = found.get(problem, 0) + 1
    if not found:
        return composer.added
    sentences = list(found)
    if len(points) > 1:
        sentences = [f"{text} (in {n} of {len(points)} jobs)" for text, n in found.items()]
    raise ConfigError(sentences)


def mistakes(composer: "Composer", overrides: list[str]) -> list[str]:
    """Every mistake of one job."""
    cfg, found = composer.compose(overrides)
    try:
        config = checked(cfg)
    except ConfigError as error:
        return found + error.problems
    try:
        experiment = Experiment(**config)
        experiment.rehearse()
        Run.find(config, name="")
        if not found:
            require_writable(Path(experiment.output_dir))
    except ConfigError as error:
        return found + error.problems
    except ValueError as error:
        return found + str(error).split("; ")
    return found


def checked(cfg: DictConfig) -> dict[str, Any]:
    """The completed config of one job.

    Raises:
        ConfigError: every key, type and target that is wrong.
    """
    try:
        node = plain(cfg)
    except OmegaConfBaseException as error:
        raise ConfigError([str(error).splitlines()[0]]) from error
    if found := problems(node, Experiment):
        raise ConfigError(found)
    return complete(node, Experiment)


class Composer:
    """Hydra's composition, with all mistakes in the overrides found at once.

    Args:
        config_dir: the user's own folder of YAML, searched first.
    """

    def __init__(self, config_dir: str | None = None) -> None:
        search_path = create_config_search_path(str(conf_dir()))
        if config_dir is not None:
            folder = Path(config_dir).absolute()
            if not folder.is_dir():
                raise ConfigError([f"--config-dir: there is no folder '{folder}'"])
            first = SearchPathQuery(provider="schema")
            search_path.prepend("command-line", f"file://{folder}", anchor=first)
        self.loader = ConfigLoaderImpl(search_path)
        self.added: set[str] = set()  # keys of parameters that are in no YAML
        self.parser = OverridesParser.create(config_loader=self.loader)
        Plugins.instance()

    def points(self, overrides: list[str], *, sweep: bool) -> list[list[str]]:
        """The overrides of each job of a sweep, or of the one job."""
        varying = [o for o in overrides if self._varies(o)]
        if not sweep:
            if varying:
                raise ConfigError([f"'{o}': several values are a sweep; add -m" for o in varying])
            return [overrides]
        base = self._load([o for o in overrides if "hydra" in o])
        params = base.hydra.sweeper.get("params") or {}
        given = [*(f"{key}={value}" for key, value in params.items()), *overrides]
        if not base.hydra.sweeper._target_.endswith("BasicSweeper"):  # picks its points as it goes
            return [[o for o in given if not self._varies(o)]]
        (batch,) = BasicSweeper.split_arguments(self.parser.parse_overrides(given), None)
        return batch

    def compose(self, overrides: list[str]) -> tuple[DictConfig, list[str]]:
        """The config of one job without Hydra's own part, and every override that Hydra refuses.

        A key that no YAML has is added all the same: the check against signatures will accept a
        parameter and name the nearest for what is none.  A refused choice is left out.
        """
        found = [
            f"{o.partition('=')[0]}: say {self.mounted(o)}" for o in overrides if self.mounted(o)
        ]
        remaining = [o for o in overrides if not self.mounted(o)]
        while True:
            try:
                cfg = self._load(remaining)
                break
            except MissingConfigException as error:
                culprit = self._chooser(error, remaining)
                found.append(self._no_such_choice(error, culprit))
                if culprit is None:
                    raise ConfigError(found) from error
            except (HydraException, OmegaConfBaseException, ValueError) as error:
                culprit = self._unknown_key(error, remaining)
                if culprit is None:
                    raise ConfigError([*found, str(error).splitlines()[0]]) from error
                key = culprit.partition("=")[0]
                if key.startswith("hydra."):
                    found.append(f"{key}: unknown")
                else:
                    remaining.append(f"++{culprit}")
                    self.added.add(key)
            remaining.remove(culprit)
        with open_dict(cfg):
            del cfg["hydra"]
        return cfg, found

    def mounted(self, override: str) -> str | None:
        """'optim@g_optimizer=sgd' for 'g_optimizer=sgd': how to choose for a mounted group."""
        name, _, choice = override.partition("=")
        groups = {key.partition("@")[2]: key for key in self._choices if "@" in key}
        return f"{groups[name]}={choice}" if name in groups and choice.isidentifier() else None

    @functools.cached_property
    def _choices(self) -> list[str]:
        return [str(key) for key in self._load([]).hydra.runtime.choices]

    def _load(self, overrides: list[str]) -> DictConfig:
        return self.loader.load_configuration(CONFIG, overrides, RunMode.RUN)

    def _varies(self, override: str) -> bool:
        try:
            return bool(self.parser.parse_override(override).is_sweep_override())
        except HydraException as error:
            raise ConfigError([f"'{override}': expected key=value"]) from error

    def _chooser(self, error: MissingConfigException, overrides: list[str]) -> str | None:
        """The override whose choice does not exist."""
        group, _, name = (error.missing_cfg_file or "").rpartition("/")
        chooses = re.compile(rf"\+?{re.escape(group)}(@[\w.]+)?=.*\b{re.escape(name)}\b")
        return next((o for o in overrides if group and chooses.match(o)), None)

    def _no_such_choice(self, error: MissingConfigException, culprit: str | None) -> str:
        group, _, name = (error.missing_cfg_file or "").rpartition("/")
        options = self.loader.get_group_options(group)
        key = (culprit or group).lstrip("+").partition("=")[0]
        return f"{key}: there is no '{name}'{nearest(name, options)} ({', '.join(options)})"

    def _unknown_key(self, error: Exception, overrides: list[str]) -> str | None:
        """The override of a key that no YAML has."""
        named = re.search(r"Could not override '([\w.@/]+)'", str(error))
        return next((o for o in overrides if named and o.partition("=")[0] == named[1]), None)


class exit_with_message:
    """Says what is wrong in plain words and exits with 2; other errors keep their traceback."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, ConfigError):
            complain(error.problems)
        elif isinstance(error, DataError | HydraException | OmegaConfBaseException):
            complain([str(error)])
        elif isinstance(error, JobFailed):
            raise SystemExit(1)
        elif isinstance(error, KeyboardInterrupt):  # before training, or a second time during it
            raise SystemExit(INTERRUPTED)


def complain(sentences: list[str]) -> None:
    """Prints the mistakes to stderr and exits with 2."""
    count = "1 mistake" if len(sentences) == 1 else f"{len(sentences)} mistakes"
    lines = "".join(f"  {sentence}\n" for sentence in sentences)
    sys.stderr.write(f"ganlab: {count}, nothing was started\n{lines}")
    raise SystemExit(2)
