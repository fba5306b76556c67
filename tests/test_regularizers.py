"""Penalties against closed forms: linear and quadratic critics, whose gradients are known."""

from dataclasses import replace

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn

from conftest import ROOT
from ganlab.augment import shift_and_flip
from ganlab.regularizers import (
    DRAGAN,
    R1,
    R2,
    Consistency,
    FeatureMatching,
    GradientPenalty,
    LeCam,
    PullAway,
    Regularizer,
    WeightClip,
    gradient_norm,
    input_gradient,
)
from ganlab.training.terms import Discrimination, Output
from small import generation

SHAPE = (3, 2, 2, 2)  # images of 2 x 2 with 2 channels: 8 numbers each
PIXELS = 8


@pytest.fixture(autouse=True)
def float64():
    """Closed forms are compared in float64; nothing here depends on the global random state."""
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def output(critic, images, **shown):
    """What a critic that is told nothing thinks of images; `shown`: any other part of it."""
    return Output(images, images.new_zeros(len(images), 0), critic(images), **shown)


def discrimination(critic, real=None, fake=None):
    real = torch.randn(SHAPE) if real is None else real
    fake = torch.randn(SHAPE) if fake is None else fake
    return Discrimination(critic, output(critic, real), output(critic, fake))


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
    penalty = R1(gamma=3.0).d_term(discrimination(linear(w)))
    assert penalty.item() == pytest.approx(1.5 * w.square().sum().item(), rel=1e-13)


@pytest.mark.parametrize("center", [1.0, 0.0, 2.5])
@pytest.mark.parametrize("kind", [GradientPenalty, DRAGAN])
def test_the_gradient_penalty_of_a_linear_critic_is_known(kind, center):
    """Its gradient is the same everywhere, so it does not matter where the penalty looks."""
    w = torch.randn(PIXELS)
    penalty = kind(weight=7.0, center=center).d_term(discrimination(linear(w)))
    assert penalty.item() == pytest.approx(7 * (w.norm().item() - center) ** 2, rel=1e-11)


def test_r1_of_a_quadratic_critic_averages_squared_norms_over_real_images():
    critic, gradient = quadratic()
    given = discrimination(critic)
    got = R1(gamma=2.0).d_term(given)
    norms = [float(row @ row) for row in gradient(given.real.images)]
    assert got.item() == pytest.approx(sum(norms) / len(norms), rel=1e-13)
    assert got.item() != pytest.approx(
        R1(2.0).d_term(discrimination(critic, given.fake.images)).item()
    )


def test_r2_is_r1_with_real_and_generated_images_exchanged():
    """On the real images, a mistake that every shape forgives, it is another value."""
    critic, gradient = quadratic()
    given = discrimination(critic)
    got = R2(gamma=3.0).d_term(given)
    exchanged = replace(given, real=given.fake, fake=given.real)
    assert torch.equal(got, R1(gamma=3.0).d_term(exchanged))
    norms = [float(row @ row) for row in gradient(given.fake.images)]
    assert got.item() == pytest.approx(1.5 * sum(norms) / len(norms), rel=1e-13)
    assert got.item() != pytest.approx(R1(gamma=3.0).d_term(given).item(), rel=0.01)


def test_r1_sums_over_pixels():
    """The usual mistake, a mean over everything, is smaller by the number of pixels: rejected."""
    w = torch.randn(PIXELS)
    given = discrimination(linear(w))
    wrong = 0.5 * 3.0 * input_gradient(given.critic, given.real.images).square().mean()
    right = R1(gamma=3.0).d_term(given)
    assert right.item() == pytest.approx(PIXELS * wrong.item(), rel=1e-13)
    assert wrong.item() != pytest.approx(1.5 * w.square().sum().item(), rel=0.5)


def test_the_gradient_penalty_of_a_quadratic_critic_is_taken_where_it_looked():
    critic, gradient = quadratic()
    given, seen = watched(critic)
    got = GradientPenalty(weight=10.0).d_term(given)
    (between,) = seen
    norms = [float(row @ row) ** 0.5 for row in gradient(between)]
    want = 10 * sum((n - 1) ** 2 for n in norms) / len(norms)
    assert got.item() == pytest.approx(want, rel=1e-11)


def watched(critic, *images):
    """An update of D, and the images that its critic is called with later."""
    seen = []
    given = discrimination(critic, *images)

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
    GradientPenalty().d_term(given)
    (between,), real, fake = seen, given.real.images, given.fake.images
    assert on_lines(between, real, fake)
    t = ((between - real) / (fake - real)).flatten(1)[:, 0]
    assert len(t.unique()) == len(t)
    assert not on_lines(torch.lerp(real, fake, torch.rand(SHAPE)), real, fake)


def test_lines_are_drawn_afresh_and_uniformly():
    n = 4000
    real, fake = torch.zeros(n, 1, 1, 1), torch.ones(n, 1, 1, 1)
    seen = []
    critic = lambda images: seen.append(images.detach()) or images.flatten()
    given = discrimination(critic, real, fake)
    seen.clear()
    for _ in range(2):
        GradientPenalty().d_term(given)
    assert not torch.equal(*seen)
    for t in seen:  # mean 1/2 and variance 1/12, within 4 standard errors
        assert t.mean().item() == pytest.approx(1 / 2, abs=4 * (1 / 12 / n) ** 0.5)
        assert t.var().item() == pytest.approx(1 / 12, abs=4 * (1 / 180 / n) ** 0.5)


def near_the_data(images, real, spread):
    """Whether each pixel is raised by 0 to spread standard deviations of the real pixels."""
    raised = (images - real) / (spread * real.std())
    return bool((raised >= -1e-12).all() and (raised <= 1).all())


@pytest.mark.parametrize("spread", [0.5, 2.0])
def test_dragan_looks_near_the_data_and_never_at_generated_images(spread):
    """Between real and real + spread std noise; GradientPenalty's lines are rejected."""
    real, fake = 0.1 * torch.randn(SHAPE), torch.randn(SHAPE)
    given, seen = watched(linear(torch.ones(PIXELS)), real, fake)
    for other in (fake, fake + 100):
        torch.manual_seed(1)
        DRAGAN(spread=spread).d_term(replace(given, fake=replace(given.fake, images=other)))
    assert torch.equal(*seen)
    assert near_the_data(seen[0], real, spread)
    DRAGAN(spread=spread).d_term(given)
    assert not torch.equal(seen[0], seen[2])  # drawn afresh
    GradientPenalty().d_term(given)
    assert not near_the_data(seen[3], real, spread)
    assert not near_the_data(real + spread * torch.randn(SHAPE), real, spread)


def test_dragan_of_one_number_is_finite():
    one = torch.ones(1, 1)
    critic = lambda x: x.flatten(1).square().sum(dim=1)
    assert DRAGAN().d_term(discrimination(critic, one, one)).item() == pytest.approx(10.0)


def test_dragan_draws_one_uniform_length_per_image_and_uniform_noise_per_pixel():
    """t is the greatest rise among many pixels; one t per pixel, a usual mistake, is rejected."""
    n, pixels = 1000, 400
    real = 0.1 * torch.arange(1, n + 1).view(n, 1, 1, 1) / n * torch.randn(n, 1, 20, 20)
    seen = []
    critic = lambda images: seen.append(images.detach()) or images.flatten(1).sum(dim=1)
    DRAGAN(spread=0.5).d_term(discrimination(critic, real, real))
    raised = ((seen[-1] - real) / (0.5 * real.std(correction=0))).flatten(1)
    wrong = torch.rand(n, pixels) * torch.rand(n, pixels)
    uniform = lambda t, n: (  # mean 1/2 and variance 1/12, within 4 standard errors
        abs(t.mean() - 1 / 2) < 4 * (1 / 12 / n) ** 0.5 + 1 / pixels
        and abs(t.var() - 1 / 12) < 4 * (1 / 180 / n) ** 0.5 + 1 / pixels
    )
    t = raised.amax(dim=1)
    assert uniform(t, n)
    assert not uniform(wrong.amax(dim=1), n)
    noise = raised / t[:, None]
    assert uniform(noise, n * pixels)
    assert not uniform(noise.square(), n * pixels)


def logits(real, fake):
    """A seen of which only the logits matter."""
    return discrimination(lambda images: images, real, fake)


def lecam(real, fake, of_real, of_fake, weight=1.0):
    """weight (E[relu(D(x) - a_F)^2] + E[relu(a_R - D(G(z)))^2]), the code of Tseng et al. 2021."""
    above, below = (real - of_fake).relu(), (of_real - fake).relu()
    return weight * (above.square().mean() + below.square().mean()).item()


def equation_7(real, fake, of_real, of_fake, weight=1.0):
    """The paper's equation, which is not their code."""
    apart = (real - of_fake).square().mean() + (fake - of_real).square().mean()
    return weight * apart.item()


def test_lecam_measures_from_the_moving_averages_of_the_other_side():
    """After one update and after two, averages of the logits seen so far.

    Rejected: each side's own anchor, the usual mistake; averages that start at 0; no relu.
    """
    regularizer, b = LeCam(weight=3.0, decay=0.75), 0.75
    seen = []
    for _ in range(2):
        real, fake = 2 * torch.randn(50) + 1.5, 2 * torch.randn(50) - 1
        seen.append((real.mean().item(), fake.mean().item()))
        weights = [b ** (len(seen) - 1 - i) for i in range(len(seen))]
        of_real, of_fake = (
            sum(w * pair[side] for w, pair in zip(weights, seen, strict=True)) / sum(weights)
            for side in (0, 1)
        )
        got = regularizer.d_term(logits(real, fake)).item()
        assert got == pytest.approx(lecam(real, fake, of_real, of_fake, 3.0), rel=1e-5)
        assert abs(got - lecam(real, fake, of_fake, of_real, 3.0)) > 0.1 * got
        share = 1 - b ** len(seen)
        assert abs(got - lecam(real, fake, share * of_real, share * of_fake, 3.0)) > 0.1 * got
        assert equation_7(real, fake, of_real, of_fake, 3.0) > 1.02 * got


def test_lecams_anchors_are_buffers_that_take_no_gradient():
    """They are saved, no optimizer sees them, and a mean that stays in the graph is rejected."""
    regularizer = LeCam(weight=0.5, decay=0.0)
    real, fake = (torch.randn(4) + c for c in (2, -1))
    real.requires_grad_()
    (gradient,) = torch.autograd.grad(regularizer.d_term(logits(real, fake)), real)
    want = 0.5 * 2 * (real - fake.mean()).relu() / 4
    torch.testing.assert_close(gradient, want.detach(), rtol=1e-6, atol=1e-7)
    of_fake, of_real = (real - fake.mean()).relu(), (real.mean() - fake).relu()
    wrong = 0.5 * (of_fake.square().mean() + of_real.square().mean())
    assert (torch.autograd.grad(wrong, real)[0] - gradient).abs().min() > 0.1
    assert not list(regularizer.parameters())
    state = regularizer.state_dict()
    assert set(state) == {"real_anchor", "fake_anchor", "seen"}
    assert not any(anchor.requires_grad for anchor in state.values())
    resumed = LeCam(weight=0.5, decay=0.9)
    resumed.load_state_dict(state)
    assert resumed.real_anchor.item() == pytest.approx(real.mean().item(), rel=1e-6)


def test_lecam_draws_both_sides_logits_together():
    """A step down its gradient lowers the gap between D's means: what the penalty is for."""
    regularizer = LeCam(decay=0.0)
    real, fake = (torch.randn(64).add(c).requires_grad_() for c in (3, -3))
    of_real, of_fake = torch.autograd.grad(regularizer.d_term(logits(real, fake)), (real, fake))
    assert of_real.sum() > 0 > of_fake.sum()


# Consistency -------------------------------------------------------------------------------------


def dots(n, column=5, size=16):
    """n black images with one white pixel each, far enough from every edge that none is lost."""
    images = torch.zeros(n, 1, size, size)
    images[:, :, 7, column] = 1.0
    return images


def brightness(images):
    return images.flatten(1).sum(dim=1)


def position(images):
    """The column of the white pixel."""
    return images.sum(dim=(1, 2)) @ torch.arange(images.shape[3], dtype=images.dtype)


@pytest.mark.parametrize("flip", [False, True])
def test_a_critic_that_ignores_where_things_are_is_consistent(flip):
    """CR and bCR cost it nothing, and a critic that looks at the place something."""
    n, regularizer = 8, Consistency(fake_weight=10.0, flip=flip)
    assert regularizer.d_term(discrimination(brightness, dots(n), 2 * dots(n))) == 0
    assert regularizer.d_term(discrimination(position, dots(n), 2 * dots(n))) > 0


@pytest.mark.parametrize(("flip", "want"), [(False, 2.0), (True, (2.0 + 27.0) / 2)])
def test_a_critic_that_reads_the_place_pays_the_mean_squared_shift(flip, want):
    """Shifts -2 ... 2 of 16 pixels: E d^2 = 2; mirrored, column 5 + d goes to 10 - d: 25 + 2."""
    n = 4000
    given = discrimination(position, dots(n), dots(n))
    spread = 1.7 if not flip else 16.2  # standard deviation of one image's square, rounded up
    for regularizer in (
        Consistency(weight=3.0, flip=flip),
        Consistency(weight=0.0, fake_weight=3.0, flip=flip),
    ):
        got = regularizer.d_term(given).item() / 3
        assert got == pytest.approx(want, abs=4 * spread / n**0.5)


def moved_by_seed(images, *, flip):
    """What the transformation gives after torch.manual_seed(1)."""
    torch.manual_seed(1)
    return shift_and_flip(images, flip=flip)


@pytest.mark.parametrize("flip", [False, True])
def test_consistency_of_a_linear_critic_is_known(flip):
    """weight E[(<w, x> - <w, T(x)>)^2]; without the square, or summed over images: rejected."""
    real, w = torch.randn(4, 2, 16, 16), torch.randn(512)
    given = discrimination(linear(w), real, torch.randn(6, 2, 16, 16))
    gaps = (real - moved_by_seed(real, flip=flip)).flatten(1) @ w
    torch.manual_seed(1)
    got = Consistency(weight=7.0, flip=flip).d_term(given).item()
    assert got == pytest.approx(7 * sum(float(gap) ** 2 for gap in gaps) / 4, rel=1e-12)
    for wrong in (7 * gaps.abs().mean(), 7 * gaps.square().sum(), 49 * gaps.square().mean()):
        assert abs(got - wrong) > 0.1 * got


def test_balanced_consistency_adds_the_generated_images_with_their_own_weight():
    real, fake, w = torch.randn(4, 2, 16, 16), torch.randn(6, 2, 16, 16), torch.randn(512)
    given = discrimination(linear(w), real, fake)
    torch.manual_seed(1)
    gaps = [(x - shift_and_flip(x, flip=False)).flatten(1) @ w for x in (real, fake)]
    of_real, of_fake = (float(gap.square().mean()) for gap in gaps)
    torch.manual_seed(1)
    got = Consistency(weight=7.0, fake_weight=3.0).d_term(given).item()
    assert got == pytest.approx(7 * of_real + 3 * of_fake, rel=1e-12)
    assert abs(got - (3 * of_real + 7 * of_fake)) > 0.01 * got


@pytest.mark.parametrize(
    ("weights", "asked"), [((10, 0), [4]), ((10, 10), [4, 6]), ((0, 10), [6]), ((0, 0), [])]
)
def test_the_critic_is_asked_only_about_images_that_weigh_something(weights, asked):
    """Once each, with changed copies; what it thinks of the images themselves is given."""
    given, seen = watched(brightness, torch.randn(4, 1, 16, 16), torch.randn(6, 1, 16, 16))
    penalty = Consistency(*weights).d_term(given)
    assert [len(images) for images in seen] == asked
    originals = [o.images for o in (given.real, given.fake) if len(o.images) in asked]
    assert not any(torch.equal(a, b) for a, b in zip(originals, seen, strict=True))
    assert (penalty > 0) == bool(asked)


def test_consistency_changes_d_by_both_of_its_answers():
    """Slope 2 E[<w, x - T(x)> (x - T(x))]; an answer cut out of the graph is rejected."""
    real, w = torch.randn(4, 2, 16, 16), torch.randn(512, requires_grad=True)
    given = discrimination(linear(w), real, real)
    step = (real - moved_by_seed(real, flip=False)).flatten(1)
    torch.manual_seed(1)
    (gradient,) = torch.autograd.grad(Consistency(weight=1.0).d_term(given), w)
    want = 2 * (step @ w.detach())[:, None] * step
    torch.testing.assert_close(gradient, want.mean(dim=0), rtol=1e-10, atol=1e-12)
    cut = 2 * (step @ w.detach())[:, None] * real.flatten(1)
    assert not torch.allclose(gradient, cut.mean(dim=0), rtol=0.1)


# Terms of G's loss -------------------------------------------------------------------------------


def showing(features):
    """An output of which only the features matter."""
    return output(brightness, torch.zeros(len(features), 1, 2, 2), features=features)


def pull_away(rows):
    """1 / (N (N - 1)) sum_i sum_{j != i} (S_i' S_j / (|S_i| |S_j|))^2, Zhao et al. 2017, eq. 4."""
    dot = lambda a, b: sum(x * y for x, y in zip(a, b, strict=True))
    n, total = len(rows), 0.0
    for i in range(n):
        for j in range(n):
            if j != i:
                total += dot(rows[i], rows[j]) ** 2 / (
                    dot(rows[i], rows[i]) * dot(rows[j], rows[j])
                )
    return total / (n * (n - 1))


def by_one_number(features):
    """All rows divided by torch.norm(embeddings, 1), one number: from a popular repository."""
    rows = features / torch.norm(features, 1)
    n = len(rows)
    return ((rows @ rows.T).square().sum() - n) / (n * (n - 1))


def not_squared(features):
    """The mean cosine, from another one: opposite rows would be the best of all."""
    rows = nn.functional.normalize(features)
    n = len(rows)
    return ((rows @ rows.T).sum() - n) / (n * (n - 1))


def with_itself(features):
    """The mean over all pairs, also of an image and itself."""
    rows = nn.functional.normalize(features)
    return (rows @ rows.T).square().mean()


@pytest.mark.parametrize("n", [2, 5, 16])
def test_pull_away_is_its_papers_double_sum(n):
    """On rows of unlike lengths; other people's mistakes are rejected."""
    features = torch.randn(n, 7) * torch.arange(1.0, n + 1)[:, None] + 0.5
    got = PullAway(weight=3.0).g_term(generation(showing(features))).item()
    assert got == pytest.approx(3 * pull_away(features.tolist()), rel=1e-5)  # float32 inside
    for wrong in (by_one_number, not_squared, with_itself):
        assert abs(got / 3 - wrong(features)) > 0.02


@pytest.mark.parametrize("weight", [1.0, 0.1])
def test_pull_away_is_its_weight_where_all_are_alike_and_0_where_none_is(weight):
    """Whatever their lengths and signs: it is cosines that count."""
    cost = lambda rows: PullAway(weight).g_term(generation(showing(rows))).item()
    alike = torch.tensor([[1.0], [-3.0], [0.01], [200.0]]) * torch.tensor([[3.0, -4.0, 12.0]])
    assert cost(alike) == pytest.approx(weight, rel=1e-6)
    apart = torch.linalg.qr(torch.randn(6, 6)).Q[:4] * torch.tensor([[1.0], [-3.0], [0.1], [9.0]])
    assert cost(apart) == pytest.approx(0, abs=1e-7)
    assert by_one_number(alike) < 0.1
    assert not_squared(alike) < 0.1


@pytest.mark.parametrize("rows", [torch.randn(1, 5), torch.zeros(3, 5)], ids=["one", "zero"])
def test_one_image_and_features_of_0_cost_nothing_and_have_finite_slopes(rows):
    rows = rows.double().requires_grad_()
    cost = PullAway().g_term(generation(showing(rows)))
    assert cost.item() == pytest.approx(0, abs=1e-7)
    assert torch.isfinite(torch.autograd.grad(cost, rows)[0]).all()


def test_pull_away_looks_at_all_of_an_images_features():
    rows = torch.randn(4, 2, 3)
    got, flat = (PullAway().g_term(generation(showing(f))) for f in (rows, rows.flatten(1)))
    assert torch.equal(got, flat)


def test_a_step_down_pull_away_turns_two_images_apart():
    rows = torch.tensor([[1.0, 0.1], [1.0, -0.1]], requires_grad=True)
    (slope,) = torch.autograd.grad(PullAway(1.0).g_term(generation(showing(rows))), rows)
    cost = lambda rows: pull_away(rows.tolist())
    assert cost(rows.detach() - 0.1 * slope) < cost(rows.detach())
    assert slope[0, 1] < 0 < slope[1, 1]


@pytest.mark.parametrize("alone", [True, False])
def test_feature_matching_is_the_squared_distance_of_the_means(alone):
    """Not the mean of squared distances, not averaged over features, not a length, not L1."""
    real, fake = torch.randn(5, 7), torch.randn(5, 7) + 0.5
    got = (
        FeatureMatching(weight=3.0, alone=alone)
        .g_term(generation(showing(fake), showing(real)))
        .item()
    )
    gap = [
        sum(row[k] for row in fake.tolist()) / 5 - sum(row[k] for row in real.tolist()) / 5
        for k in range(7)
    ]
    assert got == pytest.approx(3 * sum(d**2 for d in gap), rel=1e-5)  # float32 inside
    step = fake.mean(dim=0) - real.mean(dim=0)
    for wrong in (
        (fake - real).square().sum(dim=1).mean(),
        step.square().mean(),
        step.norm(),
        step.abs().sum(),
    ):
        assert abs(got - 3 * wrong) > 0.1 * got


def test_feature_matching_compares_means_of_as_many_images_as_there_are():
    """Unequal numbers; images exchanged for others with the same mean change nothing."""
    regularizer, real = FeatureMatching(), torch.randn(3, 7)
    cost = lambda fake: regularizer.g_term(generation(showing(fake), showing(real))).item()
    assert cost(real.repeat(2, 1)) == pytest.approx(0, abs=1e-12)
    assert cost(real.mean(dim=0, keepdim=True)) == pytest.approx(0, abs=1e-12)
    assert cost(real + 1) == pytest.approx(7, rel=1e-6)


def test_feature_matching_moves_generated_features_alone():
    """Slope 2 (E f(G(z)) - E f(x)) / N, and none for what D says of real images."""
    real, fake = (torch.randn(4, 7, requires_grad=True) for _ in range(2))
    cost = FeatureMatching().g_term(generation(showing(fake), showing(real)))
    of_real, of_fake = torch.autograd.grad(cost, (real, fake), allow_unused=True)
    assert of_real is None
    want = 2 * (fake.mean(dim=0) - real.mean(dim=0)).detach() / 4
    torch.testing.assert_close(of_fake, want.expand(4, 7), rtol=1e-5, atol=1e-7)


def test_what_terms_of_gs_loss_look_at_is_declared():
    """GAN asks: features, real images, and whether the loss itself stands aside."""
    asks = lambda r: (r.needs_features, r.needs_real, r.replaces)
    assert asks(FeatureMatching()) == (True, True, True)
    assert asks(FeatureMatching(alone=False)) == (True, True, False)
    assert asks(PullAway()) == (True, False, False)
    for other in (Regularizer(), WeightClip(), R1(), GradientPenalty(), LeCam(), Consistency()):
        assert asks(other) == (False, False, False)


def test_terms_of_one_players_loss_are_none_of_the_others():
    given = discrimination(brightness, dots(2), dots(2))
    for regularizer in (PullAway(), FeatureMatching()):
        assert regularizer.d_term(given) is None
    for regularizer in (R1(), R2(), GradientPenalty(), DRAGAN(), LeCam(), Consistency()):
        assert regularizer.g_term(generation(given.fake, given.real)) is None


def test_terms_without_what_they_look_at_are_refused():
    plain, rich = output(brightness, dots(2)), showing(torch.randn(2, 3))
    wants = [
        (lambda: PullAway().g_term(generation(plain)), "the discriminator returns no features"),
        (
            lambda: FeatureMatching().g_term(generation(plain, rich)),
            "the discriminator returns no features",
        ),
        (
            lambda: FeatureMatching().g_term(generation(rich, plain)),
            "the discriminator returns no features",
        ),
        (
            lambda: FeatureMatching().g_term(generation(rich)),
            "feature matching needs real images, got None",
        ),
    ]
    for call, sentence in wants:
        with pytest.raises(ValueError) as error:
            call()
        assert str(error.value) == sentence


# All of them --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [R1, R2, GradientPenalty, DRAGAN, Consistency])
def test_every_is_left_to_the_training_step(kind):
    """A penalty does not multiply itself: gan.py does, and twice would be the usual mistake."""
    given = discrimination(quadratic()[0])
    values = []
    for regularizer in (kind(), kind(every=4)):
        torch.manual_seed(1)
        values.append(regularizer.d_term(given))
    assert torch.equal(*values)
    assert (kind().every, kind(every=4).every) == (1, 4)


def test_r1_pulls_the_critics_weights_by_gamma_times_themselves():
    """The penalty has a gradient with respect to D's parameters, gamma w for a linear critic."""
    w = torch.randn(PIXELS, requires_grad=True)
    (gradient,) = torch.autograd.grad(R1(gamma=4.0).d_term(discrimination(linear(w))), w)
    torch.testing.assert_close(gradient, 4 * w.detach(), rtol=1e-13, atol=0)


def test_the_gradient_penalty_pulls_the_critics_norm_to_its_center():
    w = torch.randn(PIXELS, requires_grad=True)
    (gradient,) = torch.autograd.grad(GradientPenalty(5.0).d_term(discrimination(linear(w))), w)
    norm = w.detach().norm()
    torch.testing.assert_close(gradient, 10 * (norm - 1) * w.detach() / norm, rtol=1e-9, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("center", [1.0, 0.0])
def test_the_penalty_of_a_constant_critic_has_a_finite_gradient(center, dtype):
    """Plain sqrt's slope at 0 is infinite and its product with 0 is NaN: rejected."""
    torch.set_default_dtype(dtype)
    w = torch.zeros(PIXELS, requires_grad=True)
    given = discrimination(linear(w))
    (gradient,) = torch.autograd.grad(GradientPenalty(center=center).d_term(given), w)
    assert torch.isfinite(gradient).all()
    norm = input_gradient(given.critic, given.real.images).square().sum(dim=1).sqrt()
    (gradient,) = torch.autograd.grad((norm - center).square().mean(), w)
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
    given = discrimination(linear(w), real, fake)
    for regularizer in (R1(), R2(), GradientPenalty(), DRAGAN()):
        regularizer.d_term(given).backward()
    assert fake.grad is None
    assert w.grad.abs().sum() > 0


def test_weight_clip_clamps_every_parameter_and_nothing_else():
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    network[1].running_mean.fill_(5.0)
    before = [p.detach().clone() for p in network.parameters()]
    WeightClip(0.1).project(list(network.parameters()))
    for old, new in zip(before, network.parameters(), strict=True):
        assert torch.equal(new, old.clamp(-0.1, 0.1))
        assert new.requires_grad
    assert any((old.abs() > 0.1).any() for old in before)
    assert (network[1].running_mean == 5.0).all()


def test_each_regularizer_does_one_thing():
    """A penalty changes no parameters; a projection adds nothing to the loss."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, 1), nn.Flatten(0))
    before = [p.detach().clone() for p in network.parameters()]
    given = discrimination(network)
    for regularizer in (Regularizer(), R1(), R2(), GradientPenalty(), DRAGAN(), LeCam()):
        regularizer.project(list(network.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    assert WeightClip().d_term(given) is None
    assert all(kind.per_sample for kind in (R1, R2, GradientPenalty, DRAGAN))
    assert not any(kind.per_sample for kind in (WeightClip, LeCam))  # BatchNorm may stay


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
        *(
            (lambda kind=kind: kind(every=0), "every must be at least 1, got 0")
            for kind in (Regularizer, R1, R2, GradientPenalty, DRAGAN, Consistency)
        ),
        (lambda: R2(-1), "gamma must be at least 0, got -1"),
        (lambda: DRAGAN(-1), "weight must be at least 0, got -1"),
        (lambda: DRAGAN(spread=0), "spread must be greater than 0, got 0"),
        (lambda: LeCam(-0.3), "weight must be at least 0, got -0.3"),
        (lambda: LeCam(decay=-0.1), "decay must be at least 0, got -0.1"),
        (lambda: LeCam(decay=1), "decay must be less than 1, got 1"),
        (lambda: Consistency(-1), "weight must be at least 0, got -1"),
        (
            lambda: Consistency(-1, -2),
            "weight must be at least 0, got -1; fake_weight must be at least 0, got -2",
        ),
        (lambda: PullAway(-0.1), "weight must be at least 0, got -0.1"),
        (lambda: PullAway(float("nan")), "weight must be at least 0, got nan"),
        (lambda: FeatureMatching(-1), "weight must be at least 0, got -1"),
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
    given = discrimination(linear(torch.randn(PIXELS)))
    for kind in (R1, R2, GradientPenalty, DRAGAN, LeCam, Consistency):
        assert kind(weight).d_term(given) == 0
    for kind in (PullAway, FeatureMatching):
        assert (
            kind(weight).g_term(generation(showing(torch.randn(3, 5)), showing(torch.ones(3, 5))))
            == 0
        )


@pytest.mark.parametrize(
    "path", sorted((ROOT / "conf" / "regularizer").glob("*.yaml")), ids=lambda path: path.stem
)
def test_every_configured_regularizer_is_one(path):
    parts = instantiate(OmegaConf.load(path))
    assert list(parts) == [path.stem]
    assert isinstance(parts[path.stem], Regularizer)
