"""Which images lie among the others' neighbours, against plain loops."""

import math

import numpy as np
import pytest
import torch

from arrays import column, normal
from ganlab.metrics import (
    Neighbourhood,
    memorisation,
    nearest,
    neighbourhood,
    neighbourhood_by_class,
    neighbours,
)
from ganlab.metrics.neighbours import Tile


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


def grid(n, d, seed, values=2):
    """Features of few whole numbers: copies, and many equal distances."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, values, (n, d), generator=generator).double()


def clusters(n, d, seed):
    """Two, 2,000 apart and each 2^-20 wide: no centre is near both."""
    sign = torch.arange(n).remainder(2).mul(2).sub(1).unsqueeze(1)
    return grid(n, d, seed, 1024) * 2.0**-30 + 1000 * sign


DIFFICULT = {  # all exact in float64, so that loops and products may disagree on nothing
    "ties": lambda n, seed: grid(n, 6, seed),
    "more ties": lambda n, seed: grid(n, 2, seed, 5),
    "clusters": lambda n, seed: clusters(n, 8, seed),
    "copies": lambda n, seed: grid(n, 8, seed, 1000)[torch.arange(n) // 4],
    "one point": lambda n, seed: torch.full((n, 3), 0.1, dtype=torch.float64),
    "an outlier": lambda n, seed: grid(n, 5, seed, 9) + 2.0**30 * (torch.arange(n) == 3)[:, None],
}


@pytest.mark.parametrize("name", DIFFICULT)
@pytest.mark.parametrize("rows", [7, 1024])
def test_close_calls_are_decided_by_differences(name, rows):
    real, fake = DIFFICULT[name](60, 0), DIFFICULT[name](48, 1)
    for a, b in ((real, fake), (fake, real), (real, real)):
        assert neighbourhood(a, b, 3, rows) == pytest.approx(plain(a, b, 3), rel=1e-14)


@pytest.mark.parametrize("name", ["ties", "clusters"])
def test_matrix_products_alone_are_rejected_there(name, monkeypatch):
    """torch.cdist's default for more than 25 rows: |a|^2 + |b|^2 - 2 a b."""
    real, fake = (DIFFICULT[name](n, seed) + 0.1 for n, seed in ((60, 0), (48, 1)))
    exact = neighbourhood(real, fake, 3)
    products = lambda tile, i, j: tile.squared[i, j].clamp(min=0).sqrt()
    monkeypatch.setattr(Tile, "exact", products)
    assert neighbourhood(real, fake, 3) != pytest.approx(exact, rel=1e-6)


def test_the_pairs_compared_at_once_do_not_change_a_digit(monkeypatch):
    real, fake = clusters(60, 8, 0) + 0.1, clusters(48, 8, 1) + 0.1
    expected, found = neighbourhood(real, fake, 3), nearest(fake, real, 4)
    for at_once in (1, 2**30):
        monkeypatch.setitem(neighbours.GATHERED, "cpu", at_once)
        assert neighbourhood(real, fake, 3) == expected
        assert all(map(torch.equal, nearest(fake, real, 4), found))


@pytest.mark.parametrize("offset", [0, 1000])
def test_few_pairs_are_close_calls_wherever_the_features_lie(offset, monkeypatch):
    """Only each one's candidates for its k nearest, but for features that are not centred first."""
    real, fake = (1e-6 * normal(n, 8, n) + offset for n in (60, 50))
    asked, exact = [], Tile.exact
    counting = lambda tile, i, j: asked.append(len(i)) or exact(tile, i, j)
    monkeypatch.setattr(Tile, "exact", counting)
    neighbourhood(real, fake, 3)
    assert sum(asked) <= 1.5 * (60 + 50) * (3 + 1)


# The nearest


@pytest.mark.parametrize("name", DIFFICULT)
@pytest.mark.parametrize("k", [1, 4])
def test_the_nearest_are_those_of_all_distances_in_order(name, k):
    """Equal distances by index."""
    queries, bank = DIFFICULT[name](30, 0), DIFFICULT[name](50, 1)
    apart = np.sqrt(np.square(queries.numpy()[:, None] - bank.numpy()[None]).sum(axis=2))
    order = np.argsort(apart, axis=1, kind="stable")[:, :k]
    for rows in (8, 1024):
        distances, indices = nearest(queries, bank, k, rows)
        assert (distances.dtype, indices.dtype) == (torch.float64, torch.int64)
        assert np.array_equal(indices.numpy(), order)
        expected = np.take_along_axis(apart, order, axis=1)
        assert np.allclose(distances.numpy(), expected, rtol=1e-14, atol=0)


def test_a_copy_is_found_at_distance_0():
    bank = normal(200, 64, dtype=torch.float32) + 5
    chosen = torch.tensor([17, 3, 199])
    distances, indices = nearest(bank[chosen], bank)
    assert indices.flatten().tolist() == chosen.tolist()
    assert distances.flatten().tolist() == [0, 0, 0]


def test_the_nearest_need_a_bank_of_as_many():
    with pytest.raises(ValueError, match=r"^k = 3 needs at least 3 images to choose from, got 2$"):
        nearest(normal(5, 2), normal(2, 2), 3)
    with pytest.raises(ValueError, match=r"^features have 2 and 3 dimensions$"):
        nearest(normal(5, 2), normal(5, 3))
    with pytest.raises(ValueError, match=r"^k must be at least 1, got 0; rows must be at least 1"):
        nearest(normal(5, 2), normal(5, 2), 0, 0)


# Memorisation


def test_memorisation_is_the_share_of_pairs_that_one_counts():
    """Distances to training: generated 0, 1, 1, 4; unseen 1, 2, 3.

    0 is nearer than three; each 1 nearer than two and equal to one; 4 than none.
    """
    train, test, fake = column(0), column(1, -2, 3), column(0, -1, 1, 4)
    assert memorisation(train, test, fake) == pytest.approx((3 + 2 * 2.5 + 0) / 12, rel=1e-14)


@pytest.mark.parametrize("seed", [0, 1])
def test_copies_are_told_from_new_images(seed):
    train, test, fake = normal(400, 4, seed), normal(300, 4, 10 + seed), normal(200, 4, 20 + seed)
    assert memorisation(train, test, fake) == pytest.approx(0.5, abs=0.1)
    assert memorisation(train, test, test) == 0.5
    copies = train[:200]
    assert memorisation(train, test, copies) == 1
    assert memorisation(train, test, copies + 1e-3 * fake) > 0.95
    half = torch.cat([copies[:100], fake[:100]])
    assert memorisation(train, test, half) == pytest.approx(0.75, abs=0.05)
    assert memorisation(train, test, fake + 100) == 0


def test_equal_distances_count_half():
    """All of an untrained generator's images on one of the training images, and unseen ones too."""
    train = torch.zeros(5, 2)
    assert memorisation(train, train, train) == 0.5


def test_memorisation_needs_images_of_each_kind():
    rows, none = normal(5, 2), normal(0, 2)
    for test, fake in ((none, rows), (rows, none)):
        message = f"both kinds need images, got {len(test)} held-out and {len(fake)} others"
        with pytest.raises(ValueError, match=f"^{message}$"):
            memorisation(rows, test, fake)
    with pytest.raises(ValueError, match=r"^k = 1 needs at least 1 images to choose from, got 0$"):
        memorisation(none, rows, rows)


# By class


def test_the_shares_of_classes_add_up_to_those_of_all():
    real, fake = normal(90, 3), 0.7 * normal(80, 3, 1) + 0.4
    labels = torch.arange(90) % 4
    found, whole = neighbourhood_by_class(real, labels, fake, 4), neighbourhood(real, fake)
    count = labels.bincount()
    for shares, share in zip(found, (whole.recall, whole.coverage), strict=True):
        assert shares.dtype == torch.float64
        assert (shares * count).sum().item() / 90 == pytest.approx(share, rel=1e-13)
    assert len(set(found.recall.tolist())) > 1


def test_a_lost_class_is_seen_where_it_is_lost():
    """And a class without real images has no share: not 0, which would be a failure."""
    labels = torch.arange(300) % 3
    real = normal(300, 2) + 20 * labels.unsqueeze(1)
    fake = (normal(300, 2, 1) + 20 * labels.unsqueeze(1))[labels != 1]
    recall, coverage = neighbourhood_by_class(real, labels, fake, 4)
    for shares in (recall, coverage):
        assert shares[1] == 0
        assert shares[[0, 2]].min() > 0.8
        assert math.isnan(shares[3])


def test_there_must_be_a_label_for_each_real_image():
    with pytest.raises(ValueError, match=r"^9 real images need labels of shape \(9,\)$"):
        neighbourhood_by_class(normal(9, 2), torch.zeros(8).long(), normal(9, 2), 2)


# Known sets


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
