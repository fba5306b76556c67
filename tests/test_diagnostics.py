"""Diagnostics: closed forms, what they must not depend on, and wrong versions that are refused."""

import math

import pytest
import torch
from torch import Tensor

from ganlab.health.readings import (
    RealFeatures,
    distances,
    effective_number,
    features_of,
    histogram,
    kmeans,
    logit_gap,
    mean_distance,
    memorised,
    near_duplicates,
    nearest_two,
    ranking_accuracy,
    total_variation,
)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# The players -------------------------------------------------------------------------------------


def test_ranking_accuracy_counts_pairs_and_ties_half():
    real, fake = torch.tensor([3.0, 1.0]), torch.tensor([2.0, 1.0, 0.0])
    pairs = [1, 1, 1, 0, 0.5, 1]  # 3 beats all; 1 loses to 2, ties with 1, beats 0
    assert ranking_accuracy(real, fake).item() == pytest.approx(sum(pairs) / 6)


def test_a_critic_defined_up_to_a_constant_and_a_factor_has_one_accuracy():
    real, fake = random(50) + 1, random(40, seed=1)
    accuracy = ranking_accuracy(real, fake)
    assert ranking_accuracy(7 * real - 100, 7 * fake - 100) == accuracy

    def by_threshold(real, fake):  # what is not meaningful for a critic
        return ((real > 0).float().mean() + (fake < 0).float().mean()) / 2

    assert by_threshold(real - 100, fake - 100) != by_threshold(real, fake)


def test_of_normals_the_accuracy_is_that_of_the_normal_distribution():
    accuracy = ranking_accuracy(random(2000) + 1, random(2000, seed=1)).item()
    assert accuracy == pytest.approx(0.5 * (1 + math.erf(1 / 2)), abs=0.02)  # Phi(1 / sqrt 2)


def test_the_gap_is_the_difference_of_means():
    assert logit_gap(torch.tensor([1.0, 3.0]), torch.tensor([-1.0])).item() == 3


# Diversity ---------------------------------------------------------------------------------------


def test_mean_distance_of_a_square_leaves_out_each_corner_from_itself():
    square = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]])
    right = (2 + math.sqrt(2)) / 3
    assert mean_distance(distances(square)).item() == pytest.approx(right)
    assert torch.cdist(square, square).mean().item() != pytest.approx(right)


def test_near_duplicates_are_the_share_that_has_a_neighbour():
    rows = torch.tensor([[0.0], [0.1], [5.0], [9.0]])
    assert near_duplicates(distances(rows), 0.2).item() == 0.5
    assert near_duplicates(distances(rows), 0.05).item() == 0


def test_what_is_narrow_is_looked_at_as_it_is_and_what_is_wide_keeps_its_distances():
    assert torch.equal(features_of(random(3, 1, 4, 4)), random(3, 1, 4, 4).flatten(1))
    wide = random(40, 3, 32, 32)
    sketch = features_of(wide, dim=512)
    assert sketch.shape == (40, 512)
    kept = torch.pdist(sketch) / torch.pdist(wide.flatten(1))
    assert kept.mean().item() == pytest.approx(1, abs=0.02)
    assert kept.std().item() < 2 * math.sqrt(1 / (2 * 512))  # of lengths half that of squares
    cut = wide.flatten(1)[:, :512]  # some of the pixels are no sketch of all
    assert (torch.pdist(cut) / torch.pdist(wide.flatten(1))).mean() < 0.5


# Modes -------------------------------------------------------------------------------------------


def clusters(n: int = 200, k: int = 4) -> tuple[Tensor, Tensor]:
    """(points, which cluster) far apart on a line."""
    which = torch.arange(n) % k
    return torch.stack([10.0 * which, torch.zeros(n)], dim=1) + 0.1 * random(n, 2), which


def test_kmeans_ends_where_every_centre_is_the_mean_of_its_points():
    points, _ = clusters()
    centres = kmeans(points, 6, steps=50)
    nearest = torch.cdist(points, centres).argmin(dim=1)
    for i in nearest.unique():
        assert torch.allclose(centres[i], points[nearest == i].mean(dim=0), atol=1e-4)
    assert torch.equal(centres, kmeans(points, 6, steps=50)), "random numbers of others were used"
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        kmeans(points, 0)


def test_the_histogram_has_the_shares_of_the_nearest_centres():
    points, which = clusters()
    centres = torch.tensor([[10.0 * i, 0.0] for i in range(4)])
    chosen = torch.cat([points[which == 0], points[which == 3][:25]])
    assert histogram(chosen, centres).tolist() == pytest.approx([2 / 3, 0, 0, 1 / 3])


def test_the_effective_number_of_even_shares_is_how_many_there_are():
    assert effective_number(torch.tensor([0.25] * 4)).item() == pytest.approx(4)
    assert effective_number(torch.tensor([0.0, 1.0, 0.0])).item() == pytest.approx(1)
    assert 1 < effective_number(torch.tensor([0.9, 0.1])).item() < 2


def test_total_variation_is_the_share_that_has_moved():
    p, q = torch.tensor([0.5, 0.5, 0.0]), torch.tensor([0.5, 0.2, 0.3])
    assert total_variation(p, q).item() == pytest.approx(0.3)
    assert total_variation(torch.eye(3)[0], torch.eye(3)[1]).item() == 1


# Memorisation ------------------------------------------------------------------------------------


def test_the_two_nearest_are_found_across_parts_and_in_pixels():
    samples, training = random(5, 12), random(40, 12, seed=1)
    expected = torch.cdist(samples, training).sort(dim=1).values[:, :2]
    assert torch.allclose(nearest_two(samples, training, batch=7), expected, atol=1e-4)
    pixels = torch.randint(0, 256, (9, 1, 3, 4), dtype=torch.uint8)
    images = pixels.flatten(1).float() / 127.5 - 1
    assert nearest_two(images, pixels)[:, 0].max().item() < 1e-2


def test_copies_are_memorised_and_blur_near_to_everything_is_not():
    training = random(100, 30)
    copies = training[:20] + 0.01 * random(20, 30, seed=1)
    mean = training.mean(dim=0) + 0.01 * random(20, 30, seed=2)
    assert memorised(copies, training).item() == 1
    assert memorised(random(20, 30, seed=3), training).item() == 0
    assert memorised(mean, training).item() == 0

    def by_distance(samples):  # nearer than held-out data: takes blur for a copy
        held_out = nearest_two(random(50, 30, seed=4), training)[:, 0]
        return (nearest_two(samples, training)[:, 0] < held_out.quantile(0.01)).float().mean()

    assert by_distance(mean).item() > 0.9


def test_copies_of_points_that_lie_dense_are_memorised():
    """|x|^2 + |y|^2 - 2xy is off by more than these points are apart."""
    angles = 2 * math.pi * torch.rand(20_000, generator=torch.Generator().manual_seed(0))
    training = torch.stack([angles.cos(), angles.sin()], dim=1)
    assert memorised(training[:64], training).item() == 1
    fast = torch.cdist(training[:64], training, compute_mode="use_mm_for_euclid_dist")
    first, second = fast.topk(2, dim=1, largest=False).values.unbind(1)
    assert (first < second / 3).float().mean() < 0.5


# All together ------------------------------------------------------------------------------------


def test_the_data_itself_is_as_diverse_as_the_data():
    real = random(2048, 1, 6, 6)
    readings, shares = RealFeatures(features_of(real[:1024]), n=256).readings(
        features_of(real[1024:1280])
    )
    assert readings["diversity"].item() == pytest.approx(1, abs=0.05)
    assert readings["modes"].item() == pytest.approx(1, abs=0.1)
    assert readings["duplicates"].item() < 0.1
    assert shares.sum().item() == pytest.approx(1)


def test_points_on_a_ring_and_all_in_one_place():
    angles = 2 * math.pi * (torch.arange(2048) % 8) / 8
    ring = torch.stack([angles.cos(), angles.sin()], dim=1) + 0.02 * random(2048, 2)
    reference = RealFeatures(ring, n=256)
    healthy, _ = reference.readings(ring[:256])
    assert healthy["modes"].item() > 0.8
    one, shares = reference.readings(ring[:1] + 1e-4 * random(256, 2))
    assert one["diversity"].item() < 0.01
    assert "duplicates" not in one, "on a ring the data's own points are as near"
    assert shares.max().item() == 1
    two, _ = reference.readings(ring[torch.arange(256) % 2])
    assert 0.05 < two["modes"].item() < 0.4


def test_one_image_is_all_duplicates_though_the_data_has_some_images_twice():
    real = random(2048, 1, 6, 6)
    real[1:8:2] = real[0:8:2]
    readings, _ = RealFeatures(features_of(real), n=256).readings(
        features_of(real[8:9].repeat(256, 1, 1, 1))
    )
    assert readings["duplicates"].item() == 1
    healthy, _ = RealFeatures(features_of(real), n=256).readings(
        features_of(random(256, 1, 6, 6, seed=1))
    )
    assert healthy["duplicates"].item() == 0


def test_data_that_is_one_image_and_data_of_few_images_can_be_compared_with():
    for n in (1, 5):
        readings, _ = RealFeatures(torch.ones(n, 16), n=256).readings(random(256, 16))
        assert all(torch.isfinite(value) for value in readings.values())
    few, _ = RealFeatures(random(20, 16), n=256).readings(random(256, 16, seed=1))
    assert few["duplicates"].item() < 0.5  # of 20 samples: among 256 neighbours are nearer
    with pytest.raises(ValueError, match="real must be at least 1, got 0"):
        RealFeatures(torch.ones(0, 16), n=256)
