"""Which classes are generated, and how evenly: counted from a classifier's predictions."""

from typing import NamedTuple

import torch
from torch import Tensor


class ClassBalance(NamedTuple):
    """modes: classes that occur among the generated images (Srivastava et al. 2017).

    kl: KL(generated || reference) in nats, 0 or more (Metz et al. 2017, section 3.3.1).
    """

    modes: int
    kl: float


def class_balance(generated: Tensor, reference: Tensor | None = None) -> ClassBalance:
    """Both of histograms of predicted classes.

    Chance alone makes the KL of n images about (K - 1) / (2 n): .0192 of 26,000 in 1,000 classes.
    What is near that is as good as can be seen.

    A class that is generated but not in the reference counts there as half an image: the KL
    would be infinite, and one odd image would hide all else.

    Args:
        generated: int64 (K,), how many generated images have each class.
        reference: int64 (K,), of real images by the same classifier, which has its own errors;
            None: all classes are meant to be as frequent, as those of stacked MNIST.

    Raises:
        ValueError: they are not counts of as many classes, or a histogram is empty.
    """
    counts = generated, torch.ones_like(generated) if reference is None else reference
    for name, histogram in zip(("generated", "reference"), counts, strict=True):
        refuse_unless_counts(name, histogram)
    if counts[0].shape != counts[1].shape:
        raise ValueError(f"histograms have {len(counts[0])} and {len(counts[1])} classes")
    found, expected = (histogram.double().cpu() for histogram in counts)
    occurs = found > 0
    expected[occurs] = expected[occurs].clamp(min=0.5)
    p, q = found / found.sum(), expected / expected.sum()
    kl = (torch.special.xlogy(p, p) - torch.special.xlogy(p, q)).sum()
    return ClassBalance(int(occurs.sum()), max(kl.item(), 0.0))


def refuse_unless_counts(name: str, histogram: Tensor) -> None:
    """Raise ValueError unless it is a histogram (K,) of integers, not all of them 0."""
    whole = not histogram.is_floating_point() and histogram.ndim == 1
    if not whole or (histogram < 0).any():
        raise ValueError(f"{name} must be counts of shape (K,), got {histogram}")
    if not histogram.any():
        raise ValueError(f"{name} is an empty histogram")
