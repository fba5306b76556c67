"""Images as uint8 tensors, and the minibatches of Algorithm 1 drawn from them."""

from ganlab.data.folder import Folder
from ganlab.data.images import Images
from ganlab.data.labels import LabelBudget
from ganlab.data.module import ImageData
from ganlab.data.sources import CIFAR10, CIFAR100, MNIST, STL10, SVHN, Digits, FashionMNIST
from ganlab.data.stacked import StackedMNIST
from ganlab.spec import DataError

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "MNIST",
    "STL10",
    "SVHN",
    "DataError",
    "Digits",
    "FashionMNIST",
    "Folder",
    "ImageData",
    "Images",
    "LabelBudget",
    "StackedMNIST",
]
