"""Every score against closed forms, plain loops and torch-fidelity, on small features."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from conftest import ROOT
from ganlab.metrics import (
    Moments,
    Neighbourhood,
    frechet_distance,
    inception_score,
    kernel_distance,
    neighbourhood,
)
from ganlab.metrics.kernel import squared_mmd


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


# Moments


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


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_features_that_are_not_finite_are_refused(value):
    bad, good = column(0.0, 1.0, value), column(0.0, 1.0, 2.0)
    calls = [
        ("features", lambda: Moments.of(bad)),
        ("features", lambda: kernel_distance(bad, good, size=2)),
        ("features", lambda: kernel_distance(good, bad, size=2)),
        ("features", lambda: neighbourhood(bad, good, k=1)),
        ("features", lambda: neighbourhood(good, bad, k=1)),
        ("logits", lambda: inception_score(bad, splits=1)),
    ]
    for name, call in calls:
        with pytest.raises(ValueError, match=f"^{name} must be finite$"):
            call()


def test_features_of_another_shape_are_refused():
    rows, three, flat = torch.zeros(4, 2), torch.zeros(4, 3), torch.zeros(4)
    two = lambda a, b: f"features have {a} and {b} dimensions"
    shape = lambda wanted, got: f"features must have shape {wanted}, got {got}"
    calls = [
        (shape("(N, 3)", "(4, 2)"), lambda: Moments(3).update(rows)),
        (shape("(N, 3)", "(4,)"), lambda: Moments(3).update(flat)),
        (shape("(N, d)", "(4,)"), lambda: kernel_distance(flat, rows, size=2)),
        (shape("(N, d)", "(1, 4, 2)"), lambda: neighbourhood(rows.unsqueeze(0), rows)),
        ("logits must have shape (N, d), got (4,)", lambda: inception_score(flat)),
        (two(2, 3), lambda: frechet_distance(Moments.of(rows), Moments.of(three))),
        (two(3, 2), lambda: kernel_distance(three, rows, size=2)),
        (two(2, 3), lambda: neighbourhood(rows, three)),
    ]
    for message, call in calls:
        with pytest.raises(ValueError) as refused:
            call()
        assert str(refused.value) == message


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


# The Frechet distance


def gaussian(mean, covariance, n=1000):
    """Moments of exactly this mean and covariance."""
    mean, covariance = tensor(mean), tensor(covariance)
    moments = Moments(len(mean))
    moments.n, moments.sum = n, n * mean
    moments.products = (n - 1) * covariance + n * torch.outer(mean, mean)
    return moments


def rotation(d, seed=0):
    return torch.linalg.qr(normal(d, d, seed)).Q


def test_the_distance_of_two_normals_on_a_line_is_that_of_means_and_deviations():
    a, b = gaussian([1.0], [[4.0]]), gaussian([-2.0], [[25.0]])
    assert frechet_distance(a, b) == pytest.approx(3**2 + (2 - 5) ** 2, rel=1e-12)


def test_commuting_covariances_are_apart_by_their_roots():
    """Diagonal ones, and the same turned: nothing changes when both sets are turned."""
    a, b = tensor([4.0, 1.0, 0.25]), tensor([1.0, 9.0, 0.0])
    move = tensor([1.0, -2.0, 2.0])
    exact = 9 + (a.sqrt() - b.sqrt()).square().sum().item()
    for turn in (torch.eye(3, dtype=torch.float64), rotation(3)):
        made = [(turn @ values.diag() @ turn.T).tolist() for values in (a, b)]
        far = gaussian((turn @ move).tolist(), made[1])
        assert frechet_distance(gaussian([0.0] * 3, made[0]), far) == pytest.approx(exact, abs=1e-9)


def test_covariances_that_do_not_commute_have_a_closed_form_in_the_plane():
    """tr M^(1/2) = (tr M + 2 det(M)^(1/2))^(1/2) of 2 x 2 matrices M = S_a S_b."""
    a, b = tensor([[9.0, 0.0], [0.0, 0.1]]), tensor([[2.0, 1.8], [1.8, 2.0]])
    product = a @ b
    root = math.sqrt(product.trace() + 2 * math.sqrt(torch.linalg.det(product)))
    exact = (a.trace() + b.trace()).item() - 2 * root
    zero = [0.0, 0.0]
    found = frechet_distance(gaussian(zero, a.tolist()), gaussian(zero, b.tolist()))
    assert found == pytest.approx(exact, abs=1e-9)
    # The usual shortcut, the product of the roots, is right for commuting matrices only.
    apart = sqrtm(a.numpy()) - sqrtm(b.numpy())
    assert np.square(apart).sum() > exact + 1e-2


def test_the_distance_is_that_by_scipys_matrix_root():
    a, b = normal(50, 8) @ normal(8, 8, 1), 2 * normal(40, 8, 2) + 0.3
    covariances = [np.cov(x.numpy(), rowvar=False) for x in (a, b)]
    common = np.trace(sqrtm(covariances[0] @ covariances[1])).real
    means = np.square((a.mean(dim=0) - b.mean(dim=0)).numpy()).sum()
    exact = means + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * common
    assert frechet_distance(Moments.of(a), Moments.of(b)) == pytest.approx(exact, rel=1e-10)


def test_a_set_is_at_distance_0_of_itself_and_moving_it_costs_the_square():
    features = normal(200, 6)
    itself, moved = Moments.of(features), Moments.of(features + 0.5)
    assert frechet_distance(itself, itself) == pytest.approx(0, abs=1e-12)
    assert frechet_distance(itself, moved) == pytest.approx(6 * 0.25, rel=1e-11)


def in_the_span(a, b):
    """The distance without any covariance: tr (S_a S_b)^(1/2) from the singular values of A B^T."""
    means = (a.mean(dim=0) - b.mean(dim=0)).square().sum()
    a, b = ((x - x.mean(dim=0)) / math.sqrt(len(x) - 1) for x in (a, b))
    common = torch.linalg.svdvals(a @ b.T).sum()
    return (means + a.square().sum() + b.square().sum() - 2 * common).item()


@pytest.mark.parametrize(("n", "m"), [(10, 12), (10, 200), (200, 10), (2, 2)])
def test_fewer_images_than_dimensions_give_the_exact_distance(n, m):
    """To 1e-11; roots of eigenvalues of S_a S_b, where rounding shows as its root, give 1e-9."""
    a, b = normal(n, 40) + 0.5, 2 * normal(m, 40, 1)
    found, exact = frechet_distance(Moments.of(a), Moments.of(b)), in_the_span(a, b)
    assert found == pytest.approx(exact, rel=1e-11)


def test_roots_of_the_products_eigenvalues_are_less_exact():
    """What the bar above is for: the usual way, on the same features."""
    a, b = normal(10, 40) + 0.5, 2 * normal(12, 40, 1)
    covariances = [np.cov(x.numpy(), rowvar=False) for x in (a, b)]
    values = np.linalg.eigvals(covariances[0] @ covariances[1]).astype(complex)
    means = np.square((a.mean(dim=0) - b.mean(dim=0)).numpy()).sum()
    usual = means + sum(map(np.trace, covariances)) - 2 * np.sqrt(values).real.sum()
    assert usual != pytest.approx(in_the_span(a, b), rel=1e-10)


def test_the_distance_is_symmetric_and_the_same_for_turned_features():
    a, b = normal(100, 7) + 0.2, normal(80, 7, 1) @ normal(7, 7, 2)
    found = frechet_distance(Moments.of(a), Moments.of(b))
    turn = rotation(7)
    for first, second in ((b, a), (a @ turn, b @ turn)):
        turned = frechet_distance(Moments.of(first), Moments.of(second))
        assert turned == pytest.approx(found, rel=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, 100.0])
def test_constant_features_have_the_distance_of_a_point(value):
    """A generator that makes one image only: no covariance, but rounding of either sign."""
    point, features = Moments.of(torch.full((50, 6), value)), normal(100, 6)
    value = torch.tensor(value).item()  # as float32 has it
    apart = (features.mean(dim=0) - value).square().sum() + features.var(dim=0).sum()
    spread = Moments.of(features)
    for found in (frechet_distance(point, spread), frechet_distance(spread, point)):
        assert found == pytest.approx(apart.item(), rel=1e-6)
    assert frechet_distance(point, point) == pytest.approx(0, abs=1e-12 * max(1, value**2))
    other = Moments.of(torch.full((9, 6), value + 1))
    assert frechet_distance(point, other) == pytest.approx(6, rel=1e-6)


@pytest.mark.parametrize(("n", "d"), [(500, 16), (64, 32)])
def test_the_distance_is_torch_fidelitys(n, d):
    fid = pytest.importorskip("torch_fidelity.metric_fid")
    a, b = normal(n, d) @ normal(d, d, 1), normal(n + 10, d, 2).relu()
    statistics = [fid.fid_features_to_statistics(x) for x in (a, b)]
    (theirs,) = fid.fid_statistics_to_metric(*statistics, verbose=False).values()
    assert frechet_distance(Moments.of(a), Moments.of(b)) == pytest.approx(theirs, rel=1e-9)


# The Inception Score


def by_hand(logits):
    """exp of the mean over images of sum_y p(y|x) log(p(y|x) / p(y)), term by term."""
    p = [[math.exp(x) / math.fsum(map(math.exp, row)) for x in row] for row in logits.tolist()]
    marginal = [math.fsum(column) / len(p) for column in zip(*p, strict=True)]
    terms = (q * math.log(q / m) for row in p for q, m in zip(row, marginal, strict=True))
    return math.exp(math.fsum(terms) / len(p))


def test_the_score_is_1_of_uniform_predictions_and_of_equal_ones():
    for logits in (torch.zeros(20, 7), normal(1, 7).expand(20, 7)):
        mean, std = inception_score(logits, splits=4)
        assert (mean, std) == (pytest.approx(1, abs=1e-14), pytest.approx(0, abs=1e-14))


@pytest.mark.parametrize("certainty", [50.0, 1e4])
def test_the_score_of_certain_and_balanced_predictions_is_the_number_of_classes(certainty):
    logits = (certainty * torch.eye(7)).repeat(8, 1)
    assert inception_score(logits, splits=1) == (pytest.approx(7, rel=1e-12), 0)


def test_the_score_is_the_papers_formula_on_each_part():
    logits = 3 * normal(30, 4)
    for splits in (1, 3, 30):
        scores = [by_hand(part) for part in logits.chunk(splits)]
        mean, std = inception_score(logits, splits, seed=None)
        assert mean == pytest.approx(np.mean(scores), rel=1e-13)
        assert std == pytest.approx(np.std(scores), rel=1e-12, abs=1e-14)


def test_every_image_is_in_a_part_when_they_do_not_divide():
    logits = 3 * normal(11, 4)
    expected = np.mean([by_hand(part) for part in logits.split([4, 4, 3])])
    assert inception_score(logits, 3, seed=None)[0] == pytest.approx(expected, rel=1e-13)


def test_ordered_images_are_shuffled_before_they_are_split():
    """Generated class by class, each part has one class: in the given order the score is 1."""
    logits = (50 * torch.eye(10)).repeat_interleave(100, dim=0)
    assert inception_score(logits, 10, seed=None)[0] == pytest.approx(1, abs=1e-12)
    first, again, other = (inception_score(logits, 10, seed)[0] for seed in (0, 0, 1))
    assert 9 < first < 10
    assert first == again != other


def test_the_score_leaves_torchs_random_state_alone():
    before = torch.get_rng_state()
    inception_score(normal(20, 3), 2)
    kernel_distance(normal(9, 2), normal(9, 2), 2, 5)
    assert torch.equal(before, torch.get_rng_state())


def test_a_float32_logarithm_in_the_score_is_rejected():
    """log n rounded to float32 scales the score by more than the bars here allow."""
    for n in (11, 30, 100):
        error = torch.tensor(float(n)).log().item() - math.log(n)
        assert abs(math.expm1(error)) > 1e-9


@pytest.mark.parametrize("shuffle", [False, True])
def test_the_score_is_torch_fidelitys(shuffle):
    isc = pytest.importorskip("torch_fidelity.metric_isc")
    logits = 2 * normal(1000, 6)
    theirs = isc.isc_features_to_metric(logits, splits=10, shuffle=shuffle, rng_seed=5)
    if shuffle:
        logits = logits[np.random.RandomState(5).permutation(len(logits))]
    ours = inception_score(logits, 10, seed=None)
    assert ours == pytest.approx(tuple(theirs.values()), rel=1e-10)


def test_the_score_needs_an_image_for_each_split():
    with pytest.raises(ValueError, match=r"^10 splits need as many images at least, got 9$"):
        inception_score(torch.zeros(9, 3))
    with pytest.raises(ValueError, match=r"^splits must be at least 1, got 0$"):
        inception_score(torch.zeros(9, 3), 0)


# The kernel distance


def kernel(x, y):
    return (math.fsum(u * v for u, v in zip(x, y, strict=True)) / len(x) + 1) ** 3


def test_the_squared_mmd_is_the_papers_sum_over_pairs():
    a, b = normal(6, 3).tolist(), (normal(6, 3, 1) + 0.5).tolist()
    pairs = [(i, j) for i in range(6) for j in range(6)]
    within = sum(kernel(x[i], x[j]) for x in (a, b) for i, j in pairs if i != j) / 30
    across = sum(kernel(a[i], b[j]) for i, j in pairs) / 36
    found = squared_mmd(tensor(a), tensor(b)).item()
    assert found == pytest.approx(within - 2 * across, rel=1e-12)


def test_the_estimate_is_unbiased():
    """Its mean is 0 for equal distributions; with the diagonals kept, as is usual, it is not."""
    draws, biased = [], []
    for seed in range(400):
        a, b = normal(20, 3, seed).split(10)
        draws.append(squared_mmd(a, b).item())
        kernels = [((x @ y.T) / 3 + 1) ** 3 for x, y in ((a, a), (b, b), (a, b))]
        biased.append(sum(w * k.mean().item() for w, k in zip((1, 1, -2), kernels, strict=True)))
    errors = lambda found: abs(np.mean(found)) / (np.std(found) / math.sqrt(len(found)))
    assert errors(draws) < 3
    assert errors(biased) > 10


def test_the_kernel_distance_is_the_mean_over_subsets_by_the_seed():
    real, fake = normal(30, 4), normal(25, 4, 1) + 0.3
    generator = torch.Generator().manual_seed(3)
    draws = []
    for _ in range(5):
        chosen = [torch.randperm(n, generator=generator)[:10] for n in (30, 25)]
        draws.append(squared_mmd(real[chosen[0]], fake[chosen[1]]).item())
    found = kernel_distance(real, fake, 5, 10, seed=3)
    assert found == pytest.approx((np.mean(draws), np.std(draws)), rel=1e-12)
    assert found == kernel_distance(real, fake, 5, 10, seed=3)
    assert found != kernel_distance(real, fake, 5, 10, seed=4)


def test_half_precision_features_are_compared_in_float64():
    real, fake = normal(20, 4).half(), (normal(20, 4, 1) + 1).half()
    exact = kernel_distance(real.double(), fake.double(), 3, 10)
    assert kernel_distance(real, fake, 3, 10) == exact
    assert neighbourhood(real, fake) == neighbourhood(real.double(), fake.double())
    assert inception_score(real, 2) == inception_score(real.double(), 2)


@pytest.mark.parametrize("offset", [0, 0.5])
def test_the_kernel_distance_is_torch_fidelitys(offset):
    """On whole sets, whose subsets are the same in any order."""
    kid = pytest.importorskip("torch_fidelity.metric_kid")
    real, fake = normal(50, 8).relu(), normal(50, 8, 1).relu() + offset
    theirs = kid.kid_features_to_metric(
        real, fake, kid_subsets=2, kid_subset_size=50, verbose=False
    )
    ours, _ = kernel_distance(real, fake, subsets=2, size=50)
    assert ours == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-9, abs=1e-12)


def test_subsets_must_be_of_two_features_and_no_larger_than_the_sets():
    rows = torch.zeros(9, 2)
    for options, message in (
        ({"size": 10}, "subsets of 10 are too large for 20 and 9 images"),
        ({"size": 1}, "size must be at least 2, got 1"),
        ({"subsets": 0, "size": 5}, "subsets must be at least 1, got 0"),
    ):
        with pytest.raises(ValueError, match=f"^{message}$"):
            kernel_distance(torch.zeros(20, 2), rows, **options)


# Precision, recall, density, coverage


def plain(real, fake, k):
    """The four in numpy, all distances at once, as in the code of Naeem et al. 2020."""
    real, fake = np.asarray(real), np.asarray(fake)
    apart = lambda a, b: np.sqrt(np.square(a[:, None] - b[None]).sum(axis=2))
    reach = lambda a: np.sort(apart(a, a), axis=1)[:, k]
    between = apart(real, fake)
    inside = between < reach(real)[:, None]
    return Neighbourhood(
        inside.any(axis=0).mean(),
        (between < reach(fake)[None]).any(axis=1).mean(),
        inside.sum(axis=0).mean() / k,
        (between.min(axis=1) < reach(real)).mean(),
    )


def test_points_on_a_line_have_the_shares_that_one_counts():
    """k = 1: real balls (-12.5, -12), (-12.25, -11.75), (-1, 1), (0, 2), (1, 5), (3, 11);
    generated ones (-19, -1), (-2.5, 0.5), (-1, 2), (1.25, 2.75), (2, 3.5).

    Of the generated, -1 is on an edge, -10 in no ball, 0.5 in two, 2 and 2.75 in one.
    """
    real, fake = column(-12.25, -12, 0, 1, 3, 7), column(-10, -1, 0.5, 2, 2.75)
    exact = Neighbourhood(precision=3 / 5, recall=5 / 6, density=4 / 5, coverage=3 / 6)
    assert neighbourhood(real, fake, k=1) == pytest.approx(exact, rel=1e-15)
    swapped = neighbourhood(fake, real, k=1)
    assert (swapped.precision, swapped.recall) == (exact.recall, exact.precision)


@pytest.mark.parametrize("k", [1, 3, 5, 39])
def test_the_four_are_those_of_all_distances_at_once(k):
    real, fake = normal(50, 3), 0.7 * normal(40, 3, 1) + 0.4
    assert neighbourhood(real, fake, k) == pytest.approx(plain(real, fake, k), rel=1e-14)


def test_an_image_is_not_its_own_neighbour():
    """Counted as one, as the k-th value in place of the k + 1-st does, the shares are others."""
    real, fake = normal(50, 3), normal(40, 3, 1)
    assert neighbourhood(real, fake, 4) != pytest.approx(plain(real, fake, 3), rel=1e-3)


@pytest.mark.parametrize("rows", [1, 3, 40, 50])
def test_the_rows_at_once_do_not_change_the_shares(rows):
    real, fake = normal(50, 30), normal(41, 30, 1)
    assert neighbourhood(real, fake, rows=rows) == neighbourhood(real, fake)


def test_equal_sets_have_all_shares_1():
    """Density too: a ball holds its centre and k - 1 more, and the k-th is on the edge."""
    features = normal(60, 20)
    assert neighbourhood(features, features) == (1, 1, 1, 1)


def test_sets_far_apart_share_nothing():
    assert neighbourhood(normal(40, 5), normal(40, 5, 1) + 100) == (0, 0, 0, 0)


def test_near_features_far_from_0_keep_their_distances():
    """Multiples of 2^-30 near 1,000: the shares are those near 0, exactly."""
    real, fake = ((x * 2**10).round() * 2.0**-30 for x in (normal(60, 16), normal(50, 16, 1)))
    assert neighbourhood(real + 1000, fake + 1000) == neighbourhood(real, fake)


def test_distances_by_matrix_products_are_rejected_there():
    """torch.cdist's default for more than 25 rows: |a|^2 + |b|^2 - 2 a b."""
    near = 1e-6 * normal(60, 16)
    default, exact = torch.cdist(near + 1000, near + 1000), torch.cdist(near, near)
    assert (default - exact).abs().median() > exact.median() / 2


def test_the_shares_of_kynkaanniemi_are_torch_fidelitys():
    prc = pytest.importorskip("torch_fidelity.metric_prc")
    real, fake = normal(80, 4), 0.6 * normal(70, 4, 1) + 0.5
    theirs = prc.prc_features_to_metric(
        fake, real, prc_neighborhood=3, prc_batch_size=1000, save_cpu_ram=False, verbose=False
    )
    found = neighbourhood(real, fake, k=3)
    expected = (theirs["precision"], theirs["recall"])
    assert (found.precision, found.recall) == pytest.approx(expected, rel=1e-6)  # theirs: float32
    assert 0.2 < found.recall < 0.95


def test_there_must_be_more_than_k_features_of_each_kind():
    rows = normal(5, 2)
    for a, b in ((6, 5), (5, 6)):
        with pytest.raises(
            ValueError, match=rf"^k = 5 needs more images of each kind, got {a} and {b}$"
        ):
            neighbourhood(normal(a, 2), normal(b, 2))
    for name in ("k", "rows"):
        with pytest.raises(ValueError, match=f"^{name} must be at least 1, got 0$"):
            neighbourhood(rows, rows, **{name: 0})


# What the scores are for


@pytest.fixture(scope="module")
def scored():
    """(Frechet distance, kernel distance, Neighbourhood) of generators that fail in known ways."""
    modes = lambda n, seed: normal(n, 4, seed) + 8 * torch.arange(n).remainder(4).unsqueeze(1)
    real, fake = modes(400, 0), modes(400, 1)
    center = real.mean(dim=0)
    sets = {
        "equal": fake,
        "moved": fake + 1,
        "moved more": fake + 2,
        "shrunk": center + 0.3 * (fake - center),
        "modes lost": modes(1600, 2)[torch.arange(1600).remainder(4) < 2][:400],
        "most modes lost": modes(1600, 3)[::4],
        "narrow modes": fake - 0.7 * (fake - (modes(400, 1) - normal(400, 4, 1))),
        "noisy": fake + 2 * normal(400, 4, 4),
    }
    return {
        name: (
            frechet_distance(Moments.of(real), Moments.of(features)),
            kernel_distance(real, features, 10, 100)[0],
            neighbourhood(real, features),
        )
        for name, features in sets.items()
    }


@pytest.mark.parametrize("score", [0, 1])
def test_every_failure_is_farther_away_than_an_equal_set(scored, score):
    """By both distances, and by more the worse it is."""
    far = {name: scores[score] for name, scores in scored.items()}
    assert min(far, key=far.get) == "equal"
    assert far["moved"] < far["moved more"]
    assert far["modes lost"] < far["most modes lost"]


def test_an_equal_set_has_high_shares(scored):
    assert min(scored["equal"][2]) > 0.8


def test_lost_modes_cost_recall_and_coverage_but_no_precision(scored):
    for name, share in (("modes lost", 0.5), ("most modes lost", 0.25)):
        shares = scored[name][2]
        assert shares.recall == pytest.approx(share, abs=0.1)
        assert shares.coverage == pytest.approx(share, abs=0.1)
        assert shares.precision > scored["equal"][2].precision - 0.05


def test_narrow_modes_cost_recall_and_coverage_and_gain_density(scored):
    narrow, equal = scored["narrow modes"][2], scored["equal"][2]
    assert narrow.recall < equal.recall / 2
    assert narrow.coverage < equal.coverage - 0.1
    assert narrow.precision > equal.precision
    assert narrow.density > equal.density + 0.1


def test_noise_and_shifts_cost_precision(scored):
    equal = scored["equal"][2]
    for name in ("noisy", "moved more"):
        assert scored[name][2].precision < equal.precision - 0.2, name
        assert scored[name][2].density < equal.density - 0.2, name
