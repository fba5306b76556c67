"""Inception Score and kernel distance, and what is asked of every score and refused by it."""

import math

import numpy as np
import pytest
import torch

from arrays import column, normal, tensor
from ganlab.metrics import (
    Moments,
    frechet_distance,
    inception_score,
    kernel_distance,
    memorisation,
    nearest,
    neighbourhood,
    neighbourhood_by_class,
)
from ganlab.metrics.kernel import squared_mmd

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
    with pytest.raises(ValueError, match=r"^10 splits need at least 10 images, got 9$"):
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


# What every score refuses


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_features_that_are_not_finite_are_refused(value):
    bad, good = column(0.0, 1.0, value), column(0.0, 1.0, 2.0)
    calls = [
        ("features", lambda: Moments.of(bad)),
        ("features", lambda: kernel_distance(bad, good, size=2)),
        ("features", lambda: kernel_distance(good, bad, size=2)),
        ("features", lambda: neighbourhood(bad, good, k=1)),
        ("features", lambda: neighbourhood(good, bad, k=1)),
        ("features", lambda: neighbourhood_by_class(bad, torch.zeros(3).long(), good, 1, k=1)),
        ("features", lambda: nearest(bad, good)),
        ("features", lambda: nearest(good, bad)),
        ("features", lambda: memorisation(bad, good, good)),
        ("features", lambda: memorisation(good, bad, good)),
        ("features", lambda: memorisation(good, good, bad)),
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


def test_one_image_has_the_scores_that_one_image_can_have():
    """A Frechet distance, a kernel distance and balls need more, and say so."""
    one, many = normal(1, 3), normal(9, 3, 1)
    assert inception_score(one, splits=1) == (pytest.approx(1, abs=1e-14), 0)
    distances, _ = nearest(one, one)
    assert distances.item() == 0
    assert memorisation(many, one, one) == 0.5
    for call, message in (
        (lambda: frechet_distance(Moments.of(many), Moments.of(one)), "needs at least 2 features"),
        (lambda: inception_score(one), "10 splits need at least 10 images, got 1"),
        (lambda: kernel_distance(many, one, size=2), "subsets of 2 are too large for 9 and 1"),
        (lambda: neighbourhood(many, one, 1), "k = 1 needs more images of each kind, got 9 and 1"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


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
