"""All choices of a live training, as plain values: checked, written as a URL, as `ganlab train`."""

import functools
import math
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import parse_qsl, urlencode

import yaml

from ganlab.config.checks import conf_dir
from ganlab.config.targets import locate, parameters
from ganlab.config.words import nearest
from ganlab.data.strokes import MOST, positions
from ganlab.errors import ConfigError

DRAWN = "drawn"
DATA = {  # name -> the words that choose it; everything lies within [-3, 3]
    "gaussian_1d": ("data=gaussian_1d", "data.means=[1.5]", "data.stds=[0.7]"),
    "two_gaussians_1d": ("data=gaussian_1d", "data.means=[-1.5,1.5]", "data.stds=[0.3]"),
    "three_gaussians_1d": ("data=gaussian_1d", "data.means=[-2.0,0.0,2.0]", "data.stds=[0.2]"),
    "ring_2d": ("data=ring_2d", "data.std=0.05"),
    "grid_2d": ("data=grid_2d", "data.spacing=0.5", "data.std=0.03"),
    "swiss_roll": ("data=swiss_roll",),
    DRAWN: ("data=drawn_2d",),
}
ACTIVATIONS = ("relu", "leaky_relu", "tanh", "elu", "softplus")
LATENTS = ("gaussian", "uniform")


def options(group: str) -> tuple[str, ...]:
    """The names in a group of conf/, such as loss, regularizer or optim, in alphabetical order."""
    return tuple(sorted(file.stem for file in (conf_dir() / group).glob("*.yaml")))


@functools.cache
def conf(group: str, name: str) -> dict[str, Any]:
    """The YAML of an option."""
    found: dict[str, Any] = yaml.safe_load((conf_dir() / group / f"{name}.yaml").read_text("utf-8"))
    return found


def takes_energies(loss: str) -> bool:
    """Whether a loss is of an autoencoder as D, which points do not have."""
    return bool(locate(conf("loss", loss)["_target_"]).energy)


def moves_pixels(regularizer: str) -> bool:
    """Whether a regularizer is for images alone."""
    nodes = conf("regularizer", regularizer).values()
    return any(locate(node["_target_"]).needs_pixels for node in nodes)


LOSSES = tuple(name for name in options("loss") if not takes_energies(name))
OPTIMIZERS = options("optim")
REGULARIZERS = tuple(name for name in options("regularizer") if not moves_pixels(name))


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`; whole ones if `whole`.  Both ends belong to it."""

    low: float
    high: float
    whole: bool = False

    def __contains__(self, value: object) -> bool:
        kinds = (int,) if self.whole else (int, float)
        fits = isinstance(value, kinds) and not isinstance(value, bool)
        return fits and math.isfinite(value) and self.low <= value <= self.high  # type: ignore[arg-type,operator]

    def __str__(self) -> str:
        if self.whole:
            return f"a whole number from {self.low:.0f} to {self.high:.0f}"
        return f"a number from {self.low:g} to {self.high:g}"


WIDTH, DEPTH, RATE = Range(1, 512, whole=True), Range(0, 6, whole=True), Range(0, 10)
RANGES = {
    "g_rate": RATE,
    "d_rate": RATE,
    "momentum": Range(0, 0.9999),
    "k": Range(1, 20, whole=True),
    "g_width": WIDTH,
    "g_depth": DEPTH,
    "d_width": WIDTH,
    "d_depth": DEPTH,
    "latent_dim": Range(1, 2, whole=True),
    "batch": Range(1, 4096, whole=True),
    "ema": Range(0, 0.9999),
    "seed": Range(0, 2**32 - 1, whole=True),
}
STRENGTH = Range(0, 1e6)  # of a regularizer
CHOICES = {
    "data": tuple(DATA),
    "loss": LOSSES,
    "g_optimizer": OPTIMIZERS,
    "d_optimizer": OPTIMIZERS,
    "activation": ACTIVATIONS,
    "latent": LATENTS,
}
WHILE_IT_RUNS = (  # choices that do not change the shape of a network, or what it is trained on
    *("loss", "regularizers", "g_optimizer", "d_optimizer", "g_rate", "d_rate", "momentum"),
    *("k", "batch", "health"),
)


@dataclass(frozen=True)
class Setup:
    """Everything that decides a live training.

    Args:
        data: a name in DATA.
        strokes: what is drawn, if data is "drawn": see `ganlab.data.strokes`.
        loss: a name in conf/loss.
        regularizers: (name in conf/regularizer, strength) of each that needs no pixels; the
            strength is the first parameter of its class: weight, gamma or limit.
        g_optimizer, d_optimizer: names in conf/optim.
        g_rate, d_rate: learning rates, in [0, 10]; 0: the player stays as it is.
        momentum: of both optimizers, in [0, 1); Adam's first beta.
        k: updates of D for one of G, at most 20.
        g_width, g_depth: width and number of G's hidden layers; depth 0: an affine map.
        d_width, d_depth: the same of D.
        activation: of all hidden layers.
        latent: "gaussian" or "uniform" noise.
        latent_dim: 1 or 2.
        batch: points per minibatch, at most 4096.
        ema: decay of the average of G's weights; 0: there is none.
        seed: of all random numbers, in [0, 2^32).
        health: whether verdicts are given.

    Raises:
        ConfigError: a sentence for each value that is wrong, with what is expected and what is
            nearest.  What cannot be combined is refused when a training starts.
    """

    data: str = "ring_2d"
    strokes: str = ""
    loss: str = "nonsaturating"
    regularizers: tuple[tuple[str, float], ...] = ()
    g_optimizer: str = "adam"
    d_optimizer: str = "adam"
    g_rate: float = 1e-3
    d_rate: float = 2e-3
    momentum: float = 0.0
    k: int = 1
    g_width: int = 64
    g_depth: int = 2
    d_width: int = 64
    d_depth: int = 2
    activation: str = "relu"
    latent: str = "gaussian"
    latent_dim: int = 2
    batch: int = 128
    ema: float = 0.0
    seed: int = 0
    health: bool = True

    def __post_init__(self) -> None:
        if found := [sentence for name in NAMES for sentence in self._mistakes(name)]:
            raise ConfigError(found)

    def _mistakes(self, name: str) -> Iterable[str]:
        value = getattr(self, name)
        if name in CHOICES and value not in CHOICES[name]:
            yield f"{name}: expected {among(CHOICES[name])}, got {got(value)}" + near(value, name)
        if name in RANGES and value not in RANGES[name]:
            yield f"{name}: expected {RANGES[name]}, got {got(value)}"
        if name == "health" and not isinstance(value, bool):
            yield f"{name}: expected true or false, got {value!r}"
        if name == "regularizers":
            yield from regularizer_mistakes(value)
        if name == "strokes":
            yield from self._stroke_mistakes()

    def _stroke_mistakes(self) -> Iterable[str]:
        try:
            drawn = positions(self.strokes)
        except ValueError as error:
            yield f"strokes: {error}"
            return
        if len(drawn) > MOST:
            yield f"strokes: expected at most {MOST} points, got {len(drawn)}"
        if self.data == DRAWN and not drawn:
            yield "strokes: expected at least one point, as data is 'drawn', got none"

    # Words for `ganlab train` --------------------------------------------------------------------

    def overrides(self) -> list[str]:
        """The words that `ganlab train` takes; `iterations=N` is for the caller to add."""
        return [
            *DATA[self.data],
            *([f"data.strokes='{self.strokes}'"] if self.data == DRAWN else []),
            "model=toy",
            *self._network("generator", self.g_width, self.g_depth),
            *self._network("discriminator", self.d_width, self.d_depth),
            f"latent={self.latent}",
            f"latent.dim={self.latent_dim}",
            f"loss={self.loss}",
            f"regularizer=[{','.join(name for name, _ in self.regularizers)}]",
            *(f"regularizer.{n}.{strength_of(n)}={float(s)!r}" for n, s in self.regularizers),
            *self._optimizer("g", self.g_optimizer, self.g_rate),
            *self._optimizer("d", self.d_optimizer, self.d_rate),
            f"d_steps={self.k}",
            f"batch_size={self.batch}",
            *([f"ema={self.ema!r}", "ema_statistics=copy"] if self.ema else ["ema=null"]),
            f"seed={self.seed}",
            f"health={'watch' if self.health else 'none'}",
            *("logger=csv", "trainer=cpu"),
        ]

    def _network(self, player: str, width: int, depth: int) -> list[str]:
        hidden = ",".join([str(width)] * depth)
        node = f"model.{player}"
        return [f"{node}.hidden=[{hidden}]", f"{node}.activation={self.activation}"]

    def _optimizer(self, player: str, name: str, rate: float) -> list[str]:
        node, known = f"{player}_optimizer", conf("optim", name)
        momentum = f"{node}.momentum={self.momentum!r}"
        if "betas" in known:
            momentum = f"{node}.betas=[{self.momentum!r},{known['betas'][1]!r}]"
        return [f"optim@{node}={name}", f"{node}.lr={float(rate)!r}", momentum]

    def command(self, iterations: int) -> str:
        """The command that trains the same weights, bit for bit, in a run folder."""
        return f"ganlab train {shlex.join([*self.overrides(), f'iterations={iterations}'])}"

    # As a URL ------------------------------------------------------------------------------------

    def query(self) -> str:
        """The choices that are not the default, as the query of a URL, without '?'."""
        usual = {one.name: one.default for one in fields(Setup)}
        chosen = {name: getattr(self, name) for name in NAMES}
        return urlencode({n: written(v) for n, v in chosen.items() if v != usual[n]}, safe=":,")

    @classmethod
    def from_query(cls, text: str) -> "Setup":
        """The setup of a URL's query; choices that it does not name are the default.

        Raises:
            ConfigError: a sentence for each name or value that is wrong.
        """
        given = parse_qsl(text.removeprefix("?"), keep_blank_values=True)
        values, found = dict[str, Any](), list[str]()
        for name, value in given:
            if name not in READERS:
                found.append(f"{shown(name)}: unknown{nearest(name, NAMES)}")
            elif name in values:
                found.append(f"{name}: expected once, got it twice")
            else:
                values[name] = read(name, value)
        try:
            made = cls(**values)
        except ConfigError as error:
            raise ConfigError(found + error.problems) from error
        if found:
            raise ConfigError(found)
        return made


def read(name: str, text: str) -> Any:
    """The value that a text stands for; the text itself where it stands for none."""
    try:
        return READERS[name](text)
    except ValueError:
        return shown(text)


def read_bool(text: str) -> bool | str:
    return {"true": True, "false": False}.get(text, text)


def read_regularizers(text: str) -> tuple[tuple[str, float | str], ...]:
    """`name:strength,...`; a strength that is no number stays a text, which the check refuses."""
    pairs = [one.partition(":") for one in text.split(",") if one]
    return tuple((name, read_number(strength)) for name, _, strength in pairs)


def read_number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


KINDS: dict[type, Callable[[str], Any]] = {str: str, int: int, float: float, bool: read_bool}
NAMES = tuple(one.name for one in fields(Setup))
READERS = {
    one.name: KINDS[type(one.default)] if one.name != "regularizers" else read_regularizers
    for one in fields(Setup)
}


def written(value: Any) -> str:
    """A value as it stands in a URL."""
    if isinstance(value, tuple):
        return ",".join(f"{name}:{float(strength)!r}" for name, strength in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def regularizer_mistakes(value: Any) -> Iterable[str]:
    """A sentence for each regularizer that does not exist or has no good strength."""
    names = [name for name, _ in value]
    for name, strength in value:
        if name not in REGULARIZERS:
            wanted = among(REGULARIZERS)
            hint = nearest(name, REGULARIZERS)
            yield f"regularizers: expected some of {wanted}, got '{shown(name)}'{hint}"
        elif strength not in STRENGTH:
            yield f"regularizers: {name} expected {STRENGTH}, got {got(strength)}"
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        yield f"regularizers: '{shown(name)}' is listed twice"


def among(choices: Iterable[str]) -> str:
    return " or ".join(choices)


def got(value: object) -> str:
    """A wrong value, as a message shows it."""
    if value == "":
        return "nothing"
    return f"{value:g}" if isinstance(value, float) else repr(value)


def near(value: object, name: str) -> str:
    return nearest(value, CHOICES[name]) if isinstance(value, str) else ""


def shown(text: str, most: int = 60) -> str:
    """A text that may come from a stranger, on one line that a message can hold."""
    safe = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text[:most])
    return safe if len(text) <= most else f"{safe}..."


@functools.cache
def strength_of(regularizer: str) -> str:
    """The parameter of a regularizer that says how strong it is: the first one."""
    target = conf("regularizer", regularizer)[regularizer]["_target_"]
    return next(iter(parameters(locate(target))))


def usual_strength(regularizer: str) -> float:
    """The strength of a regularizer where nobody has said another."""
    node, name = conf("regularizer", regularizer)[regularizer], strength_of(regularizer)
    return float(node.get(name, parameters(locate(node["_target_"]))[name].default))
