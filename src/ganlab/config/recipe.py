"""A recipe's header: where an experiment comes from, what differs there, and what it is known for.

It is the root key `recipe` of the YAML below conf/experiment and of studies.  It decides nothing:
`--help` shows it, every run saves it, and tests compare it with what is built.
"""

import textwrap
from dataclasses import dataclass, field
from typing import Any

from ganlab.config import once
from ganlab.config.checks import problems
from ganlab.errors import ConfigError

WIDTH, MARGIN = 100, 12  # of the text, in characters


@dataclass(frozen=True, kw_only=True)
class Known:
    """A published score.

    Args:
        score: its name, such as FID.
        value: the mean, if there are several runs.
        spread: what the source gives after +-.
        protocol: what is compared with what, in words.
        by: who reports it, and of which code where that is not the recipe's source.
    """

    score: str
    value: float
    spread: float | None = None
    protocol: str
    by: str

    def __str__(self) -> str:
        spread = f" +- {self.spread:g}" if self.spread is not None else ""
        return f"{self.score} {self.value:g}{spread}, {self.protocol} ({self.by})"


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """Numbers of trainable parameters for the recipe's data; D's with the head of conditioning."""

    generator: int
    discriminator: int

    def __str__(self) -> str:
        return f"G {self.generator:,}, D {self.discriminator:,}"


@dataclass(frozen=True, kw_only=True)
class Epochs:
    """A budget that the source states in epochs: passes over real images that D sees.

    Args:
        number: of epochs.
        images: in one epoch, as the source counts.
    """

    number: float
    images: int

    def __str__(self) -> str:
        return f"{self.number:g} epochs of {self.images:,} real images"


GROUPS: dict[str, Any] = {"parameters": Parameters, "epochs": Epochs}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What is known of an experiment.

    Args:
        source: paper and code, and what is taken from which.
        differs: what differs from the source, and why; a sentence each.
        known: published scores; empty if none is known.
        reached: whether these were reached here: our value and its protocol; None: not tried.
        epochs: the source's budget, if it states one in epochs.
        parameters: the sizes of the networks.
        signature: of what fails on purpose: how that shows.
        cure: overrides with which it does not fail.
    """

    source: str
    differs: list[str] = field(default_factory=list)
    known: list[Known] = field(default_factory=list)
    reached: str | None = None
    epochs: Epochs | None = None
    parameters: Parameters | None = None
    signature: str | None = None
    cure: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        fails = self.signature is not None
        told: dict[str, list[Any]] = {
            "Source": [self.source],
            "Differs": self.differs,
            "Signature": [self.signature] if fails else [],
            "Cure": [" ".join(self.cure)] if self.cure else [],
            "Known": [] if fails else self.known or ["no score"],
            "Reached": [self.reached or "not tried"] if self.known else [],
            "Budget": [self.epochs] if self.epochs else [],
            "Parameters": [self.parameters] if self.parameters else [],
        }
        return "\n".join(paragraph(name, texts) for name, texts in told.items() if texts)


def read(node: dict[str, Any]) -> Recipe:
    """The recipe that a config has.

    Raises:
        ConfigError: the node is no recipe; lists all problems.
    """
    if found := mistakes(node):
        raise ConfigError(found)
    groups = {key: kind(**node[key]) for key, kind in GROUPS.items() if node.get(key) is not None}
    known = [Known(**one) for one in node.get("known", [])]
    return Recipe(**{**node, **groups, "known": known})


def mistakes(node: dict[str, Any]) -> list[str]:
    """A sentence for each key and type of a recipe that is wrong."""
    return once.found(lambda: _mistakes(node), "recipe", node)


def _mistakes(node: dict[str, Any]) -> list[str]:
    inside = {key: (kind, node[key]) for key, kind in GROUPS.items() if key in node}
    if isinstance(known := node.get("known"), list):
        inside |= {f"known[{i}]": (Known, one) for i, one in enumerate(known)}
    inside = {key: part for key, part in inside.items() if isinstance(part[1], dict)}
    roots = {key.partition("[")[0] for key in inside}
    found = problems({k: v for k, v in node.items() if k not in roots}, Recipe, "recipe")
    for key, (kind, part) in inside.items():
        found += problems(part, kind, f"recipe.{key}")
    return found


def paragraph(name: str, texts: list[Any]) -> str:
    """The texts, each wrapped, with a name in the margin."""
    indent = " " * MARGIN
    lines = [
        line
        for text in texts
        for line in textwrap.wrap(str(text), WIDTH, initial_indent=indent, subsequent_indent=indent)
    ]
    lines[0] = f"{name:{MARGIN}}{lines[0][MARGIN:]}"
    return "\n".join(lines)
