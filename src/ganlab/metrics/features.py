"""What turns images into the features that scores are made of, and says which it is."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Features(NamedTuple):
    """vectors: float32 (N, d); logits: float32 (N, K), of the classes that the extractor names."""

    vectors: Tensor
    logits: Tensor


class Extractor(nn.Module):
    """A frozen network: uint8 images (N, C, H, W) in 0..255 -> Features.

    Args:
        name: part of the names of scores: inception, classifier-mnist.
        weights: sha256 of the weights, 64 hexadecimal digits.
        preparation: what is done to images before the network sees them, in words.
        dim: d, numbers per feature vector.
        classes: K, logits per image.
    """

    names_classes = False  # whether these are the data's own classes, which one may count

    def __init__(self, name: str, weights: str, preparation: str, dim: int, classes: int) -> None:
        super().__init__()
        self.name, self.weights, self.preparation = name, weights, preparation
        self.dim, self.classes = dim, classes

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits: features of unlike fingerprints are never compared."""
        return short_hash(f"{self.name} {self.weights} {self.preparation}")

    def forward(self, images: Tensor) -> Features:
        raise NotImplementedError


def short_hash(text: str) -> str:
    """The first 16 hexadecimal digits of its sha256."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextmanager
def exact_float32() -> Iterator[None]:
    """Convolutions and matrix products in whole float32: TF32, which GPUs prefer, moves scores."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
