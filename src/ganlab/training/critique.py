"""What the discriminator makes of a minibatch, for losses and their companions to look at."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Opinion:
    """D on one minibatch; all but the images is part of the graph.

    Args:
        images: (N, C, H, W) in [-1, 1], or points (N, d), before augmentation.
        code: (N, code_dim), the condition that the images stand under, e.g. one-hot classes.
        logits: (N,), float32 at least.
        features: (N, F), what D's head sees; None where D does not show them.
        answers: (N, A) of the head that conditioning adds, e.g. class logits; None without one.
    """

    images: Tensor
    code: Tensor
    logits: Tensor
    features: Tensor | None = None
    answers: Tensor | None = None

    def halves(self) -> tuple["Opinion", "Opinion"]:
        """The opinions on the first N / 2 images and on the others."""
        parts = [(None, None) if p is None else p.chunk(2) for p in vars(self).values()]
        first, second = zip(*parts, strict=True)
        return Opinion(*first), Opinion(*second)


@dataclass(frozen=True)
class Critique:
    """One discriminator update: all that a term of D's loss may look at.

    Args:
        critic: D as a function of images alone, (N, C, H, W) -> (N,): augmentation included, each
            row under the condition of the minibatch's row.
        real, fake: D on real images and on generated ones, which are detached from G.
        labeled: D on labeled images, in semi-supervised learning.
    """

    critic: Callable[[Tensor], Tensor]
    real: Opinion
    fake: Opinion
    labeled: Opinion | None = None


def uniform_each(images: Tensor) -> Tensor:
    """Draws of U(0, 1), one for each image (N, C, H, W) or point (N, d), that broadcast over it."""
    return torch.rand_like(images[(slice(None), *(slice(1) for _ in images.shape[1:]))])


def full(logits: Tensor) -> Tensor:
    """Logits in float32 at least: losses average them, which half precision does badly."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
