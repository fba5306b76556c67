"""Modes and class balance against figures that one counts."""

import math

import pytest
import torch

from ganlab.metrics import class_balance


def counts(*values):
    return torch.tensor(values)


def test_equal_shares_have_no_divergence():
    """Whatever the number of images, and where a class is in neither."""
    for generated, reference in (
        (counts(5, 5, 5), None),
        (counts(1, 2, 3), counts(10, 20, 30)),
        (counts(0, 1, 3), counts(0, 100, 300)),
    ):
        found = class_balance(generated, reference)
        assert found.kl == pytest.approx(0, abs=1e-15)
        assert found.modes == (generated > 0).sum()
        assert found.kl >= 0


@pytest.mark.parametrize("modes", [1, 3, 10])
def test_some_of_all_classes_have_the_logarithm_of_their_share(modes):
    """KL of a uniform distribution over m of K classes: ln (K / m)."""
    generated = torch.zeros(10, dtype=torch.long)
    generated[:modes] = 7
    assert class_balance(generated) == (modes, pytest.approx(math.log(10 / modes), abs=1e-14))


def test_the_divergence_is_of_the_generated_from_the_reference():
    """Not the other way around, nor in bits."""
    generated, reference = counts(2, 1, 1), counts(1, 1, 6)
    kl = 0.5 * math.log(0.5 / 0.125) + 0.25 * math.log(0.25 / 0.125) + 0.25 * math.log(0.25 / 0.75)
    assert class_balance(generated, reference).kl == pytest.approx(kl, rel=1e-14)
    backwards = 0.125 * math.log(0.25) + 0.125 * math.log(0.5) + 0.75 * math.log(3)
    assert kl != pytest.approx(backwards, rel=0.01)


def test_a_class_that_the_reference_lacks_counts_as_half_an_image():
    found = class_balance(counts(90, 10), counts(50, 0))
    q = 0.5 / 50.5
    exact = 0.9 * math.log(0.9 / (1 - q)) + 0.1 * math.log(0.1 / q)
    assert found == (2, pytest.approx(exact, rel=1e-14))
    assert class_balance(counts(90, 0), counts(50, 0)).kl == pytest.approx(0, abs=1e-15)
    assert class_balance(counts(90, 10), counts(500, 0)).kl > found.kl


def test_chance_alone_makes_the_divergence_that_is_promised():
    """26,000 images in 1,000 classes: .0192; so without it a perfect generator looks imperfect."""
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randint(1000, (26_000,), generator=generator) for _ in range(20)]
    found = [class_balance(x.bincount(minlength=1000)) for x in drawn]
    assert {balance.modes for balance in found} == {1000}
    mean = sum(balance.kl for balance in found) / 20
    assert mean == pytest.approx(999 / 52_000, rel=0.03)


def test_what_is_no_histogram_is_refused():
    good = counts(1, 2)
    for given, message in (
        ((torch.tensor([0.5, 0.5]),), r"generated must be counts of shape \(K,\), got tensor"),
        ((good, torch.tensor([0.5, 0.5])), r"reference must be counts of shape \(K,\), got"),
        ((counts(3, -1),), r"generated must be counts of shape \(K,\), got tensor\(\[ 3, -1\]\)"),
        ((good.unsqueeze(0),), r"generated must be counts of shape \(K,\), got"),
        ((counts(0, 0),), "generated is an empty histogram$"),
        ((good, counts(0, 0)), "reference is an empty histogram$"),
        ((good, counts(1, 2, 3)), "histograms have 2 and 3 classes$"),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            class_balance(*given)


def test_the_histograms_are_left_alone():
    generated, reference = counts(3, 1), counts(4, 0)
    class_balance(generated, reference)
    assert reference.tolist() == [4, 0]
    assert generated.tolist() == [3, 1]
