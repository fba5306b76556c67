"""Stacked MNIST: 1,000 countable modes (Metz et al. 2017, section 3.3.1)."""

from pathlib import Path

import torch
from torch import Tensor

from ganlab.data.images import Images, allocate
from ganlab.data.sources import MNIST
from ganlab.spec import ImageSpec, at_least, seed_range
from ganlab.training.streams import Stream, stream

HELD_OUT = 26_000  # images that generators are compared with (Lin et al. 2018, section 4.1)


class StackedMNIST:
    """Three MNIST digits as red, green and blue; digits (a, b, c) have class 100 a + 10 b + c.

    The three digits are drawn independently from all images of the split, so classes are nearly
    equally frequent, as MNIST's digits are.

    Args:
        root: folder in torchvision's layout, ROOT/MNIST/raw/train-images-idx3-ubyte.
        split: the part of MNIST that digits are from, train or test.
        download: download missing files (progress bar, checksum); False: raise an error instead.
        n: images; 128,000, as in Lin et al. 2018, are about 128 per class and take 301 MB.
        size: pixels to resize to; None keeps 28.
        seed: of the draw; independent of the run's seed, so that runs share their images.
    """

    def __init__(
        self,
        root: Path,
        split: str = "train",
        download: bool = True,
        n: int = 128_000,
        size: int | None = None,
        seed: int = 0,
    ) -> None:
        at_least(1, n=n)
        seed_range(seed)
        self.digits = MNIST(root, split, download, size)
        self.n, self.seed = n, seed

    @property
    def spec(self) -> ImageSpec:
        return ImageSpec(channels=3, size=self.digits.size, classes=1000)

    def check(self) -> None:
        """Raises DataError if a file of MNIST is missing or damaged and must not be downloaded."""
        self.digits.check()

    def prepare(self) -> None:
        """Downloads MNIST once, even if several processes call this."""
        self.digits.prepare()

    def read(self) -> Images:
        digits, labels = self.digits.read()
        drawn = self._triples(len(labels))
        images = allocate(self.n, *self.spec.shape)
        for channel, chosen in enumerate(drawn.unbind(dim=1)):
            images[:, channel] = digits[chosen, 0]
        return Images(images, labels[drawn] @ torch.tensor([100, 10, 1]))

    def test(self) -> "StackedMNIST | None":
        """At most 26,000 stacks of MNIST's test digits; None if these are test digits."""
        if self.digits.split == "test":
            return None
        where = self.digits
        n = min(self.n, HELD_OUT)
        return StackedMNIST(where.root, "test", where.download, n, where.size, self.seed)

    def _triples(self, digits: int) -> Tensor:
        """Indices int64 (n, 3) of stacked digits; a smaller n gives the first rows of a larger."""
        generator = stream("cpu", self.seed, Stream.STACKED)
        return torch.randint(digits, (self.n, 3), generator=generator)
