"""The authors' networks for few labels: fitted to data, equal to their formulas; D's average."""

import copy
import math
import signal
from unittest import mock

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, softplus

import ganlab
from commands import run_train, runs_in
from conftest import fit as train
from conftest import same, small_gan, weights
from ganlab.callbacks import classification
from ganlab.conditioning import SemiSupervised
from ganlab.data import Digits
from ganlab.latent import Uniform
from ganlab.networks import SalimansDiscriminator, SalimansGenerator
from ganlab.networks.fitted import fit, unfitted
from ganlab.networks.salimans import NormalisedLinear
from ganlab.regularizers import FeatureMatching
from ganlab.training.batch import Batch
from ganlab.training.updates import UpdateRule
from test_resume import signalled
from test_semisupervised import held_out, short_baselines

SPEC = Digits(8).spec
WIDTHS = (12, 7, 6)
SILENT = {"input_noise": 0.0, "hidden_noise": 0.0}


def salimans(*, noisy: bool = True, **options):
    """A small GAN of these networks on 8 x 8 digits."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return small_gan(
            generator=SalimansGenerator(SPEC, 8, hidden=(9, 5)),
            discriminator=SalimansDiscriminator(SPEC, WIDTHS, **({} if noisy else SILENT)),
            conditioning=SemiSupervised(SPEC, weight=2.0),
            regularizers={"feature_matching": FeatureMatching(weight=1 / WIDTHS[-1])},
            latent=Uniform(8, low=0.0, high=1.0),
            **{"spec": SPEC, **options},
        )


def learns(gan, *callbacks, data=None):
    """Trains on the digits of which few are labeled."""
    with mock.patch("small.ImageData", return_value=data or held_out(gan)):
        return train(gan, callbacks=callbacks)


# Initialisation on data --------------------------------------------------------------------------


def test_a_fitted_layer_has_outputs_of_mean_0_and_variance_1():
    torch.manual_seed(0)
    layer, x = NormalisedLinear(5, 3), 4 + 2 * torch.randn(200, 5)
    fit(unfitted(layer), lambda: layer(x))
    std, mean = torch.std_mean(layer(x), dim=0, correction=0)
    torch.testing.assert_close(mean, torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(std, torch.ones(3))
    assert unfitted(layer) == []


def test_a_fitted_layer_keeps_its_directions():
    layer = NormalisedLinear(5, 3)
    before = layer.direction.detach().clone()
    fit(unfitted(layer), lambda: layer(torch.randn(50, 5)))
    assert torch.equal(layer.direction, before)


def test_each_layer_is_fitted_to_what_fitted_layers_compute():
    """Fitting all of them to the outputs of unfitted layers is something else."""

    def spread(d: SalimansDiscriminator) -> list[float]:
        inner = [m for m in d.features if isinstance(m, nn.ReLU)]
        seen: list[torch.Tensor] = []
        for activation in inner:
            activation.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        d(images)
        return [found.std(correction=0).item() for found in seen]

    torch.manual_seed(0)
    images = torch.rand(300, *SPEC.shape) * 2 - 1
    one = SalimansDiscriminator(SPEC, WIDTHS, **SILENT)
    at_once = copy.deepcopy(one)
    fit(unfitted(one), lambda: one(images))
    assert spread(one) == pytest.approx([1.0] * 3, abs=1e-4)
    inputs: dict[nn.Module, torch.Tensor] = {}
    for layer in unfitted(at_once):
        layer.register_forward_pre_hook(lambda own, given: inputs.update({own: given[0]}))
    at_once(images)
    with torch.no_grad():
        for layer, x in inputs.items():
            layer.fit(x)
    assert spread(at_once)[-1] != pytest.approx(1.0, abs=0.05)


def test_a_run_fits_d_once_and_on_its_first_minibatches():
    gan = salimans(noisy=False, iterations=1)
    assert len(unfitted(gan.discriminator, gan.conditioning)) == 5  # three, and two heads
    rule = UpdateRule(lambda p: torch.optim.SGD(p, lr=0.0))
    gan = salimans(noisy=False, iterations=2, d_rule=rule, g_rule=rule)
    seen = []

    def first_layer(layer, given, output):
        seen.append(output.detach().clone())

    gan.discriminator.features[2].register_forward_hook(first_layer)
    learns(gan)
    assert unfitted(gan.discriminator, gan.conditioning) == []
    fitting, first, *_ = seen
    assert len(fitting) == 2 * 8, "D's and G's minibatches"
    real = first[:8]
    assert real.mean(dim=0).abs().max() < 1
    assert real.std(dim=0).mean().item() == pytest.approx(1, abs=0.3)


@pytest.mark.usefixtures(short_baselines.__name__)
def test_weights_that_were_taken_over_are_not_fitted_again(tmp_path):
    """`start.networks=[discriminator]` counts from 0."""
    words = "data=digits data.split=train data.size=8 model=salimans model.discriminator.hidden=[9]"
    words += " model.generator.hidden=[8] conditioning=semisupervised regularizer=feature_matching"
    run = ["trainer=smoke", "logger=csv", "iterations=2", *words.split()]
    assert run_train(*run, f"output_dir={tmp_path / 'one'}").code == 0
    (one,) = runs_in(tmp_path / "one")
    rest = [*run, f"start.run={one}", "start.networks=[discriminator,conditioning]"]
    rest += ["seed=1", "optim@d_optimizer=sgd", "d_optimizer.lr=0.0"]
    outcome = run_train(*rest, f"output_dir={tmp_path / 'two'}")
    assert (outcome.code, outcome.err) == (0, "")
    (two,) = runs_in(tmp_path / "two")
    assert same(weights(ganlab.load(one).discriminator), weights(ganlab.load(two).discriminator))


# The formulas of the authors' code, in plain words -----------------------------------------------


def by_their_code(gan, real: Batch, fake: torch.Tensor) -> dict[str, torch.Tensor]:
    """Twice loss_lab + loss_unl, and loss_gen, of train_mnist_feature_matching.py, without noise.

    fake: in [-1, 1].
    """

    def dense(layer: NormalisedLinear, x: torch.Tensor) -> torch.Tensor:
        theta = layer.direction
        w = theta.T * layer.scale / theta.square().sum(dim=1).sqrt()
        return x @ w + layer.bias

    def d(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = (images.flatten(1) + 1) / 2
        for layer in gan.discriminator.features:
            if isinstance(layer, NormalisedLinear):
                x = dense(layer, x).clamp(min=0)
        return dense(gan.conditioning.head[1], x), x

    labeled, _ = d(real.labeled.images)
    unlabeled, of_real = d(real.images)
    generated, of_fake = d(fake)
    l_lab = labeled.gather(1, real.labeled.labels.unsqueeze(1)).squeeze(1)
    loss_lab = -l_lab.mean() + labeled.exp().sum(dim=1).log().mean()
    l_unl, l_gen = unlabeled.exp().sum(dim=1).log(), generated.exp().sum(dim=1).log()
    loss_unl = -0.5 * l_unl.mean() + 0.5 * softplus(l_unl).mean() + 0.5 * softplus(l_gen).mean()
    loss_gen = (of_fake.mean(dim=0) - of_real.mean(dim=0)).square().mean()
    return {"d": 2 * (loss_lab + loss_unl), "g": loss_gen}


@pytest.fixture
def played():
    """A fitted GAN in float64, a minibatch, and images of its G."""
    torch.manual_seed(0)
    gan = salimans(noisy=False).double()
    images = torch.rand(30, *SPEC.shape, dtype=torch.double) * 2 - 1
    few = Batch(images[:10], torch.arange(10))
    real = Batch(images[10:], torch.zeros(20, dtype=torch.long), few)
    fit(
        unfitted(gan.discriminator, gan.conditioning),
        lambda: gan.discriminate(images, images.new_zeros(30, 0)),
    )
    z = torch.rand(20, 8, dtype=torch.double)
    return gan, real, gan.generator(z), z


@pytest.mark.parametrize("player", ["d", "g"])
def test_losses_and_gradients_are_those_of_the_authors_code(played, player):
    gan, real, fake, z = played
    code = gan.code_in(z)
    mine = gan.d_loss(real, fake, code) if player == "d" else gan.g_loss(fake, real, z)
    theirs = by_their_code(gan, real, fake)[player]
    torch.testing.assert_close(mine, theirs)
    parameters = [p for n in gan.players[player].networks for p in n.parameters()]
    mine, theirs = (
        torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        for loss in (mine, theirs)
    )
    assert sum(g is not None for g in theirs) > 5
    for one, other in zip(mine, theirs, strict=True):
        if other is None:  # the head that tells real from generated has no part in it
            assert one is None or not one.any()
        else:
            torch.testing.assert_close(one, other)


def test_features_after_the_noise_would_be_others(played):
    """So the comparison can fail: features with noise, leaking ReLU, images in [-1, 1]."""
    gan, real, fake, z = played
    theirs = by_their_code(gan, real, fake)["g"]
    gan.discriminator.features[3] = nn.LeakyReLU(0.2)
    assert gan.g_loss(fake, real, z).item() != pytest.approx(theirs.item(), rel=1e-3)


def test_g_is_the_authors():
    """BatchNorm without gain, softplus, unit vectors with a scale, a sigmoid; float64."""
    torch.manual_seed(0)
    g = SalimansGenerator(SPEC, 4, hidden=(6, 5)).double()
    for p in g.parameters():
        p.data.add_(0.1 * torch.randn_like(p))
    z = torch.rand(10, 4, dtype=torch.double)
    x = z
    for i in (0, 4):
        x = x @ g.layers[i].weight.T
        x = (x - x.mean(dim=0)) / (x.var(dim=0, correction=0) + 1e-6).sqrt() + g.layers[i + 2].bias
        x = (1 + x.exp()).log()
    last = g.layers[8]
    w = last.direction.T * last.scale / last.direction.square().sum(dim=1).sqrt()
    expected = 1 / (1 + (-(x @ w + last.bias)).exp())
    torch.testing.assert_close((g(z).flatten(1) + 1) / 2, expected)
    names = {name.split(".")[-1] for name, _ in g.named_parameters()}
    assert names == {"weight", "bias", "direction", "scale"}
    assert sum(p.numel() for p in g.parameters()) == 4 * 6 + 6 + 6 * 5 + 5 + 5 * 64 + 64 + 64


def test_ds_hidden_scales_are_not_trained_and_its_last_is():
    d = SalimansDiscriminator(SPEC, WIDTHS)
    assert [n for n, _ in d.named_parameters() if "scale" in n] == ["head.1.scale"]
    assert len([n for n, _ in d.named_buffers() if n.endswith("scale")]) == 3


def test_noise_is_before_every_layer_and_features_are_before_the_last():
    torch.manual_seed(0)
    d, x = SalimansDiscriminator(SPEC, WIDTHS), torch.rand(4, *SPEC.shape)
    noises = [m.std for m in d.modules() if type(m).__name__ == "GaussianNoise"]
    assert noises == [0.3, 0.5, 0.5, 0.5]
    d.features.eval()  # then features are the same for every draw; logits are not
    (logits, features), (others, again) = d.logits_and_features(x), d.logits_and_features(x)
    assert torch.equal(features, again)
    assert not torch.equal(logits, others)
    d.eval()
    assert torch.equal(d(x), d(x))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"hidden": ()}, "number of hidden layers must be at least 1, got 0"),
        ({"hidden": (5, 0)}, r"hidden\[1\] must be at least 1, got 0"),
        ({"hidden_noise": -1.0}, "hidden_noise must be at least 0, got -1.0"),
    ],
)
def test_wrong_sizes_are_said(options, said):
    with pytest.raises(ValueError, match=said):
        SalimansDiscriminator(SPEC, **options)


# D's average -------------------------------------------------------------------------------------


def test_the_average_of_d_is_the_moving_average_of_its_weights():
    """b = min(decay, t / (t + 9)), from the initial weights, once an iteration."""
    kept = []
    gan = salimans(iterations=3, d_ema=0.15)

    class Keeps(ganlab.callbacks.base.ModelCallback):
        def on_train_batch_end(self, trainer, gan, *_):
            kept.append(weights(gan.discriminator))

    expected = dict(gan.discriminator.named_parameters())
    expected = {name: p.detach().clone() for name, p in expected.items()}
    learns(gan, Keeps())
    for t, now in enumerate(kept, start=1):
        share = 1 - min(0.15, t / (t + 9))
        for name in expected:
            expected[name] = torch.lerp(expected[name], now[name], share)
    averaged = dict(gan.judges[0].named_parameters())
    for name, value in expected.items():
        torch.testing.assert_close(averaged[name], value)
    assert not same(weights(gan.judges[0]), weights(gan.discriminator))


def test_without_an_average_d_itself_judges():
    gan = salimans()
    assert gan.judges == gan.players["d"].networks


def test_the_test_error_is_the_averages():
    gan = salimans(iterations=6, d_ema=0.9)
    data = held_out(gan)
    callback = classification.Classification(data, every=6, updates=1)
    learns(gan, callback, data=data)
    found = gan.observations.read()
    images = data.test_images()
    assert found["test_error"] == pytest.approx(classification.error(*gan.judges, images))
    own = classification.error(*gan.players["d"].networks, images)
    assert found["test_error/trained"] == pytest.approx(own)


@pytest.mark.long
@pytest.mark.usefixtures(short_baselines.__name__)
def test_a_run_with_both_goes_on_exactly(tmp_path, monkeypatch):
    """The average of D, what is fitted, and the error by it, over an interruption."""
    words = "data=digits data.split=train data.size=8 model=salimans model.discriminator.hidden=[9]"
    words += " model.generator.hidden=[8] conditioning=semisupervised regularizer=feature_matching"
    run = ["trainer=smoke", "logger=csv", "iterations=5", "d_ema=0.9", *words.split()]
    assert run_train(*run, f"output_dir={tmp_path / 'whole'}").code == 0
    with signalled(monkeypatch, signal.SIGTERM, 3):
        assert run_train(*run, f"output_dir={tmp_path / 'parts'}").code == 130
    assert run_train(*run, f"output_dir={tmp_path / 'parts'}").code == 0
    (whole,), (parts,) = runs_in(tmp_path / "whole"), runs_in(tmp_path / "parts")
    mine, theirs = (weights(ganlab.load(run)) for run in (parts, whole))
    assert any(name.startswith("d_averages.") for name in mine)
    assert same(mine, theirs)


@pytest.mark.parametrize("value", ["1.0", "-0.1"])
def test_a_wrong_decay_is_said_by_its_name(value):
    outcome = run_train(f"d_ema={value}")
    assert outcome.code == 2
    assert f"d_ema must be at least 0 and less than 1, got {value}" in outcome.err


def test_the_baseline_is_fitted_to_its_labels():
    gan = salimans(noisy=False)
    images = Digits(8).read()
    network, head = classification.supervised(gan, images, updates=0)
    assert unfitted(network, head) == []
    assert len(unfitted(*gan.players["d"].networks)) == 5, "the run's own was fitted, too"
    answers = classification.class_logits(network, head, images.images[:500])
    assert answers.std(dim=0, correction=0).mean().item() == pytest.approx(1, abs=1e-3)
    chance = cross_entropy(answers, images.labels[:500]).item()
    assert abs(chance - math.log(10)) < 1.5
