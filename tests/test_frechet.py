"""The Frechet distance against closed forms, and what more images would make of it."""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from arrays import normal, tensor
from ganlab.metrics import Moments, frechet, frechet_distance, frechet_infinity
from ganlab.metrics.frechet import (
    cholesky,
    intercept,
    square_root,
    trace_of_common_root,
)

STUDENT_4 = 2.776445  # 97.5% of Student's t with 4 degrees of freedom lie below


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


@pytest.fixture(scope="module")
def repeated():
    """(errors of the plain distance, of the extrapolated one, whether its interval held the truth),
    100 times with 2,000 images in ten blocks."""
    real, root, mean, exact = far_apart()
    plain, infinite, held = [], [], []
    for seed in range(100):
        features = normal(2000, 16, 100 + seed) @ root.T + mean
        found = frechet_infinity(real, [Moments.of(part) for part in features.chunk(10)])
        plain.append(frechet_distance(real, Moments.of(features)) - exact)
        infinite.append(found.value - exact)
        held.append(found.low < exact < found.high)
    return np.array(plain), np.array(infinite), np.array(held)


def test_the_extrapolated_distance_is_closer_to_the_truth(repeated):
    """The plain one is too far by its bias, many times its standard error; this one is not."""
    plain, infinite, _ = repeated
    errors = lambda found: found.mean() / (found.std() / math.sqrt(len(found)))
    assert errors(plain) > 4
    assert abs(errors(infinite)) < 3
    assert abs(infinite.mean()) < plain.mean() / 4
    assert np.square(infinite).mean() < np.square(plain).mean()


def test_the_interval_holds_the_truth_about_as_often_as_it_says(repeated):
    *_, held = repeated
    assert 0.85 <= held.mean() <= 1


def test_an_interval_without_the_blocks_dependence_is_rejected(repeated):
    """Runs of blocks overlap; their spread over the root of their number is far too narrow."""
    plain, _, held = repeated
    real, root, mean, exact = far_apart()
    naive = []
    for seed in range(30):
        features = normal(2000, 16, 100 + seed) @ root.T + mean
        blocks = features.chunk(10)
        halves = [torch.cat([blocks[(i + j) % 10] for j in range(5)]) for i in range(10)]
        found = [frechet_distance(real, Moments.of(half)) for half in halves]
        middle = np.mean(found) - 2 * plain.mean()  # without even its bias
        naive.append(abs(middle - exact) < 1.96 * np.std(found) / math.sqrt(10))
    assert np.mean(naive) < 0.6 < held.mean()


def test_the_points_are_means_of_distances_by_number_of_images():
    real, root, mean, _ = far_apart()
    blocks = [Moments.of(part) for part in (normal(1000, 16, 9) @ root.T + mean).chunk(10)]
    found = frechet_infinity(real, blocks)
    for length, (n, distance) in zip((2, 5, 10), found.points, strict=True):
        runs = [[blocks[(first + i) % 10] for i in range(length)] for first in range(10)]
        each = [frechet_distance(real, sum(run[1:], run[0])) for run in runs]
        assert n == 100 * length
        assert distance == pytest.approx(np.mean(each), rel=1e-9)
    line = np.polyfit([1 / n for n, _ in found.points], [y for _, y in found.points], 1)
    assert found.value == pytest.approx(line[1], rel=1e-9)
    assert found.value - found.low == pytest.approx(found.high - found.value, rel=1e-9)


def test_the_interval_is_the_jackknifes():
    """Each block left out in turn, everything else computed anew without it."""
    real, root, mean, _ = far_apart()
    blocks = [Moments.of(part) for part in (normal(500, 16, 9) @ root.T + mean).chunk(5)]
    together = lambda chosen: sum(chosen[1:], chosen[0])
    values = []
    for out in range(5):
        ring = lambda m: [[(first + i) % 5 for i in range(m)] for first in range(5)]
        runs = [[r for r in ring(m) if out not in r] for m in (1, 2)] + [[{*range(5)} - {out}]]
        apart = lambda run: frechet_distance(real, together([blocks[i] for i in sorted(run)]))
        each = [np.mean([apart(run) for run in some]) for some in runs]
        values.append(np.polyfit([1 / 100, 1 / 200, 1 / 400], each, 1)[1])
    error = math.sqrt(4 / 5 * np.square(np.array(values) - np.mean(values)).sum())
    found = frechet_infinity(real, blocks)
    assert found.high - found.value == pytest.approx(
        error * 2.776445,
        rel=1e-6,  # Student's t, 4 degrees
    )


def test_a_bias_of_c_over_n_is_taken_off_exactly():
    points = [(n, 3 + 40 / n) for n in (10, 25, 50)]
    assert intercept(points) == pytest.approx(3, rel=1e-13)
    over_n = np.polyfit(*zip(*points, strict=True), 1)[1]  # a line over n in place of 1 / n
    assert over_n != pytest.approx(3, rel=0.5)


def test_equal_blocks_leave_no_doubt():
    """Deterministic too."""
    real, block = far_apart()[0], Moments.of(normal(100, 16))
    found = frechet_infinity(real, [block] * 4)
    assert found == frechet_infinity(real, [block] * 4)
    assert found.high - found.low == pytest.approx(0, abs=1e-6)
    assert [n for n, _ in found.points] == [100, 200, 400]


def test_singular_sets_can_be_extrapolated():
    """Fewer images in a block than dimensions: finite, and the last point is the exact distance."""
    features = normal(80, 40)
    real = Moments.of(normal(30, 40, 1))
    found = frechet_infinity(real, [Moments.of(part) for part in features.chunk(8)])
    exact = frechet_distance(real, Moments.of(features))
    assert found.points[-1] == (80, pytest.approx(exact, rel=1e-6))
    assert all(map(math.isfinite, found[:3]))


def test_blocks_that_cannot_be_extrapolated_are_refused():
    real, blocks = Moments.of(normal(9, 2)), [Moments.of(normal(9, 2, i)) for i in range(4)]
    for given, message in (
        ((real, blocks[:3]), "blocks must be at least 4, got 3"),
        ((Moments.of(normal(9, 3)), blocks), "features have 3 and 2 dimensions"),
        ((Moments(2), blocks), "a covariance needs at least 2 features, got 0"),
        ((real, [Moments(2)] * 4), "a covariance needs at least 2 features, got 0"),
    ):
        with pytest.raises(ValueError, match=f"^{message}$"):
            frechet_infinity(*given)
