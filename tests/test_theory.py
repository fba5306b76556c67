"""Closed forms against analytic values, to 1e-6."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ganlab.data.distributions import Mixture
from ganlab.lab import theory

LOG2 = math.log(2)
EDGES = torch.linspace(-12, 16, 5601, dtype=torch.float64)


def masses(mean: float, std: float = 1.0) -> torch.Tensor:
    return Mixture([[mean]], [std]).cdf(EDGES).diff()


def exactly(value: float):
    return pytest.approx(value, abs=1e-6)


def test_the_optimal_discriminator_of_two_gaussians_is_logistic():
    """p = N(0, 1) and q = N(2, 1): log p/q = 2 - 2x."""
    x = torch.linspace(-3, 5, 17, dtype=torch.float64)
    p, q = (Mixture([[m]], [1.0]).density(x[:, None]) for m in (0.0, 2.0))
    assert torch.allclose(theory.optimal_discriminator(p, q), (2 - 2 * x).sigmoid(), atol=1e-12)


def test_the_value_at_one_half_is_minus_log_4():
    p, q = masses(0), masses(1)
    assert theory.value(p, q, torch.zeros(len(p))) == exactly(-1.3862943611198906)
    assert exactly(-2 * LOG2) == theory.BOUND


def test_no_discriminator_is_better_than_the_optimal_one():
    p, q = masses(0), masses(1)
    best = 0.5 - (EDGES[:-1] + EDGES[1:]) / 2  # log p - log q
    attained = theory.value(p, q, best)
    assert attained == exactly(theory.virtual_criterion(p, q))
    for wrong in (0.9 * best, best + 0.1, -best):
        assert theory.value(p, q, wrong) < attained - 1e-4


def test_the_jsd_of_masses_by_hand():
    p, q = torch.tensor([0.5, 0.5, 0.0]).double(), torch.tensor([0.0, 0.5, 0.5]).double()
    assert theory.jsd(p, q) == exactly(0.5 * LOG2)  # half of the mass is told apart for sure
    assert theory.jsd(p, p) == exactly(0)
    assert theory.jsd(p, p.flip(0)) == theory.jsd(p.flip(0), p)
    apart = torch.tensor([1.0, 0.0]).double()
    assert theory.jsd(apart, apart.flip(0)) == exactly(LOG2)
    assert theory.kl(apart, torch.tensor([0.25, 0.75]).double()) == exactly(2 * LOG2)


def test_the_jsd_of_masses_that_are_nearly_nothing_is_finite():
    """Half of the smallest number there is is 0, and infinitely far from it."""
    least, none = torch.tensor([[5e-324, 1.0], [0.0, 1.0]], dtype=torch.float64)
    assert theory.kl(least, (least + none) / 2) == math.inf
    assert theory.jsd(least, none) == 0
    edges = torch.linspace(-50, 50, 4001, dtype=torch.float64)
    p, q = (Mixture([[mean]], [1.0]).cdf(edges).diff() for mean in (0.0, 4.0))
    known = theory.gaussians_jsd(4.0)
    assert theory.jsd(p, q) == pytest.approx(known, abs=1e-4)
    assert theory.jsd(p.float(), q.float()) == pytest.approx(known, abs=1e-4)


@pytest.mark.parametrize("distance", [0.0, 0.5, 2.0, 4.0])
def test_the_integral_of_gaussians_is_that_of_their_masses(distance):
    assert theory.gaussians_jsd(distance) == exactly(theory.jsd(masses(0), masses(distance)))
    assert theory.gaussians_jsd(3 * distance, 3.0) == exactly(theory.gaussians_jsd(distance))


def test_far_apart_the_jsd_is_flat_at_log_2_and_w1_is_not():
    assert theory.gaussians_jsd(30.0) == exactly(LOG2)
    assert theory.gaussians_jsd(1.0) < 0.2
    assert theory.gaussians_wasserstein(-30.0) == 30
    assert theory.parallel_lines(0.25) == (exactly(LOG2), 0.25)
    assert theory.parallel_lines(0.0) == (0, 0)


@pytest.mark.parametrize("distance", [0.0, 1.0, 3.0])
def test_w1_of_a_translation_is_its_length(distance):
    width = (EDGES[1] - EDGES[0]).item()
    found = theory.wasserstein(masses(0), masses(distance), width)
    assert found == exactly(distance)
    scaled = theory.wasserstein(masses(0), masses(0, 2.0), width)
    assert scaled == pytest.approx(math.sqrt(2 / math.pi), abs=1e-5)  # (2 - 1) E|N(0, 1)|


@pytest.mark.parametrize("distance", [0.1, 1.0, 4.0])
def test_generator_gradients_are_slopes_of_the_losses_at_a_held_discriminator(distance):
    """By central differences of G's losses in the mean of p_g, with D* of where it was."""
    x = torch.linspace(-14, 18, 32_001, dtype=torch.float64)
    logits = (x - distance).square() / 2 - x.square() / 2

    def losses(mean: float) -> tuple[float, float]:
        density = Mixture([[mean]], [1.0]).density(x[:, None])
        softplus = torch.nn.functional.softplus
        saturating, nonsaturating = -softplus(logits), softplus(-logits)
        return tuple(torch.trapezoid(density * f, x).item() for f in (saturating, nonsaturating))

    above, below = losses(distance + 1e-4), losses(distance - 1e-4)
    found = theory.generator_gradients(distance)
    for name, up, down in zip(("saturating", "nonsaturating"), above, below, strict=True):
        assert found[name] == exactly((up - down) / 2e-4)
    assert found["wasserstein"] == 1


def test_the_saturating_gradient_vanishes_and_the_other_grows():
    near, far = theory.generator_gradients(2.0), theory.generator_gradients(10.0)
    assert far["saturating"] < 1e-4 < near["saturating"]
    assert far["nonsaturating"] == pytest.approx(10, rel=1e-3)


def test_a_linear_generator_pushes_uniform_noise_to_uniform():
    z = torch.linspace(-1, 1, 11).double()
    edges = torch.linspace(-4, 4, 9).double()
    found = theory.pushed_forward(3 * z, torch.full((10,), 0.1), edges)
    assert torch.allclose(found, torch.tensor([0, 1, 1, 1, 1, 1, 1, 0]).double() / 6)


def test_preimages_add_up_where_a_generator_is_not_monotone():
    """x = z^2 of z ~ U(-1, 1) has the density 1 / (2 sqrt(x)), and the cdf sqrt(x)."""
    z = torch.linspace(-1, 1, 20_001).double()
    edges = torch.linspace(0, 1, 101).double()
    found = theory.pushed_forward(z.square(), torch.full((20_000,), 1 / 20_000), edges)
    assert torch.allclose(found, edges.sqrt().diff(), atol=1e-6)
    monotone = theory.pushed_forward(z.square()[:10_001], torch.full((10_000,), 1 / 20_000), edges)
    assert not torch.allclose(monotone, edges.sqrt().diff(), atol=1e-3)  # one preimage of two


def test_a_generator_that_is_constant_puts_all_mass_into_one_cell():
    edges = torch.linspace(0, 1, 11).double()
    found = theory.pushed_forward(torch.full((5,), 0.55), torch.full((4,), 0.25), edges)
    assert found.tolist() == [0, 0, 0, 0, 0, pytest.approx(1), 0, 0, 0, 0]


@given(
    st.lists(st.floats(-1e12, 1e12) | st.floats(-2, 2), min_size=2, max_size=30),
    st.integers(0, 2**31),
)
def test_mass_is_where_every_interval_by_itself_puts_it(images, seed):
    images = torch.tensor(images, dtype=torch.float64)
    random = torch.Generator().manual_seed(seed)
    masses = torch.rand(len(images) - 1, generator=random, dtype=torch.float64)
    masses /= masses.sum()
    edges = torch.tensor([-math.inf, *torch.linspace(-2, 2, 9).tolist(), math.inf]).double()
    low, high = torch.minimum(images[:-1], images[1:]), torch.maximum(images[:-1], images[1:])
    length = (high - low).clamp_min(1e-12)
    below = ((edges[:, None] - low) / length).clamp(0, 1) @ masses
    found = theory.pushed_forward(images, masses, edges)
    assert found.min() >= 0
    assert found.sum().item() == pytest.approx(1, abs=1e-5)
    on_an_edge = (edges[:, None] - low).abs().min() < 1e-5  # where a point's mass may go either way
    assert on_an_edge or torch.allclose(found, below.diff(), atol=1e-5)


def test_values_out_of_range_are_refused():
    for make in (theory.gaussians_jsd, theory.generator_gradients):
        with pytest.raises(ValueError, match="std must be greater than 0"):
            make(1.0, 0.0)
