"""The record of how a score came about: without it the number means nothing."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal

from ganlab.errors import ProtocolMismatchError
from ganlab.storage.inception import SHA256

REFERENCE_IMAGES = 50_000
PLAIN = {"frechet": "fid", "is": "is", "kernel": "kid"}

Split = Literal["train", "test"]
Named = Literal["stylegan", "mimicry", "lucic", "cleanfid"]


@dataclass(frozen=True)
class Conventions:
    """What a published protocol fixes; all of them use Inception, 10 splits and 100 subsets.

    Args:
        n: generated images.
        split: of the real images.
        real: how many of them, drawn at random; None: all.
        clean: resized as Pillow does (Parmar et al. 2022), not as TensorFlow 1 did.
    """

    n: int
    split: Split
    real: int | None = None
    clean: bool = False


PROTOCOLS: dict[Named, Conventions] = {
    "stylegan": Conventions(50_000, "train"),  # Karras et al. 2020, StyleGAN2-ADA
    "mimicry": Conventions(50_000, "train", real=50_000),  # Lee & Town 2020
    "lucic": Conventions(10_000, "test", real=10_000),  # Lucic et al. 2018
    "cleanfid": Conventions(50_000, "train", clean=True),  # Parmar et al. 2022
}


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """Everything that decides a score beside the generator, and what describes the generator.

    Args:
        extractor, weights, preparation: of features (metrics/features.py).
        data, split, real, real_hash: real images: which, how many, the hash of all of them.
        fake: number of generated images.
        kept: images of each kind that kernel distance and neighbours look at.
        splits: parts of the Inception Score.
        subsets: of the kernel distance, and images in each.
        neighbours: k of precision, recall, density and coverage.
        quantisation: of generated images.
        batchnorm: the statistics that the generator normalises by.
        truncation: of the noise; None: not truncated.
        precision: of the extractor.
        ema: decay of the average of G's weights; None: the trained weights themselves.
        seed: of the noise.
        versions: of libraries.
    """

    __pydantic_config__: ClassVar = {
        "extra": "forbid"
    }  # of a record with more, too little is known

    extractor: str
    weights: str
    preparation: str
    data: str
    split: str
    real: int
    real_hash: str
    fake: int
    kept: int = 10_000
    splits: int = 10
    subsets: tuple[int, int] = (100, 1000)
    neighbours: int = 5
    quantisation: str = "uint8, rounded"
    batchnorm: str = field(default="running statistics", metadata={"describes": True})
    truncation: float | None = None
    precision: str = "float32"
    ema: float | None = field(default=None, metadata={"describes": True})
    seed: int = field(default=0, metadata={"describes": True})
    versions: dict[str, str] = field(default_factory=dict, metadata={"describes": True})

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "Protocol":
        """The inverse of dataclasses.asdict, also after JSON made a list of the pair."""
        return cls(**{**record, "subsets": tuple(record["subsets"])})

    @property
    def is_reference(self) -> bool:
        """Whether its scores may be called fid and is, as in the literature."""
        inception = self.extractor == "inception" and self.weights == SHA256
        return inception and self.fake == REFERENCE_IMAGES and self.split == "train"

    def name(self, score: str) -> str:
        """'frechet' -> 'fid', or what it is: 'frechet/classifier-mnist/10k'."""
        if self.is_reference and score in PLAIN:
            return PLAIN[score]
        parts = [score, self.extractor, thousands(self.fake)]
        return "/".join(parts if self.split == "train" else [*parts, self.split])

    def sentences(self) -> list[str]:
        """The record in words, for a terminal."""
        weights = "averaged weights" if self.ema is not None else "trained weights"
        return [
            f"by {self.extractor} ({self.weights[:8]}), {self.preparation}",
            f"{self.fake:,} generated ({weights}, seed {self.seed}, {self.quantisation})",
            f"{self.real:,} real of {self.data}, {self.split} ({self.real_hash[:8]})",
        ]

    def differences(self, other: "Protocol") -> list[str]:
        """'fake: 10000 and 50000' for each convention in which two protocols differ."""
        decisive = (f.name for f in fields(self) if not f.metadata.get("describes"))
        pairs = ((name, getattr(self, name), getattr(other, name)) for name in decisive)
        return [f"{name}: {mine} and {theirs}" for name, mine, theirs in pairs if mine != theirs]


def score_named(name: str) -> str | None:
    """The inverse of Protocol.name: 'fid' -> 'frechet'; None for what is no score: 'loss/d'."""
    plain = {full: score for score, full in PLAIN.items()}
    spelled = re.fullmatch(r"(\w+)/.+/\d+k?(/test)?", name)
    return spelled[1] if spelled else plain.get(name)


def require_alike(protocols: Iterable[tuple[str, Protocol]]) -> None:
    """Raises ProtocolMismatchError, naming what differs, unless all scores can be compared.

    Args:
        protocols: (whose, protocol) of each score.
    """
    (first, reference), *others = protocols
    for name, protocol in others:
        if found := reference.differences(protocol):
            raise ProtocolMismatchError(
                f"'{first}' and '{name}' were scored by unlike protocols: {'; '.join(found)}"
            )


def thousands(n: int) -> str:
    """50000 -> '50k', 1797 -> '1797'."""
    return f"{n // 1000}k" if n % 1000 == 0 and n else str(n)


def versions() -> dict[str, str]:
    """Of the libraries that a score could depend on."""
    from importlib import metadata  # not needed to read what was scored

    return {name: metadata.version(name) for name in ("ganlab", "torch", "torchvision")}
