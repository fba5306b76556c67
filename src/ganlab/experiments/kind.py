"""Which class the model is of, and which root keys it has a use for: its constructor says it."""

from collections.abc import Iterator, Mapping
from typing import Any

from ganlab.config.targets import locate, parameters, takes_any_name

RULE = ("optimizer", "schedule", "clip", "accumulate")  # of a player: g_optimizer, ...
NONE = ("ganlab.conditioning.Conditioning", "ganlab.augment.Augment")  # say that there is none
ABSENT = "it has no discriminator"
# An argument of a model's class: the root keys that make it, and why there can be none.
ARGUMENTS: dict[str, tuple[tuple[str, ...], str]] = {
    "loss": (("loss",), "there is no game between two networks"),
    "conditioning": (("conditioning",), "it is told no class and no code"),
    "regularizers": (("regularizer",), ABSENT),
    "augment": (("augment",), ABSENT),
    "latent": (("latent",), "its prior is a part of it"),
    "g_rule": (tuple(f"g_{part}" for part in RULE), "no gradient trains it"),
    "d_rule": (tuple(f"d_{part}" for part in RULE), ABSENT),
    "d_steps": (("d_steps",), ABSENT),
    "ema": (("ema",), "it keeps no average of its weights"),
    "d_ema": (("d_ema",), ABSENT),
}
# What a class needs that takes it: nodes, and numbers.
NODES = {"loss", "latent", *(f"{p}_{part}" for p in "gd" for part in ("optimizer", "schedule"))}
NUMBERS = {"d_steps", "g_accumulate", "d_accumulate"}


class Kind:
    """The class of a model.

    Args:
        settings: the root keys with their values.  `model` names the class in its `_target_`; if it
            has none, it is the two networks of the class that `gan` names.

    `path`: of the node that is called.
    `callee`: the class.

    Raises:
        ConfigError: there is no such class.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = settings
        self.path = "model" if "_target_" in settings["model"] else "gan"
        node = settings[self.path] or {}
        self.callee = locate(node.get("_target_", "ganlab.gan.GAN"))

    def takes(self, argument: str) -> bool:
        """Whether the class has a parameter of a name."""
        return argument in parameters(self.callee) or takes_any_name(self.callee)

    @property
    def players(self) -> list[str]:
        """The players whose rules the class takes: g and d, or one, or none."""
        return [player for player in ("g", "d") if self.takes(f"{player}_rule")]

    @property
    def plays(self) -> bool:
        """Whether it is a game of two players."""
        return len(self.players) > 1

    def problems(self) -> list[str]:
        """A sentence for each root key that is set and has no meaning, or is needed and not set."""
        found = list(self._useless()) + list(self._missing())
        if self.path == "model" and self.settings["gan"]:
            found.append("gan: model._target_ names the class of this model; set gan=null")
        if self.path == "gan" and not self.settings["gan"]:
            found.append("gan: missing; set gan._target_=ganlab.gan.GAN")
        return found

    def _useless(self) -> Iterator[str]:
        for argument, (keys, reason) in ARGUMENTS.items():
            for key in keys:
                if not self.takes(argument) and is_set(self.settings[key]):
                    yield f"{key}: {self.callee.__name__} has no use for it: {reason}; leave it out"

    def _missing(self) -> Iterator[str]:
        for argument, (keys, _) in ARGUMENTS.items():
            for key in keys:
                if not self.takes(argument) or self.settings[key] is not None:
                    continue
                if key in NODES:
                    yield f"{key}: {self.callee.__name__} needs one; set {key}=..."
                elif key in NUMBERS:
                    yield f"{key}: expected int, got None"


def is_set(value: Any) -> bool:
    """Whether the value of a root key says more than that there is nothing."""
    said = value is not None and value != {}
    return said and not (isinstance(value, dict) and value.get("_target_") in NONE)
