"""The record of how a score came about: without it the number means nothing."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, Literal

from ganlab.errors import ProtocolMismatchError
from ganlab.storage.inception import PREPARATION, SHA256

REFERENCE_IMAGES = 50_000
PLAIN = {"frechet": "fid", "is": "is", "kernel": "kid"}
ALONE = ("is", "modes")  # look at no real images
PAIRWISE = ("kernel", "precision", "recall", "density", "coverage")  # look at kept features
EVERYONE = ("memorisation",)  # compares kept features with all training and held-out images
# The end of a name, after the extractor: '50k', '10k/test', '50k/real-1k'.
SEEN = r"\d+k?(/test)?(/real-\d+k?)?(/truncated-[\d.e-]+)?"

Split = Literal["train", "test"]
Named = Literal["stylegan", "mimicry", "lucic", "cleanfid", "cleanfid-train"]


@dataclass(frozen=True)
class Conventions:
    """What a published protocol fixes; all of them use Inception, 10 splits and 100 subsets.

    Args:
        n: generated images.
        split: of the real images.
        real: how many of them, drawn at random; None: all.
        clean: resized as Pillow does (Parmar et al. 2022), not as TensorFlow 1 did.
        kept: images of each kind from which the subsets of the kernel distance are drawn.
    """

    n: int
    split: Split
    real: int | None = None
    clean: bool = False
    kept: int = REFERENCE_IMAGES


PROTOCOLS: dict[Named, Conventions] = {
    "stylegan": Conventions(50_000, "train"),  # Karras et al. 2020, StyleGAN2-ADA
    "mimicry": Conventions(50_000, "train", real=50_000),  # Lee & Town 2020
    "lucic": Conventions(10_000, "test", real=10_000),  # Lucic et al. 2018
    # Parmar et al. 2022: the tables of CIFAR-10 and CIFAR-100 in clean-fid's README.
    "cleanfid": Conventions(10_000, "test", clean=True),
    # The same: the defaults of clean-fid's functions, and its tables of FFHQ.
    "cleanfid-train": Conventions(50_000, "train", clean=True),
}


class Provenance(ABC):
    """How a number came about; two are compared if nothing differs that decides them."""

    @abstractmethod
    def name(self, score: str) -> str:
        """The full name of a score."""

    @abstractmethod
    def sentences(self) -> list[str]:
        """The record in words, for a terminal."""

    @abstractmethod
    def differences(self, other: Any) -> list[str]:
        """What differs from another record of this kind and decides the number, in words."""

    @abstractmethod
    def as_dict(self) -> dict[str, Any]:
        """Plain data."""


@dataclass(frozen=True, kw_only=True)
class Protocol(Provenance):
    """Everything that decides a score beside the generator, and what describes the generator.

    Args:
        extractor, weights, preparation: of features (metrics/features.py).
        data, split, real, real_hash: real images: which, how many, the hash of all of them.
        available: real images in the split; None: unknown, in records of earlier versions.
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
    # The hash of all real images says as much.
    available: int | None = field(default=None, metadata={"describes": True})
    ema: float | None = field(default=None, metadata={"describes": True})
    seed: int = field(default=0, metadata={"describes": True})
    versions: dict[str, str] = field(default_factory=dict, metadata={"describes": True})

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "Protocol":
        """The inverse of dataclasses.asdict, also after JSON made a list of the pair."""
        return cls(**{**record, "subsets": tuple(record["subsets"])})

    @property
    def is_reference(self) -> bool:
        """Whether the Frechet distance may be called `fid`, as in the literature.

        That is so for 50,000 images, measured as the reference implementation does, against all
        training images, or against 50,000 of a larger training set.
        """
        return self.is_plain("frechet")

    def looked_at(self, score: str) -> tuple[int, int | None]:
        """The numbers of generated and of real images that a score looks at.

        None: the score looks at no real images, or at all that there are in both splits.
        """
        fake = min(self.kept, self.fake) if score in (*PAIRWISE, *EVERYONE) else self.fake
        if score in (*ALONE, *EVERYONE):
            return fake, None
        return fake, min(self.kept, self.real) if score in PAIRWISE else self.real

    def is_plain(self, score: str) -> bool:
        """Whether a score may have its plain name, `fid`, `is` or `kid`.

        All three want 50,000 generated images, not truncated, as uint8, in the features of the
        reference Inception at full precision.
        """
        fake, real = self.looked_at(score)
        exact = (
            self.extractor == "inception"
            and self.weights == SHA256
            and self.preparation == PREPARATION
            and self.precision == "float32"
            and self.quantisation in ("uint8, rounded", "as stored")
            and self.truncation is None
            and fake == REFERENCE_IMAGES
        )
        enough = self.split == "train" and real in (self.available, REFERENCE_IMAGES)
        # Salimans et al. 2016: ten splits.  Binkowski et al. 2018: 100 subsets of 1,000.
        wanted = {
            "frechet": enough,
            "is": self.splits == 10,
            "kernel": enough and self.subsets == (100, 1000),
        }
        return exact and wanted.get(score, False)

    def name(self, score: str) -> str:
        """'frechet' -> 'fid', or what it is: 'frechet/classifier-mnist/10k'.

        The number is that of generated images that the score looks at.  Where it looks at real
        images of the test set, or not at all images of the split, the name says so, too:
        'frechet/inception/50k/real-1k', 'precision/inception/10k/test/real-5k'.
        """
        if self.is_plain(score):
            return PLAIN[score]
        fake, real = self.looked_at(score)
        parts = [score, self.extractor, thousands(fake)]
        if real is not None and self.split != "train":
            parts.append(self.split)
        if real is not None and real != self.available:
            parts.append(f"real-{thousands(real)}")
        if self.truncation is not None:
            parts.append(f"truncated-{self.truncation}")
        return "/".join(parts)

    def sentences(self) -> list[str]:
        """The record in words, for a terminal."""
        weights = "averaged weights" if self.ema is not None else "trained weights"
        partial = self.available is not None and self.real < self.available
        of = f" of {self.available:,}" if partial else ""
        cut = f", truncation {self.truncation:g}" if self.truncation is not None else ""
        return [
            f"by {self.extractor} ({self.weights[:8]}), {self.preparation}",
            f"{self.fake:,} generated ({weights}, seed {self.seed}, {self.quantisation}{cut})",
            f"{self.real:,}{of} real of {self.data}, {self.split} ({self.real_hash[:8]})",
        ]

    def differences(self, other: "Protocol") -> list[str]:
        """'fake: 10000 and 50000' for each convention in which two protocols differ."""
        decisive = (f.name for f in fields(self) if not f.metadata.get("describes"))
        pairs = ((name, getattr(self, name), getattr(other, name)) for name in decisive)
        return [f"{name}: {mine} and {theirs}" for name, mine, theirs in pairs if mine != theirs]

    def as_dict(self) -> dict[str, Any]:
        """Plain data; `from_dict` is the way back."""
        return asdict(self)


def score_named(name: str) -> str | None:
    """The short name of a full one: 'fid' -> 'frechet'; None for what is no score: 'loss/d'."""
    if name.startswith("nll/"):
        return "nll"
    plain = {full: score for score, full in PLAIN.items()}
    spelled = re.fullmatch(rf"(\w+)/.+/{SEEN}", name)
    return spelled[1] if spelled else plain.get(name)


def require_alike(protocols: Iterable[tuple[str, Provenance]]) -> None:
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
