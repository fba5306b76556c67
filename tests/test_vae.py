"""VAEs: bounds against quadrature, gradients against differences, and runs from end to end."""

import functools
import itertools
import json
import math
import os
import signal

import pytest
import torch
from torch.nn.functional import logsigmoid

import ganlab
from commands import rows, run_evaluate, run_sample, run_train, runs_in, trained
from conftest import adam, differing, fit, same, weights
from ganlab.data import Digits
from ganlab.errors import CombinationError
from ganlab.health.verdicts import Detector, Watch
from ganlab.lab.training import planned
from ganlab.latent import Gaussian, Uniform
from ganlab.models import VAE, Bernoulli, Normal
from ganlab.models.vae import kl_to_prior, reparametrised
from ganlab.networks import ConvDecoder, ConvEncoder, MLPDecoder, MLPEncoder
from ganlab.runs.folder import Run
from ganlab.spec import ImageSpec, PointSpec
from ganlab.storage import checkpoint
from ganlab.training import chance as chances
from ganlab.training.binarise import binarised
from ganlab.training.importance import bounds, importance_weighted
from ganlab.training.streams import Stream, stream
from ganlab.training.updates import UpdateRule

TINY = ImageSpec(1, 2)  # four pixels


def small_vae(
    spec=TINY, dim=1, likelihood=Bernoulli, iterations=4, hidden=(8,), lr=1e-3, **options
):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        networks = (
            MLPDecoder(spec, dim, hidden),
            MLPEncoder(spec, dim, hidden),
            likelihood(spec),
        )
    rule = UpdateRule(adam(lr))
    options = {"latent": Gaussian(dim), "iterations": iterations, **options}
    return VAE(*networks, spec=spec, g_rule=rule, **options)


@pytest.fixture
def vae():
    """With weights large enough that the posterior is not the prior."""
    model = small_vae().double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.7 * torch.randn(parameter.shape, generator=generator(3)).double())
    return model


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def chance(rows, seed=0):
    return chances.drawn(rows, generator(seed))


@pytest.fixture
def x():
    return torch.tensor([[1.0, 0, 1, 1], [0, 0, 1, 0], [1, 1, 1, 1]]).double().view(3, 1, 2, 2)


# The bound ---------------------------------------------------------------------------------------


def gauss_hermite(n=64):
    """Places and weights (n,) of the mean over a standard normal number."""
    import numpy as np

    places, masses = np.polynomial.hermite_e.hermegauss(n)
    return torch.from_numpy(places), torch.from_numpy(masses / masses.sum())


def probability(vae, x, z):
    """log p(x | z) (n, N), pixel by pixel, of one latent's values z (n,)."""
    natural = vae.generator.natural(z[:, None])[:, None]
    p = logsigmoid(natural) * x + logsigmoid(-natural) * (1 - x)
    return p.flatten(2).sum(dim=2)


def true_log_likelihood(vae, x):
    """log p(x) (N,) by the integral over the one latent."""
    z = torch.linspace(-12, 12, 20001).double()
    prior = -0.5 * z.square() - 0.5 * math.log(2 * math.pi)
    return (probability(vae, x, z) + prior[:, None]).logsumexp(dim=0) + math.log(24 / 20000)


def elbo_by_quadrature(vae, x, divergence):
    """E_q[log p(x | z)] - KL (N,), the mean over q by Gauss-Hermite quadrature."""
    mean, log_variance = vae.posterior(x)
    noise, mass = gauss_hermite()
    z = mean[:, 0] + (0.5 * log_variance[:, 0]).exp() * noise[:, None]
    each = torch.stack([probability(vae, x[i : i + 1], z[:, i])[:, 0] for i in range(len(x))])
    return (each * mass).sum(dim=1) - divergence(mean, log_variance).sum(dim=1)


def elbo_by_sampling(vae, x, n=200_000):
    """The mean log weight (N,), and its standard error."""
    mean, log_variance = vae.posterior(x)
    noise = torch.randn(n, len(x), 1, generator=generator()).double()
    found = vae.log_weights(x, mean, log_variance, noise)
    return found.mean(dim=0), found.std(dim=0) / math.sqrt(n)


def swapped(mean, log_variance):
    """Wrong: KL(prior || posterior)."""
    return 0.5 * ((1 + mean.square()) / log_variance.exp() + log_variance - 1)


def of_deviation(mean, log_variance):
    """Wrong: takes the log variance for the log of the deviation."""
    return kl_to_prior(mean, 2 * log_variance)


@torch.no_grad()
def test_the_elbo_is_that_of_quadrature(vae, x):
    exact = elbo_by_quadrature(vae, x, kl_to_prior)
    sampled, error = elbo_by_sampling(vae, x)
    assert ((sampled - exact).abs() < 5 * error).all()
    for wrong in (swapped, of_deviation):
        off = elbo_by_quadrature(vae, x, wrong)
        assert not ((sampled - off).abs() < 5 * error).all()


@torch.no_grad()
def test_the_divergence_in_closed_form_is_that_of_sampling():
    mean, log_variance = torch.tensor([[0.3, -1.2, 0.0]]), torch.tensor([[-0.5, 0.8, -3.0]])
    noise = torch.randn(400_000, 1, 3, generator=generator())
    z = reparametrised(mean, log_variance, noise)
    ratio = 0.5 * (z.square() - noise.square() - log_variance)
    error = ratio.std(dim=0) / math.sqrt(len(noise))
    near = lambda found: ((ratio.mean(dim=0) - found).abs() < 5 * error).all()
    assert near(kl_to_prior(mean, log_variance))
    assert not near(swapped(mean, log_variance))
    assert not near(of_deviation(mean, log_variance))


@torch.no_grad()
def test_the_bound_rises_with_k_to_the_true_log_likelihood(vae, x):
    mean, log_variance = vae.posterior(x)
    noise = torch.randn(240_000, 3, 1, generator=generator()).double()
    log_weights = vae.log_weights(x, mean, log_variance, noise)
    ks = (1, 2, 5, 50)
    groups = {k: log_weights.view(k, -1, 3) for k in ks}
    bounds = {k: importance_weighted(groups[k], dim=0).mean(dim=0) for k in ks}
    truth = true_log_likelihood(vae, x)
    for low, high in itertools.pairwise(ks):
        assert (bounds[low] < bounds[high]).all()
    assert (bounds[50] < truth + 1e-3).all()
    assert torch.allclose(importance_weighted(log_weights, dim=0), truth, atol=5e-3)
    of_sum = log_weights.view(50, -1, 3).logsumexp(dim=0).mean(dim=0)  # wrong: no mean
    assert (of_sum > truth + 1).all()
    of_logs = log_weights.mean(dim=0)  # wrong: the ELBO for any k
    assert torch.allclose(of_logs, bounds[1])
    assert not torch.allclose(of_logs, truth, atol=5e-3)


def with_noise(vae, noise):
    """The loss as a function of the weights alone: always with this noise."""
    vae.shared = lambda rows, width: noise
    return vae


@pytest.mark.parametrize(
    "options", [{}, {"beta": 3.0}, {"samples": 4}, {"free_bits": 0.05}], ids=str
)
def test_gradients_are_those_of_finite_differences(options, x):
    vae = small_vae(dim=2, **options).double()
    noise = torch.randn(vae.samples * 3, 2, generator=generator()).double()
    loss = functools.partial(with_noise(vae, noise).loss, x)
    loss().backward()
    h = 1e-6
    for parameter in vae.parameters():
        got, flat = parameter.grad.flatten(), parameter.data.view(-1)
        for i in range(0, len(flat), max(1, len(flat) // 3)):
            start = flat[i].item()
            flat[i] = start + h
            above = loss().item()
            flat[i] = start - h
            below = loss().item()
            flat[i] = start
            assert got[i].item() == pytest.approx((above - below) / (2 * h), abs=1e-7, rel=1e-5)


def test_beta_weighs_the_divergence_and_free_bits_cost_nothing(x):
    noise = torch.randn(3, 2, generator=generator()).double()
    losses = {
        name: with_noise(small_vae(dim=2, **options).double(), noise).loss(x).item()
        for name, options in {
            "elbo": {},
            "beta": {"beta": 2.0},
            "free": {"free_bits": 5.0},
        }.items()
    }
    vae = small_vae(dim=2).double()
    divergence = kl_to_prior(*vae.posterior(x)).sum(dim=1).mean().item()
    assert losses["beta"] - losses["elbo"] == pytest.approx(divergence)
    assert losses["free"] - losses["elbo"] == pytest.approx(10.0 - divergence)  # 2 x 5 nats
    free = with_noise(small_vae(dim=2, free_bits=5.0).double(), noise)
    free.loss(x).backward()
    plain = with_noise(small_vae(dim=2, beta=0.0).double(), noise)
    plain.loss(x).backward()  # the divergence below the free bits has no gradient
    for mine, theirs in zip(free.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)


def test_a_normal_likelihood_is_a_density():
    spec = PointSpec(1)
    likelihood = Normal(spec, deviation=0.3)
    x = torch.linspace(-5, 5, 4001)[:, None]
    density = likelihood.log_prob(torch.full_like(x, 0.7), x).exp()
    assert density.sum().item() * 10 / 4000 == pytest.approx(1, abs=1e-4)
    assert x[density.argmax()].item() == pytest.approx(0.7, abs=2e-3)
    assert Normal(ImageSpec(1, 2), learned=True).log_deviation.requires_grad


def test_the_decoder_shows_the_mean_of_its_likelihood():
    decoder, z = MLPDecoder(TINY, 3), torch.randn(5, 3, generator=generator())
    torch.testing.assert_close((decoder(z) + 1) / 2, decoder.natural(z).sigmoid())
    points = MLPDecoder(PointSpec(2), 3)
    assert torch.equal(points(z), points.natural(z))


# Pixels ------------------------------------------------------------------------------------------


@pytest.fixture
def grey():
    values = torch.randint(0, 256, (200, 1, 8, 8), generator=generator()).float()
    return values / 127.5 - 1


def test_fixed_pixels_are_a_function_of_the_image_alone(grey):
    fixed = binarised(grey, "fixed")
    order = torch.randperm(len(grey), generator=generator())
    assert torch.equal(binarised(grey[order], "fixed"), fixed[order])
    assert torch.equal(binarised(grey[:1], "fixed"), fixed[:1])
    other = grey.clone()
    other[0, 0, 0, 0] = -other[0, 0, 0, 0]
    changed = binarised(other, "fixed") != fixed  # of all pixels, but of no other image
    assert changed[0].sum() > 8
    assert not changed[1:].any()


@pytest.mark.parametrize("how", ["fixed", "dynamic"])
def test_a_pixel_is_1_as_often_as_its_grey_value_says(how, grey):
    probability = (grey + 1) / 2
    drawn = binarised(grey, how, chance(len(grey)))
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    n = drawn.numel()
    off = (drawn - probability).mean().item()
    assert abs(off) < 5 * (probability * (1 - probability)).mean().sqrt().item() / math.sqrt(n)
    bins = (probability * 10).long().clamp(max=9).flatten()
    for i in range(10):
        chosen = drawn.flatten()[bins == i]
        assert chosen.mean().item() == pytest.approx((i + 0.5) / 10, abs=0.05)
    by_neighbour = torch.corrcoef(
        torch.stack([(drawn - probability)[..., :-1], (drawn - probability)[..., 1:]]).flatten(1)
    )
    assert abs(by_neighbour[0, 1].item()) < 0.05


def test_dynamic_pixels_are_drawn_anew_and_grey_ones_stay(grey):
    random = chance(len(grey))
    assert not torch.equal(binarised(grey, "dynamic", random), binarised(grey, "dynamic", random))
    with pytest.raises(ValueError, match="dynamic pixels need random numbers"):
        binarised(grey, "dynamic")
    assert torch.equal(binarised(grey, "none"), (grey + 1) / 2)


# Training ----------------------------------------------------------------------------------------


def digits_vae(**options):
    return small_vae(Digits().spec, 4, hidden=(32,), binarise="dynamic", **options)


def test_training_finds_a_better_bound():
    model = digits_vae(iterations=300, lr=1e-2)
    images = Digits().read().images[:100].float() / 127.5 - 1
    (before,) = model.log_likelihoods(images, 10, 0)
    fit(model, batch_size=64)
    (after,) = model.log_likelihoods(images, 10, 0)
    assert after.nats < before.nats - 20 * after.error
    assert model.own_readings(images)["active_units"] > 0.2


def test_a_bound_of_an_image_depends_on_no_other_and_leaves_training_alone():
    model = digits_vae()
    images = Digits().read().images[:6].float() / 127.5 - 1
    state, before = torch.get_rng_state(), weights(model)
    (all_six,) = model.log_likelihoods(images, 7, seed=1)
    (first_two,) = model.log_likelihoods(images[:2], 7, seed=1)
    (others,) = model.log_likelihoods(torch.cat([images[:2], -images[2:]]), 7, seed=1)
    assert others.nats != pytest.approx(all_six.nats)
    x = model.held_out(torch.cat([images[:2], -images[2:]]), 1)
    assert torch.equal(x[:2], model.held_out(images, 1)[:2])
    random = functools.partial(stream, "cpu", 1, Stream.LIKELIHOOD)
    each = bounds(model.eval().drawn_log_weights, x, 7, random)
    model.train()
    assert first_two.nats == pytest.approx(-each[:2].mean().item(), rel=1e-6)
    assert others.nats == pytest.approx(-each.mean().item(), rel=1e-6)
    assert torch.equal(torch.get_rng_state(), state)
    assert same(weights(model), before)
    assert model.training
    assert (all_six.name, all_six.kind, all_six.images) == ("nll/iwae-7", "lower bound", 6)
    assert all_six.protocol["binarise"] == "dynamic"
    assert "at most" in str(all_six)


def test_a_collapsed_posterior_has_no_active_units():
    model = digits_vae()
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.zero_()
    images = Digits().read().images[:50].float() / 127.5 - 1
    unused = model.own_readings(images)["active_units"]
    assert unused == 0
    for share, said in ((unused.item(), ["posterior-collapse"]), (0.3, [])):
        detector = Detector(Watch(warmup=0))
        readings = [{"active_units": share, "iterations": 50 * i} for i in range(1, 20)]
        assert [v.ailment for one in readings for v in detector.read(one)] == said


@pytest.mark.parametrize("options", [{}, {"samples": 3}], ids=["elbo", "iwae"])
def test_a_minibatch_in_parts_has_the_gradient_of_the_whole_in_expectation(options):
    whole = fit(digits_vae(iterations=1, **options))
    assert whole.model.updates == {"g": 1}
    assert whole.global_step == 1


def test_convolutions_take_colours():
    spec = ImageSpec(3, 16)
    decoder, encoder = ConvDecoder(spec, 5, width=4), ConvEncoder(spec, 5, width=4)
    z = torch.randn(2, 5, generator=generator())
    assert decoder(z).shape == (2, 3, 16, 16)
    assert decoder(z).abs().max() <= 1
    assert [part.shape for part in encoder.posterior(decoder(z))] == [(2, 5), (2, 5)]


SMALL = ["model=vae", "latent.dim=4", "model.encoder.hidden=[16]", "model.generator.hidden=[16]"]
SMALL += [f"callback.likelihood.{one}" for one in ("every=4", "n=20", "samples=3")]


def brief(folder, *words):
    """Overrides of a run that takes half a second."""
    return ["trainer=smoke", "logger=csv", f"output_dir={folder}", *SMALL, *words]


def run_of(folder, *words):
    """The folder of a small VAE's run."""
    outcome = run_train(*brief(folder, *words))
    assert (outcome.code, outcome.err) == (0, "")
    (run,) = runs_in(folder)
    return run


# Refusals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"latent": Uniform(1)}, "latent: the prior of a VAE is Gaussian noise"),
        ({"samples": 5, "beta": 2.0}, "model.samples: .* no KL divergence by itself"),
        ({"likelihood": Normal, "binarise": "dynamic"}, "binary pixels have a Bernoulli"),
        (
            {"spec": PointSpec(2), "likelihood": Normal, "binarise": "fixed"},
            "model.binarise: the data is points",
        ),
    ],
)
def test_parts_that_are_no_vae_together_are_refused(options, says):
    with pytest.raises(CombinationError, match=says):
        small_vae(**options)


REFUSED = {
    "loss=hinge": "loss: VAE has no use for it: there is no game between two networks",
    "d_steps=2": "d_steps: VAE has no use for it: it has no discriminator",
    "conditioning=acgan": "conditioning: VAE has no use for it: it is told no class and no code",
    "augment=diffaugment": "augment: VAE has no use for it: it has no discriminator",
    "regularizer=[r1]": "regularizer: VAE has no use for it: it has no discriminator",
    "optim@d_optimizer=sgd": "d_optimizer: VAE has no use for it: it has no discriminator",
    "d_clip=1": "d_clip: VAE has no use for it: it has no discriminator",
    "d_ema=0.9": "d_ema: VAE has no use for it: it has no discriminator",
    "model.beta=-1": "model.beta must be at least 0, got -1.0",
    "model.samples=0": "model.samples must be at least 1, got 0",
    "latent=uniform": "latent: the prior of a VAE is Gaussian noise; set latent=gaussian",
    "model.binarise=often": "model.binarise: expected 'none' or 'fixed' or 'dynamic'",
    "model.encoder.latent_dim=3": "model.encoder.latent_dim: ganlab itself sets it",
    "model.encoder._target_=ganlab.networks.MLPDecoder": "model.encoder: MLPDecoder is no",
    "gan._target_=ganlab.gan.GAN": "gan: model._target_ names the class of this model",
}


@pytest.mark.parametrize("word", REFUSED)
def test_what_means_nothing_to_a_vae_is_refused_with_the_reason(word, tmp_path):
    outcome = run_train(*brief(tmp_path, word))
    assert (outcome.code, outcome.out) == (2, "")
    assert REFUSED[word] in outcome.err
    assert outcome.err.startswith("ganlab: 1 mistake, nothing was started")
    assert runs_in(tmp_path) == []


def test_the_class_of_a_part_stands_behind_the_models_name():
    words = ["model=vae", "model.binarise=none", "model.likelihood._target_=ganlab.models.Normal"]
    assert planned(words).run.path.parent.name == "digits-vae-normal"


def test_a_bernoulli_likelihood_of_points_is_refused(tmp_path):
    outcome = run_train(*brief(tmp_path, "data=grid_2d"))
    assert (outcome.code, "Bernoulli is of pixels" in outcome.err) == (2, True)
    assert "_target_=ganlab.models.Normal" in outcome.err


def test_convolutions_of_points_are_refused_with_a_model_that_is_no_game(tmp_path):
    outcome = run_train("model=vae_conv", "data=grid_2d", f"output_dir={tmp_path}")
    assert outcome.code == 2
    assert (
        "ConvDecoder is for images, the data is points of 2 numbers; set model=vae" in outcome.err
    )


def test_extrapolation_is_for_games(tmp_path):
    outcome = run_train(*brief(tmp_path, "optim@g_optimizer=extra_adam"))
    assert outcome.code == 2
    assert "g_optimizer: ExtraAdam is for games, and VAE has one player" in outcome.err


def test_the_size_is_that_of_all_networks(tmp_path):
    outcome = run_train(*brief(tmp_path, "iterations=1"))
    model = ganlab.load(runs_in(tmp_path)[0])
    count = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert f"; parameters {count / 1000:.1f}k; on cpu" in outcome.out


def test_grey_pixels_of_a_bernoulli_likelihood_have_a_score_of_their_own(tmp_path):
    run = run_of(tmp_path, "iterations=1", "model.binarise=none")
    (one,) = json.loads((run / "summary.json").read_text())["likelihoods"]
    assert one["name"] == "nll/grey-iwae-3"


def test_the_config_of_a_run_says_nothing_that_is_not_in_force(tmp_path):
    config = Run(run_of(tmp_path, "iterations=1")).config()
    absent = ("gan", "loss", "d_optimizer", "d_schedule", "d_steps", "d_clip", "d_accumulate")
    assert {key: config[key] for key in absent} == dict.fromkeys(absent)
    assert config["model"]["binarise"] == "dynamic"


# From end to end ---------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("more", [[], ["model.samples=3", "model.binarise=fixed"]], ids=["1", "3"])
def test_a_run_that_was_stopped_ends_as_one_that_was_not(more, tmp_path, monkeypatch):
    words = [*more, "iterations=6", "checkpoint_every=2", "health.every=2"]
    words += ["health.patience=10"]
    whole = run_of(tmp_path / "whole", *words)
    step = VAE.step

    def interrupted(model, minibatch):
        if model.iterations == 2:
            os.kill(os.getpid(), signal.SIGINT)
        step(model, minibatch)

    monkeypatch.setattr(VAE, "step", interrupted)
    assert run_train(*brief(tmp_path / "parts", *words)).code == 130
    monkeypatch.undo()
    parts = run_of(tmp_path / "parts", *words)
    mine, theirs = (
        checkpoint.read(run / "checkpoints" / checkpoint.name(6)) for run in (whole, parts)
    )
    assert differing(mine, theirs) == []
    assert rows(whole)[-1]["nll/iwae-3"] == rows(parts)[-1]["nll/iwae-3"]


def test_it_is_sampled_scored_and_measured(tmp_path):
    run = run_of(tmp_path, "iterations=4")
    assert run.parent.name == "digits-vae"
    summary = json.loads((run / "summary.json").read_text())
    (one,) = summary["likelihoods"]
    assert (one["name"], one["kind"], one["images"]) == ("nll/iwae-3", "lower bound", 20)
    assert one["protocol"]["data"] == "digits"
    assert float(rows(run)[-1]["nll/iwae-3"]) == pytest.approx(one["nats"], rel=1e-5)
    model = ganlab.load(run)
    assert isinstance(model, VAE)
    assert model.sample(3).shape == (3, 1, 16, 16)
    assert run_sample(f"run={run}", "n=4").code == 0
    outcome = run_evaluate(f"run={run}", "likelihood=5", "n=10")
    assert (outcome.code, outcome.err) == (0, "")
    assert "nll/iwae-5: at most " in outcome.out
    names = [r["name"] for r in json.loads((run / "summary.json").read_text())["likelihoods"]]
    assert names == ["nll/iwae-3", "nll/iwae-5"]
    scored = run_evaluate(f"run={run}", "n=100", "baselines=false")
    assert (scored.code, "frechet/classifier-digits" in scored.out) == (0, True)


def test_a_gan_has_no_likelihood(tmp_path):
    run = trained(tmp_path, "iterations=1")
    outcome = run_evaluate(f"run={run}", "likelihood=5")
    assert outcome.code == 2
    assert "likelihood: GAN draws samples and has no likelihood" in outcome.err
    likelihoods = "callback.likelihood._target_=ganlab.callbacks.Likelihoods"
    outcome = run_train("data=digits", likelihoods, f"output_dir={tmp_path}")
    assert outcome.code == 2
    assert "callback.likelihood: GAN has no likelihood; leave it out" in outcome.err


def test_likelihood_goes_with_no_option_of_scores(tmp_path):
    outcome = run_evaluate(f"run={tmp_path}", "likelihood=5", "by_class=true")
    assert (outcome.code, "by_class: is for scores of samples" in outcome.err) == (2, True)
