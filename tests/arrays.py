"""Small features for the scores, and how far two results are apart."""

import numpy as np
import torch


def normal(n, d, seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator, **{"dtype": torch.float64, **options})


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def column(*values):
    return tensor(values).unsqueeze(1)


def off(got, expected):
    """The largest error, relative to the largest number."""
    got, expected = np.asarray(got), np.asarray(expected)
    return np.abs(got - expected).max() / np.abs(expected).max()
