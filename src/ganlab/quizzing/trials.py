"""The trials of a quiz: how many, of which images, in which order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from ganlab.spec import at_least

Choice = Literal["real", "fake", "left", "right"]


class Trial(NamedTuple):
    """One question.

    Args:
        images: bytes of one image, or of two, the left one first.
        right: the right answer: real or fake; of two, the side of the real one.
    """

    images: tuple[bytes, ...]
    right: Choice


@dataclass(frozen=True)
class Design:
    """How many trials there are.

    Args:
        n: that count.
        practice: before them, that do not.
        paired: a trial shows a real and a generated image; else one image, half of the trials a
            real one.

    Raises:
        ValueError: a number is out of range, or cannot be halved.
    """

    n: int
    practice: int = 0
    paired: bool = False

    def __post_init__(self) -> None:
        at_least(2, n=self.n)
        at_least(0, practice=self.practice)
        odd = [k for k in ("n", "practice") if getattr(self, k) % 2]
        if odd and not self.paired:
            raise ValueError(f"{' and '.join(odd)} must be even: half of the images are real")

    @property
    def choices(self) -> tuple[Choice, Choice]:
        """The answers that can be given."""
        return ("left", "right") if self.paired else ("real", "fake")

    @property
    def images(self) -> int:
        """Images of each kind that are needed."""
        return (self.practice + self.n) // (1 if self.paired else 2)

    def trials(
        self, real: Sequence[bytes], fake: Sequence[bytes], random: np.random.Generator
    ) -> list[Trial]:
        """The trials, practice first; each part has every right answer equally often.

        Args:
            real: as many as are needed.
            fake: as many; image i is of the class of real image i.
            random: decides the order, and which side is the real one's.
        """
        both = list(zip(real, fake, strict=True))
        split = self.practice // (1 if self.paired else 2)
        return [*self._part(both[:split], random), *self._part(both[split:], random)]

    def _part(self, both: list[tuple[bytes, bytes]], random: np.random.Generator) -> list[Trial]:
        """The trials of some real images, each with its generated one, in random order."""
        if self.paired:
            sides = random.permutation(len(both)) % 2
            found = [
                Trial((fake, real), "right") if side else Trial((real, fake), "left")
                for (real, fake), side in zip(both, sides, strict=True)
            ]
        else:
            found = [Trial((real,), "real") for real, _ in both]
            found += [Trial((fake,), "fake") for _, fake in both]
        return [found[i] for i in random.permutation(len(found))]
