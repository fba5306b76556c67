"""Every loss against its paper's formula on probabilities, in float64, on hand-made logits."""

import itertools
import math

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch.nn.functional import softplus

from conftest import ROOT
from ganlab.losses import (
    BEGAN,
    EBGAN,
    Hinge,
    LeastSquares,
    Loss,
    Minimax,
    NonSaturating,
    Relativistic,
    RelativisticAverage,
    Wasserstein,
)

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


# Label smoothing --------------------------------------------------------------------------------

GAMES = [Minimax, NonSaturating]
smoothed_games = pytest.mark.parametrize("game", GAMES)
shares = pytest.mark.parametrize("s", [0.1, 0.25, 0.4])


def cross_entropy(real, fake, of_real, of_fake):
    """-t log D - (1 - t) log(1 - D), averaged over each side with its own target t."""
    bce = lambda t: lambda x: -t * math.log(sigmoid(x)) - (1 - t) * math.log(1 - sigmoid(x))
    return mean(bce(of_real), real) + mean(bce(of_fake), fake)


@shares
@smoothed_games
def test_smoothing_is_cross_entropy_with_a_lower_target_for_real_images(game, s):
    """Salimans et al. 2016, section 3.4; two-sided smoothing and the wrong side are rejected."""
    got = game(smoothing=s).d_loss(tensor(REAL), tensor(FAKE)).item()
    assert got == pytest.approx(cross_entropy(REAL, FAKE, 1 - s, 0), rel=1e-13)
    for of_real, of_fake in ((1 - s, s), (1, s), (1, 0), (s, 0)):
        assert abs(got - cross_entropy(REAL, FAKE, of_real, of_fake)) > 0.01


@smoothed_games
def test_without_smoothing_the_loss_is_the_papers(game):
    real, fake = tensor(REAL), tensor(FAKE)
    got = game(smoothing=0).d_loss(real, fake)
    assert torch.equal(got, game().d_loss(real, fake))
    assert got.item() == pytest.approx(minimax_d(REAL, FAKE), rel=1e-13)


@smoothed_games
def test_smoothing_leaves_gs_loss_alone(game):
    """It is D's target that is smoothed: G has none for real images."""
    assert torch.equal(game(smoothing=0.3).g_loss(tensor(FAKE)), game().g_loss(tensor(FAKE)))


@shares
@smoothed_games
def test_smoothed_d_is_best_at_one_minus_the_smoothing_on_real_images(game, s):
    """Without smoothing the same logit still wants to rise."""
    best, fake = math.log((1 - s) / s), tensor(FAKE)
    at = lambda c: game(smoothing=s).d_loss(tensor([best + c]), fake)
    assert all(at(c) > at(0.0) for c in (-1.0, -0.01, 0.01, 1.0))
    for smoothing, want in ((s, 0), (0, -s)):
        real = tensor([best], requires_grad=True)
        (slope,) = torch.autograd.grad(game(smoothing=smoothing).d_loss(real, fake), real)
        assert slope.item() == pytest.approx(want, abs=1e-15)


def test_the_best_smoothed_d_is_a_smaller_share_of_the_data():
    """D* = (1 - s) p / (p + q): where q > 0 and p = 0 D still says 0 (ibid.: why one-sided)."""
    s, p, q = 0.2, (0.75, 0.25), (0.25, 0.75)
    d = [(1 - s) * a / (a + b) for a, b in zip(p, q, strict=True)]
    logits = [math.log(x / (1 - x)) for x in d]
    real = tensor([logits[0]] * 3 + [logits[1]], requires_grad=True)
    fake = tensor([logits[0]] + [logits[1]] * 3, requires_grad=True)
    of_real, of_fake = torch.autograd.grad(Minimax(s).d_loss(real, fake), (real, fake))
    assert of_real[:3].sum() + of_fake[0] == pytest.approx(0, abs=1e-15)
    assert of_real[3] + of_fake[1:].sum() == pytest.approx(0, abs=1e-15)
    plain, _ = torch.autograd.grad(Minimax().d_loss(real, fake), (real, fake))
    assert plain[:3].sum() + of_fake[0] < -0.1


@pytest.mark.parametrize("logit", [1e4, -1e4])
@smoothed_games
def test_smoothed_losses_are_finite_at_extreme_logits(game, logit):
    """Confidence costs s |l| at the right end and (1 - s) |l| at the wrong one."""
    real = torch.tensor([logit], requires_grad=True)
    value = game(smoothing=0.1).d_loss(real, torch.tensor([-1e4]))
    assert value.item() == pytest.approx(1e3 if logit > 0 else 9e3)
    assert torch.isfinite(torch.autograd.grad(value, real)[0]).all()


@pytest.mark.parametrize("smoothing", [-0.1, 0.5, 1, math.nan])
@smoothed_games
def test_smoothing_out_of_range_is_refused(game, smoothing):
    with pytest.raises(ValueError) as error:
        game(smoothing)
    assert str(error.value) == (f"smoothing must be at least 0 and less than 0.5, got {smoothing}")


# Relativistic losses -----------------------------------------------------------------------------


def pairs(real, fake):
    """-E[log sigmoid(C(x) - C(G(z)))] over pairs (Jolicoeur-Martineau 2019, section 3.2)."""
    return -mean(lambda r_f: math.log(sigmoid(r_f[0] - r_f[1])), list(zip(real, fake, strict=True)))


def averages(real, fake):
    """-E[log D'(x)] - E[log(1 - D'(G(z)))], D' relative to the other side's mean (ibid.)."""
    of_real, of_fake = mean(float, real), mean(float, fake)
    return -mean(lambda x: math.log(sigmoid(x - of_fake)), real) - mean(
        lambda x: math.log(1 - sigmoid(x - of_real)), fake
    )


RELATIVISTIC = {"Relativistic": (Relativistic(), pairs)}
RELATIVISTIC["RelativisticAverage"] = (RelativisticAverage(), averages)
every_relativistic = pytest.mark.parametrize(
    ("loss", "paper"), RELATIVISTIC.values(), ids=RELATIVISTIC
)


@pytest.mark.parametrize(("dtype", "rel"), [(torch.float64, 1e-13), (torch.float32, 1e-6)])
@every_relativistic
def test_a_relativistic_loss_is_its_papers_formula(loss, paper, dtype, rel):
    """G plays D's game with the roles exchanged, which is another value."""
    real, fake = tensor(REAL, dtype=dtype), tensor(FAKE, dtype=dtype)
    d, g = loss.d_loss(real, fake), loss.g_loss(fake, real)
    assert d.shape == g.shape == ()
    assert d.item() == pytest.approx(paper(REAL, FAKE), rel=rel)
    assert g.item() == pytest.approx(paper(FAKE, REAL), rel=rel)
    assert torch.equal(g, loss.d_loss(fake, real))
    assert abs(d - g) > 0.5


def test_the_relativistic_formulas_tell_all_losses_apart():
    """Pairs, averages, all N x N pairs (logits (N, 1) and (N,) by mistake) and Minimax differ."""
    real, fake = tensor(REAL), tensor(FAKE)
    crossed = Relativistic().d_loss(real.unsqueeze(1), fake).item()
    values = [pairs(REAL, FAKE), averages(REAL, FAKE), crossed, minimax_d(REAL, FAKE)]
    for a, b in itertools.combinations(values, 2):
        assert abs(a - b) > 1e-2, values


def test_only_pairs_depend_on_who_meets_whom():
    real, fake = tensor(REAL), tensor(FAKE)
    change = lambda loss: (loss.d_loss(real, fake.flip(0)) - loss.d_loss(real, fake)).item()
    assert abs(change(Relativistic())) > 0.01
    assert change(RelativisticAverage()) == pytest.approx(0, abs=1e-14)


@every_relativistic
def test_a_relativistic_g_loss_without_real_logits_is_refused(loss, paper):
    assert loss.needs_real
    with pytest.raises(ValueError) as error:
        loss.g_loss(tensor(FAKE))
    assert str(error.value) == "a relativistic g_loss needs the logits of real images, got None"
    assert not any(other.needs_real for other in LOSSES)


@pytest.mark.parametrize("shift", [-7.0, 0.5, 100.0])
@every_relativistic
def test_a_constant_added_to_all_logits_changes_nothing(loss, paper, shift):
    """Only differences count; NonSaturating, with the same softplus, is rejected."""
    real, fake = tensor(REAL), tensor(FAKE)
    changes = lambda loss: (
        loss.d_loss(real + shift, fake + shift) - loss.d_loss(real, fake),
        loss.g_loss(fake + shift, real + shift) - loss.g_loss(fake, real),
    )
    assert all(change.item() == pytest.approx(0, abs=1e-12) for change in changes(loss))
    assert all(abs(change) > 0.01 for change in changes(NonSaturating()))


@every_relativistic
def test_a_relativistic_d_rests_where_real_is_far_above_fake_and_g_does_not(loss, paper):
    """However low both are: Minimax, which looks at each by itself, still moves D there."""
    real, fake = tensor([-1e3, -2e3]), tensor([-9e3, -8e3])
    slopes = lambda f: [abs(s).sum().item() for s in slopes_of(f, real, fake)]
    assert slopes(loss.d_loss) == [0, 0]
    terms = 1 if paper is pairs else 2
    assert slopes(lambda real, fake: loss.g_loss(fake, real)) == [terms, terms]
    assert slopes(Minimax().d_loss)[0] == 1


def slopes_of(f, real, fake):
    """Gradients of f(real, fake)."""
    real, fake = real.clone().requires_grad_(), fake.clone().requires_grad_()
    return torch.autograd.grad(f(real, fake), (real, fake))


@every_relativistic
def test_relativistic_gradients_flow_through_both_sides(loss, paper):
    """Against finite differences; averages cut out of the graph, a usual mistake, are rejected."""
    real, fake = (tensor(x, requires_grad=True) for x in (REAL, FAKE))
    assert torch.autograd.gradcheck(loss.d_loss, (real, fake))
    of_real, of_fake = slopes_of(loss.d_loss, real.detach(), fake.detach())
    assert (of_real + of_fake).sum() == pytest.approx(0, abs=1e-15)
    assert (of_real < 0).all()
    assert (of_fake > 0).all()
    cut = lambda real, fake: (
        softplus(fake.detach().mean() - real).mean() + softplus(fake - real.detach().mean()).mean()
    )
    assert not torch.allclose(of_real, slopes_of(cut, real.detach(), fake.detach())[0], rtol=0.05)


@pytest.mark.parametrize("logit", [1e4, -1e4])
@every_relativistic
def test_relativistic_losses_and_gradients_are_finite_at_extreme_logits(loss, paper, logit):
    """Where log(sigmoid(l)) is -inf."""
    real, fake = torch.tensor([logit, logit]), torch.tensor([-logit, -logit])
    terms = 1 if paper is pairs else 2
    for f, gap in ((loss.d_loss, -2 * logit), (lambda r, f: loss.g_loss(f, r), 2 * logit)):
        assert f(real, fake).item() == pytest.approx(terms * max(gap, 0), rel=1e-6)
        assert all(torch.isfinite(slope).all() for slope in slopes_of(f, real, fake))
    assert torch.tensor(-2e4).sigmoid().log() == -math.inf


@every_relativistic
def test_a_relativistic_score_is_the_critics_value(loss, paper):
    """A logit alone is no probability: only differences are."""
    assert torch.equal(loss.score(tensor(REAL)), tensor(REAL))


# Energies ----------------------------------------------------------------------------------------

LOW = [0.2, 0.9, 0.05, 1.4, 0.35]  # of real images
HIGH = [1.5, 0.3, 1.01, 2.0]  # of generated ones: on both sides of the margins below


def ebgan(real, fake, m):
    """D(x) + [m - D(G(z))]^+, Zhao et al. 2017, eq. 1."""
    return mean(float, real) + mean(lambda x: max(0.0, m - x), fake)


margins = pytest.mark.parametrize("m", [0.5, 1.0, 1.75])


@margins
@pytest.mark.parametrize(("dtype", "rel"), [(torch.float64, 1e-13), (torch.float32, 1e-6)])
def test_ebgan_is_its_papers_formula(m, dtype, rel):
    """A margin on the mean, as in popular code, the sides exchanged and no margin are rejected."""
    real, fake = tensor(LOW, dtype=dtype), tensor(HIGH, dtype=dtype)
    loss = EBGAN(margin=m)
    d, g = loss.d_loss(real, fake), loss.g_loss(fake)
    assert d.shape == g.shape == ()
    assert d.item() == pytest.approx(ebgan(LOW, HIGH, m), rel=rel)
    assert g.item() == pytest.approx(mean(float, HIGH), rel=rel)
    of_mean = mean(float, LOW) + max(0.0, m - mean(float, HIGH))
    unbounded = mean(float, LOW) + m - mean(float, HIGH)
    for wrong in (of_mean, unbounded, ebgan(HIGH, LOW, m), ebgan(LOW, HIGH, m + 0.1)):
        assert abs(d.item() - wrong) > 0.01


def test_ebgans_margin_is_1_unless_told_otherwise():
    assert EBGAN().d_loss(tensor(LOW), tensor(HIGH)).item() == pytest.approx(ebgan(LOW, HIGH, 1))


@margins
def test_ebgans_d_raises_only_energies_below_the_margin(m):
    of_real, of_fake = slopes_of(EBGAN(m).d_loss, tensor(LOW), tensor(HIGH))
    assert of_real.tolist() == pytest.approx([1 / 5] * 5)
    assert of_fake.tolist() == pytest.approx([-1 / 4 if x < m else 0.0 for x in HIGH])
    assert {float(s) for s in of_fake} == {0.0, -1 / 4}, "both sides of the margin are here"


@margins
def test_ebgan_between_equals_is_worth_its_margin(m):
    """Theorem 1: V(G*, D*) = m, at every constant energy up to m; higher ones cost more."""
    value = lambda c: EBGAN(m).d_loss(tensor([c] * 3), tensor([c] * 4)).item()
    assert [value(share * m) for share in (0, 0.3, 1)] == pytest.approx([m] * 3)
    assert value(1.2 * m) == pytest.approx(1.2 * m)


@pytest.mark.parametrize("loss", [EBGAN(), BEGAN()], ids=["EBGAN", "BEGAN"])
def test_g_lowers_the_energy_of_its_images_each_by_as_much(loss):
    fake = tensor(HIGH, requires_grad=True)
    (gradient,) = torch.autograd.grad(loss.g_loss(fake), fake)
    assert gradient.tolist() == pytest.approx([1 / 4] * 4)
    assert loss.g_loss(fake).item() == pytest.approx(mean(float, HIGH))


def test_only_these_take_energies():
    """And their score of an image is its energy; neither looks at real images in G's update."""
    for loss in (EBGAN(), BEGAN()):
        assert loss.energy
        assert not loss.needs_real
        assert torch.equal(loss.score(tensor(LOW)), tensor(LOW))
    assert not any(loss.energy for loss in [*LOSSES, Relativistic(), RelativisticAverage()])


# BEGAN's balance ---------------------------------------------------------------------------------

PASSES = [  # (energies of real images, of generated ones)
    ([1.0, 3.0], [0.5, 0.2, 0.1]),  # gamma L(x) > L(G(z)): k rises
    ([2.0, 1.0], [0.4, 0.6, 0.5]),
    ([0.5, 0.1], [0.9, 1.5, 0.3]),  # and falls
    ([1.5, 0.7], [0.2, 0.3, 0.1]),
]


def began(passes, gamma, rate, *, surplus=None, late=False):
    """(d, k afterwards, M) of each pass: Berthelot et al. 2017, section 3.4.

    `surplus` and `late`, k moved before it is used, are for mistakes.
    """
    values, k = [], 0.0
    for real, fake in passes:
        of_real, of_fake = mean(float, real), mean(float, fake)
        over = (surplus or (lambda real, fake: gamma * real - fake))(of_real, of_fake)
        moved = min(max(k + rate * over, 0.0), 1.0)
        values.append((of_real - (moved if late else k) * of_fake, moved, of_real + abs(over)))
        k = moved
    return values


def played(loss, passes, **options):
    """The same of a BEGAN."""
    values = []
    for real, fake in passes:
        d = loss.d_loss(tensor(real, **options), tensor(fake, **options))
        values.append((d.item(), loss.k.item(), loss.convergence.item()))
    return values


def apart(a, b):
    """The greatest difference between any two of their numbers."""
    return max(abs(x - y) for p, q in zip(a, b, strict=True) for x, y in zip(p, q, strict=True))


@pytest.mark.parametrize(("gamma", "rate"), [(0.5, 0.1), (0.8, 0.2), (0.7, 0.001)])
def test_began_is_its_papers_algorithm_pass_after_pass(gamma, rate):
    """k starts at 0 and is used before it moves; the usual mistakes end elsewhere."""
    got, want = played(BEGAN(gamma, rate).double(), PASSES), began(PASSES, gamma, rate)
    assert apart(got, want) < 1e-14
    assert got[0][0] == 2.0, "the first loss of D is E[L(x)] alone"
    assert all(0 < k < 1 for _, k, _ in got), "k is never clamped here"
    for wrong in (
        began(PASSES, gamma, rate, late=True),
        began(PASSES, gamma, rate, surplus=lambda real, fake: fake - gamma * real),
        began(PASSES, gamma, rate, surplus=lambda real, fake: real - gamma * fake),
        began(PASSES, gamma, 2 * rate),
        began([(fake, real) for real, fake in PASSES], gamma, rate),
    ):
        assert apart(got, wrong) > 1e-4


def test_k_stays_between_0_and_1():
    loss = BEGAN(gamma=0.5, rate=1.0)
    ks = [k for _, k, _ in played(loss, [([1.0], [9.0]), ([2.0], [0.5]), ([99.0], [0.0])])]
    assert ks == [0.0, 0.5, 1.0]
    assert played(loss, [([99.0], [0.0]), ([1.0], [0.75])])[1][1] == 0.75, "it comes back at once"


@pytest.mark.parametrize("gamma", [0.3, 0.5, 1.0])
def test_k_rests_where_the_energies_ratio_is_gamma(gamma):
    """There M is E[L(x)], its least for these real images, and on both sides k moves."""
    at = lambda fake: played(BEGAN(gamma, rate=0.1).double(), [([8.0], [0.0]), ([2.0], [fake])])
    (_, before, _), (_, after, m) = at(2 * gamma)
    assert after == pytest.approx(before, abs=1e-15)
    assert m == pytest.approx(2.0, rel=1e-15)
    for more in (-0.2, 0.2):
        (_, before, _), (_, after, m) = at(2 * gamma + more)
        assert after - before == pytest.approx(-0.1 * more, abs=1e-12)
        assert m == pytest.approx(2.0 + abs(more), rel=1e-12)


def test_rate_0_leaves_k_at_0():
    assert all(k == 0 for _, k, _ in played(BEGAN(rate=0), PASSES))


def in_graph(loss, real, fake):
    """BEGAN's pass with a k that remembers the energies that it comes from: a mistake."""
    d = real.mean() - loss.k * fake.mean()
    loss.k = (loss.k + loss.rate * (loss.gamma * real.mean() - fake.mean())).clamp(0, 1)
    return d


def test_no_gradient_flows_through_k():
    """Slopes 1/n and -k/n of the k before the pass, and none of an earlier pass's energies."""
    earlier, later = ([tensor(x, requires_grad=True) for x in pair] for pair in PASSES[:2])
    loss = BEGAN(rate=0.1).double()
    loss.d_loss(*earlier)
    k = loss.k.item()
    of_real, of_fake, of_earlier = torch.autograd.grad(
        loss.d_loss(*later), (*later, earlier[0]), allow_unused=True
    )
    assert of_real.tolist() == pytest.approx([1 / 2] * 2)
    assert of_fake.tolist() == pytest.approx([-k / 3] * 3)
    assert of_earlier is None
    assert loss.k != k
    assert not loss.k.requires_grad
    assert not loss.convergence.requires_grad
    wrong = BEGAN(rate=0.1).double()
    in_graph(wrong, *earlier)
    assert torch.autograd.grad(in_graph(wrong, *later), earlier[0])[0].abs().min() > 0.01


class NoClone(BEGAN):
    """The usual way to write it, which autograd refuses: the product needs the k that has gone."""

    def d_loss(self, real, fake):
        loss = real.mean() - self.k * fake.mean()
        self._balance(real.detach().mean(), fake.detach().mean())
        return loss


def test_began_goes_backward_after_k_has_moved():
    """Also through two passes at once, as in gradient accumulation."""
    fakes = [tensor(fake, requires_grad=True) for _, fake in PASSES[:2]]
    passes = lambda loss: sum(
        loss.d_loss(tensor(real), fake) for (real, _), fake in zip(PASSES, fakes, strict=False)
    )
    passes(loss := BEGAN(rate=0.1).double()).backward()
    k = began(PASSES, 0.5, 0.1)[0][1]
    assert fakes[0].grad.tolist() == [0, 0, 0]
    assert fakes[1].grad.tolist() == pytest.approx([-k / 3] * 3)
    assert loss.k.item() == pytest.approx(began(PASSES, 0.5, 0.1)[1][1])
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        passes(NoClone(rate=0.1).double()).backward()


def test_a_saved_began_goes_on_where_it_stopped():
    """k and M are buffers: in checkpoints, and unknown to optimizers."""
    whole, half, rest = (BEGAN(rate=0.1).double() for _ in range(3))
    assert set(half.state_dict()) == {"k", "convergence"}
    assert not list(half.parameters())
    values = played(whole, PASSES)
    assert played(half, PASSES[:2]) == values[:2]
    rest.load_state_dict(half.state_dict())
    assert rest.convergence.item() == values[1][2]
    assert played(rest, PASSES[2:]) == values[2:]
    assert played(BEGAN(rate=0.1).double(), PASSES[2:]) != values[2:]


@pytest.mark.parametrize(
    ("dtype", "rel"),
    [(torch.float64, 1e-6), (torch.float32, 1e-6), (torch.float16, 5e-3), (torch.bfloat16, 3e-2)],
)
def test_began_keeps_its_own_precision_whatever_the_energies(dtype, rel):
    loss = BEGAN(rate=0.1)
    got, want = played(loss, PASSES, dtype=dtype), began(PASSES, 0.5, 0.1)
    assert loss.k.dtype == loss.convergence.dtype == torch.float32
    assert apart(got, want) < 3 * rel
    d = loss.d_loss(*(tensor(x, dtype=dtype) for x in PASSES[0]))
    assert d.dtype == torch.promote_types(dtype, torch.float32)


def test_small_steps_of_k_add_up_under_half_precision():
    """1000 steps of 0.001 x 0.5: a k in bfloat16 stops rising on the way."""
    loss, wrong = BEGAN(rate=0.001), torch.zeros((), dtype=torch.bfloat16)
    for _ in range(1000):
        loss.d_loss(*(torch.tensor([x], dtype=torch.bfloat16) for x in (2.0, 0.5)))
        wrong += 0.001 * 0.5
    assert loss.k.item() == pytest.approx(0.5, rel=1e-4)
    assert wrong < 0.3


# A loss's own state ------------------------------------------------------------------------------


def test_began_reports_its_k_and_convergence():
    """As they were at the time: a later pass does not change what was read."""
    loss = BEGAN(rate=0.1).double()
    ((_, k, m),) = played(loss, PASSES[:1])
    read = loss.readings()
    assert {name: value.item() for name, value in read.items()} == {
        "began/k": k,
        "began/convergence": m,
    }
    played(loss, PASSES[1:])
    assert read["began/k"].item() == k != loss.k.item()
    assert read["began/convergence"].item() == m != loss.convergence.item()


@pytest.mark.parametrize(
    "loss",
    [*LOSSES, Relativistic(), RelativisticAverage(), EBGAN()],
    ids=lambda x: type(x).__name__,
)
def test_all_others_have_no_state(loss):
    assert loss.readings() == {}
    assert not loss.state_dict()


def test_a_loss_of_ones_own_owes_both_games():
    for unwritten in (Loss().d_loss, Loss().g_loss):
        with pytest.raises(NotImplementedError):
            unwritten(tensor(LOW), tensor(HIGH))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: EBGAN(0), "margin must be greater than 0, got 0"),
        (lambda: EBGAN(margin=-1.5), "margin must be greater than 0, got -1.5"),
        (lambda: EBGAN(math.nan), "margin must be greater than 0, got nan"),
        (lambda: BEGAN(0), "gamma must be greater than 0, got 0"),
        (lambda: BEGAN(gamma=-0.5), "gamma must be greater than 0, got -0.5"),
        (lambda: BEGAN(gamma=1.5), "gamma must be at most 1, got 1.5"),
        (lambda: BEGAN(math.nan), "gamma must be greater than 0, got nan"),
        (lambda: BEGAN(rate=-0.001), "rate must be at least 0, got -0.001"),
        (lambda: BEGAN(rate=math.nan), "rate must be at least 0, got nan"),
    ],
)
def test_games_of_energies_refuse_values_out_of_range(make, sentence):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == sentence


# Configurations ----------------------------------------------------------------------------------

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
    assert configured >= {*NAMES, *RELATIVISTIC}


def test_an_object_without_score_is_no_loss():
    """The protocol is checked at run time, so an incomplete loss is refused by name."""

    class Half:
        needs_real = False

        def d_loss(self, real, fake): ...

        def g_loss(self, fake, real=None): ...

    assert not isinstance(Half(), Loss)
