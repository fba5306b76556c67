"""BatchNorm's statistics of the averaged generator: each policy in closed form, and in a run.

The network is w z + b before BatchNorm.  The batch z = -1, 1 has mean 0 and variance 2, so the
features have mean b and variance 2 w^2.
"""

import copy
import functools

import pytest
import torch
from pytorch_lightning import Callback
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

import ganlab
from commands import run_evaluate, run_train, runs_in, smoke
from conftest import fit, same, small_gan, weights
from ganlab.conditioning import Concat
from ganlab.data import Digits
from ganlab.networks import DCGANDiscriminator, DCGANGenerator
from ganlab.storage import checkpoint
from ganlab.training.ema import EMA
from ganlab.training.statistics import recompute, running

POLICIES = ("copy", "average", "recompute")
WORDS = {
    "copy": "running statistics",
    "average": "averaged",
    "recompute": "recomputed over 1,024 images",
}
Z = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)


def normed(w: float, b: float, mean: float, variance: float) -> nn.Sequential:
    """w z + b, then BatchNorm with these running statistics."""
    network = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1)).double()
    with torch.no_grad():
        for tensor, value in zip(
            [*network[0].parameters(), *running(network)], (w, b, mean, variance), strict=True
        ):
            tensor.fill_(value)
    return network


def followed(policy: str, batches=(Z,)) -> EMA:
    """The average, half of each: w = 1 and 3, b = 0 and 4; statistics as training has them."""
    ema, trained = EMA(normed(1, 0, 0, 2), 0.5, policy), normed(3, 4, 4, 18)
    trained[1].num_batches_tracked.fill_(7)
    ema.begin(1000)
    ema.update(trained)
    ema.refresh(lambda: batches)
    return ema


@pytest.mark.parametrize(
    ("policy", "statistics"), [("copy", [4, 18]), ("average", [2, 10]), ("recompute", [2, 8])]
)
def test_each_policy_has_its_statistics(policy, statistics):
    """The average has w = 2 and b = 2, so its features have mean 2 and variance 8."""
    ema = followed(policy)
    assert [p.item() for p in ema.network[0].parameters()] == [2, 2]
    assert [t.item() for t in running(ema.network)] == pytest.approx(statistics, rel=1e-12)
    assert ema.network[1].num_batches_tracked == 7, "a number of batches is copied"


def test_copied_statistics_are_wrong_by_what_the_weights_lag():
    """Of the true variance 8 they are 9/4; recomputed ones are right, averaged ones 5/4."""
    far = [running(followed(policy).network)[1].item() / 8 for policy in POLICIES]
    assert far == pytest.approx([9 / 4, 5 / 4, 1])
    out = [followed(policy).network(Z).flatten().tolist() for policy in POLICIES]
    assert out[2] == pytest.approx([-(0.5**0.5), 0.5**0.5], rel=1e-5)
    assert abs(sum(out[0])) > 0.9, "copied ones shift the output, too"


def test_several_batches_are_averaged():
    """z = 0, 4 has mean 2 and variance 8: features of mean 6 and variance 32."""
    found = running(followed("recompute", (Z, 2 * (Z + 1))).network)
    assert [t.item() for t in found] == pytest.approx([(2 + 6) / 2, (8 + 32) / 2])


def test_recomputed_statistics_are_torchs_cumulative_average_in_training_mode():
    """In a deep network, where each layer sees what the layer before has normalised."""
    torch.manual_seed(0)
    mine, batches = DCGANGenerator(Digits().spec, 8, width=8).eval(), torch.randn(5, 64, 8)
    theirs = copy.deepcopy(mine).train()
    norms = [m for m in theirs.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) >= 2
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    recompute(mine, batches)
    with torch.no_grad():
        for batch in batches:
            theirs(batch)
    assert not any(module.training for module in mine.modules())
    assert not any(module._forward_pre_hooks for module in mine.modules())
    for a, b in zip(running(mine), running(theirs), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("policy", POLICIES)
def test_spectral_norms_vectors_are_copied(policy):
    """Their mean has no unit length; of a weight near by they give the norm to second order."""
    torch.manual_seed(0)
    raw = nn.Sequential(spectral_norm(nn.Linear(6, 5), n_power_iterations=50), nn.BatchNorm1d(5))
    ema, direction = EMA(raw, 0.5, policy), torch.randn(5, 6)
    errors = []
    for step in (0.01, 0.005):
        trained = copy.deepcopy(raw)
        with torch.no_grad():
            trained[0].parametrizations.weight.original.add_(step * direction)
        trained(torch.randn(4, 6))
        ema = EMA(raw, 0.5, policy)
        ema.begin(1000)
        ema.update(trained)
        ema.refresh(lambda: [torch.randn(4, 6)])
        for mine, theirs in zip(ema.network[0].buffers(), trained[0].buffers(), strict=True):
            assert torch.equal(mine, theirs)
        errors.append(abs(torch.linalg.matrix_norm(ema.network[0].weight, 2).item() - 1))
    assert errors[0] < 1e-3
    assert errors[1] < errors[0] / 3, "of first order, half a step would leave a half"


@pytest.mark.parametrize("policy", POLICIES)
def test_without_batchnorm_no_policy_changes_anything(policy):
    made = functools.partial(DCGANGenerator, Digits().spec, 8, width=8, norm="layer")
    torch.manual_seed(0)
    gan = small_gan(generator=made(), ema=0.9, ema_statistics=policy)
    fit(gan)
    torch.manual_seed(0)
    fit(plain := small_gan(generator=made(), ema=0.9))
    assert gan.batchnorm == "running statistics"
    assert same(weights(gan), weights(plain))


def test_an_unknown_policy_is_refused():
    said = "ema_statistics must be one of copy, average, recompute; got 'standing'"
    with pytest.raises(ValueError, match=said):
        EMA(normed(1, 0, 0, 1), 0.5, "standing")


# In training -------------------------------------------------------------------------------------


class Draw(Callback):
    def on_train_batch_end(self, trainer, gan, *_):
        gan.sample(8)


@pytest.mark.parametrize("policy", POLICIES)
def test_drawing_does_not_disturb_training(policy):
    """All weights and statistics, bit for bit; nor do the global random numbers change."""
    fit(plain := small_gan(ema=0.9, ema_statistics=policy))
    fit(drawn := small_gan(ema=0.9, ema_statistics=policy), callbacks=[Draw()])
    assert same(weights(plain), weights(drawn))
    before = torch.get_rng_state()
    plain.ema.stale = True
    plain.sample(2)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("policy", ["average", "recompute"])
def test_resume_is_exact(tmp_path, policy):
    made = functools.partial(small_gan, 6, ema=0.9, ema_statistics=policy)
    fit(whole := made())
    fit(half := made(), callbacks=[Draw()], max_steps=3).save_checkpoint(tmp_path / "half.ckpt")
    torch.manual_seed(12345)
    fit(rest := made(), ckpt_path=tmp_path / "half.ckpt")
    assert same(weights(whole), weights(rest))
    assert not same(weights(whole), weights(half))


def test_statistics_are_recomputed_once_per_iteration_and_always_to_the_same():
    fit(gan := small_gan(ema=0.9, ema_statistics="recompute"))
    assert gan.ema.stale
    gan.state_dict()
    assert not gan.ema.stale, "a state_dict has them"
    first = [t.clone() for t in running(gan.sampler)]
    for tensor in running(gan.sampler):
        tensor.fill_(7)
    gan.sample(2)
    assert running(gan.sampler)[0][0] == 7, "the weights have not moved"
    gan.ema.stale = True
    gan.sample(2)
    assert all(map(torch.equal, running(gan.sampler), first))
    raw = [(a - b).abs().max() for a, b in zip(first, running(gan.generator), strict=True)]
    assert max(raw) > 1e-3, "the check would pass on copied ones"


def test_classes_are_drawn_in_turn():
    """A conditional G sees all of its classes, and no sample's latents."""
    spec = Digits().spec
    told = Concat(spec)
    gan = small_gan(
        generator=DCGANGenerator(spec, 8 + spec.classes, width=8),
        discriminator=DCGANDiscriminator(told.shown, width=8),
        conditioning=told,
        ema=0.9,
        ema_statistics="recompute",
    )
    z = torch.cat(list(gan._standing()))
    assert z.shape == (1024, 8 + spec.classes)
    assert torch.equal(z[:, 8:].argmax(dim=1), torch.arange(1024) % spec.classes)
    assert not torch.equal(z[:64], gan.fixed_latents(64))


@pytest.mark.parametrize("policy", POLICIES)
def test_the_protocol_says_which_statistics(policy):
    assert small_gan(ema=0.9, ema_statistics=policy).batchnorm == WORDS[policy]
    assert small_gan(ema_statistics=policy).batchnorm == WORDS["copy"], "there is no average"


# A run -------------------------------------------------------------------------------------------


def test_a_loaded_model_draws_as_it_did_in_training(tmp_path):
    """By the checkpoint's statistics: with others it draws otherwise."""
    policy = "recompute"
    scored = ("metrics=classifier", "metrics.n=200", "metrics.every=3")
    words = smoke(tmp_path, "ema=0.9", f"ema_statistics={policy}", *scored)
    assert run_train(*words).code == 0
    (run,) = runs_in(tmp_path)
    gan = ganlab.load(run)
    assert gan.batchnorm == WORDS[policy]
    state = checkpoint.read(next((run / "checkpoints").glob("iteration*")))["state_dict"]
    images = gan.sample(8)
    assert same(weights(gan), state)
    gan.ema.stale = True
    assert torch.equal(gan.sample(8), images), "what is stored is what would be computed"
    (name,) = [n for n in state if n.startswith("ema") and n.endswith("running_var")][:1]
    gan.load_state_dict(state | {name: 4 * state[name]})
    assert not torch.equal(gan.sample(8), images), "what is stored is used"
    before = (run / "summary.json").read_text()
    assert f'"batchnorm": "{WORDS[policy]}"' in before
    outcome = run_evaluate(f"run={run}")
    assert (outcome.code, outcome.err) == (0, "")
