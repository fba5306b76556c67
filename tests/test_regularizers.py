"""Penalties against closed forms: linear and quadratic critics, whose gradients are known."""

from dataclasses import replace

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn

from conftest import ROOT
from ganlab.regularizers import (
    R1,
    Critique,
    GradientPenalty,
    Regularizer,
    WeightClip,
    gradient_norm,
    input_gradient,
)

SHAPE = (3, 2, 2, 2)  # images of 2 x 2 with 2 channels: 8 numbers each
PIXELS = 8


@pytest.fixture(autouse=True)
def float64():
    """Closed forms are compared in float64; nothing here depends on the global random state."""
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def critique(critic, real=None, fake=None):
    real = torch.randn(SHAPE) if real is None else real
    fake = torch.randn(SHAPE) if fake is None else fake
    return Critique(critic, real, fake, critic(real), critic(fake))


def linear(w):
    return lambda images: images.flatten(1) @ w


def quadratic():
    """D(x) = x'Ax / 2 + b'x and its gradient Ax + b, A symmetric."""
    a, b = torch.randn(PIXELS, PIXELS), torch.randn(PIXELS)
    a = a + a.T

    def critic(images):
        x = images.flatten(1)
        return ((x @ a) * x).sum(dim=1) / 2 + x @ b

    return critic, lambda images: images.flatten(1) @ a + b


def test_r1_of_a_linear_critic_is_half_gamma_times_its_squared_weights():
    w = torch.randn(PIXELS)
    penalty = R1(gamma=3.0).penalty(critique(linear(w)))
    assert penalty.item() == pytest.approx(1.5 * w.square().sum().item(), rel=1e-13)


@pytest.mark.parametrize("center", [1.0, 0.0, 2.5])
def test_the_gradient_penalty_of_a_linear_critic_is_known(center):
    w = torch.randn(PIXELS)
    penalty = GradientPenalty(weight=7.0, center=center).penalty(critique(linear(w)))
    assert penalty.item() == pytest.approx(7 * (w.norm().item() - center) ** 2, rel=1e-11)


def test_r1_of_a_quadratic_critic_averages_squared_norms_over_real_images():
    critic, gradient = quadratic()
    given = critique(critic)
    got = R1(gamma=2.0).penalty(given)
    norms = [float(row @ row) for row in gradient(given.real)]
    assert got.item() == pytest.approx(sum(norms) / len(norms), rel=1e-13)
    assert got.item() != pytest.approx(R1(2.0).penalty(critique(critic, given.fake)).item())


def test_r1_sums_over_pixels():
    """The usual mistake, a mean over everything, is smaller by the number of pixels: rejected."""
    w = torch.randn(PIXELS)
    given = critique(linear(w))
    wrong = 0.5 * 3.0 * input_gradient(given.critic, given.real).square().mean()
    right = R1(gamma=3.0).penalty(given)
    assert right.item() == pytest.approx(PIXELS * wrong.item(), rel=1e-13)
    assert wrong.item() != pytest.approx(1.5 * w.square().sum().item(), rel=0.5)


def test_the_gradient_penalty_of_a_quadratic_critic_is_taken_where_it_looked():
    critic, gradient = quadratic()
    given, seen = watched(critic)
    got = GradientPenalty(weight=10.0).penalty(given)
    (between,) = seen
    norms = [float(row @ row) ** 0.5 for row in gradient(between)]
    want = 10 * sum((n - 1) ** 2 for n in norms) / len(norms)
    assert got.item() == pytest.approx(want, rel=1e-11)


def watched(critic):
    """A critique, and the images that its critic is called with later."""
    seen = []
    given = critique(critic)

    def watching(images):
        seen.append(images.detach().clone())
        return critic(images)

    return replace(given, critic=watching), seen


def on_lines(images, real, fake):
    """Whether each image is real + t (fake - real) with one t in [0, 1] for all of its pixels."""
    t = ((images - real) / (fake - real)).flatten(1)
    return bool((t.std(dim=1) < 1e-9).all() and (t >= 0).all() and (t <= 1).all())


def test_the_gradient_penalty_looks_at_lines_from_real_to_fake():
    """One t per image, another for each; t per pixel (a usual mistake) is rejected."""
    given, seen = watched(linear(torch.ones(PIXELS)))
    GradientPenalty().penalty(given)
    (between,) = seen
    assert on_lines(between, given.real, given.fake)
    t = ((between - given.real) / (given.fake - given.real)).flatten(1)[:, 0]
    assert len(t.unique()) == len(t)
    wrong = torch.lerp(given.real, given.fake, torch.rand(SHAPE))
    assert not on_lines(wrong, given.real, given.fake)


def test_lines_are_drawn_afresh_and_uniformly():
    n = 4000
    real, fake = torch.zeros(n, 1, 1, 1), torch.ones(n, 1, 1, 1)
    seen = []
    critic = lambda images: seen.append(images.detach()) or images.flatten()
    given = Critique(critic, real, fake, real.flatten(), fake.flatten())
    for _ in range(2):
        GradientPenalty().penalty(given)
    assert not torch.equal(*seen)
    for t in seen:  # mean 1/2 and variance 1/12, within 4 standard errors
        assert t.mean().item() == pytest.approx(1 / 2, abs=4 * (1 / 12 / n) ** 0.5)
        assert t.var().item() == pytest.approx(1 / 12, abs=4 * (1 / 180 / n) ** 0.5)


def test_r1_pulls_the_critics_weights_by_gamma_times_themselves():
    """The penalty has a gradient with respect to D's parameters, gamma w for a linear critic."""
    w = torch.randn(PIXELS, requires_grad=True)
    (gradient,) = torch.autograd.grad(R1(gamma=4.0).penalty(critique(linear(w))), w)
    torch.testing.assert_close(gradient, 4 * w.detach(), rtol=1e-13, atol=0)


def test_the_gradient_penalty_pulls_the_critics_norm_to_its_center():
    w = torch.randn(PIXELS, requires_grad=True)
    (gradient,) = torch.autograd.grad(GradientPenalty(5.0).penalty(critique(linear(w))), w)
    norm = w.detach().norm()
    torch.testing.assert_close(gradient, 10 * (norm - 1) * w.detach() / norm, rtol=1e-9, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("center", [1.0, 0.0])
def test_the_penalty_of_a_constant_critic_has_a_finite_gradient(center, dtype):
    """Plain sqrt's slope at 0 is infinite and its product with 0 is NaN: rejected."""
    torch.set_default_dtype(dtype)
    w = torch.zeros(PIXELS, requires_grad=True)
    given = critique(linear(w))
    (gradient,) = torch.autograd.grad(GradientPenalty(center=center).penalty(given), w)
    assert torch.isfinite(gradient).all()
    wrong = (input_gradient(given.critic, given.real).square().sum(dim=1).sqrt() - center).square()
    (gradient,) = torch.autograd.grad(wrong.mean(), w)
    assert gradient.isnan().all()


def test_gradient_norms_are_each_images_own():
    """The usual mistake, one norm over the whole batch's gradient, is rejected."""
    critic, gradient = quadratic()
    images = torch.randn(SHAPE)
    norms = gradient_norm(critic, images)
    torch.testing.assert_close(norms, gradient(images).norm(dim=1), rtol=1e-11, atol=0)
    wrong = input_gradient(critic, images).norm()
    assert wrong > 1.2 * norms.max()
    for i, image in enumerate(images):  # alone it has the norm that it has among others
        assert gradient_norm(critic, image[None]).item() == pytest.approx(norms[i].item())


def test_input_gradients_leave_the_images_alone_and_work_where_gradients_are_off():
    critic, gradient = quadratic()
    images = torch.randn(SHAPE)
    with torch.no_grad():
        got = input_gradient(critic, images)
    torch.testing.assert_close(got, gradient(images))
    assert not images.requires_grad
    assert images.grad is None


def test_penalties_do_not_reach_the_generator():
    real, fake = torch.randn(SHAPE), torch.randn(SHAPE, requires_grad=True)
    w = torch.randn(PIXELS, requires_grad=True)
    given = Critique(linear(w), real, fake, linear(w)(real), linear(w)(fake))
    for regularizer in (R1(), GradientPenalty()):
        regularizer.penalty(given).backward()
    assert fake.grad is None
    assert w.grad.abs().sum() > 0


def test_weight_clip_clamps_every_parameter_and_nothing_else():
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    network[1].running_mean.fill_(5.0)
    before = [p.detach().clone() for p in network.parameters()]
    WeightClip(0.1).project(network)
    for old, new in zip(before, network.parameters(), strict=True):
        assert torch.equal(new, old.clamp(-0.1, 0.1))
        assert new.requires_grad
    assert any((old.abs() > 0.1).any() for old in before)
    assert (network[1].running_mean == 5.0).all()


def test_each_regularizer_does_one_thing():
    """A penalty changes no parameters; a projection adds nothing to the loss."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, 1), nn.Flatten(0))
    before = [p.detach().clone() for p in network.parameters()]
    given = critique(network)
    for regularizer in (Regularizer(), R1(), GradientPenalty()):
        regularizer.project(network)
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    assert WeightClip().penalty(given) is None
    assert [r.per_sample for r in (R1, GradientPenalty, WeightClip)] == [True, True, False]


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: R1(-1), "gamma must be at least 0, got -1"),
        (lambda: R1(float("nan")), "gamma must be at least 0, got nan"),
        (lambda: GradientPenalty(-0.5), "weight must be at least 0, got -0.5"),
        (
            lambda: GradientPenalty(-1, -2),
            "weight must be at least 0, got -1; center must be at least 0, got -2",
        ),
        (lambda: WeightClip(0), "limit must be greater than 0, got 0"),
        (lambda: WeightClip(-0.1), "limit must be greater than 0, got -0.1"),
    ],
)
def test_values_out_of_range_are_refused(make, sentence):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == sentence


@pytest.mark.parametrize("weight", [0, 0.0])
def test_weight_zero_is_allowed_and_penalises_nothing(weight):
    given = critique(linear(torch.randn(PIXELS)))
    assert R1(weight).penalty(given) == 0
    assert GradientPenalty(weight).penalty(given) == 0


@pytest.mark.parametrize(
    "path", sorted((ROOT / "conf" / "regularizer").glob("*.yaml")), ids=lambda path: path.stem
)
def test_every_configured_regularizer_is_one(path):
    parts = instantiate(OmegaConf.load(path))
    assert list(parts) == [path.stem]
    assert isinstance(parts[path.stem], Regularizer)
