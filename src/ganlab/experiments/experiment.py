"""One experiment: what the root keys of the config build."""

import functools
from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar, cast

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.loggers import Logger

from ganlab.callbacks.likelihoods import Likelihoods
from ganlab.conditioning import SemiSupervised
from ganlab.config import once
from ganlab.config.checks import HYDRA_KEYS, is_call
from ganlab.config.injected import injected
from ganlab.config.settings import NOT_SCIENCE, Node, Settings
from ganlab.config.targets import locate, parameters, takes_any_name
from ganlab.data import ImageData, LabelBudget
from ganlab.data.images import Source
from ganlab.errors import CombinationError, ConfigError, DataError
from ganlab.experiments import trainers
from ganlab.experiments.kind import RULE, Kind
from ganlab.experiments.origin import Origin
from ganlab.generative import ENDLESS, Generative
from ganlab.health.verdicts import Watch
from ganlab.latent import Latent
from ganlab.optimizers import Extragradient
from ganlab.sampler import Sampler
from ganlab.scoring import Plan
from ganlab.scoring.likelihood import has_likelihood
from ganlab.spec import PointSpec, Spec
from ganlab.training.updates import UpdateRule

OUTSIDE = ("seed", "trainer", "metrics", "health", "callback")  # keys that do not reach the model
IN_MODEL = [
    one.name
    for one in fields(Settings)
    if one.name not in (*OUTSIDE, *NOT_SCIENCE) and one.name[2:] not in RULE
]
# For points, where the model is no game.
OF_POINTS = "model=vae model.binarise=none model.likelihood._target_=ganlab.models.Normal"
PREFIX = {"gan": "", "model": "model."}  # of what a model's class says about its arguments
MISTAKES = (ValueError, TypeError, ArithmeticError, ImportError, MisconfigurationException)

T = TypeVar("T")


class Experiment(Settings):
    """What the config says, and how it is built."""

    @functools.cached_property
    def source(self) -> Source:
        """The data set, not yet read."""
        return self._build("data")

    @property
    def length(self) -> int:
        """Iterations of the run; ENDLESS if the clock ends it."""
        return self.iterations if self.minutes is None else ENDLESS

    @functools.cached_property
    def kind(self) -> Kind:
        """The class of the model, and what it takes."""
        return Kind(vars(self))

    def build(self, spec: Spec | None = None) -> Generative:
        """The model for data of `spec` (None: as it is), with weights that the seed decides."""
        spec = spec or self.source.spec
        self._require_taken(spec)
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            parts = self.drawing(spec)
            shown, dim = parts["conditioning"].shown, dim_of(parts["latent"])
            for name in self._parts:
                if name not in parts:
                    parts[name] = self._part(name, spec=shown, latent_dim=dim)
            for name, make in self._makers.items():
                if self.kind.takes(name):
                    parts[name] = make()
            taken = {name: part for name, part in parts.items() if self.kind.takes(name)}
            return cast("Generative", self._build(self.kind.path, self._own_node, **taken))

    def drawing(self, spec: Spec) -> dict[str, Any]:
        """The parts of a model that draw samples, by name: a prior, a conditioning, a generator."""
        latent = self._build("latent") if self.latent is not None else None
        conditioning = self._build("conditioning", spec=spec)
        parts = {"spec": spec, "latent": latent, "conditioning": conditioning}
        if "generator" not in self._parts:  # the model itself draws
            return parts
        code = conditioning.code_dim
        generator = self._generator(spec, dim_of(latent) + code, code)
        return {"generator": generator, **parts}

    @property
    def _makers(self) -> dict[str, Callable[[], Any]]:
        """How each argument of a model's class is made, beside those that draw and its parts."""
        averaged = {"d_ema": lambda: self._average("d_ema")} if self.d_ema is not None else {}
        return averaged | {  # only a model with a discriminator takes d_ema
            "loss": lambda: self._build("loss"),
            "g_rule": lambda: self._rule("g"),
            "d_rule": lambda: self._rule("d"),
            "regularizers": lambda: {n: self._build(f"regularizer.{n}") for n in self.regularizer},
            "augment": lambda: self._build("augment"),
            "d_steps": lambda: self.d_steps,
            "ema": lambda: self._average("ema"),
            "ema_statistics": lambda: self.ema_statistics,
            "iterations": lambda: self.length,
            "seed": lambda: self.seed,
        }

    @property
    def _parts(self) -> dict[str, Node]:
        """The parts of the model that are built for the data, by name: networks, a likelihood."""
        nodes = cast("Node", self.model)
        return {name: node for name, node in nodes.items() if is_call(node)}

    @property
    def _own_node(self) -> Node:
        """The node of the model's class, without its parts."""
        node = getattr(self, self.kind.path)
        return {key: value for key, value in node.items() if key not in self._parts}

    def _part(self, name: str, **given: Any) -> Any:
        """A part of the model, which gets what it takes of `given`."""
        path, callee = f"model.{name}", locate(self._parts[name]["_target_"])
        names = [key for key in given if key in injected(path) and takes(callee, key)]
        return self._build(path, **{key: given[key] for key in names})

    def _average(self, name: str) -> Any:
        """The decay of an average: a number, a schedule or None."""
        decay = getattr(self, name)
        return self._build(name) if isinstance(decay, dict) else decay

    def _require_taken(self, spec: Spec) -> None:
        """Raises ConfigError for each network that takes images alone, given points."""
        made = {name: locate(node["_target_"]) for name, node in self._parts.items()}
        instead = "model=toy" if self.kind.plays else OF_POINTS
        found = [
            f"model.{name}: {callee.__name__} is for images, the data is points {spec}; "
            f"set {instead}"
            for name, callee in made.items()
            if isinstance(spec, PointSpec) and not getattr(callee, "takes_points", True)
        ]
        if found:
            raise ConfigError(found)

    def _generator(self, spec: Spec, latent_dim: int, code_dim: int) -> torch.nn.Module:
        """The generator; one that treats the code apart from the noise gets the code's width."""
        callee = locate(self.model["generator"]["_target_"])
        width = {"code_dim": code_dim} if getattr(callee, "takes_code_dim", False) else {}
        built = self._build("model.generator", spec=spec, latent_dim=latent_dim, **width)
        return cast("torch.nn.Module", built)

    @property
    def origin(self) -> Origin | None:
        """Where the run starts; None: from nothing."""
        return Origin(**self.start) if self.start.get("run") is not None else None  # type: ignore[arg-type]  # resolved

    def image_data(self, gan: Sampler) -> ImageData:
        """The DataModule that serves this GAN its minibatches; what only draws needs one each."""
        told, labels = gan.conditioning, None
        minibatches = gan.minibatches if isinstance(gan, Generative) else 1
        if isinstance(told, SemiSupervised):
            labels = LabelBudget(told.labels_per_class, told.label_seed)
        with blame():
            return ImageData(
                self.source,
                self.batch_size,
                minibatches=minibatches,
                iterations=self.length,
                seed=self.seed,
                mirror=self.mirror,
                labels=labels,
            )

    def plan(self) -> Plan | None:
        """How the run is scored while it trains; None: it is not."""
        return self._made("metrics", Plan) if self.metrics else None

    def watch(self) -> Watch | None:
        """How the run's health is watched; None: it is not."""
        return self._made("health", Watch) if self.health else None

    def loggers(self, **given: Any) -> list[Logger]:
        """The chosen loggers, in addition to metrics.csv; `given`: run, title and sweep."""
        return [self._build(f"logger.{name}", **given) for name in self.logger]

    def callbacks(self) -> list[Callback]:
        """The chosen callbacks, in addition to ganlab's own."""
        return [self._build(f"callback.{name}") for name in self.callback]

    def trainer_with(self, loggers: list[Logger], callbacks: list[Callback]) -> Trainer:
        """The Trainer.  It calls `training_step`; the given callbacks do everything else.

        Lightning's own requeueing on Slurm is off, because it would save between two updates.
        `Interruption` saves after the iteration, and the launcher requeues the job.
        """
        node = trainers.prepared(self.trainer)
        slurm = SLURMEnvironment.detect() and not self.trainer.get("plugins")
        plugins = {"plugins": [SLURMEnvironment(auto_requeue=False)]} if slurm else {}
        return cast(
            "Trainer",
            self._build(
                "trainer",
                node,
                max_steps=self.length,
                max_epochs=-1,
                logger=loggers,
                callbacks=callbacks,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                **plugins,
            ),
        )

    def rehearse(self) -> None:
        """Builds everything but the trainer, without allocating weights or reading data.

        Raises:
            ConfigError: every value out of range, or the combination that cannot work.
        """
        found = trainers.problems(self.trainer) + self._mistakes(self._check_data, "data")
        found += self.kind.problems()
        for node in (n for n in ("latent", "loss", "augment") if getattr(self, n) is not None):
            found += self._mistakes(functools.partial(self._build, node), node)
        for name in self.regularizer:
            build = functools.partial(self._build, f"regularizer.{name}")
            found += self._mistakes(build, "regularizer", name=name)
        for name in self.callback:
            check = functools.partial(self._check_callback, f"callback.{name}")
            found += self._mistakes(check, "callback", self.kind.path, name=name)
        for name, node in self.logger.items():
            check = functools.partial(self._check_logger, name, node)
            found += self._mistakes(check, "logger", name=name)
        found += self._mistakes(self._check_metrics, "metrics", "data")
        found += self._mistakes(self._check_health, "health")
        with torch.device("meta"):
            for player in self._ruled:
                rule = [f"{player}_{part}" for part in RULE]
                check = functools.partial(self._check_rule, player)
                found += self._mistakes(check, *rule, "trainer", player=player)
            if not found:
                found = self._mistakes(self._check_model, *IN_MODEL, rules=self._kinds_of_rules())
        if found:
            raise ConfigError(found)

    def _mistakes(self, check: Callable[[], object], *keys: str, **further: Any) -> list[str]:
        """The mistakes that a check of some root keys reports; jobs that share these share it."""
        about = {key: getattr(self, key) for key in keys} | further
        return once.found(lambda: blamed(check), "rehearsal", about)

    @property
    def _ruled(self) -> list[str]:
        """The players of the model whose optimizer and schedule are set."""
        parts = ("optimizer", "schedule")
        return [p for p in self.kind.players if all(getattr(self, f"{p}_{part}") for part in parts)]

    def _kinds_of_rules(self) -> dict[str, Any]:
        """What the model could object to in its rules; `_check_rule` has tried their numbers."""
        named = {f"{player}_{part}" for player in ("g", "d") for part in RULE}
        nodes = {name: getattr(self, name) for name in sorted(named)}
        return {n: v.get("_target_") if isinstance(v, dict) else v for n, v in nodes.items()}

    def _check_model(self) -> None:
        model = self.build()
        self.image_data(model)
        if self.origin is not None:
            self.origin.check(model, self.length)
        m, parts = self.batch_size, max(self.g_accumulate or 1, self.d_accumulate or 1)
        if m // parts < 2 and any(
            isinstance(part, torch.nn.BatchNorm1d) for part in model.modules()
        ):
            needs = "BatchNorm of single numbers needs two images in each part of a minibatch"
            raise ConfigError([f"batch_size: {needs}, got {m} in {parts}"])

    def _check_data(self) -> None:
        self.source.check()

    def _check_logger(self, name: str, node: dict[str, Any]) -> None:
        """A logger is made in a run's folder; its class may have a `check` of its options."""
        if "_target_" not in node:
            raise ConfigError([f"logger.{name}: set logger={name}, too"])
        if (check := getattr(locate(node["_target_"]), "check", None)) is not None:
            with blame(f"logger.{name}"):
                check(**{key: value for key, value in node.items() if key not in HYDRA_KEYS})

    def _check_callback(self, path: str) -> None:
        made = self._build(path)
        if isinstance(made, Likelihoods) and not has_likelihood(self.kind.callee):
            without = f"{self.kind.callee.__name__} has no likelihood; leave it out by ~{path}"
            raise ConfigError([f"{path}: {without}"])

    def _check_metrics(self) -> None:
        if self.metrics and "_target_" not in self.metrics:
            raise ConfigError(["metrics: set metrics=classifier or metrics=inception, too"])
        if (plan := self.plan()) is not None:
            with blame("metrics"):
                plan.check(self.source)

    def _check_health(self) -> None:
        if self.health and "_target_" not in self.health:
            raise ConfigError(["health: set health=watch, too"])
        self.watch()

    def _check_rule(self, player: str) -> None:
        parameter = torch.nn.Parameter(torch.empty(1))
        scaled = str(self.trainer.get("precision")) in {"16", "16-mixed"}
        with blame(f"{player}_optimizer"):
            optimizer = self._rule(player).build([parameter], fused=False)
            if isinstance(optimizer, Extragradient) and not self.kind.plays:
                raise ValueError(
                    f"{type(optimizer).__name__} is for games, and {self.kind.callee.__name__} "
                    "has one player; choose another optimizer"
                )
            if isinstance(optimizer, Extragradient) and scaled:
                raise ValueError(
                    f"{type(optimizer).__name__} wants gradients of both players at one scale, "
                    "which 16-mixed precision may change; set trainer.precision=bf16-mixed"
                )

    def _rule(self, player: str) -> UpdateRule:
        names = {"clip": f"{player}_clip", "accumulate": f"{player}_accumulate"}
        options = {key: getattr(self, name) for key, name in names.items()}
        optimizer = self._build(f"{player}_optimizer")
        schedule = self._build(f"{player}_schedule")
        with blame(prefix=f"{player}_"):
            return UpdateRule(optimizer, schedule, **options)

    def _made(self, path: str, kind: type[T], **given: Any) -> T:
        """Builds the node at `path`, which must make an object of a kind."""
        made = self._build(path, **given)
        if not isinstance(made, kind):
            wanted = f"{kind.__module__}.{kind.__name__}"
            raise ConfigError([f"{path}: {type(made).__name__} is no {wanted}"])
        return made

    def _build(self, path: str, node: Any = None, **given: Any) -> Any:
        """Builds the node at `path`; `given` are arguments that are not in the config.

        Args:
            path: in the config.
            node: what is built in place of what the config says there.
            given: by name.
        """
        root, *rest = path.split(".")
        if node is None:
            node = functools.reduce(lambda parent, key: parent[key], rest, getattr(self, root))
        if not isinstance(node, dict) or "_target_" not in node:
            first = f"choose an option for this group first, or leave it out by ~{path}"
            raise ConfigError([f"{path}: no _target_; {first}"])
        # The GAN's messages name root keys themselves, those of other models arguments of theirs.
        with blame(path) if path not in ("gan", "model") else blame(prefix=PREFIX[path]):
            # `given` goes in afterwards: Hydra would turn dataclasses among it into dicts.
            factory = instantiate({**node, "_partial_": True}, _convert_="all")
            return factory if node.get("_partial_") else factory(**given)


def takes(callee: Callable[..., Any], argument: str) -> bool:
    """Whether a part of the model has a parameter of a name; what takes any name gets a spec."""
    return argument in parameters(callee) or (argument == "spec" and takes_any_name(callee))


def dim_of(latent: Latent | None) -> int:
    """Width of the noise; 0: the model has no prior of its own."""
    return latent.dim if latent is not None else 0


def blamed(build: Callable[[], object]) -> list[str]:
    """The mistakes that building reports; empty if it succeeds."""
    try:
        build()
    except ConfigError as error:
        return error.problems
    except DataError as error:
        return [str(error)]
    return []


class blame:
    """Turns a constructor's complaint into a ConfigError that names the node it came from."""

    def __init__(self, path: str = "", prefix: str = "") -> None:
        self.before = f"{path}: " if path else prefix

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        cause = error.__cause__ if isinstance(error, InstantiationException) else error
        if isinstance(cause, DataError | ConfigError):
            raise cause
        if isinstance(cause, CombinationError):
            raise ConfigError(cause.reasons) from error
        if isinstance(cause, MISTAKES):
            raise ConfigError([f"{self.before}{cause}"]) from error
