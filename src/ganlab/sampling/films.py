"""Films: closed walks through latent keyframes, generated frame by frame."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ganlab.conditioning import ByClass
from ganlab.plots import pictures
from ganlab.sampler import Sampler
from ganlab.sampling.drawn import AT_ONCE
from ganlab.sampling.paths import Loop, between, closed_cubic, polygon
from ganlab.sampling.spaces import Space, space_of
from ganlab.spec import at_least


@dataclass(frozen=True)
class Film:
    """A closed walk through keyframes, or several at once in a grid; a seed is a film.

    From keyframe to keyframe the noise goes on a great circle if it is Gaussian, and straight if it
    is uniform; w of a StyleGenerator goes on a smooth closed curve.  The code, such as the class,
    stays that of the walk's first keyframe.  Walk i does not depend on how many there are.

    Args:
        gan: generates the images.
        keyframes: of each walk, at least 2; after the last comes the first.
        between: frames from one keyframe to the next.
        walks: at once.
        columns: of the grid; None: a square.
        seed: of the keyframes.
        labels: classes of the walks, repeated as often as needed; None: one after the other.
        truncation: of the noise, as in `Sampler.sample`.
        batch_size: images generated at once.
    """

    gan: Sampler
    keyframes: int
    between: int = 30
    walks: int = 16
    columns: int | None = None
    seed: int = 0
    labels: list[int] | None = None
    truncation: float | None = None
    batch_size: int = AT_ONCE

    def __post_init__(self) -> None:
        at_least(2, film=self.keyframes)
        at_least(1, frames=self.between, n=self.walks, batch_size=self.batch_size)
        self.gan.check_truncation(self.truncation)

    def __len__(self) -> int:
        return self.keyframes * self.between

    def __iter__(self) -> Iterator[np.ndarray]:
        """The frames, uint8 RGB (H, W, 3), each made when it is asked for; without transparency."""
        for images in self.images():
            yield pictures.grid(images, self.columns)[..., :3]

    @torch.no_grad()
    def images(self) -> Iterator[Tensor]:
        """The images (walks, C, H, W) of each frame."""
        with space_of(self.gan, self.truncation) as space:
            loop, code = self._loop(space)
            at_once = max(1, self.batch_size // self.walks)
            for times in (torch.arange(len(self)) / self.between).split(at_once):
                points, codes = loop(times).flatten(0, 1), code.repeat(len(times), 1)
                parts = zip(*(x.split(self.batch_size) for x in (points, codes)), strict=True)
                made = torch.cat([space.images(*part) for part in parts])
                yield from made.unflatten(0, (-1, self.walks))

    def _loop(self, space: Space) -> tuple[Loop, Tensor]:
        """The walks, and their codes (walks, code_dim)."""
        latents = self.gan.fixed_latents(
            self.walks * self.keyframes, self.seed, self._classes(), self.truncation
        )
        keys = space.points(latents).unflatten(0, (self.walks, self.keyframes))
        code = self.gan.code_in(latents)[:: self.keyframes]
        if space.name == "w":
            return closed_cubic(keys), code
        return polygon(keys, between(self.gan.latent)), code

    def _classes(self) -> list[int] | None:
        """The class of each keyframe, which is that of its walk."""
        if not isinstance(self.gan.conditioning, ByClass):
            return None
        given = self.labels or list(range(self.gan.spec.classes))
        return [given[i % len(given)] for i in range(self.walks) for _ in range(self.keyframes)]
