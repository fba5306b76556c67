"""The Frechet distance against closed forms, and what more images would make of it."""

import functools
import math
import operator

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from arrays import normal, tensor
from ganlab.metrics import Moments, frechet, frechet_distance, frechet_infinity
from ganlab.metrics.frechet import (
    cholesky,
    distance_from,
    square_root,
    trace_of_common_root,
)
from ganlab.metrics.infinity import at_zero, doubtful, mean_point, runs_of, variance


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


@pytest.mark.parametrize("rank", [64, 40, 1, 0])
def test_known_normals_in_many_dimensions_are_right_to_1e_9(rank):
    """Variances from 1e-6 to 1, some 0 in one set; turned, so that no axis is special."""
    a = torch.logspace(-6, 0, 64, dtype=torch.float64)
    b = a.flip(0) * (torch.arange(64) < rank)
    turn, move = rotation(64), normal(64, 1, 1).squeeze()
    first, second = ((turn * values @ turn.T).tolist() for values in (a, b))
    exact = (move.square().sum() + (a.sqrt() - b.sqrt()).square().sum()).item()
    sets = gaussian([0.0] * 64, first), gaussian(move.tolist(), second)
    for one, other in (sets, sets[::-1]):
        assert frechet_distance(one, other) == pytest.approx(exact, rel=1e-9)


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


def spread_over(smallest, d=32, seed=0):
    """A covariance whose roots go from 1 down to the smallest, in directions of its own."""
    turn = rotation(d, seed)
    return turn * torch.logspace(0, 2 * math.log10(smallest), d, dtype=torch.float64) @ turn.T


def by_symmetric_roots(a, b):
    return torch.linalg.svdvals(square_root(a).T @ square_root(b)).sum()


@pytest.mark.parametrize("smallest", [0.5, 1e-2, 1e-5])
def test_the_quick_way_needs_no_symmetric_roots(smallest, monkeypatch):
    a, b = spread_over(smallest), spread_over(smallest, seed=1)
    exact = by_symmetric_roots(a, b).item()
    monkeypatch.setattr(frechet, "square_root", None)
    assert trace_of_common_root(a, b).item() == pytest.approx(exact, rel=1e-9)


def test_features_that_one_set_has_constant_are_left_out(monkeypatch):
    """Others in each set; the distance is that by symmetric roots, which need not be taken."""
    a, b = spread_over(0.1), spread_over(0.1, seed=1)
    for covariance, constant in ((a, [3, 8]), (b, [8, 20])):
        covariance[constant] = covariance[:, constant] = 0
    exact = by_symmetric_roots(a, b).item()
    nothing = trace_of_common_root(torch.zeros_like(a), b)
    monkeypatch.setattr(frechet, "square_root", None)
    assert trace_of_common_root(a, b).item() == pytest.approx(exact, rel=1e-12)
    assert nothing == 0


@pytest.mark.parametrize("smallest", [1e-7, 1e-9, 0])
def test_a_covariance_near_a_singular_one_is_taken_the_long_way(smallest):
    a, b = spread_over(max(smallest, 1e-30)), spread_over(0.5, seed=1)
    assert cholesky(a) is None
    assert cholesky(b) is not None
    for pair in ((a, b), (b, a), (a, a)):
        assert torch.equal(trace_of_common_root(*pair), by_symmetric_roots(*pair))


def test_the_quick_way_is_not_exact_for_singular_covariances(monkeypatch):
    """So it must be told which are: made positive by as little as rounding they pass for others."""
    features = normal(33, 40), 2 * normal(30, 40, 1)
    a, b = (Moments.of(x).covariance + 1e-14 * torch.eye(40) for x in features)
    centered = [(x - x.mean(dim=0)) / math.sqrt(len(x) - 1) for x in features]
    exact = torch.linalg.svdvals(centered[0] @ centered[1].T).sum().item()
    assert trace_of_common_root(a, b).item() == pytest.approx(exact, rel=1e-12)
    monkeypatch.setattr(frechet, "SINGULAR", 0)
    assert trace_of_common_root(a, b).item() != pytest.approx(exact, rel=1e-9)


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


# Infinitely many images


def far_apart(seed=0, d=16):
    """(real moments, root of the generated covariance, mean, distance): normals that one knows."""
    a, b = (normal(d, d, seed + i) / 4 for i in (1, 2))
    covariances = [x @ x.T + 0.1 * torch.eye(d, dtype=torch.float64) for x in (a, b)]
    mean = normal(1, d, seed + 3)[0] / 10
    real = gaussian([0.0] * d, covariances[0].tolist())
    exact = frechet_distance(real, gaussian(mean.tolist(), covariances[1].tolist()))
    return real, torch.linalg.cholesky(covariances[1]), mean, exact


def of_a_line(real, blocks):
    """The wrong method: a line through the distances of a fifth, a half and all, and the jackknife
    of all of it, with cyclic runs torn where a block is left out."""
    distance, count = distance_from(real), len(blocks)
    lengths, full = (count // 5, count // 2), frozenset(range(count))

    @functools.cache
    def known(run):
        union = functools.reduce(operator.add, (blocks[i] for i in sorted(run)))
        return union.n, distance(union)

    def value(among):
        parts = [[known(r) for r in runs_of(m, count) if r <= among] for m in lengths]
        n, y = np.transpose([mean_point(part) for part in (*parts, [known(among)])])
        return np.polyfit(1 / n, y, 1)[1]

    without = [value(full - {i}) for i in full]
    reach = 2.093 * math.sqrt(count - 1) * np.std(without)  # t of 19 degrees
    return value(full), value(full) - reach, value(full) + reach


def repeated(method, ratio, d=16, times=150):
    """(errors, whether the interval holds the truth) of white features at a distance of 1/4."""
    real = gaussian([0.0] * d, torch.eye(d).tolist())
    mean = torch.zeros(d, dtype=torch.float64)
    mean[0] = 0.5
    errors, held = [], []
    for seed in range(times):
        features = normal(round(5 * ratio * d), d, 100 + seed) + mean
        value, low, high, *_ = method(real, [Moments.of(x) for x in features.tensor_split(20)])
        errors.append(value - 0.25)
        held.append(low < 0.25 < high)
    return np.array(errors), np.mean(held)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:frechet_infinity")
@pytest.mark.parametrize("ratio", [1, 3])
def test_the_interval_holds_the_truth_as_often_as_it_says_and_a_lines_does_not(ratio):
    """Over ten times as many sets of images: benchmarks/infinity.py."""
    errors, held = repeated(frechet_infinity, ratio)
    assert abs(errors.mean()) < 4 * errors.std() / math.sqrt(len(errors))
    assert 0.92 <= held <= 0.985
    if ratio == 1:
        errors, held = repeated(of_a_line, ratio, times=40)
        assert abs(errors.mean()) > 8 * errors.std() / math.sqrt(len(errors))
        assert held < 0.92


def test_the_points_are_means_of_distances_by_number_of_images():
    real, root, mean, _ = far_apart()
    blocks = [Moments.of(part) for part in (normal(1000, 16, 9) @ root.T + mean).chunk(10)]
    found = frechet_infinity(real, blocks)
    for length, (n, distance) in zip((5, 8, 10), found.points, strict=True):
        runs = [[blocks[(first + i) % 10] for i in range(length)] for first in range(10)]
        each = [frechet_distance(real, sum(run[1:], run[0])) for run in runs]
        assert n == 100 * length
        assert distance == pytest.approx(np.mean(each), rel=1e-9)
    curve = np.polyfit([1 / n for n, _ in found.points], [y for _, y in found.points], 2)
    assert found.value == pytest.approx(curve[2], rel=1e-9)
    assert found.value - found.low == pytest.approx(found.high - found.value, rel=1e-9)


@pytest.mark.parametrize("wrong", [False, True])
def test_the_variance_of_a_mean_over_pairs_is_unbiased(wrong):
    """Distances that are sums over pairs of blocks alone, whose variance one knows."""
    count, lengths = 20, (10, 18, 20)
    shares = at_zero([1 / m for m in lengths])
    random, values, found = np.random.default_rng(0), [], []
    for _ in range(200):
        own = random.standard_normal((count, count))
        pairs = (own + own.T) / math.sqrt(2)  # variance 1 off the diagonal, 2 on it
        runs = {run for m in (*lengths, 19) for run in runs_of(m, count)}
        known = {r: pairs[np.ix_([*r], [*r])].sum() / len(r) ** 2 for r in runs}
        means = [np.mean([known[run] for run in runs_of(m, count)]) for m in lengths]
        values.append(np.dot(shares, means))
        without = [known[frozenset(range(count)) - {i}] for i in range(count)]
        jackknife = (count - 1) * np.var(without)
        found.append(jackknife if wrong else variance(known, count, lengths, shares)[0])
    close = np.mean(found) == pytest.approx(np.var(values), rel=0.25)
    assert close != wrong


def test_a_bias_of_two_terms_is_taken_off_exactly():
    points = [(n, 3 + 40 / n + 700 / n**2) for n in (10, 25, 50)]
    shares = at_zero([1 / n for n, _ in points])
    assert np.dot(shares, [y for _, y in points]) == pytest.approx(3, rel=1e-13)
    line = np.polyfit([1 / n for n, _ in points], [y for _, y in points], 1)[1]
    assert line != pytest.approx(3, rel=0.1)


def test_few_images_are_doubted_and_fewer_are_refused():
    assert doubtful(15 * 64, 64) == ""
    assert doubtful(50_000, 2048) == ""
    assert "safe from 960 images on, got 500" in doubtful(500, 64)
    sentence = "frechet_infinity of 2,048 dimensions needs at least 10,240 images, got 10,000"
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        doubtful(10_000, 2048)
    real, blocks = far_apart()[0], [Moments.of(part) for part in normal(120, 16).chunk(10)]
    with pytest.warns(UserWarning, match="safe from 240 images on, got 120"):
        frechet_infinity(real, blocks)
    with pytest.raises(ValueError, match="needs at least 80 images, got 72"):
        frechet_infinity(real, blocks[:6])


def test_equal_blocks_leave_no_doubt():
    """Deterministic too."""
    real, block = far_apart()[0], Moments.of(normal(100, 16))
    found = frechet_infinity(real, [block] * 6)
    assert found == frechet_infinity(real, [block] * 6)
    assert found.high - found.low == pytest.approx(0, abs=1e-6)
    assert [n for n, _ in found.points] == [300, 400, 600]


@pytest.mark.filterwarnings("ignore:frechet_infinity")
def test_singular_sets_can_be_extrapolated():
    """Fewer images in a block than dimensions: finite, and the last point is the exact distance."""
    features = normal(200, 40)
    real = Moments.of(normal(30, 40, 1))
    found = frechet_infinity(real, [Moments.of(part) for part in features.chunk(8)])
    exact = frechet_distance(real, Moments.of(features))
    assert found.points[-1] == (200, pytest.approx(exact, rel=1e-6))
    assert all(map(math.isfinite, found[:3]))


def test_blocks_that_cannot_be_extrapolated_are_refused():
    real, blocks = Moments.of(normal(9, 2)), [Moments.of(normal(9, 2, i)) for i in range(6)]
    for given, message in (
        ((real, blocks[:5]), "blocks must be at least 6, got 5"),
        ((Moments.of(normal(9, 3)), blocks), "features have 3 and 2 dimensions"),
        ((Moments(2), blocks), "a covariance needs at least 2 features, got 0"),
        (
            (real, [Moments(2)] * 6),
            "frechet_infinity of 2 dimensions needs at least 10 images, got 0",
        ),
    ):
        with pytest.raises(ValueError, match=f"^{message}$"):
            frechet_infinity(*given)
