"""Which classes are generated, and how evenly, from a classifier's predictions."""

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
    """Number of classes and KL divergence, from histograms of predicted classes.

    Sampling alone gives n images of a perfect generator a KL of about (K - 1) / (2 n): .0192 for
    26,000 images in 1,000 classes.  A KL near that value cannot be distinguished from 0.

    A class that is generated but missing in the reference counts there as half an image.
    Otherwise a single image of it would make the KL infinite.

    Args:
        generated: int64 (K,), number of generated images per class.
        reference: int64 (K,), of real images by the same classifier, so that its errors cancel;
            None: all classes are equally frequent, as in stacked MNIST.

    Raises:
        ValueError: the numbers of classes differ, or a histogram is empty or not one of counts.
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
    """Raise ValueError unless the histogram (K,) has non-negative integers, not all of them 0."""
    whole = not histogram.is_floating_point() and histogram.ndim == 1
    if not whole or (histogram < 0).any():
        raise ValueError(f"{name} must be counts of shape (K,), got {histogram}")
    if not histogram.any():
        raise ValueError(f"{name} is an empty histogram")
