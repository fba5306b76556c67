"""Data sets of images (uint8) and points (float32), and the minibatches of Algorithm 1.

May import: errors, metrics, spec, storage, training.
Libraries: PIL, filelock, numpy, pytorch_lightning, sklearn, torch, torchvision, tqdm.
"""

from ganlab.data.folder import Folder
from ganlab.data.images import Images
from ganlab.data.labels import LabelBudget
from ganlab.data.module import ImageData
from ganlab.data.points import Drawn2D, Gaussian1D, Grid2D, Points, Ring2D, SwissRoll2D
from ganlab.data.sources import CIFAR10, CIFAR100, MNIST, STL10, SVHN, Digits, FashionMNIST
from ganlab.data.stacked import StackedMNIST

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "MNIST",
    "STL10",
    "SVHN",
    "Digits",
    "Drawn2D",
    "FashionMNIST",
    "Folder",
    "Gaussian1D",
    "Grid2D",
    "ImageData",
    "Images",
    "LabelBudget",
    "Points",
    "Ring2D",
    "StackedMNIST",
    "SwissRoll2D",
]
