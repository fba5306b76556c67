"""The restricted Boltzmann machine against enumeration: energies, gradients, partition function."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ganlab
from commands import run_sample, run_train, runs_in
from ganlab.boltzmann import BoltzmannMachine
from ganlab.boltzmann.annealing import (
    forward,
    inverse_temperatures,
    log_mean,
    log_weights,
    reverse,
)
from ganlab.boltzmann.centring import centred
from ganlab.boltzmann.enumeration import exact_draws, log_partition, states
from ganlab.boltzmann.likelihood import negative_free_energy
from ganlab.boltzmann.units import Bernoulli, Gaussian
from ganlab.latent import Gaussian as Latents
from ganlab.models import RBM
from ganlab.sampling.inversion import Inversion
from ganlab.spec import ImageSpec, PointSpec
from ganlab.training.chance import Ahead, drawn, of_latents
from ganlab.training.updates import UpdateRule
from training_in_parts import QUICK, assert_goes_on, ended

PIXELS = ImageSpec(1, 3)  # 9 visible units
NAMES = ("weight", "visible_bias", "hidden_bias")


def machine(hidden=6, visible="bernoulli", spec=PIXELS, scale=0.7, seed=0, **options):
    """A machine in float64 with random weights, biases and base rates."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = BoltzmannMachine(spec, 4, hidden, visible, scale=scale, **options).double()
        for bias in (made.visible_bias, made.hidden_bias):
            torch.nn.init.normal_(bias, std=0.5)
        if visible == "bernoulli":
            made.visible_mean.uniform_(0.2, 0.8)
        else:
            made.visible_mean.normal_()
        made.hidden_mean.uniform_(0.2, 0.8)
    return made


def chance(rows, seed=0):
    return drawn(rows, torch.Generator().manual_seed(seed))


def gradient(value, made):
    return torch.autograd.grad(value, [getattr(made, name) for name in NAMES])


# Energies ----------------------------------------------------------------------------------------


def test_the_free_energy_sums_over_all_hidden_states():
    made, v = machine(), states(9)[::37]
    every = torch.stack([-made.energy(v, h.expand(len(v), -1)) for h in states(6)])
    torch.testing.assert_close(made.free_energy(v), -every.logsumexp(dim=0))


def test_the_partition_function_is_that_of_all_states():
    made = machine()
    every = [made.energy(states(9), h.expand(512, -1)) for h in states(6)]
    torch.testing.assert_close(log_partition(made), (-torch.stack(every)).logsumexp(dim=(0, 1)))


def test_either_side_gives_the_same_partition_function():
    wide, narrow = machine(hidden=12), machine(hidden=5)
    for made in (wide, narrow):
        by_visible = (-made.free_energy(states(9))).logsumexp(dim=0)
        torch.testing.assert_close(log_partition(made), by_visible)


def test_without_weights_the_partition_function_is_a_sum_of_softplus():
    made = machine(hidden=14)
    torch.nn.init.zeros_(made.weight)
    torch.nn.init.zeros_(made.hidden_bias)
    known = torch.nn.functional.softplus(made.visible_bias).sum() + 14 * math.log(2)
    torch.testing.assert_close(log_partition(made), known)
    with torch.no_grad():
        made.visible_mean.copy_(torch.sigmoid(made.visible_bias))  # the base is the machine
    found = forward(made, inverse_temperatures(10), 8, torch.Generator().manual_seed(0))
    assert found.value == pytest.approx(known.item(), abs=1e-12)
    assert found.high - found.low < 1e-12


def test_gaussian_units_have_the_density_of_a_mixture():
    made = machine(hidden=4, visible="gaussian", spec=PointSpec(2), deviation=0.5)
    x = torch.randn(7, 2, dtype=torch.float64)
    h = states(4)
    logs = h @ made.hidden_bias + made.visible_field(h).square().sum(1) / 2
    means = 0.5 * made.visible_field(h)
    parts = torch.distributions.Independent(torch.distributions.Normal(means, 0.5), 1)
    mixture = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(logits=logs), parts
    )
    found = negative_free_energy(made, made.units_of(x)) - log_partition(made)
    torch.testing.assert_close(found, mixture.log_prob(x))


@settings(max_examples=20)
@given(st.integers(1, 8), st.integers(0, 1000))
def test_probabilities_add_up_to_one(hidden, seed):
    made = machine(hidden=hidden, seed=seed)
    total = (-made.free_energy(states(9)) - log_partition(made)).exp().sum()
    assert total.item() == pytest.approx(1)


# Gibbs sampling ----------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0])
def test_a_sweep_leaves_its_distribution_as_it_is(beta):
    """All 512 states: p T = p, with the transition matrix T by all hidden states."""
    made, v = machine(hidden=4), states(9)
    field = made.hidden_field(v)
    p = made.log_density(v, field, beta).softmax(dim=0)
    moved = torch.zeros_like(p)
    for h in states(4):
        given_v = torch.distributions.Bernoulli(logits=beta * field).log_prob(h).sum(1)
        a = torch.lerp(made.base_field, made.visible_field(h[None])[0], beta)
        given_h = torch.distributions.Bernoulli(logits=a).log_prob(v).sum(1)
        moved += (p * given_v.exp()).sum() * given_h.exp()
    torch.testing.assert_close(moved, p)


@pytest.mark.parametrize("rise", [0.0, 0.5])
@pytest.mark.parametrize("kind", ["bernoulli", "gaussian"])
def test_long_chains_have_the_moments_of_exact_draws(kind, rise):
    made = machine(hidden=4, visible=kind, scale=0.4, sweeps=60, rise=rise)
    exact = exact_draws(made, chance(20_000))
    chains, _ = made.annealed(chance(20_000, seed=1))
    error = (exact.var(dim=0) / 10_000).sqrt()
    assert ((exact.mean(0) - chains.mean(0)).abs() < 4.5 * error).all()
    wrong, _ = made.sweep(made.base_draw(chance(20_000)), chance(20_000, seed=1), 0.1)
    assert ((exact.mean(0) - wrong.mean(0)).abs() > 4.5 * error).any(), "one hot sweep passes, too"


def test_exact_draws_have_the_probabilities_of_all_states():
    made = machine(hidden=3, spec=ImageSpec(1, 2))
    v = exact_draws(made, chance(40_000))
    number = (v @ 2 ** torch.arange(4, dtype=torch.float64)).long()
    share = number.bincount(minlength=16) / 40_000
    p = (-made.free_energy(states(4)) - log_partition(made)).exp()
    assert ((share - p).abs() < 4.5 * (p * (1 - p) / 40_000).sqrt()).all()


def test_a_latent_s_image_depends_on_nothing_else():
    made = machine(sweeps=10).float()
    z = torch.randn(5, 4)
    whole = made(z)
    assert whole.shape == (5, 1, 3, 3)
    assert whole.abs().max() <= 1
    torch.testing.assert_close(made(z[3:4]), whole[3:4])
    assert not torch.equal(made(z + 1e-6 * (1 + z.abs())), whole)


def test_draws_of_a_latent_are_uniform_and_differ_between_latents():
    of = of_latents(torch.randn(200, 3))
    first, second = of(100), of(100)
    assert first.min() >= 0
    assert first.max() < 1
    both = torch.cat([first, second], dim=1)
    assert both.mean().item() == pytest.approx(0.5, abs=0.01)
    assert (torch.corrcoef(both) - torch.eye(200)).abs().max() < 0.45


@pytest.mark.parametrize("block", [1, 4, 100])
def test_numbers_that_are_drawn_ahead_are_the_same(block):
    plain, ahead = chance(1), Ahead(chance(1), block)
    for n in (3, 1, 7, 4, 90, 2):
        assert torch.equal(ahead(n), plain(n))


# Gradients ---------------------------------------------------------------------------------------


def contrastive(made, data, samples):
    """The gradient of the free energies' difference, as training takes it."""
    return gradient(made.free_energy(data).mean() - made.free_energy(samples).mean(), made)


@pytest.mark.parametrize("kind", ["bernoulli", "gaussian"])
def test_the_difference_of_free_energies_has_the_gradient_of_the_likelihood(kind):
    made = machine(visible=kind, hidden=4, scale=0.3)
    data = exact_draws(machine(visible=kind, hidden=4, seed=5), chance(50))
    samples = exact_draws(made, chance(100_000))
    exact = gradient(made.free_energy(data).mean() + log_partition(made), made)
    for found, known in zip(contrastive(made, data, samples), exact, strict=True):
        assert (found - known).abs().max() < 0.03


def test_many_steps_of_contrastive_divergence_give_the_exact_gradient_and_one_does_not():
    made = machine(hidden=5, scale=1.3)
    data = exact_draws(machine(hidden=5, scale=1.3, seed=5), chance(200))
    exact = gradient(made.free_energy(data).mean() + log_partition(made), made)
    far = {}
    for k in (1, 40):
        v, random = data.repeat(200, 1), chance(40_000)
        for _ in range(k):
            v, _ = made.sweep(v, random)
        found = contrastive(made, data, v)
        far[k] = max((a - b).abs().max().item() for a, b in zip(found, exact, strict=True))
    assert far[40] < 0.02
    assert far[1] > 0.06


def flipped(made):
    """The machine of the same distribution when all bits of the data, and of h, are flipped."""
    other = machine()
    with torch.no_grad():
        other.weight.copy_(made.weight)
        other.visible_bias.copy_(-made.visible_bias - made.weight.sum(1))
        other.hidden_bias.copy_(-made.hidden_bias - made.weight.sum(0))
    return other


def stepped(made, data, samples, v_mean, h_mean, *, centre):
    """The machine after one update of gradient descent, and its log-likelihood of the data."""
    found = contrastive(made, data, samples)
    if centre:
        found = centred(*found, v_mean, h_mean)
    other = machine()
    with torch.no_grad():
        for name, step in zip(NAMES, found, strict=True):
            getattr(other, name).copy_(getattr(made, name) - 0.3 * step)
    return (-other.free_energy(data) - log_partition(other)).mean().item()


def test_centred_learning_is_the_same_for_flipped_bits_and_ordinary_learning_is_not():
    made, means = machine(), (machine().visible_mean, machine().hidden_mean)
    data, samples = states(9)[5::31], states(9)[::17]
    sides = {}
    for centre in (True, False):
        one = stepped(made, data, samples, *means, centre=centre)
        offsets = [1 - mean for mean in means]
        two = stepped(flipped(made), 1 - data, 1 - samples, *offsets, centre=centre)
        sides[centre] = abs(one - two)
    assert sides[True] < 1e-9
    assert sides[False] > 1e-3


def test_the_centred_gradient_is_that_of_a_machine_of_centred_units():
    """Of -(v-m)'W(h-l) - (v-m)'b - (h-l)'c, by its moments; then b and c are E's own again."""
    made = machine()
    m, offset = made.visible_mean, made.hidden_mean
    data, samples = states(9)[5::31], states(9)[::17]

    def moments(v):
        h = torch.sigmoid(made.hidden_field(v))
        return ((v - m).T @ (h - offset) / len(v), (v - m).mean(0), (h - offset).mean(0))

    w, b, c = (q - p for p, q in zip(moments(data), moments(samples), strict=True))
    known = (w, b - w @ offset, c - w.T @ m)
    found = centred(*contrastive(made, data, samples), m, offset)
    for one, two in zip(found, known, strict=True):
        torch.testing.assert_close(one, two)


# Annealed importance sampling --------------------------------------------------------------------


def test_temperatures_have_the_proportions_of_the_paper():
    betas = inverse_temperatures(14_500)
    assert len(betas) == 14_501
    steps = [b - a for a, b in itertools.pairwise(betas)]
    assert steps[0] == pytest.approx(1e-3)
    assert steps[600] == pytest.approx(1e-4)
    assert steps[-1] == pytest.approx(1e-5)
    assert betas[0] == 0
    assert betas[-1] == 1
    for few in (3, 7, 100):
        betas = inverse_temperatures(few)
        assert len(betas) == few + 1
        assert betas == sorted(betas)
        assert betas[-1] == 1


@pytest.mark.parametrize("kind", ["bernoulli", "gaussian"])
def test_both_directions_bracket_the_truth(kind):
    made = machine(hidden=12, visible=kind, scale=0.8 if kind == "bernoulli" else 0.35)
    known = log_partition(made).item()
    betas, generator = inverse_temperatures(300), torch.Generator().manual_seed(0)
    low = forward(made, betas, 200, generator)
    high = reverse(made, betas, exact_draws(made, chance(200)), generator)
    assert low.low < known < high.high
    assert low.value == pytest.approx(known, abs=0.3)
    assert high.value == pytest.approx(known, abs=0.3)


def test_with_few_temperatures_the_two_directions_part():
    """Short chains: below the truth forwards, above it backwards, over repetitions."""
    made = machine(hidden=12, scale=1.5)
    known = log_partition(made).item()
    betas, generator = [0.0, 0.3, 0.7, 1.0], torch.Generator().manual_seed(0)
    starts = [exact_draws(made, chance(5, seed)) for seed in range(40)]
    low = [forward(made, betas, 5, generator).value for _ in starts]
    high = [reverse(made, betas, v, generator).value for v in starts]
    assert sum(low) / 40 < known - 0.3
    assert sum(high) / 40 > known + 0.3


def test_weights_are_unbiased_and_those_of_a_chain_that_moves_first_are_not():
    made = machine(hidden=4, spec=ImageSpec(1, 2), scale=1.5)
    ratio = (log_partition(made) - made.base_log_partition).exp().item()
    v, betas = made.base_draw(chance(40_000)), [0.0, 0.5, 1.0]
    weights = log_weights(made, v, betas, chance(40_000, seed=1)).exp()
    error = weights.std().item() / 200
    assert abs(weights.mean().item() - ratio) < 4 * error
    logs, random = torch.zeros(40_000), chance(40_000, seed=1)
    for now, then in itertools.pairwise(betas):
        v, _ = made.sweep(v, random, then)  # wrong: it is weighed after it moved
        field = made.hidden_field(v)
        logs = logs + made.log_density(v, field, then) - made.log_density(v, field, now)
    assert abs(logs.exp().mean().item() - ratio) > 8 * error


def test_an_interval_is_of_two_standard_errors():
    weights = torch.tensor([1.0, 2.0, 3.0, 2.0], dtype=torch.float64)
    found = log_mean(weights.log() + 1000)
    error = weights.std().item() / 2
    assert found.value == pytest.approx(1000 + math.log(2))
    assert found.high == pytest.approx(1000 + math.log(2 + 1.96 * error))
    assert log_mean(torch.tensor([0.0, -500.0])).low == -math.inf


def test_the_likelihood_states_how_log_z_was_found():
    images = 2 * torch.rand(30, 1, 3, 3, generator=torch.Generator().manual_seed(0)) - 1
    model = small_model(machine(hidden=5).float(), binarise="threshold")
    (found,) = model.log_likelihoods(images, 10, 0)
    assert (found.name, found.kind, found.interval) == ("nll/exact", "exact", None)
    v = (images >= 0).double().flatten(1)
    truth = (machine(hidden=5).free_energy(v) + log_partition(machine(hidden=5))).mean().item()
    assert found.nats == pytest.approx(truth, rel=1e-5)
    assert found.protocol["log_z"] == "enumeration"
    assert found.protocol["binarise"] == "threshold"


@pytest.mark.long
def test_both_estimates_of_a_large_machine_are_told():
    images = 2 * torch.rand(30, 1, 5, 5, generator=torch.Generator().manual_seed(0)) - 1
    wide = machine(hidden=21, spec=ImageSpec(1, 5), scale=0.2).float()
    model = small_model(wide, spec=ImageSpec(1, 5))
    low, high = model.log_likelihoods(images, 20, 0)
    assert (low.name, high.name) == ("nll/ais-20", "nll/reverse-ais-20")
    assert low.interval[0] < low.nats < low.interval[1]
    assert low.interval[0] < high.interval[1]
    told = {"chains": 20, "temperatures": 2901, "seed": 0, "binarise": "dynamic"}
    assert told.items() <= low.protocol.items()
    assert model.log_likelihoods(images, 20, 0) == [low, high]
    assert model.log_likelihoods(images, 20, 1) != [low, high]


@pytest.mark.parametrize("deviation", [0.4, 1.0, 1.5])
def test_densities_are_of_pixels_in_the_unit_interval(deviation):
    made = machine(hidden=3, visible="gaussian", spec=ImageSpec(1, 1), deviation=deviation)
    pixels = torch.linspace(-20, 20, 40_001, dtype=torch.float64)
    logs = negative_free_energy(made, made.units_of((2 * pixels - 1)[:, None]))
    density = (logs - log_partition(made)).exp()
    assert torch.trapezoid(density, pixels).item() == pytest.approx(1)


# Refusals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"hidden": 0}, "hidden must be at least 1"),
        ({"sweeps": 1}, "sweeps must be at least 2"),
        ({"rise": 1.5}, "rise must be at least 0 and at most 1, got 1.5"),
        ({"visible": "real"}, "visible must be one of bernoulli, gaussian"),
        ({"visible": "gaussian", "deviation": 0}, "deviation must be greater than 0"),
        ({"spec": PointSpec(2)}, "the data is points; set model.generator.visible=gaussian"),
    ],
)
def test_what_cannot_be_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        BoltzmannMachine(**{"spec": PIXELS, "latent_dim": 4, **options})


def test_a_large_machine_is_not_enumerated():
    with pytest.raises(ValueError, match="at most 20 units of a side, got 21"):
        log_partition(machine(hidden=21, spec=ImageSpec(1, 5)))


@pytest.mark.parametrize("units", [Bernoulli(), Gaussian(0.4)])
def test_units_are_an_exponential_family(units):
    """The mean is the slope of the log-partition; data comes back from its units."""
    field = torch.linspace(-3, 3, 13, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(units.log_partition(field).sum(), field)
    torch.testing.assert_close(units.mean(field).detach(), slope)
    drawn_units = units.draw(field.detach().expand(20_000, -1), chance(20_000)(13))
    assert (drawn_units.mean(0) - slope).abs().max() < 0.04
    x = torch.linspace(-1, 1, 5)
    torch.testing.assert_close(units.decode(units.encode(x)), x)
    mean = torch.tensor([0.2, 0.6])
    torch.testing.assert_close(units.mean(units.field(mean)), mean)


# Training ----------------------------------------------------------------------------------------

SMALL = (
    *("model=rbm", "model.generator.hidden=12", "model.generator.scale=1"),
    *("model.generator.sweeps=6", "model.chains=10", "callback.likelihood.n=20"),
)
GREY = ("model.generator.visible=gaussian", "model.binarise=none")


@pytest.mark.long
@pytest.mark.parametrize(
    "words",
    [
        ["model.weight_decay=0.001", "g_optimizer.momentum=0.9"],
        ["model.persistent=false", "model.steps=2", "model.centre=false", "model.binarise=fixed"],
        [*GREY, "ema=null"],
        [*GREY, "data=grid_2d", "log_every=9", "sample_every=9"],
    ],
    ids=["persistent", "from the data", "grey", "points"],
)
def test_a_machine_goes_on_bit_for_bit(tmp_path, words):
    saved = assert_goes_on(tmp_path, *SMALL, *words)["state_dict"]
    assert saved["generator.weight"].isfinite().all()
    moved = saved["chains"]
    assert len(moved) == (0 if "model.persistent=false" in words else 10)
    assert len(moved.unique(dim=0)) == len(moved)


@pytest.mark.long
def test_chains_that_were_not_saved_would_be_missed(tmp_path, monkeypatch):
    load = RBM.on_load_checkpoint

    def forgetful(model, saved):
        saved["state_dict"]["chains"].zero_()
        load(model, saved)

    monkeypatch.setattr(RBM, "on_load_checkpoint", forgetful)
    with pytest.raises(AssertionError, match="/state_dict/generator"):
        assert_goes_on(tmp_path, *SMALL)


def test_a_run_is_sampled(tmp_path):
    ended(tmp_path, *SMALL)
    (run,) = runs_in(tmp_path)
    model = ganlab.load(run)
    images = model.sample(70, seed=3)
    assert images.shape == (70, 1, 16, 16)
    torch.testing.assert_close(model.sample(3, seed=3), images[:3])
    assert images.abs().max() <= 1
    assert len(images.unique(dim=0)) > 10


def test_where_a_latent_is_only_a_seed_nobody_walks_in_latents(tmp_path):
    with pytest.raises(ValueError, match="no gradient leads to a z"):
        Inversion(small_model())
    with pytest.raises(ValueError, match="truncation: a BoltzmannMachine draws as it goes"):
        small_model().sample(2, truncation=0.7)
    ended(tmp_path, *SMALL)
    for words in (["film=2"], ["interpolate=2"], ["directions=2"]):
        outcome = run_sample(f"run={runs_in(tmp_path)[0]}", *words)
        name = words[0].partition("=")[0]
        assert outcome.code == 2
        assert f"{name}: a BoltzmannMachine draws as it goes" in outcome.err


def test_one_chain_has_no_spread_so_there_are_two():
    images = 2 * torch.rand(5, 1, 5, 5, generator=torch.Generator().manual_seed(0)) - 1
    wide = machine(hidden=21, visible="gaussian", spec=ImageSpec(1, 5), scale=0.2).float()
    model = small_model(wide, spec=ImageSpec(1, 5), binarise="none")
    found = model.log_likelihoods(images, 1, 0)
    assert [one.name for one in found] == ["nll/ais-2", "nll/reverse-ais-2"]
    assert found[0].protocol["chains"] == 2


def test_readings_see_units_that_are_dead_and_chains_that_stand():
    model = small_model()
    images = 2 * torch.rand(50, 1, 3, 3) - 1
    with torch.no_grad():
        model.chains.bernoulli_(0.5)
        well = model.own_readings(images)
        model.machine.hidden_bias[:3] = -50.0
        model.machine.weight[:, 3:] = 20.0  # all pixels on, or all off
        model.machine.visible_bias.fill_(-30.0)
        model.machine.hidden_bias[3:] = -90.0
        ill = model.own_readings(images)
    assert well["dead_units"] == 0
    assert ill["dead_units"] >= 0.5
    assert well["chain_memory"] < 0.5
    assert ill["chain_memory"] > 0.9


def small_model(of=None, **options):
    parts = {"spec": PIXELS, "latent": Latents(4), "g_rule": UpdateRule(torch.optim.SGD)}
    return RBM(of or machine(scale=0.3).float(), **{**parts, **options})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model.binarise=none"], "model.binarise: the visible units are binary"),
        (GREY[:1], "model.binarise: Gaussian units take grey pixels; set model.binarise=none"),
        (["data=grid_2d"], "the data is points; set model.generator.visible=gaussian"),
        (["model.chains=0"], "model.chains must be at least 1, got 0"),
        (["model.slide=0"], "model.slide must be greater than 0 and at most 1"),
        (["loss=hinge"], "loss: RBM has no use for it: there is no game"),
        (["d_steps=2"], "d_steps: RBM has no use for it"),
        (["conditioning=acgan"], "conditioning: RBM has no use for it"),
        (["g_accumulate=2"], "g_accumulate: a minibatch of an RBM is not divided"),
        (
            ["optim@g_optimizer=extra_sgd", "~g_optimizer.momentum"],
            "g_optimizer: ExtraSGD is for games, and RBM has one player",
        ),
        (["callback.likelihood=null"], "leave it out by ~callback.likelihood"),
    ],
)
def test_what_has_no_meaning_is_refused_with_the_reason(tmp_path, words, said):
    outcome = run_train(*QUICK, *SMALL, *words, f"output_dir={tmp_path}")
    assert outcome.code == 2
    assert said in outcome.err
    assert not any(tmp_path.iterdir())
