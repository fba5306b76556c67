"""The images that are asked for, generated part by part."""

import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor

from ganlab.conditioning import ByClass
from ganlab.sampler import Sampler
from ganlab.spec import at_least
from ganlab.training.seeded import classes_for

AT_ONCE = 256  # images generated at once
LONGEST = 40  # letters of the seeds in the name of a file


class Drawn:
    """The images that are asked for; latents and images are made when they are wanted.

    G always sees `batch_size` rows at once, the last time some that are not wanted, so that image i
    is the same bit for bit for every n of at least `batch_size`.  Sums of floating-point numbers
    depend on how many rows are computed at once: with another `batch_size`, a pixel in some ten
    thousand may differ, by one of 255 levels.

    Args:
        gan: generates them.
        n: how many, unless `seeds` says so.
        seed: of the noise.
        seeds: the first image of each; None: n images of one seed.
        labels: classes, repeated as often as needed; None: one after the other.
        truncation: of the noise, as in `Sampler.sample`.
        batch_size: images generated at once.

    Raises:
        ValueError: the GAN cannot be truncated so, or there is nothing to generate.
    """

    def __init__(
        self,
        gan: Sampler,
        n: int,
        seed: int = 0,
        seeds: list[int] | None = None,
        labels: list[int] | None = None,
        truncation: float | None = None,
        batch_size: int = AT_ONCE,
    ) -> None:
        self.gan, self.n = gan, len(seeds) if seeds is not None else n
        at_least(1, n=self.n, batch_size=batch_size)
        gan.check_truncation(truncation)
        self.seed, self.seeds, self.labels = seed, seeds, labels
        self.truncation, self.batch_size = truncation, batch_size

    def latents(self) -> Iterator[Tensor]:
        """One row for each image, in parts of `batch_size`."""
        if self.seeds is not None:
            z = self.gan.seeded_latents(self.seeds, self.labels, self.truncation)
            return iter(z.split(self.batch_size))
        given = self.n, self.seed, self.labels, self.truncation
        return self.gan.streamed_latents(*given, size=self.batch_size)

    def parts(self) -> Iterator[Tensor]:
        """Images (N, C, H, W) in [-1, 1], `batch_size` at a time; points (N, dim)."""
        with self.gan.truncating(self.truncation):
            for z in self.latents():
                missing = min(self.batch_size, self.n) - len(z)
                full = torch.cat([z, z[-1:].expand(missing, -1)]) if missing else z
                images = self.gan.generate(full, self.batch_size, truncation=self.truncation)
                yield images[: len(z)]

    def all(self) -> Tensor:
        """All of them."""
        return torch.cat(list(self.parts()))

    def classes(self) -> Tensor | None:
        """The class int64 (n,) of each image; None: G is told no class."""
        if not isinstance(self.gan.conditioning, ByClass):
            return None
        counted = range(self.n) if self.seeds is None else self.seeds
        return classes_for(counted, self.labels, self.gan.spec.classes)

    @property
    def names(self) -> Iterator[str]:
        """The name of each image: its seed, or its number."""
        if self.seeds is not None:
            return (f"seed-{seed:05d}" for seed in self.seeds)
        return (f"{i:05d}" for i in range(self.n))

    def __str__(self) -> str:
        drawn = f"seeds-{self._spelled}" if self.seeds else f"seed-{self.seed}"
        named = f"-labels-{'-'.join(map(str, self.labels))}" if self.labels else ""
        shortened = f"-truncation-{self.truncation:g}" if self.truncation is not None else ""
        return f"{drawn}{named}{shortened}"

    @property
    def _spelled(self) -> str:
        """The seeds in the name of a file: all of them, or the first, the last and a hash."""
        listed = self.seeds or []
        text = "+".join(map(str, listed))
        if len(text) <= LONGEST:
            return text
        digest = hashlib.sha256(text.encode()).hexdigest()[:6]
        return f"{listed[0]}-to-{listed[-1]}-{digest}"
