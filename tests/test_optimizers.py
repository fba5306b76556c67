"""Extragradient and optimistic optimizers: the papers' algorithms, step by step, and in a GAN."""

import functools
import math

import pytest
import torch
from pytorch_lightning import Callback
from torch import nn

from commands import completed, run_train, smoke
from conftest import fit, same, small_gan, weights
from ganlab.optimizers import ExtraAdam, ExtraSGD, OptimisticAdam, OptimisticSGD
from ganlab.schedules import Linear
from ganlab.spec import ImageSpec
from ganlab.training.updates import UpdateRule

RATE, BETAS, EPS = 0.1, (0.5, 0.9), 1e-8
START = (1.0, -2.0, 0.5)
STEPS = 7


def gradient(w, t):
    """Of a function that changes from step to step."""
    return torch.stack([w[0] * (1 + t), w[1] - w[2], w[1] + math.sin(t) * w[2]])


class Moments:
    """Adam's direction (Kingma & Ba 2015, Algorithm 1), by hand."""

    def __init__(self):
        self.m = self.v = 0.0
        self.t = 0

    def direction(self, g):
        self.t += 1
        self.m = BETAS[0] * self.m + (1 - BETAS[0]) * g
        self.v = BETAS[1] * self.v + (1 - BETAS[1]) * g * g
        m, v = self.m / (1 - BETAS[0] ** self.t), self.v / (1 - BETAS[1] ** self.t)
        return m / (v.sqrt() + EPS)


def by_hand_optimistic(w, rates):
    """Daskalakis et al. 2018, Algorithm 1."""
    moments, last = Moments(), 0.0
    for t, rate in enumerate(rates):
        now = rate * moments.direction(gradient(w, t))
        w, last = w - 2 * now + last, now
    return w


def by_hand_extra(w, rates, *, returns=True):
    """Gidel et al. 2019, Algorithm 4, option I."""
    moments = Moments()
    for t, rate in enumerate(rates):
        ahead = w - rate * moments.direction(gradient(w, t))
        w = (w if returns else ahead) - rate * moments.direction(gradient(ahead, t))
    return w


def by_optimizer(make, rates, w, *, looks_ahead=False):
    """The same with an optimizer of torch's kind, saved and loaded after each step."""
    parameter = nn.Parameter(w.clone())
    optimizer = make([parameter])
    for t, rate in enumerate(rates):
        for ahead in (True, False) if looks_ahead else (False,):
            parameter.grad = gradient(parameter.detach(), t)
            optimizer.param_groups[0]["lr"] = rate
            optimizer.step(**({"extrapolate": True} if ahead else {}))
            saved, optimizer = optimizer.state_dict(), make([parameter])
            optimizer.load_state_dict(saved)
    return parameter.detach()


FORMS = [{"foreach": False}, {"foreach": True}, {"fused": True}]
RATES = {"constant": [RATE] * STEPS, "schedule": [RATE / (1 + t) for t in range(STEPS)]}


@pytest.fixture
def start():
    return torch.tensor(START, dtype=torch.float64)


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("rates", RATES.values(), ids=RATES)
def test_optimistic_adam_is_algorithm_1_of_its_paper(start, rates, form):
    make = functools.partial(OptimisticAdam, betas=BETAS, eps=EPS, **form)
    expected = by_hand_optimistic(start, rates)
    torch.testing.assert_close(by_optimizer(make, rates, start), expected, rtol=1e-12, atol=1e-14)
    adam = functools.partial(torch.optim.Adam, betas=BETAS, eps=EPS)
    assert (by_optimizer(adam, rates, start) - expected).abs().max() > 1e-2


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("rates", RATES.values(), ids=RATES)
def test_extra_adam_is_algorithm_4_of_its_paper(start, rates, form):
    make = functools.partial(ExtraAdam, betas=BETAS, eps=EPS, **form)
    found = by_optimizer(make, rates, start, looks_ahead=True)
    torch.testing.assert_close(found, by_hand_extra(start, rates), rtol=1e-12, atol=1e-14)
    assert (found - by_hand_extra(start, rates, returns=False)).abs().max() > 1e-2


def test_the_sgd_forms_have_the_step_of_their_papers_and_take_momentum(start):
    (rate, *_), g = RATES["constant"], gradient
    optimistic = start - 2 * rate * g(start, 0)
    optimistic = optimistic - 2 * rate * g(optimistic, 1) + rate * g(start, 0)
    extra = start - rate * g(start - rate * g(start, 0), 0)
    for make, expected, steps in ((OptimisticSGD, optimistic, 2), (ExtraSGD, extra, 1)):
        look = {"looks_ahead": make is ExtraSGD}
        found = by_optimizer(make, [rate] * steps, start, **look)
        torch.testing.assert_close(found, expected, rtol=1e-14, atol=1e-14)
        heavy = functools.partial(make, momentum=0.5)
        assert not torch.equal(by_optimizer(heavy, [rate] * 3, start, **look), expected)


@pytest.mark.parametrize("make", [ExtraSGD, ExtraAdam])
def test_a_step_that_never_came_leaves_no_one_ahead(start, make):
    """The next look ahead is from w again, not from where the last one had led."""
    parameter = nn.Parameter(start.clone())
    optimizer = make([parameter, nn.Parameter(start.clone())], lr=RATE)  # one without a gradient
    parameter.grad = torch.ones_like(start)
    optimizer.step(extrapolate=True)
    ahead = parameter.detach().clone()
    optimizer.step(extrapolate=True)
    torch.testing.assert_close(parameter.detach(), ahead)
    parameter.grad = torch.zeros_like(start)
    optimizer.param_groups[0]["lr"] = 0.0
    optimizer.step()
    assert torch.equal(parameter.detach(), start)
    assert not any("anchor" in state for state in optimizer.state.values())


@pytest.mark.parametrize("make", [ExtraSGD, OptimisticSGD])
def test_a_closure_is_asked_where_the_player_stands(start, make):
    parameter, seen = nn.Parameter(start.clone()), []
    optimizer = make([parameter], lr=RATE)

    def closure():
        optimizer.zero_grad()
        seen.append(parameter.detach().clone())
        (loss := parameter.square().sum()).backward()
        return loss

    look = {"extrapolate": True} if make is ExtraSGD else {}
    assert optimizer.step(closure, **look) == start.square().sum()
    stood = parameter.detach().clone()
    optimizer.step(closure)
    assert torch.equal(seen[1], stood)


@pytest.mark.parametrize("make", [ExtraAdam, OptimisticAdam])
def test_an_update_rule_builds_the_fused_form(make):
    optimizer = UpdateRule(make).build([nn.Parameter(torch.zeros(1))], fused=True)
    assert optimizer.defaults["fused"]


# In a GAN ---------------------------------------------------------------------------------------


class Point(nn.Module):
    """G of a Dirac-GAN (Mescheder et al. 2018, section 2): all of its images are theta."""

    def __init__(self, spec: ImageSpec):
        super().__init__()
        self.weight, self.shape = nn.Parameter(torch.tensor([1.0])), spec.shape

    def forward(self, z):
        return self.weight.view(1, 1, 1, 1).expand(len(z), *self.shape)


class Slope(nn.Module):
    """Its D: psi times the image's mean."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.5]))

    def forward(self, images):
        return self.weight * images.mean(dim=(1, 2, 3))


class Means(Callback):
    """The means of the real images, one tensor for each minibatch of each iteration."""

    def __init__(self):
        self.seen = []

    def on_train_batch_start(self, trainer, gan, batch, *_):
        self.seen.append([part.images.double().mean(dim=(1, 2, 3)) for part in batch.unbind()])


def dirac(make, iterations=8, **options):
    """Trains on the digits' means; returns (theta, psi) at the end, and these means."""
    means, rule = Means(), UpdateRule(functools.partial(make, lr=RATE))
    networks = {"generator": Point(small_gan().spec), "discriminator": Slope()}
    gan = small_gan(iterations, **networks, **{"g_rule": rule, "d_rule": rule, **options})
    trainer = fit(gan, callbacks=[means], precision="64-true")
    assert trainer.global_step == gan.iterations == iterations
    return (gan.generator.weight.item(), gan.discriminator.weight.item()), means.seen


def d_gradient(theta, psi, real):
    """Of softplus(-psi x) + softplus(psi theta) by psi, the non-saturating loss."""
    return -(torch.sigmoid(-psi * real) * real).mean() + torch.sigmoid(psi * theta) * theta


def g_gradient(theta, psi):
    return -torch.sigmoid(-psi * theta) * psi


def by_hand_dirac(means, ahead=("d", "g")):
    """Extragradient in Algorithm 1, as GAN.look_ahead says it."""
    theta, psi = (torch.tensor(value, dtype=torch.float64) for value in (1.0, 0.5))
    for minibatches in means:
        d, g = d_gradient(theta, psi, minibatches[0]), g_gradient(theta, psi)
        there_d = psi - RATE * d if "d" in ahead else psi
        there_g = theta - RATE * g if "g" in ahead else theta
        psi = psi - RATE * d_gradient(there_g, there_d, minibatches[0])
        for real in minibatches[1:]:
            psi = psi - RATE * d_gradient(there_g, psi, real)
        theta = theta - RATE * g_gradient(there_g, psi)
    return theta.item(), psi.item()


@pytest.mark.parametrize("k", [1, 3])
def test_extragradient_in_algorithm_1(k):
    found, means = dirac(ExtraSGD, d_steps=k)
    assert found == pytest.approx(by_hand_dirac(means), abs=1e-12)
    for wrong in ("", "d", "g"):
        assert found != pytest.approx(by_hand_dirac(means, wrong), abs=1e-5)


@pytest.mark.parametrize("player", ["d", "g"])
def test_one_player_may_look_ahead_alone(player):
    other = {"d": "g_rule", "g": "d_rule"}[player]
    plain = UpdateRule(functools.partial(torch.optim.SGD, lr=RATE))
    found, means = dirac(ExtraSGD, **{other: plain})
    assert found == pytest.approx(by_hand_dirac(means, player), abs=1e-12)


def test_nobody_looks_ahead_with_plain_optimizers():
    found, means = dirac(torch.optim.SGD)
    assert found == pytest.approx(by_hand_dirac(means, ""), abs=1e-12)


@pytest.mark.parametrize("k", [1, 2])
def test_both_gradients_of_an_update_are_of_one_sample(k):
    """The same noise; Algorithm 1's own updates never share any."""
    gan, drawn = small_gan(iterations=2, d_steps=k, **rules(ExtraAdam)), []
    latents = gan.latents
    gan.latents = lambda labels: drawn.append(latents(labels)) or drawn[-1]
    fit(gan)
    assert len(drawn) == 2 * (2 + k + 1)
    for first in (0, 3 + k):
        d, g, *updates = drawn[first : first + 3 + k]
        assert torch.equal(updates[0], d)
        assert torch.equal(updates[1], g)  # with k = 1 this is G's
        assert not torch.equal(d, g)


def rules(make, **options) -> dict[str, UpdateRule]:
    rule = UpdateRule(functools.partial(make, lr=2e-3, betas=(0.5, 0.999)), **options)
    return {"g_rule": rule, "d_rule": rule}


@pytest.mark.parametrize("make", [ExtraAdam, OptimisticAdam])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_clipping_schedules_and_accumulation_are_as_with_any_optimizer(make, precision):
    """The gradient of each step is clipped, and at the schedule's end nobody moves."""
    kept = []

    class Look(Callback):
        def on_train_batch_end(self, trainer, gan, *_):
            grads = [p.grad.flatten() for p in gan.discriminator.parameters()]
            rates = {o.param_groups[0]["lr"] for o in gan.optimizers(use_pl_optimizer=False)}
            kept.append((torch.cat(grads).norm().item(), rates))

    gan = small_gan(iterations=4, **rules(make, clip=0.01, schedule=Linear(), accumulate=2))
    before = weights(gan)
    fit(gan, callbacks=[Look()], precision=precision)
    norms, rates = zip(*kept, strict=True)
    assert all(norm <= 0.0101 for norm in norms)
    assert [rate.pop() for rate in rates] == pytest.approx([2e-3, 1.5e-3, 1e-3, 0.5e-3])
    assert not same(before, weights(gan))
    assert all(torch.isfinite(tensor).all() for tensor in weights(gan).values())


@pytest.mark.parametrize("precision", ["16", "16-mixed"])
def test_a_gradient_scaler_is_refused_with_what_to_say_instead(tmp_path, precision):
    words = ["optim@g_optimizer=extra_sgd", f"trainer.precision={precision}"]
    outcome = run_train(*smoke(tmp_path, *words))
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == (
        "ganlab: 1 mistake, nothing was started\n  g_optimizer: ExtraSGD wants gradients of both "
        "players at one scale, which 16-mixed precision may change; set "
        "trainer.precision=bf16-mixed\n"
    )
    completed("optim@g_optimizer=optimistic_adam", words[1])
