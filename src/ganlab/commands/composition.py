"""Hydra's composition, with all mistakes found at once.

Hydra itself stops at the first mistake of the first job and exits with 1.  No other module uses
Hydra's private parts.
"""

import copy
import functools
import re
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.config_store import ConfigStore
from hydra.core.default_element import GroupDefault
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.core.plugins import Plugins
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ganlab.commands.words import require_grammar
from ganlab.config.checks import conf_dir
from ganlab.config.words import nearest
from ganlab.errors import ConfigError
from ganlab.sweeps import study
from ganlab.sweeps.study import Point

CONFIG = "train"
# Hydra copies its only ConfigStore with each repository: 0.7 s in `--help`.
ConfigStore.__deepcopy__ = lambda store, _memo: store  # type: ignore[attr-defined]
TASKS = ("run", "multirun", "cfg", "info", "shell_completion")  # flags of Hydra's
NEEDS = {  # choices that come with a package of their own, and the extra that brings it
    "joblib": ("hydra-joblib-launcher", "joblib"),
    "slurm": ("hydra-submitit-launcher", "slurm"),
    "submitit_slurm": ("hydra-submitit-launcher", "slurm"),
    "submitit_local": ("hydra-submitit-launcher", "slurm"),
    "optuna": ("hydra-optuna-sweeper", "optuna"),
}


def arguments() -> Namespace:
    """The command line, parsed by Hydra: flags and overrides."""
    given = get_args_parser().parse_intermixed_args()
    asked = [f"--{name.replace('_', '-')}" for name in TASKS if getattr(given, name)]
    if len(asked) > 1:
        raise ConfigError([f"{' and '.join(asked)}: Hydra does one of these at a time"])
    if given.resolve and not (given.cfg or given.help):
        raise ConfigError(["--resolve: it goes with --cfg or --help"])
    return given


def flags() -> set[str]:
    """Hydra's own flags, such as --config-dir."""
    return set(get_args_parser()._option_string_actions)


def asks_only(given: Namespace) -> bool:
    """Whether the command line asks about the config instead of running it."""
    names = ("help", "hydra_help", "version", "cfg", "info", "shell_completion")
    return any(getattr(given, name, None) for name in names)


def is_adaptive(sweeper: DictConfig) -> bool:
    """Whether a sweeper chooses its points while the sweep runs."""
    return looks_for_scores(sweeper) and sweeper._target_ != study.SWEEPER


def looks_for_scores(sweeper: DictConfig) -> bool:
    """Whether a sweeper needs the scores of its jobs; a study without a search does not."""
    if sweeper._target_ == study.SWEEPER:
        return bool(sweeper.get("budget"))
    return not sweeper._target_.endswith(BasicSweeper.__name__)


class Composer:
    """Hydra's composition.

    Args:
        config_dir: the user's own folder of YAML, searched first.
        config_name: the user's own config in that folder; None: ganlab's.

    Raises:
        ConfigError: there is no such folder or config.
    """

    def __init__(self, config_dir: str | None = None, config_name: str | None = None) -> None:
        search_path = create_config_search_path(str(conf_dir()))
        self.own_yaml = config_dir is not None
        if config_dir is not None:
            folder = Path(config_dir).absolute()
            if not folder.is_dir():
                raise ConfigError([f"--config-dir: there is no folder '{folder}'"])
            first = SearchPathQuery(provider="schema")
            search_path.prepend("command-line", f"file://{folder}", anchor=first)
        self.loader = ConfigLoaderImpl(search_path)
        self.config = (config_name or CONFIG).removesuffix(".yaml")
        if not self.loader.repository.config_exists(self.config):
            where = "" if config_dir is not None else "; set --config-dir to the folder that has it"
            raise ConfigError([f"--config-name: there is no '{self.config}.yaml'{where}"])
        self.added: set[str] = set()  # keys of parameters that are in no YAML
        self.parser = OverridesParser.create(config_loader=self.loader)
        # Thousands of jobs share most of their overrides, and a few choices of files.
        self._parsed = functools.cache(self.parser.parse_override)
        self._is_value = functools.cache(self._sets_value)
        self._choice_mistake = functools.cache(self._mistake_in_choice)
        self._load_choices = functools.lru_cache(maxsize=64)(self._choices_loaded)
        Plugins.instance()

    def base(self, overrides: list[str]) -> DictConfig:
        """What all jobs of a command line share, with Hydra's own part."""
        return self.compose([o for o in overrides if not self.varies(o)])[0]

    def points(self, overrides: list[str], hydra: DictConfig, *, sweep: bool) -> list[Point]:
        """The jobs of a sweep as far as they are known before it starts, or the one job.

        For a sweeper that chooses its points while the sweep runs, these are points that cover
        every listed value, so no later point can have a mistake.

        Args:
            overrides: of the command line.
            hydra: Hydra's part of the config.
            sweep: whether the command is one.
        """
        if not sweep:
            if varying := [o for o in overrides if self.varies(o)]:
                raise ConfigError([f"'{o}': several values are a sweep; add -m" for o in varying])
            return [Point(overrides)]
        sweeper = hydra.sweeper
        if sweeper._target_ == study.SWEEPER:
            if varying := [o for o in overrides if self.varies(o)]:
                said = "a study has its own points; give one value"
                raise ConfigError([f"'{o}': {said}" for o in varying])
            return study.read(sweeper).trials(overrides)
        params = sweeper.get("params") or {}
        given = [*(f"{key}={value}" for key, value in params.items()), *overrides]
        parsed = self.parser.parse_overrides(given)
        if is_adaptive(sweeper):
            return [Point(point) for point in each_value(parsed)]
        (batch,) = BasicSweeper.split_arguments(parsed, None)
        return [Point(point) for point in batch]

    def compose(self, overrides: list[str]) -> tuple[DictConfig, list[str]]:
        """The config of one job, Hydra's part too, and every override that Hydra refuses.

        A key that is in no YAML is added: the check against signatures accepts a parameter, and
        names the nearest one otherwise.  A refused choice is left out.
        """
        found = [
            f"{o.partition('=')[0]}: set {self.mounted(o)}" for o in overrides if self.mounted(o)
        ]
        mistakes = {o: mistake for o in overrides if (mistake := self._choice_mistake(o))}
        found += mistakes.values()
        remaining = [o for o in overrides if not self.mounted(o) and o not in mistakes]
        while True:
            try:
                return self._load(remaining), found
            except MissingConfigException as error:
                culprit = self._chooser(error, remaining)
                found.append(self._no_such_choice(error, culprit))
                if culprit is None:
                    raise ConfigError(found) from error
                group = (error.missing_cfg_file or "").rpartition("/")[0]
                if group.startswith("hydra/"):  # the options of what is missing are no mistakes
                    options = group.replace("/", ".") + "."
                    remaining = [o for o in remaining if not o.startswith(options)]
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

    def mounted(self, override: str) -> str | None:
        """'optim@g_optimizer=sgd' for 'g_optimizer=sgd': how to choose for a mounted group."""
        name, _, choice = override.partition("=")
        known = choice.isidentifier() and name in self._mounted
        return f"{self._mounted[name]}={choice}" if known else None

    def words(self, overrides: list[str]) -> list[str]:
        """The overrides for Hydra, once composed: keys that are in no YAML are added."""
        plain = [word.lstrip("+") for word in overrides]
        added = [word.partition("=")[0] in self.added for word in plain]
        return [f"++{p}" if a else o for o, p, a in zip(overrides, plain, added, strict=True)]

    def varies(self, override: str) -> bool:
        """Whether an override lists several values.

        Raises:
            ConfigError: it is no override.
        """
        require_grammar(override, self.parser)
        return bool(self._parsed(override).is_sweep_override())

    def chosen(self, overrides: list[str]) -> list[str]:
        """The overrides, with choices as Hydra wants them: augment=null is augment=none.

        Raises:
            ConfigError: a choice is deleted.
        """
        return [word for override in overrides for word in self._chosen_by(override)]

    def _chosen_by(self, override: str) -> list[str]:
        require_grammar(override, self.parser)
        parsed = self._parsed(override)
        group, key = (parsed.key_or_group or "").rstrip("/"), parsed.get_key_element().lstrip("+~")
        if group not in self._groups:
            return [override]
        options = self.loader.get_group_options(group)
        if parsed.is_delete():
            if any(default.group == group and default.optional for default in self._chosen):
                return [override]
            other = f"{key}=none" if "none" in options else f"{key}=..."
            raise ConfigError([f"'{override}': a choice cannot be taken away; set {other}"])
        if parsed.is_add():  # the defaults choose already, so Hydra would not add
            override = f"{key}={parsed.get_value_element_as_str()}"
        if parsed.is_sweep_override() or parsed.value() is not None:
            return [override]
        if any(default.group == group and default.value is None for default in self._chosen):
            return []  # there is none anyway, which Hydra would not take as a choice
        return [f"{key}=none"] if "none" in options else [override]

    @functools.cached_property
    def _groups(self) -> set[str]:
        """The groups in which the defaults choose."""
        return {str(default.group) for default in self._chosen}

    def reaches_inside(self, overrides: list[str]) -> bool:
        """Whether an override sets a key inside of a node, or the user's own YAML is in use."""
        return self.own_yaml or any("." in o.partition("=")[0] for o in overrides)

    @functools.cached_property
    def _mounted(self) -> dict[str, str]:
        """'g_optimizer' -> 'optim@g_optimizer': the groups that the defaults mount elsewhere."""
        return {d.package: f"{d.group}@{d.package}" for d in self._chosen if d.package and d.group}

    @functools.cached_property
    def _chosen(self) -> list[GroupDefault]:
        """The choices that the defaults make."""
        primary = self.loader.repository.load_config(CONFIG)
        defaults = primary.defaults_list or [] if primary else []
        return [default for default in defaults if isinstance(default, GroupDefault)]

    def _mistake_in_choice(self, override: str) -> str | None:
        """A mistake in the choice of a group that Hydra does not report, or crashes on."""
        parsed = self._parsed(override)
        group = (parsed.key_or_group or "").rstrip("/")
        options = self.loader.get_group_options(group)
        if parsed.is_delete() or not options or parsed.is_sweep_override():
            return None
        key, value = parsed.get_key_element().lstrip("+"), parsed.value()
        names = value if isinstance(value, list) else [value]
        if odd := [name for name in names if not isinstance(name, str) and name is not None]:
            return f"{key}: expected names of choices, got {odd[0]!r} ({', '.join(options)})"
        if isinstance(value, list) and None in value:
            return f"{key}: expected names of choices, got null ({', '.join(options)})"
        if twice := [name for name in names if names.count(name) > 1]:
            return f"{key}: '{twice[0]}' is listed twice"
        optional = any(default.group == group and default.optional for default in self._chosen)
        if optional and value not in options:  # Hydra passes over what is optional
            return no_such_choice(key, str(value), options)
        return None

    def _load(self, overrides: list[str]) -> DictConfig:
        """The config of one job; jobs that make the same choices share what these load.

        Hydra's part is as the choices leave it: it does not list the values.
        """
        values = [o for o in overrides if self._is_value(o)]
        cfg = copy.deepcopy(self._load_choices(*(o for o in overrides if o not in values)))
        ConfigLoaderImpl._apply_overrides_to_config([self._parsed(o) for o in values], cfg)
        return cfg

    def _choices_loaded(self, *overrides: str) -> DictConfig:
        return self.loader.load_configuration(self.config, list(overrides), RunMode.RUN)

    def _sets_value(self, override: str) -> bool:
        """Whether Hydra loads the same files with and without an override."""
        parsed = self._parsed(override)
        key, package = parsed.key_or_group, parsed.package
        chooses = self.loader.repository.group_exists(key) and not isinstance(parsed.value(), dict)
        return not chooses and package is None and not key.startswith("hydra")

    def _chooser(self, error: MissingConfigException, overrides: list[str]) -> str | None:
        """The override whose choice does not exist, or needs one that does not."""
        group, _, name = (error.missing_cfg_file or "").rpartition("/")
        needed = NEEDS.get(name, ("", ""))[1]
        chooses = re.compile(rf"\+?{re.escape(group)}(@[\w.]+)?=.*\b({re.escape(name)}|{needed})\b")
        sweep = f"sweep={needed}"
        return next((o for o in overrides if group and (chooses.match(o) or o == sweep)), None)

    def _no_such_choice(self, error: MissingConfigException, culprit: str | None) -> str:
        group, _, name = (error.missing_cfg_file or "").rpartition("/")
        key = (culprit or group).lstrip("+").partition("=")[0]
        if group.startswith("hydra/") and name in NEEDS:
            package, extra = NEEDS[name]
            chosen = (culprit or name).partition("=")[2] or name
            return f"{key}: '{chosen}' needs {package}; pip install 'ganlab[{extra}]'"
        return no_such_choice(key, name, self.loader.get_group_options(group))

    def _unknown_key(self, error: Exception, overrides: list[str]) -> str | None:
        """The override of a key that no YAML has."""
        named = re.search(r"Could not override '([\w.@/]+)'", str(error))
        return next((o for o in overrides if named and o.partition("=")[0] == named[1]), None)


def no_such_choice(key: str, name: str, options: list[str]) -> str:
    """A sentence with the nearest choice and all of them."""
    return f"{key}: there is no '{name}'{nearest(name, options)} ({', '.join(options)})"


def plain_values(override: Override) -> list[str]:
    """'key=value' for each value that an override lists; the ends of an interval."""
    key, value = override.get_key_element(), override.value()
    if not override.is_sweep_override():
        return [f"{key}={override.get_value_element_as_str()}"]
    if isinstance(value, IntervalSweep):
        return [f"{key}={value.start}", f"{key}={value.end}"]
    return [f"{key}={text}" for text in override.sweep_string_iterator()]


def each_value(parsed: Iterable[Override]) -> list[list[str]]:
    """Points that cover every listed value; in each, all other keys have their first value."""
    last = {override.get_key_element(): override for override in parsed}  # the later one counts
    listed = [plain_values(override) for override in last.values()]
    first = [values[0] for values in listed]
    others = [
        [*first[:i], value, *first[i + 1 :]]
        for i, values in enumerate(listed)
        for value in values[1:]
    ]
    return [first, *others]


def without_hydra(cfg: DictConfig) -> DictConfig:
    """The config of a job without Hydra's own part."""
    return OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
