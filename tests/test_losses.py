"""Every loss against its paper's formula on probabilities, in float64, on hand-made logits."""

import math

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from conftest import ROOT
from ganlab.losses import Hinge, LeastSquares, Loss, Minimax, NonSaturating, Wasserstein

LOSSES = [Minimax(), NonSaturating(), LeastSquares(), Wasserstein(), Hinge()]
NAMES = [type(loss).__name__ for loss in LOSSES]
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=NAMES)

REAL = [2.0, -1.0, 0.5, 0.0, 3.5]
FAKE = [-1.5, 0.3, 1.0, -0.2, -4.0]


def sigmoid(logit):
    return 1 / (1 + math.exp(-logit))


def mean(f, logits):
    return math.fsum(f(logit) for logit in logits) / len(logits)


def minimax_d(real, fake):
    """-V(D, G), Goodfellow et al. 2014, eq. 1."""
    log_d = mean(lambda x: math.log(sigmoid(x)), real)
    return -log_d - mean(lambda x: math.log(1 - sigmoid(x)), fake)


PAPERS = {  # (d_loss of real and fake logits, g_loss of fake logits)
    "Minimax": (minimax_d, lambda fake: mean(lambda x: math.log(1 - sigmoid(x)), fake)),
    "NonSaturating": (minimax_d, lambda fake: -mean(lambda x: math.log(sigmoid(x)), fake)),
    "LeastSquares": (
        lambda real, fake: (mean(lambda x: (x - 1) ** 2, real) + mean(lambda x: x**2, fake)) / 2,
        lambda fake: mean(lambda x: (x - 1) ** 2, fake) / 2,
    ),
    "Wasserstein": (
        lambda real, fake: -(mean(float, real) - mean(float, fake)),
        lambda fake: -mean(float, fake),
    ),
    "Hinge": (
        lambda real, fake: (
            -mean(lambda x: min(0, -1 + x), real) - mean(lambda x: min(0, -1 - x), fake)
        ),
        lambda fake: -mean(float, fake),
    ),
}


def tensor(logits, **options):
    return torch.tensor(logits, **{"dtype": torch.float64, **options})


@pytest.mark.parametrize(("dtype", "rel"), [(torch.float64, 1e-13), (torch.float32, 1e-6)])
@every_loss
def test_a_loss_is_its_papers_formula(loss, dtype, rel):
    d_paper, g_paper = PAPERS[type(loss).__name__]
    real, fake = tensor(REAL, dtype=dtype), tensor(FAKE, dtype=dtype)
    assert loss.d_loss(real, fake).item() == pytest.approx(d_paper(REAL, FAKE), rel=rel)
    assert loss.g_loss(fake).item() == pytest.approx(g_paper(FAKE), rel=rel)


def test_the_formulas_tell_all_losses_apart():
    """The check above rejects any loss in place of another; only the papers' own twins agree."""
    d = {name: d_paper(REAL, FAKE) for name, (d_paper, _) in PAPERS.items()}
    g = {name: g_paper(FAKE) for name, (_, g_paper) in PAPERS.items()}
    for values, twins in ((d, {"Minimax", "NonSaturating"}), (g, {"Wasserstein", "Hinge"})):
        for a in NAMES:
            for b in NAMES:
                if a != b and {a, b} != twins:
                    assert abs(values[a] - values[b]) > 1e-2, (a, b)


@every_loss
def test_swapping_real_and_fake_is_rejected(loss):
    """The usual mistake, the arguments of d_loss exchanged, gives another value."""
    d_paper, _ = PAPERS[type(loss).__name__]
    swapped = loss.d_loss(tensor(FAKE), tensor(REAL)).item()
    assert abs(swapped - d_paper(REAL, FAKE)) > 0.1


@every_loss
def test_real_and_fake_are_averaged_each_by_itself_whatever_the_shape(loss):
    """Unequal numbers weigh the same, and (N, 1) logits give what (N,) logits give."""
    d_paper, _ = PAPERS[type(loss).__name__]
    d = loss.d_loss(tensor(REAL).unsqueeze(1), tensor(FAKE[:2]))
    assert d.shape == ()
    assert d.item() == pytest.approx(d_paper(REAL, FAKE[:2]), rel=1e-13)
    assert loss.g_loss(tensor(FAKE).view(5, 1, 1)).shape == ()


@pytest.mark.parametrize("logit", [1e4, -1e4])
@every_loss
def test_losses_and_gradients_are_finite_at_extreme_logits(loss, logit):
    real = torch.tensor([logit], requires_grad=True)
    fake = torch.tensor([-logit], requires_grad=True)
    for value in (loss.d_loss(real, fake), loss.g_loss(fake)):
        assert torch.isfinite(value)
        for gradient in torch.autograd.grad(value, (real, fake), allow_unused=True):
            assert gradient is None or torch.isfinite(gradient).all()


def test_the_usual_log_of_sigmoid_is_not_finite_there():
    """What the check above is for: log(sigmoid(l)) and log(1 - sigmoid(l)) overflow."""
    logits = torch.tensor([-1e4, 1e4])
    assert logits.sigmoid().log()[0] == -math.inf
    assert (1 - logits.sigmoid()).log()[1] == -math.inf
    torch.testing.assert_close(
        Minimax().d_loss(logits[:1], logits[1:]), torch.tensor(2e4), rtol=1e-6, atol=0
    )


def test_at_one_half_the_value_of_the_game_is_minus_log_4():
    """Theorem 1: where p_g = p_data, V = -log 4 at D = 1/2, and every other constant D has less."""
    value = lambda c: -Minimax().d_loss(tensor([c] * 3), tensor([c] * 4)).item()
    assert value(0.0) == pytest.approx(-math.log(4), abs=1e-15)
    assert all(value(c) < value(0.0) for c in (-1.0, -0.1, 0.1, 1.0))


def test_at_the_optimal_discriminator_the_value_is_the_jensen_shannon_divergence():
    """Proposition 1 and theorem 1 on two points: D* = p / (p + q), V = -log 4 + 2 JSD(p || q)."""
    p, q = (0.75, 0.25), (0.25, 0.75)
    logits = [math.log(a / b) for a, b in zip(p, q, strict=True)]  # of D*
    real = tensor([logits[0]] * 3 + [logits[1]], requires_grad=True)
    fake = tensor([logits[0]] + [logits[1]] * 3, requires_grad=True)
    kl = lambda a: sum(x * math.log(x / 0.5) for x in a)  # to (p + q) / 2 = (1/2, 1/2)
    loss = Minimax().d_loss(real, fake)
    assert -loss.item() == pytest.approx(-math.log(4) + kl(p) + kl(q), rel=1e-13)
    of_real, of_fake = torch.autograd.grad(loss, (real, fake))  # D* is stationary on each point
    assert of_real[:3].sum() + of_fake[0] == pytest.approx(0, abs=1e-15)
    assert of_real[3] + of_fake[1:].sum() == pytest.approx(0, abs=1e-15)


def g_gradient(loss, logit):
    fake = tensor([logit], requires_grad=True)
    (gradient,) = torch.autograd.grad(loss.g_loss(fake), fake)
    return gradient.item()


@pytest.mark.parametrize("logit", [-20.0, -3.0, 0.0, 3.0])
def test_gradients_of_both_generator_games(logit):
    """Saturating: -D; non-saturating: -(1 - D).  Both point the same way."""
    assert g_gradient(Minimax(), logit) == pytest.approx(-sigmoid(logit), rel=1e-12)
    assert g_gradient(NonSaturating(), logit) == pytest.approx(-sigmoid(-logit), rel=1e-12)


def test_only_the_saturating_gradient_vanishes_where_d_is_confident():
    assert abs(g_gradient(Minimax(), -20.0)) < 1e-8
    assert g_gradient(NonSaturating(), -20.0) == pytest.approx(-1, abs=1e-8)


@pytest.mark.parametrize("logit", [-5.0, -0.5, 0.0, 0.5])
@every_loss
def test_raising_fake_logits_lowers_gs_loss_and_raises_or_keeps_ds(loss, logit):
    fake = lambda c: tensor([c, c])
    assert loss.g_loss(fake(logit + 0.25)) < loss.g_loss(fake(logit))
    towards = loss.d_loss(fake(3.0), fake(logit + 0.25)) - loss.d_loss(fake(3.0), fake(logit))
    if isinstance(loss, LeastSquares):  # a regression: below its target, D wants fake higher
        assert towards.sign() == math.copysign(1, logit + 0.125)
    elif isinstance(loss, Hinge) and logit < -1:
        assert towards == 0
    else:
        assert towards > 0


def test_hinge_has_no_gradient_beyond_its_margins_and_wasserstein_everywhere():
    for loss, want in ((Hinge(), [0.0, -0.5]), (Wasserstein(), [-0.5, -0.5])):
        real, fake = tensor([1.5, 0.5], requires_grad=True), tensor([-1.5, -0.5])
        assert torch.autograd.grad(loss.d_loss(real, fake), real)[0].tolist() == want
        fake.requires_grad_()
        assert torch.autograd.grad(loss.d_loss(real, fake), fake)[0].tolist() == [-w for w in want]


def test_wasserstein_ignores_a_constant_added_to_the_critic():
    """The dual's critic is known up to a constant; hinge's is not."""
    real, fake = tensor(REAL), tensor(FAKE)
    shift = lambda loss: (loss.d_loss(real + 1, fake + 1) - loss.d_loss(real, fake)).item()
    assert shift(Wasserstein()) == pytest.approx(0, abs=1e-15)
    assert abs(shift(Hinge())) > 0.1


@every_loss
def test_the_score_is_d_as_the_loss_reads_it(loss):
    """A probability in Minimax and NonSaturating, the critic's or regressor's value elsewhere."""
    logits = tensor(REAL)
    want = tensor([sigmoid(x) for x in REAL]) if isinstance(loss, Minimax) else logits
    torch.testing.assert_close(loss.score(logits), want, rtol=1e-14, atol=0)


CONFIGS = sorted((ROOT / "conf" / "loss").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_configured_loss_is_a_loss(path):
    loss = instantiate(OmegaConf.load(path))
    assert isinstance(loss, Loss)
    real, fake = tensor(REAL), tensor(FAKE)
    g = loss.g_loss(fake, real if loss.needs_real else None)
    assert loss.d_loss(real, fake).shape == g.shape == ()
    assert loss.score(real).shape == real.shape


def test_every_loss_of_this_file_has_its_config():
    configured = {type(instantiate(OmegaConf.load(path))).__name__ for path in CONFIGS}
    assert configured >= set(NAMES)


def test_an_object_without_score_is_no_loss():
    """The protocol is checked at run time, so an incomplete loss is refused by name."""

    class Half:
        needs_real = False

        def d_loss(self, real, fake): ...

        def g_loss(self, fake, real=None): ...

    assert not isinstance(Half(), Loss)
