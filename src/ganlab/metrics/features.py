"""Extractors: frozen networks that turn images into the features for scores."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Features(NamedTuple):
    """vectors: float32 (N, d); logits: float32 (N, K), over the extractor's classes."""

    vectors: Tensor
    logits: Tensor


class Extractor(nn.Module):
    """A frozen network: uint8 images (N, C, H, W) in 0..255 -> Features.

    Args:
        name: part of the names of scores: inception, classifier-mnist.
        weights: sha256 of the weights, 64 hexadecimal digits.
        preparation: describes the preprocessing of images.
        dim: d, dimension of the feature vectors.
        classes: K, logits per image.
    """

    names_classes = False  # whether the classes are the data's own, so that they can be counted

    def __init__(self, name: str, weights: str, preparation: str, dim: int, classes: int) -> None:
        super().__init__()
        self.name, self.weights, self.preparation = name, weights, preparation
        self.dim, self.classes = dim, classes

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits; features are compared only if the fingerprints are equal."""
        return short_hash(f"{self.name} {self.weights} {self.preparation}")

    def forward(self, images: Tensor) -> Features:
        raise NotImplementedError


def short_hash(text: str) -> str:
    """The first 16 hexadecimal digits of the sha256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextmanager
def exact_float32() -> Iterator[None]:
    """Disables TF32 for convolutions and matrix products, because it changes scores on GPUs."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
