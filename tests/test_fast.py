"""What makes an iteration faster draws and computes what it should."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from conftest import small_gan
from ganlab import losses, networks
from ganlab.conditioning import ACGAN, Concat, Conditioning, InfoGAN, Projection, SemiSupervised
from ganlab.networks.discriminator import independent
from ganlab.networks.layers import Dropout
from ganlab.regularizers import (
    R1,
    R2,
    Consistency,
    FeatureMatching,
    GradientPenalty,
    LeCam,
    PullAway,
    input_gradient,
)
from ganlab.training.batch import Batch
from ganlab.training.streams import seed_global_generators


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_dropout_drops_its_share_and_keeps_the_mean(dtype):
    layer, x = Dropout(0.3), torch.ones(500, 400, dtype=dtype, requires_grad=True)
    torch.manual_seed(0)
    y = layer(x)
    assert y.dtype == dtype
    dropped = (y == 0).double().mean().item()
    assert dropped == pytest.approx(0.3, abs=0.004)  # 4 standard deviations of 200,000 draws
    assert y[y != 0].unique().tolist() == [pytest.approx(1 / 0.7, rel=4e-3)]
    y.sum().backward()
    assert torch.equal(x.grad != 0, y != 0), "the gradient passes where the value did"
    assert torch.equal(layer.eval()(x), x)


def test_dropout_draws_another_mask_each_time_and_the_same_after_the_same_seed():
    layer, x = Dropout(0.5), torch.ones(64)
    seed_global_generators(torch.device("cpu"), 3)
    first, second = layer(x), layer(x)
    seed_global_generators(torch.device("cpu"), 3)
    assert torch.equal(layer(x), first)
    assert not torch.equal(first, second)


def test_seeds_are_torch_s_own():
    torch.manual_seed(2**62 + 11)
    expected = torch.rand(8)
    seed_global_generators(torch.device("cpu"), 2**62 + 11)
    assert torch.equal(torch.rand(8), expected)


def a_gan(norm="none", kind=Conditioning, minibatch="none", **options):
    """A GAN of digits, one real and one generated minibatch for it, and their code; float64."""
    spec = small_gan().spec
    torch.manual_seed(1)
    told = kind(spec)
    compare = {"minibatch": minibatch, "minibatch_group": 16}  # 4 would never mix the two kinds
    d = networks.DCGANDiscriminator(told.shown, width=8, norm=norm, **compare)
    gan = small_gan(discriminator=d, conditioning=told, **deepcopy(options)).double()
    labels, images = torch.arange(8), torch.rand(2, 8, *spec.shape, dtype=torch.double) * 2 - 1
    real = Batch(images[0], labels)
    if kind is SemiSupervised:
        real = real._replace(labeled=real)
    return gan, real, images[1], told.code(labels, torch.Generator()).double()


def of_d(together, norm="none", **options):
    """D's loss and its gradient, with the two kinds of images in one pass or in two."""
    gan, real, fake, code = a_gan(norm, **options)
    gan._d_is_independent = together
    passes = []
    watch = gan.discriminator.head.register_forward_pre_hook(lambda *_: passes.append(1))
    torch.manual_seed(2)  # of the penalties' random points
    loss = gan.d_loss(real, fake, code)
    watch.remove()
    grads = torch.autograd.grad(loss, gan.players["d"].parameters, allow_unused=True)
    return loss.detach(), torch.cat([g.flatten() for g in grads if g is not None]), len(passes)


EACH = {
    "plain": {},
    "hinge": {"loss": losses.Hinge()},
    "relativistic": {"loss": losses.RelativisticAverage()},
    "wgan-gp": {"loss": losses.Wasserstein(), "regularizers": {"gp": GradientPenalty()}},
    "terms": {"regularizers": {"r1": R1(), "r2": R2(), "lecam": LeCam(), "cr": Consistency()}},
    "features": {"regularizers": {"fm": FeatureMatching(), "pt": PullAway()}},
    "concat": {"kind": Concat},
    "projection": {"kind": Projection},
    "acgan": {"kind": ACGAN},
    "infogan": {"kind": InfoGAN},
    "semisupervised": {"kind": SemiSupervised},
}


@pytest.mark.parametrize("options", EACH.values(), ids=EACH)
@pytest.mark.parametrize("norm", ["none", "layer", "weight"])
def test_one_pass_of_d_over_both_kinds_of_images_is_the_same_as_two(norm, options):
    (one, of_one, n), (two, of_two, n2) = (of_d(x, norm, **options) for x in (True, False))
    assert n2 - n == 1
    torch.testing.assert_close(one, two)
    assert (of_one - of_two).norm() < 1e-9 * of_two.norm()
    assert independent(*a_gan(norm, **options)[0].players["d"].networks), "and so it is done"


class AFurtherPass(R1):
    """The gradient of another pass of D: what R1 takes under autocast, and took everywhere."""

    slope_at, kind = None, "real"

    def d_term(self, update):
        gradient = input_gradient(update.critic, getattr(update, self.kind).images)
        return 0.5 * self.gamma * gradient.square().sum(dim=1).mean()


class AFurtherPassOfTheOthers(AFurtherPass):
    kind = "fake"


@pytest.mark.parametrize("kind", [Conditioning, Concat, Projection])
@pytest.mark.parametrize(
    ("terms", "others", "passes"),
    [
        ([R1], [AFurtherPass], (2, 2)),  # a slope at real images alone: the kinds are apart
        ([R2], [AFurtherPassOfTheOthers], (2, 2)),
        ([R1, R2], [AFurtherPass, AFurtherPassOfTheOthers], (1, 3)),
    ],
)
def test_slopes_of_d_come_from_its_own_pass(kind, terms, others, passes):
    made = [{str(i): term() for i, term in enumerate(each)} for each in (terms, others)]
    of = [of_d(together=True, kind=kind, regularizers=each) for each in made]
    torch.testing.assert_close(of[0][0], of[1][0])
    torch.testing.assert_close(of[0][1], of[1][1])
    assert (of[0][2], of[1][2]) == passes
    without = of_d(together=True, kind=kind)
    assert (of[0][1] - without[1]).norm() > 1e-3 * without[1].norm(), "the terms are in the loss"


@pytest.mark.parametrize(
    "options", [{"norm": "batch"}, {"minibatch": "std"}, {"minibatch": "discrimination"}]
)
def test_two_passes_are_made_where_d_compares_images(options):
    """One pass would be another function: the check sees it, and so does `independent`."""
    (_, of_one, _), (_, of_two, _) = (of_d(x, **options) for x in (True, False))
    assert (of_one - of_two).norm() > 1e-3 * of_two.norm()
    assert not independent(*a_gan(**options)[0].players["d"].networks)


def test_each_pass_of_spectral_norm_is_one_power_iteration():
    assert not independent(a_gan("spectral")[0].discriminator)


def test_classes_from_elsewhere_may_compare_images():
    class Whitening(nn.Module):
        def forward(self, x):
            return x - x.mean(dim=0)

    assert independent(nn.Sequential(nn.Flatten(), nn.Linear(4, 1)))
    assert not independent(nn.Sequential(Whitening(), nn.Linear(4, 1)))
