"""Bounds of many images at once: each as if it were alone, in bounded memory."""

import functools
import math

import pytest
import torch

from ganlab.training.importance import bounds, importance_weighted
from ganlab.training.streams import Stream, stream

X = torch.linspace(-1, 1, 9)[:, None]
random = functools.partial(stream, "cpu", 5, Stream.LIKELIHOOD)


def log_weights(x, samples, generators):
    """Weights exp(x + noise)."""
    noise = [torch.randn(samples, generator=own, dtype=torch.float64) for own in generators]
    return x + torch.stack(noise)


def test_the_bound_is_the_log_of_the_mean_weight():
    weights = torch.tensor([[1.0, 3.0], [2.0, 2.0]])
    expected = torch.tensor([2.0, 2.0]).log()
    torch.testing.assert_close(importance_weighted(weights.log(), dim=1), expected)


@pytest.mark.parametrize("samples", [1, 7, 64, 65, 200])
@pytest.mark.parametrize("at_once", [1, 64, 10_000])
def test_an_image_s_bound_is_what_it_is_alone(samples, at_once):
    together = bounds(log_weights, X, samples, random, at_once)
    alone = [
        bounds(log_weights, X[i : i + 1], samples, lambda _, i=i: random(i), at_once)
        for i in range(len(X))
    ]
    torch.testing.assert_close(together, torch.cat(alone))
    assert (together.diff() != (X[1] - X[0]).item()).all(), "all have the same noise"


@pytest.mark.parametrize("samples", [1, 7, 64, 65, 200])
def test_no_more_is_computed_at_once_than_allowed(samples):
    sizes = []

    def counted(x, k, generators):
        assert len(x) == len(generators)
        sizes.append(len(x) * k)
        return log_weights(x, k, generators)

    found = bounds(counted, X, samples, random, at_once=64)
    assert max(sizes) <= 64
    assert sum(sizes) == len(X) * samples
    if samples > 1:  # the mean of exp(noise) is exp(1/2)
        near = (X[:, 0] + 0.5 - found).abs().mean().item()
        assert near < 4 / math.sqrt(samples)


def test_at_least_one_sample_is_asked_for():
    with pytest.raises(ValueError, match="samples must be at least 1"):
        bounds(log_weights, X, 0, random)
