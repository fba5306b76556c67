"""The sigmoid belief network against enumeration: likelihood, bounds, gradients of estimators."""

import functools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ganlab
from commands import run_train, runs_in
from ganlab.belief import BeliefNetwork, Recognition
from ganlab.belief.estimators import log_mean_weight, reweighted_wake, vimco, wake
from ganlab.belief.likelihood import bounds, exact, log_probabilities
from ganlab.belief.network import draw, log_bernoulli
from ganlab.boltzmann.enumeration import states
from ganlab.spec import ImageSpec, PointSpec
from ganlab.training.chance import drawn
from ganlab.training.streams import Stream, stream
from training_in_parts import QUICK, assert_goes_on, ended

PIXELS = ImageSpec(1, 2)  # 4 visible units
DEPTHS = ([3], [3, 2], [3, 2, 2])


def pair(hidden, seed=0, scale=1.0, spec=PIXELS):
    """A network and its recognition in float64, with random weights and biases."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = BeliefNetwork(spec, 4, hidden).double(), Recognition(spec, hidden).double()
        for network in made:
            for weight in network.parameters():
                torch.nn.init.normal_(weight, std=scale)
    return made


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def every(hidden):
    """All hidden states, by layer."""
    return list(states(sum(hidden)).split(hidden, dim=1))


def gradient(value, network):
    return torch.cat([g.flatten() for g in torch.autograd.grad(value, list(network.parameters()))])


# Distributions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("hidden", DEPTHS, ids=len)
def test_probabilities_add_up_to_one(hidden):
    model, recognition = pair(hidden)
    torch.testing.assert_close(exact(model, states(4)).exp().sum().item(), 1.0)
    h = every(hidden)
    v = states(4)[5].expand(len(h[0]), -1)
    torch.testing.assert_close(recognition.log_probability(v, h).exp().sum().item(), 1.0)


@settings(max_examples=15)
@given(st.lists(st.integers(1, 3), min_size=1, max_size=3), st.integers(0, 100))
def test_the_likelihood_is_the_sum_over_joint_probabilities(hidden, seed):
    model, _ = pair(hidden, seed)
    h = every(hidden)
    v = states(4)[9].expand(len(h[0]), -1)
    torch.testing.assert_close(exact(model, v[:1])[0], model.log_joint(v, h).logsumexp(dim=0))


@pytest.mark.parametrize("hidden", DEPTHS, ids=len)
def test_dreams_have_the_model_s_probabilities(hidden):
    model, _ = pair(hidden)
    v, first = model.dream(40_000, drawn(40_000, generator()))
    assert [len(layer[0]) for layer in first] == hidden
    share = (v @ 2 ** torch.arange(4, dtype=torch.float64)).long().bincount(minlength=16) / 40_000
    p = exact(model, states(4)).exp()
    assert ((share - p).abs() < 4.5 * (p * (1 - p) / 40_000).sqrt()).all()


def test_recognition_draws_what_its_probability_says():
    _, recognition = pair([2, 2])
    v = states(4)[6].expand(40_000, -1)
    h, log_q = recognition.sample(v[:1], 40_000, drawn(40_000, generator()))
    number = (torch.cat(h, dim=2)[0] @ 2 ** torch.arange(4, dtype=torch.float64)).long()
    share = number.bincount(minlength=16) / 40_000
    p = recognition.log_probability(v[:16], every([2, 2])).exp()
    assert ((share - p).abs() < 4.5 * (p * (1 - p) / 40_000).sqrt()).all()
    torch.testing.assert_close(log_q[0].exp(), p[number])


def test_a_latent_s_image_depends_on_nothing_else():
    model = pair([6, 5])[0].float()
    z = torch.randn(5, 4)
    whole = model(z)
    assert whole.shape == (5, 1, 2, 2)
    assert whole.abs().max() <= 1
    torch.testing.assert_close(model(z[3:4]), whole[3:4])
    assert len(whole.unique(dim=0)) > 1


@pytest.fixture
def random():
    """The generator of an image, by its number."""
    return functools.partial(stream, "cpu", 0, Stream.LIKELIHOOD)


# Bounds ------------------------------------------------------------------------------------------


def expected_bound(model, recognition, v, k):
    """The K-sample bound's expectation of one v (1, visible), by all K-tuples of hidden states."""
    hidden = [layer.in_features for layer in reversed(model.layers)]
    h = every(hidden)
    rows = v.expand(len(h[0]), -1)
    log_p, log_q = model.log_joint(rows, h), recognition.log_probability(rows, h)
    tuples = torch.cartesian_prod(*[torch.arange(len(log_p))] * k).view(-1, k)
    found = log_mean_weight(log_p[tuples], log_q[tuples])
    return (log_q[tuples].sum(dim=1).exp() * found).sum()


def test_bounds_rise_with_the_samples_towards_the_truth(random):
    model, recognition = pair([3])
    for v in states(4)[::5].unsqueeze(1):
        truth = exact(model, v).item()
        found = [expected_bound(model, recognition, v, k).item() for k in (1, 2, 3)]
        assert found[0] < found[1] < found[2] < truth
        sampled = bounds(model, recognition, v.expand(2000, -1), 3, random)
        assert sampled.mean().item() == pytest.approx(found[2], abs=0.2)
    (model, recognition), v = pair([3], scale=0.3), states(4)
    many = bounds(model, recognition, v, 5000, random)
    torch.testing.assert_close(many, exact(model, v).detach(), atol=0.05, rtol=0)


def test_a_recognition_that_is_the_posterior_makes_the_bound_tight(random):
    """One hidden unit: the posterior's log-odds are linear in v."""
    model, recognition = pair([1])
    layer, q = model.layers[0], recognition.layers[0]
    with torch.no_grad():
        on, off = (
            torch.nn.functional.softplus(layer.bias + x * layer.weight[:, 0]) for x in (1, 0)
        )
        q.weight.copy_(layer.weight.T)
        q.bias.copy_(model.prior - on.sum() + off.sum())
    found = bounds(model, recognition, states(4), 1, random)
    torch.testing.assert_close(found, exact(model, states(4)).detach())


def test_parts_of_the_samples_are_all_counted(random):
    model, recognition = pair([3])
    v = states(4)
    with pytest.raises(ValueError, match="samples must be at least 1"):
        bounds(model, recognition, v, 0, random)
    parted, whole = (
        bounds(model, recognition, v[:1].expand(400, -1), 64, random, at_once=at_once)
        for at_once in (16, 640)
    )
    assert parted.mean().item() == pytest.approx(whole.mean().item(), abs=0.1)
    assert parted.std().item() == pytest.approx(whole.std().item(), rel=0.4)


# Gradients ---------------------------------------------------------------------------------------


def sampled_gradients(loss, k, n=40_000, parts=200):
    """(parts, parameters of q): gradients of a loss over different samples, and the exact one."""
    model, recognition = pair([2])
    v = states(4)[15:]
    known = -gradient(expected_bound(model, recognition, v, k), recognition)
    random, found = generator(), []
    for _ in range(parts):
        rows = v.expand(n // parts, -1)
        logs = log_probabilities(model, recognition, rows, k, drawn(len(rows) * k, random))
        found.append(gradient(loss(*logs), recognition))
    return torch.stack(found), known


def naive(log_p, log_q):
    """The same gradient without a baseline: the bound itself is the signal of all samples."""
    bound = log_mean_weight(log_p, log_q)
    return -(bound.detach() * log_q.sum(dim=1) + bound).mean()


def pathwise(log_p, log_q):
    """Wrong: as if samples did not depend on q."""
    return -log_mean_weight(log_p, log_q).mean()


def distance(found, known):
    """Of the mean from what is known, in standard errors: the largest."""
    error = found.std(dim=0) / math.sqrt(len(found))
    return ((found.mean(dim=0) - known).abs() / error).max().item()


@pytest.mark.parametrize("k", [2, 3])
def test_vimco_is_unbiased_with_less_variance_than_without_baseline(k):
    ours, known = sampled_gradients(vimco, k)
    plain, _ = sampled_gradients(naive, k)
    wrong, _ = sampled_gradients(pathwise, k)
    assert distance(ours, known) < 4
    assert distance(plain, known) < 4
    assert distance(wrong, known) > 20
    assert ours.var(dim=0).sum() < 0.5 * plain.var(dim=0).sum()


def test_vimco_s_gradient_of_the_model_is_that_of_the_bound():
    model, recognition = pair([2, 2])
    v = states(4)[3:9]
    logs = log_probabilities(model, recognition, v, 4, drawn(24, generator()))
    found = gradient(vimco(*logs), model)
    logs = log_probabilities(model, recognition, v, 4, drawn(24, generator()))
    torch.testing.assert_close(found, gradient(-log_mean_weight(*logs).mean(), model))


def test_vimco_needs_others_to_compare_with():
    with pytest.raises(ValueError, match="at least 2 samples, got 1"):
        vimco(torch.zeros(3, 1), torch.zeros(3, 1))


def test_reweighted_wake_sleep_tends_to_the_gradient_of_the_likelihood():
    """With many samples; the plain wake phase keeps the recognition's error."""
    model, recognition = pair([3])
    v = states(4)
    known = gradient(-exact(model, v).mean(), model)
    far = {}
    for name, loss in (("reweighted", reweighted_wake), ("plain", lambda p, _: wake(p))):
        logs = log_probabilities(model, recognition, v, 20_000, drawn(320_000, generator()))
        far[name] = (gradient(loss(*logs), model) - known).abs().max().item()
    assert far["reweighted"] < 0.02
    assert far["plain"] > 0.1


def test_the_sleep_phase_learns_the_posterior():
    """One hidden unit, and dreams: q becomes p(h | v), which is linear in v."""
    model, _ = pair([1])
    _, recognition = pair([1], seed=3)
    optimizer = torch.optim.Adam(recognition.parameters(), lr=0.05)
    random = generator()
    for _ in range(400):
        v, hidden = model.dream(500, drawn(500, random))
        optimizer.zero_grad()
        (-recognition.log_probability(v, hidden).mean()).backward()
        optimizer.step()
    v = states(4)
    on = torch.ones(16, 1, dtype=torch.float64)
    posterior = model.log_joint(v, [on]).sub(exact(model, v)).exp()
    q = recognition.log_probability(v, [on]).exp()
    p = exact(model, v).exp()
    assert ((posterior - q).abs() * p).sum().item() < 0.02


@settings(max_examples=25)
@given(st.integers(0, 1000))
def test_log_probabilities_of_units_are_those_of_torch(seed):
    logits = 3 * torch.randn(4, 5, generator=generator(seed), dtype=torch.float64)
    units = draw(logits, drawn(4, generator(seed)))
    known = torch.distributions.Bernoulli(logits=logits).log_prob(units).sum(1)
    torch.testing.assert_close(log_bernoulli(units, logits), known)


# Refusals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "hidden", "said"),
    [
        (PIXELS, [], "hidden must be 1 to 3 layers, got 0"),
        (PIXELS, [2, 2, 2, 2], "hidden must be 1 to 3 layers, got 4"),
        (PIXELS, [2, 0], r"hidden\[1\] must be at least 1"),
        (PointSpec(2), [2], "the data is points"),
    ],
)
def test_what_cannot_be_is_refused(spec, hidden, said):
    for network in (lambda: BeliefNetwork(spec, 4, hidden), lambda: Recognition(spec, hidden)):
        with pytest.raises(ValueError, match=said):
            network()


def test_a_large_network_is_not_enumerated():
    with pytest.raises(ValueError, match="at most 20 hidden units, got 21"):
        exact(pair([21])[0], states(4))


# Training ----------------------------------------------------------------------------------------

SMALL = ("model=sbn", "model.generator.hidden=[6,4]", "latent.dim=3", "callback.likelihood.n=20")


@pytest.mark.long
@pytest.mark.parametrize(
    "words",
    [
        ["g_accumulate=2"],
        ["model.estimator=reweighted", "model.binarise=fixed"],
        ["model.estimator=wake_sleep", "model.samples=1", "model.generator.hidden=[9]", "ema=null"],
    ],
    ids=["vimco", "reweighted", "wake-sleep"],
)
def test_a_network_goes_on_bit_for_bit(tmp_path, words):
    saved = assert_goes_on(tmp_path, *SMALL, *words)["state_dict"]
    assert all(tensor.isfinite().all() for tensor in saved.values())


def test_a_run_is_sampled(tmp_path):
    ended(tmp_path, *SMALL)
    (run,) = runs_in(tmp_path)
    model = ganlab.load(run)
    images = model.sample(70, seed=3)
    assert images.shape == (70, 1, 16, 16)
    torch.testing.assert_close(model.sample(3, seed=3), images[:3])
    told, truth = model.log_likelihoods(images[:4], 200, 0)
    assert (told.name, told.kind, truth.name) == ("nll/iwae-200", "lower bound", "nll/exact")
    assert truth.nats - 1e-6 < told.nats < truth.nats + 3
    (alone, _) = model.log_likelihoods(images[:2], 200, 0)
    (pair, _) = model.log_likelihoods(torch.cat([images[:2], images[:2]]), 200, 0)
    assert alone.nats != pair.nats, "samples of another image's number"
    readings = model.own_readings(images)
    assert 0 <= readings["dead_units"] <= 1
    with torch.no_grad():
        model.recognition.layers[1].bias.fill_(-50.0)
    assert model.own_readings(images)["dead_units"] >= 4 / 10


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model.samples=1"], "model.samples: vimco compares at least 2"),
        (["model.binarise=none"], "model.binarise: the visible units are binary"),
        (["model.recognition.hidden=[6]"], "model.recognition: has hidden layers [6], and"),
        (
            ["model.estimator=reinforce"],
            "estimator: expected 'vimco' or 'reweighted' or 'wake_sleep'",
        ),
        (["data=grid_2d"], "is for images, the data is points"),
        (["loss=hinge"], "loss: SBN has no use for it: there is no game"),
    ],
)
def test_what_has_no_meaning_is_refused_with_the_reason(tmp_path, words, said):
    outcome = run_train(*QUICK, *SMALL, *words, f"output_dir={tmp_path}")
    assert outcome.code == 2
    assert said in outcome.err
    assert not any(tmp_path.iterdir())
