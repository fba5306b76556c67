"""Mean and covariance of features in parts, in one process and in two."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from arrays import column, normal, off
from conftest import ROOT
from ganlab.metrics import Moments, frechet_distance


@pytest.mark.parametrize("sizes", [[100], [1] * 100, [99, 1], [0, 7, 50, 43]])
def test_moments_do_not_depend_on_the_division_into_batches(sizes):
    features = normal(100, 5) + 1
    moments = Moments(5)
    for part in features.split(sizes):
        assert moments.update(part) is moments
    assert moments.n == 100
    assert off(moments.mean, features.numpy().mean(axis=0)) < 1e-12
    assert off(moments.covariance, np.cov(features.numpy(), rowvar=False)) < 1e-12
    assert torch.equal(moments.covariance, moments.covariance.T)


def test_the_mean_of_the_batches_covariances_is_rejected():
    """The usual mistake: what each batch's own mean takes off is lost."""
    features = normal(100, 5) + 1
    parts = [np.cov(part.numpy(), rowvar=False) for part in features.split(10)]
    assert off(np.mean(parts, axis=0), np.cov(features.numpy(), rowvar=False)) > 1e-2


@pytest.mark.parametrize(("dtype", "wrong"), [(torch.float32, 1e-8), (torch.float16, 1e-5)])
def test_features_of_any_precision_are_summed_in_float64(dtype, wrong):
    """Summed in their own precision, as by `features.T @ features`, they fail the bar by far."""
    features = (normal(3000, 4) + 2).to(dtype)
    exact = np.cov(features.double().numpy(), rowvar=False)
    assert off(Moments.of(features).covariance, exact) < 1e-12
    mistaken = Moments(4)
    mistaken.n = len(features)
    mistaken.sum, mistaken.products = features.sum(dim=0).double(), (features.T @ features).double()
    assert not off(mistaken.covariance, exact) < wrong


def test_a_covariance_is_divided_by_n_minus_1():
    features = column(1.0, 2.0, 6.0)  # mean 3, squares 4 + 1 + 9
    assert Moments.of(features).covariance.item() == pytest.approx(7, rel=1e-14)
    assert Moments.of(features).covariance.item() != pytest.approx(14 / 3, rel=0.3)  # by n


@pytest.mark.parametrize(("offset", "bar"), [(1, 2e-14), (1e3, 1e-8)])
def test_a_mean_far_from_0_costs_the_digits_that_moments_promise(offset, bar):
    """The relative error is about the square of mean over spread, times float64's 1e-16 or more."""
    features = normal(1000, 5) + offset
    assert off(Moments.of(features).covariance, np.cov(features.numpy(), rowvar=False)) < bar


def test_moments_keep_no_graph():
    features = normal(6, 2).requires_grad_()
    assert not Moments.of(features).covariance.requires_grad


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_features_have_no_covariance(n):
    few = Moments.of(torch.zeros(n, 3))
    for call in (lambda: few.covariance, lambda: frechet_distance(few, Moments.of(normal(9, 3)))):
        with pytest.raises(ValueError, match=f"^a covariance needs at least 2 features, got {n}$"):
            call()


GATHER = """
import sys
import torch
from torch import distributed
from ganlab.metrics import Moments

folder, rank = sys.argv[1], int(sys.argv[2])
store = distributed.FileStore(f"{folder}/store", 2)
distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
own = Moments.of(torch.load(f"{folder}/features-{rank}.pt"))
total = own.gathered()
torch.save((own.n, own.mean, total.n, total.mean, total.covariance), f"{folder}/{rank}.pt")
distributed.destroy_process_group()
"""


def test_the_gathered_moments_of_two_processes_equal_those_of_one(tmp_path):
    """Of unequal shares, on both ranks; each keeps its own."""
    features = normal(30, 4) + 1
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
    running = []
    for rank, part in enumerate(features.split([11, 19])):
        torch.save(part.clone(), tmp_path / f"features-{rank}.pt")
        command = [sys.executable, "-c", GATHER, str(tmp_path), str(rank)]
        running.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE))
    errors = [process.communicate(timeout=120)[1].decode() for process in running]
    assert [process.returncode for process in running] == [0, 0], errors
    one = Moments.of(features)
    for rank, share in ((0, 11), (1, 19)):
        own, own_mean, n, mean, covariance = torch.load(tmp_path / f"{rank}.pt")
        assert (own, n) == (share, 30)
        assert torch.equal(own_mean, Moments.of(features.split([11, 19])[rank]).mean)
        torch.testing.assert_close(mean, one.mean, rtol=1e-13, atol=0)
        torch.testing.assert_close(covariance, one.covariance, rtol=1e-12, atol=1e-15)


def test_the_sum_of_moments_is_that_of_all_features_together():
    features = normal(40, 3) + 1
    parts = [Moments.of(part) for part in features.split([1, 9, 30])]
    whole, total = Moments.of(features), parts[0] + parts[1] + parts[2]
    assert (total.n, [part.n for part in parts]) == (40, [1, 9, 30])
    assert off(total.covariance, whole.covariance) < 1e-13
    assert off(total.mean, whole.mean) < 1e-13
    with pytest.raises(ValueError, match=r"^features have 3 and 2 dimensions$"):
        parts[0] + Moments.of(normal(5, 2))
