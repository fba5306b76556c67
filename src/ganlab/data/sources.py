"""Named data sets, read by scikit-learn and torchvision."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor
from torch.nn.functional import pad

from ganlab.data.images import Images, resized, root_of
from ganlab.errors import DataError
from ganlab.spec import ImageSpec, at_least, one_of

ORIGINAL, MARGIN = 8, 1  # pixels of a digit, and of the black margin added before resizing
HELD_OUT = 1415  # index of the first digit on the last three of the 14 sheets
DIGITS = {"all": slice(None), "train": slice(HELD_OUT), "test": slice(HELD_OUT, None)}


class Digits:
    """1,797 real handwritten digits, 8 x 8 with 17 grey levels, shipped inside scikit-learn.

    The test set of the UCI "Optical Recognition of Handwritten Digits" (Alpaydin & Kaynak 1998).
    Nothing has to be downloaded.

    The order of the images shows that they come from 14 sheets, on which writers copied the same
    numbers.  The last three sheets, 382 images, can be held out; then no sheet is in both parts.

    Args:
        size: pixels; 8 gives the originals, in which digits touch the edges; for other sizes, a
            margin of one black pixel is added before resizing.
        split: all, train (the first 1,415) or test (the last 382).
    """

    def __init__(self, size: int = 16, split: str = "all") -> None:
        at_least(4, size=size)
        one_of(tuple(DIGITS), split=split)
        self.size, self.split = size, split

    @property
    def spec(self) -> ImageSpec:
        return ImageSpec(channels=1, size=self.size, classes=10)

    def check(self) -> None:
        """Nothing can be missing."""

    def prepare(self) -> None:
        """Nothing to download."""

    def read(self) -> Images:
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = torch.from_numpy(digits.images * (255 / 16)).round().to(torch.uint8).unsqueeze(1)
        if self.size != ORIGINAL:
            images = resized(pad(images, (MARGIN,) * 4), self.size)
        part = DIGITS[self.split]
        return Images(images[part], torch.from_numpy(digits.target).long()[part])

    def test(self) -> "Digits | None":
        """The held-out part for split=train; None for other splits."""
        return Digits(self.size, "test") if self.split == "train" else None


class TorchvisionSource:
    """A torchvision data set, read as a whole.

    Args:
        root: folder in torchvision's layout, e.g. ROOT/MNIST/raw/train-images-idx3-ubyte.
        split: the part to train on.
        download: download missing files (progress bar, checksum); False: raise an error instead.
        size: pixels to resize to; None keeps the original size.
    """

    reader: ClassVar[str]
    original: ClassVar[ImageSpec]
    splits: ClassVar[tuple[str, ...]] = ("train", "test")

    def __init__(
        self, root: Path, split: str = "train", download: bool = True, size: int | None = None
    ) -> None:
        one_of(self.splits, split=split)
        at_least(4, size=size)
        self.root, self.split, self.download = root_of(root), split, download
        self.size = size or self.original.size
        self._opened: Any = None  # from `prepare` to `read`
        self.class_names: list[str] = []  # as the files name them

    @property
    def spec(self) -> ImageSpec:
        return ImageSpec(self.original.channels, self.size, self.original.classes)

    def check(self) -> None:
        """Raises DataError if a file is missing or damaged and must not be downloaded."""
        if not self.download:
            self._open()

    def prepare(self) -> None:
        """Downloads once, even if several processes call this: one downloads, the others wait."""
        try:
            self._opened = self._open()
        except DataError:
            if not self.download:
                raise
            self._opened = self._download()

    def read(self) -> Images:
        dataset, self._opened = self._opened or self._open(), None
        self.class_names = list(getattr(dataset, "classes", ())) if self.spec.classes else []
        found = getattr(dataset, "targets", getattr(dataset, "labels", None))
        images, labels = self._images(dataset), torch.as_tensor(found).long()
        if not self.spec.classes:
            labels = torch.zeros_like(labels)
        self._require_sound(images, labels)
        return Images(resized(images, self.size), labels)

    def test(self) -> "TorchvisionSource | None":
        """The test images, with the same size and root; None if these are the test images."""
        if self.split == "test":
            return None
        return type(self)(self.root, "test", self.download, self.size)

    def _require_sound(self, images: Tensor, labels: Tensor) -> None:
        """Raises DataError unless images and labels have the shapes and range of the data set."""
        whole = images.shape[1:] == self.original.shape and len(images) == len(labels) > 0
        if not whole or int(labels.max()) >= max(self.spec.classes, 1):
            raise DataError(
                f"{self.reader} ({self.split}) is damaged in '{self.root}': "
                f"images {tuple(images.shape)}, labels {tuple(labels.shape)}"
            )

    def _download(self) -> Any:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with FileLock(self.root / f".{self.reader}.lock"):
                return self._construct(download=True)
        except Exception as error:
            raise DataError(
                f"{self.reader} is missing or damaged in '{self.root}' and could not be downloaded "
                f"({error}); set data.root to a folder that has it, or delete damaged files"
            ) from error

    def _open(self) -> Any:
        try:
            return self._construct(download=False)
        except Exception as error:
            raise DataError(
                f"{self.reader} ({self.split}) is missing or damaged in '{self.root}': {error}"
            ) from error

    def _construct(self, *, download: bool) -> Any:
        import torchvision.datasets

        reader = getattr(torchvision.datasets, self.reader)
        return reader(str(self.root), **self._part(), download=download)

    def _part(self) -> dict[str, Any]:
        """torchvision's argument for the split."""
        return {"split": self.split}

    @staticmethod
    def _images(dataset: Any) -> Tensor:
        """uint8 (N, C, H, W) of an opened data set."""
        return torch.as_tensor(dataset.data)


class _TrainOrTest(TorchvisionSource):
    """Data sets that torchvision opens with train=True or False."""

    def _part(self) -> dict[str, Any]:
        return {"train": self.split == "train"}


class MNIST(_TrainOrTest):
    """60,000 + 10,000 grey handwritten digits of 28 x 28 (LeCun et al. 1998)."""

    reader = "MNIST"
    original = ImageSpec(channels=1, size=28, classes=10)

    @staticmethod
    def _images(dataset: Any) -> Tensor:
        return dataset.data.unsqueeze(1)


class FashionMNIST(MNIST):
    """60,000 + 10,000 grey pictures of clothes of 28 x 28 (Xiao et al. 2017)."""

    reader = "FashionMNIST"


class CIFAR10(_TrainOrTest):
    """50,000 + 10,000 colour images of 32 x 32 in 10 classes (Krizhevsky 2009)."""

    reader = "CIFAR10"
    original = ImageSpec(channels=3, size=32, classes=10)

    @staticmethod
    def _images(dataset: Any) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(dataset.data.transpose(0, 3, 1, 2)))


class CIFAR100(CIFAR10):
    """50,000 + 10,000 colour images of 32 x 32 in 100 classes (Krizhevsky 2009)."""

    reader = "CIFAR100"
    original = ImageSpec(channels=3, size=32, classes=100)


class SVHN(TorchvisionSource):
    """73,257 + 26,032 (+ 531,131 extra) colour house numbers of 32 x 32 (Netzer et al. 2011)."""

    reader = "SVHN"
    original = ImageSpec(channels=3, size=32, classes=10)
    splits = ("train", "test", "extra")


class STL10(TorchvisionSource):
    """Colour images of 96 x 96 in 10 classes; 100,000 more without labels (Coates et al. 2011).

    GANs train on split=unlabeled, commonly resized to 48 (Miyato et al. 2018) or 32.
    """

    reader = "STL10"
    original = ImageSpec(channels=3, size=96, classes=10)
    splits = ("train", "test", "unlabeled", "train+unlabeled")

    @property
    def spec(self) -> ImageSpec:
        classes = 0 if "unlabeled" in self.split else self.original.classes
        return ImageSpec(self.original.channels, self.size, classes)
