"""A study: several methods, tuned with the same number of random points (Lucic et al. 2018).

In each stage, every method tries random points from the stage's search space.  Then its best point
is trained again with fresh seeds, to remove the bias of selecting the best.
"""

import functools
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.errors import HydraException
from omegaconf import DictConfig

from ganlab.config.checks import plain, problems
from ganlab.config.words import nearest
from ganlab.errors import ConfigError
from ganlab.scoring.scorecard import as_loss
from ganlab.spec import at_least, seed_range

SWEEPER = "hydra_plugins.ganlab_study.StudySweeper"
AGAIN = "again"  # the last stage: the best points with fresh seeds


class Point(NamedTuple):
    """The overrides of one job; in a study, also its method and its stage."""

    overrides: list[str]
    method: str = ""
    stage: str = ""


@dataclass(frozen=True)
class Method:
    """One of the methods that are compared.

    Args:
        choose: overrides that select the method, with its defaults.
        spaces: stage -> key -> values, of this method; extends and overrides the stage's space.
    """

    choose: list[str]
    spaces: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Study:
    """The points to try.  They depend on the seed only; a smaller budget gives the first of them.

    Args:
        budget: stage -> number of random points per method.  In the first stage, the first point of
            each method has its default config, without searched values.  Empty: nothing is searched
            or chosen; each method is trained as it is with the seeds 0, 1, ...
        spaces: stage -> key -> values in Hydra's grammar: choice(a,b), range(1,5), interval(0,1),
            tag(log,interval(1e-5,1e-2)).
        methods: name -> method to compare.
        seeds: how often each method's best point is trained again, or each method without a search.
        seed: of the random points.

    Raises:
        ValueError: a number is out of range.
    """

    budget: dict[str, int]
    spaces: dict[str, dict[str, str]]
    methods: dict[str, Method]
    seeds: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        at_least(0, seeds=self.seeds, **{f"budget.{stage}": n for stage, n in self.budget.items()})
        seed_range(self.seed)
        own = {f"methods.{name}.spaces": one.spaces for name, one in self.methods.items()}
        for path, spaces in {"spaces": self.spaces, **own}.items():
            if unknown := next((stage for stage in spaces if stage not in self.budget), None):
                near = nearest(unknown, self.budget)
                raise ValueError(f"{path}.{unknown}: budget has no such stage{near}")

    def trials(self, given: Sequence[str]) -> list[Point]:
        """All points of all stages.

        What the command line sets (`given`) is not searched, and wins over a method's defaults.
        """
        said = {word.partition("=")[0].lstrip("+~") for word in given}
        if not self.budget:
            seeds = [[f"seed={seed}"] for seed in range(self.seeds)] if "seed" not in said else [[]]
            methods = self.methods.values()
            return [Point(merged(m.choose, given, seed)) for m in methods for seed in seeds]
        return [
            Point(merged(method.choose, given, point), name, stage)
            for stage, n in self.budget.items()
            for name, method in self.methods.items()
            for point in self._points(name, stage, n, said)
        ]

    def again(self, trial: Point, seed: int) -> list[Point]:
        """The same point with seeds that the search did not use.

        Args:
            trial: a method's best point.
            seed: of that trial.
        """
        kept = [word for word in trial.overrides if word.partition("=")[0] != "seed"]
        seeds = range(seed + 1, seed + 1 + self.seeds)
        return [Point([*kept, f"seed={s}"], trial.method, AGAIN) for s in seeds]

    def _points(self, name: str, stage: str, n: int, said: set[str]) -> Iterable[list[str]]:
        space = {**self.spaces.get(stage, {}), **self.methods[name].spaces.get(stage, {})}
        searched = {key: values for key, values in space.items() if key not in said}
        first_stage = stage == next(iter(self.budget))
        for i in range(n):
            numbers = random.Random(f"{self.seed}/{name}/{stage}/{i}")
            # ++, because the config files need not contain the parameter.
            drawn = [f"++{key}={draw(key, values, numbers)}" for key, values in searched.items()]
            yield [] if first_stage and i == 0 else drawn


def merged(*layers: Sequence[str]) -> list[str]:
    """The overrides of all layers; for each key, the last layer wins."""
    words = {word.partition("=")[0].lstrip("+"): word for layer in layers for word in layer}
    return list(words.values())


def draw(key: str, values: str, numbers: random.Random) -> str:
    """A random one of `values`, which are in Hydra's override grammar; floats have 4 digits.

    Raises:
        ValueError: the values do not follow that grammar.
    """
    override = parsed(key, values)
    if not override.is_sweep_override():
        return override.get_value_element_as_str()
    value = override.value()
    if isinstance(value, IntervalSweep):
        return within(value, numbers)
    return numbers.choice(list(override.sweep_string_iterator()))


@functools.cache
def parsed(key: str, values: str) -> Override:
    """The override that lists the values; parsing takes as long as a hundred draws."""
    try:
        return OverridesParser.create().parse_override(f"{key}={values}")
    except HydraException as error:
        expected = "expected values such as choice(1,5) or interval(0,1)"
        raise ValueError(f"'{key}={values}': {expected}") from error


def within(interval: IntervalSweep, numbers: random.Random) -> str:
    """A random number from an interval: uniform, or log-uniform if tagged `log`."""
    low, high = cast("tuple[float, float]", (interval.start, interval.end))
    if "log" in interval.tags:
        return f"{low * (high / low) ** numbers.random():.4g}"
    if isinstance(low, int) and isinstance(high, int):
        return str(numbers.randint(low, high))
    return f"{numbers.uniform(low, high):.4g}"


def best(trials: Sequence[Point], scores: Sequence[float | None], by: str) -> list[Point]:
    """The trial with the best score per method; methods whose trials all failed have none.

    Args:
        trials: of all methods.
        scores: one per trial; None if it failed.
        by: short name of the score, which implies whether smaller is better.
    """
    found: dict[str, tuple[float, Point]] = {}
    for trial, score in zip(trials, scores, strict=True):
        if score is not None:
            loss = as_loss(score, by)
            if trial.method not in found or loss < found[trial.method][0]:
                found[trial.method] = (loss, trial)
    return [trial for _, trial in found.values()]


def read(sweeper: DictConfig) -> Study:
    """The study described by Hydra's config of the sweeper.

    Raises:
        ConfigError: the config is invalid; lists all problems.
    """
    path, node = "hydra.sweeper", plain(sweeper)
    found = problems(node, Study, path)
    methods = node.pop("methods", {})
    for name, about in methods.items():
        found += problems(about, Method, f"{path}.methods.{name}")
    if found:
        raise ConfigError(found)
    node["methods"] = {name: Method(**about) for name, about in methods.items()}
    try:
        study = Study(**{key: value for key, value in node.items() if key != "_target_"})
        study.trials([])
    except ValueError as error:
        raise ConfigError([f"{path}: {error}"]) from error
    return study
