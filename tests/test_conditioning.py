"""Conditioning: codes, heads and terms against closed forms; who trains the heads; exact resume."""

import copy
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from pytorch_lightning import Callback
from torch import nn
from torch.nn.functional import one_hot
from torch.nn.utils.parametrizations import _SpectralNorm, weight_norm

from conftest import adam, fit, same, small_gan, weights
from ganlab.augment import InstanceNoise
from ganlab.conditioning import (
    ACGAN,
    Concat,
    Conditioning,
    InfoGAN,
    Projection,
    SemiSupervised,
)
from ganlab.data import Digits, ImageData, LabelBudget
from ganlab.gan import GAN
from ganlab.latent import Gaussian
from ganlab.losses import Hinge, NonSaturating, Wasserstein
from ganlab.networks import DCGANDiscriminator, DCGANGenerator
from ganlab.networks.discriminator import FeatureDiscriminator
from ganlab.regularizers import R1, FeatureMatching, GradientPenalty, Regularizer
from ganlab.spec import ImageSpec
from ganlab.training.batch import Batch
from ganlab.training.streams import stream
from ganlab.training.terms import Discrimination, Output
from ganlab.training.updates import Player, UpdateRule, frozen
from small import generation, latents_of
from test_gan import Watch

SPEC = Digits().spec
NOISE, WIDTH = 8, 4
KINDS = [Conditioning, Concat, Projection, ACGAN, InfoGAN, SemiSupervised]
BY_CLASS = [Concat, Projection, ACGAN]
each_kind = pytest.mark.parametrize("kind", KINDS)
each_by_class = pytest.mark.parametrize("kind", BY_CLASS)


@pytest.fixture
def float64():
    """Closed forms are compared in float64; nothing here depends on the global random state."""
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


closed_form = pytest.mark.usefixtures("float64")


def told(kind, norm: str = "batch", **options) -> GAN:
    """A small DCGAN of digits under a conditioning: its class, or an object of it."""
    conditioning = kind(SPEC) if isinstance(kind, type) else kind
    with torch.random.fork_rng():
        torch.manual_seed(0)
        networks = {
            "generator": DCGANGenerator(SPEC, NOISE + conditioning.code_dim, WIDTH, norm),
            "discriminator": DCGANDiscriminator(conditioning.shown, WIDTH, norm),
        }
        return small_gan(**{**networks, "conditioning": conditioning, **options})


def train(gan: GAN, **options):
    """`fit`, with the few labels that semi-supervised learning is given."""
    budget = LabelBudget(5) if isinstance(gan.conditioning, SemiSupervised) else None
    return fit(gan, **{"batch_size": 8, "labels": budget, **options})


def linear_gan(kind, features: int = 6, **options) -> GAN:
    """Images of `features` pixels that D's features are, unchanged; all in the default dtype."""
    spec = ImageSpec(features, 1, 3)
    conditioning = kind if not isinstance(kind, type) else kind(spec)
    seen = math.prod(conditioning.shown.shape)
    return GAN(
        nn.Sequential(nn.Linear(2 + conditioning.code_dim, features), nn.Unflatten(1, spec.shape)),
        FeatureDiscriminator(nn.Flatten(), seen),
        options.pop("loss", NonSaturating()),
        spec=spec,
        latent=Gaussian(2),
        g_rule=UpdateRule(adam()),
        d_rule=UpdateRule(adam()),
        conditioning=conditioning,
        **options,
    )


def output(answers, code, *, answered=True):
    """D's output on random images, if `answered` with what the added head says."""
    n = len(answers)
    images, logits = torch.randn(n, 1, 2, 2), torch.randn(n)
    return Output(images, code, logits, answers=answers if answered else None)


def surprise(answers, classes) -> float:
    """Cross-entropy by hand: the mean of -log softmax(answers)[class]."""
    total = 0.0
    for row, c in zip(answers.tolist(), classes.tolist(), strict=True):
        total += math.log(sum(math.exp(x) for x in row)) - row[c]
    return total / len(classes)


# Codes -------------------------------------------------------------------------------------------


@each_by_class
def test_the_code_is_one_hot_of_the_labels(kind):
    labels = torch.tensor([3, 0, 2, 2])
    code = kind(ImageSpec(1, 8, 4)).code(labels, stream("cpu", 0))
    wanted = [[0, 0, 0, 1], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0]]
    assert code.tolist() == wanted
    assert code.dtype == torch.float32


@pytest.mark.parametrize("kind", [Conditioning, SemiSupervised])
def test_without_a_condition_the_code_is_empty(kind):
    conditioning = kind(SPEC)
    code = conditioning.code(torch.tensor([3, 0, 2]), stream("cpu", 0))
    assert (code.shape, code.dtype) == ((3, 0), torch.float32)
    assert conditioning.code_dim == 0
    assert conditioning.sheets(torch.randn(2, NOISE)) == {}


@pytest.mark.parametrize(("categories", "continuous"), [(10, 2), (4, 0), (0, 3)])
def test_infogans_codes_are_categories_then_continuous_ones(categories, continuous):
    conditioning = InfoGAN(ImageSpec(1, 8), categories, continuous)
    code = conditioning.code(torch.zeros(5, dtype=torch.long), stream("cpu", 0))
    assert code.shape == (5, categories + continuous) == (5, conditioning.code_dim)
    chosen, drawn = code[:, :categories], code[:, categories:]
    if categories:
        assert chosen.sum(dim=1).tolist() == [1] * 5
        assert set(chosen.flatten().tolist()) == {0, 1}
    if continuous:
        assert -1 <= drawn.min() < drawn.max() <= 1
        assert drawn.unique().numel() == drawn.numel()


def test_infogans_codes_are_uniform_and_independent():
    n = 20_000
    code = InfoGAN(ImageSpec(1, 8)).code(torch.zeros(n, dtype=torch.long), stream("cpu", 1))
    counts = code[:, :10].sum(dim=0)
    chi_squared = ((counts - n / 10).square() / (n / 10)).sum()
    assert chi_squared < 27.9  # 0.999 of chi^2 with 9 degrees of freedom
    for column in code[:, 10:].unbind(dim=1):
        sorted_ = column.sort().values
        grid = (torch.arange(n) + 0.5) / n * 2 - 1
        assert (sorted_ - grid).abs().max() < 2 * 1.95 / n**0.5  # Kolmogorov-Smirnov at 0.001
    assert torch.corrcoef(code.T).fill_diagonal_(0)[10:].abs().max() < 4 / n**0.5


def test_infogans_codes_are_a_function_of_the_stream_and_not_of_the_labels():
    conditioning = InfoGAN(SPEC)
    zeros, labels = torch.zeros(6, dtype=torch.long), torch.arange(6)
    code = conditioning.code(zeros, stream("cpu", 0, 1))
    torch.manual_seed(99)
    assert torch.equal(code, conditioning.code(labels, stream("cpu", 0, 1)))
    assert not torch.equal(code, conditioning.code(zeros, stream("cpu", 0, 2)))


@pytest.mark.parametrize("kind", [*BY_CLASS, SemiSupervised])
def test_data_without_classes_is_refused_where_labels_are_needed(kind):
    sentence = f"{kind.__name__} needs labeled images; these have no classes"
    with pytest.raises(ValueError) as caught:
        kind(ImageSpec(1, 8))
    assert str(caught.value) == sentence


@pytest.mark.parametrize("kind", [Conditioning, InfoGAN])
def test_data_without_classes_is_fine_where_labels_are_not_looked_at(kind):
    assert kind(ImageSpec(3, 8)).shown == ImageSpec(3, 8)


@pytest.mark.parametrize(
    ("kind", "options", "sentence"),
    [
        (ACGAN, {"weight": -1}, "weight must be at least 0, got -1"),
        (InfoGAN, {"weight": -1}, "weight must be at least 0, got -1"),
        (InfoGAN, {"continuous_weight": -1}, "continuous_weight must be at least 0, got -1"),
        (InfoGAN, {"categories": -1}, "categories must be at least 0, got -1"),
        (InfoGAN, {"hidden": -1}, "hidden must be at least 0, got -1"),
        (
            InfoGAN,
            {"categories": 0, "continuous": 0},
            "categories + continuous must be at least 1, got 0",
        ),
        (SemiSupervised, {"weight": -1}, "weight must be at least 0, got -1"),
        (SemiSupervised, {"labels_per_class": 0}, "labels_per_class must be at least 1, got 0"),
    ],
)
def test_options_out_of_range_are_refused(kind, options, sentence):
    with pytest.raises(ValueError) as caught:
        kind(SPEC, **options)
    assert str(caught.value) == sentence


# Concat ------------------------------------------------------------------------------------------


class Shown(nn.Module):
    """A discriminator that keeps what it is shown."""

    def forward(self, x):
        self.x = x
        return x.sum(dim=(1, 2, 3))


def test_concat_shows_d_one_constant_plane_for_each_class():
    conditioning, d = Concat(ImageSpec(3, 4, 5)), Shown()
    assert conditioning.shown == ImageSpec(8, 4, 5)
    images, labels = torch.randn(4, 3, 4, 4), torch.tensor([0, 4, 2, 2])
    seen = conditioning.discriminate(d, images, conditioning.code(labels, stream("cpu", 0)))
    assert d.x.shape == (4, 8, 4, 4)
    assert torch.equal(d.x[:, :3], images)
    for row, label in zip(d.x, labels, strict=True):
        for c, plane in enumerate(row[3:]):
            assert (plane == float(c == label)).all()
    assert torch.equal(seen.logits, d.x.sum(dim=(1, 2, 3)))


@pytest.mark.parametrize("kind", [Concat, Projection])
def test_another_label_is_another_logit(kind):
    gan = told(kind, norm="none")
    images, labels = torch.randn(4, *SPEC.shape), torch.tensor([1, 2, 3, 4])
    one, other = one_hot(labels, 10), one_hot(labels.roll(1), 10)
    apart = (gan.discriminate(images, one).logits - gan.discriminate(images, other).logits).abs()
    assert (apart > 1e-6).all()
    plain = told(ACGAN, norm="none")  # asks for the class: its logit must not know it
    assert torch.equal(
        plain.discriminate(images, one).logits, plain.discriminate(images, other).logits
    )


@each_by_class
def test_the_code_rides_after_the_noise(kind):
    gan = told(kind)
    z = gan.fixed_latents(4, labels=torch.tensor([5, 0, 9, 5]))
    assert z.shape == (4, NOISE + 10)
    assert gan.code_in(z).argmax(dim=1).tolist() == [5, 0, 9, 5]
    assert torch.equal(gan.code_in(z), one_hot(torch.tensor([5, 0, 9, 5]), 10).float())
    noise = told(Conditioning).fixed_latents(4)
    assert torch.equal(z[:, :NOISE], noise), "the noise must not depend on the conditioning"


# Projection --------------------------------------------------------------------------------------


@closed_form
def test_projections_logit_is_the_heads_and_the_classs_row_times_the_features():
    gan = linear_gan(Projection)
    images, labels = torch.randn(4, 6, 1, 1), torch.tensor([2, 0, 1, 1])
    got = gan.discriminate(images, one_hot(labels, 3)).logits
    (w,), b = gan.discriminator.head.weight, gan.discriminator.head.bias
    v = gan.conditioning.embed.weight.T  # row y is the embedding of class y
    by_hand = [w @ x + b[0] + v[y] @ x for x, y in zip(images.flatten(1), labels, strict=True)]
    torch.testing.assert_close(got, torch.stack(by_hand), rtol=1e-13, atol=1e-13)
    wrong = [w @ x + b[0] + v[0] @ x for x in images.flatten(1)]
    assert (got - torch.stack(wrong)).abs().max() > 1e-3


def test_the_gradient_reaches_the_embeddings_of_the_classes_that_are_there():
    gan = told(Projection, norm="none")
    labels = torch.tensor([2, 7, 2, 2])
    gan.discriminate(torch.randn(4, *SPEC.shape), one_hot(labels, 10)).logits.sum().backward()
    norms = gan.conditioning.embed.weight.grad.norm(dim=0)
    assert norms.nonzero().flatten().tolist() == [2, 7]


def test_projection_reads_the_features_before_the_comparison_in_the_minibatch():
    conditioning = Projection(SPEC)
    d = DCGANDiscriminator(SPEC, WIDTH, "none", minibatch="discrimination")
    gan = told(conditioning, discriminator=d)
    assert conditioning.embed.weight.shape == (d.feature_dim, 10)
    assert gan.discriminate(torch.randn(4, *SPEC.shape), torch.eye(10)[:4]).logits.shape == (4,)


HEADED = [Projection, ACGAN, InfoGAN, SemiSupervised]


def is_spectral(conditioning) -> bool:
    return any(isinstance(module, _SpectralNorm) for module in conditioning.modules())


@pytest.mark.parametrize("kind", HEADED)
@pytest.mark.parametrize("norm", ["spectral", "batch", "layer", "none"])
def test_the_added_head_has_spectral_norm_if_and_only_if_ds_own_has(norm, kind):
    assert is_spectral(told(kind, norm).conditioning) == (norm == "spectral")


@pytest.mark.parametrize("kind", HEADED)
def test_another_parametrization_of_ds_head_is_not_taken_for_spectral_norm(kind):
    """Spectral norm elsewhere in D, or weight norm on its head, is none on the head."""
    d = DCGANDiscriminator(SPEC, WIDTH, "spectral")
    d.head = weight_norm(nn.Linear(d.feature_dim, 1))
    assert any(isinstance(module, _SpectralNorm) for module in d.modules())
    assert not is_spectral(told(kind, discriminator=d).conditioning)


def test_the_embeddings_largest_singular_value_becomes_one():
    gan = told(Projection, "spectral")
    images, code = torch.randn(4, *SPEC.shape), torch.eye(10)[:4]
    for _ in range(50):
        gan.discriminate(images, code)
    largest = torch.linalg.svdvals(gan.conditioning.embed.weight.detach())[0]
    assert largest.item() == pytest.approx(1, rel=1e-3)
    free = torch.linalg.svdvals(told(Projection, "none").conditioning.embed.weight.detach())[0]
    assert abs(free.item() - 1) > 0.05, "the check would pass without the norm"


# ACGAN -------------------------------------------------------------------------------------------


@closed_form
@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_acgans_terms_are_cross_entropies_of_real_and_generated_images(weight):
    conditioning = ACGAN(ImageSpec(1, 2, 3), weight)
    answers = torch.randn(2, 4, 3)
    classes = torch.tensor([[0, 2, 1, 1], [2, 2, 0, 1]])
    real, fake = (output(a, one_hot(c, 3)) for a, c in zip(answers, classes, strict=True))
    on_real, on_fake = (surprise(a, c) for a, c in zip(answers, classes, strict=True))
    seen = Discrimination(lambda x: x, real, fake)
    assert conditioning.d_term(seen).item() == pytest.approx(
        weight * (on_real + on_fake), rel=1e-12
    )
    assert conditioning.g_term(generation(fake)).item() == pytest.approx(
        weight * on_fake, rel=1e-12
    )
    assert abs(on_real - on_fake) > 1e-2, "real and fake could be exchanged unseen"


def test_acgan_reads_how_many_classes_are_named_rightly():
    conditioning = ACGAN(ImageSpec(1, 2, 3))
    answers = torch.eye(3)[[0, 1, 2, 0]]
    real = output(answers, one_hot(torch.tensor([0, 1, 2, 1]), 3))
    fake = output(answers, one_hot(torch.tensor([1, 1, 1, 1]), 3))
    readings = conditioning.readings(Discrimination(lambda x: x, real, fake))
    assert {name: value.item() for name, value in readings.items()} == {
        "accuracy/real": 0.75,
        "accuracy/fake": 0.25,
    }


@pytest.mark.parametrize("kind", [ACGAN, InfoGAN])
def test_a_discriminator_without_a_second_head_is_named(kind):
    fake = output(torch.zeros(2, 10), torch.zeros(2, 10), answered=False)
    with pytest.raises(ValueError, match=r"^the discriminator has no second head$"):
        kind(SPEC).g_term(generation(fake))


# InfoGAN -----------------------------------------------------------------------------------------


@closed_form
@pytest.mark.parametrize(("k", "c"), [(3, 2), (4, 0), (0, 2)])
def test_infogans_term_is_the_codes_negative_log_likelihood_by_hand(k, c):
    """Cross-entropy, and half a squared error summed over codes, both averaged over images."""
    conditioning = InfoGAN(ImageSpec(1, 2), k, c, weight=0.7, continuous_weight=0.2)
    n, wanted, forgotten = 5, 0.0, 0.0
    classes = torch.tensor([0, 2, 1, 1, 0])
    drawn = torch.rand(n, c) * 2 - 1
    code = torch.cat([one_hot(classes, k).to(drawn), drawn], dim=1) if k else drawn
    answers = torch.randn(n, k + c)
    if k:
        wanted += 0.7 * surprise(answers[:, :k], classes)
    for said, right in zip(answers[:, k:].tolist(), drawn.tolist(), strict=True):
        squares = [(a - b) ** 2 for a, b in zip(said, right, strict=True)]
        wanted += 0.2 * 0.5 * sum(squares) / n
        forgotten += 0.2 * 0.5 * sum(squares) / n * (1 - 1 / max(c, 1))  # a mean over codes
    fake = output(answers, code)
    assert conditioning.g_term(generation(fake)).item() == pytest.approx(wanted, rel=1e-12)
    if c > 1:
        assert forgotten > 1e-2, "a mean over codes would pass, too"
    elsewhere = output(torch.randn(n, k + c), torch.randn(n, k + c))
    assert conditioning.d_term(
        Discrimination(lambda x: x, elsewhere, fake)
    ).item() == pytest.approx(wanted, rel=1e-12)


def couplings(gan: GAN) -> set[str]:
    """Which of D's two heads has a say in what only the other should answer."""
    images, code = torch.randn(4, *SPEC.shape), gan.code_in(gan.fixed_latents(4))
    seen = gan.discriminate(images, code)
    pairs = {
        "realness from Q": (seen.logits, gan.conditioning.head),
        "codes from realness": (seen.answers, gan.discriminator.head),
    }
    found = set()
    for name, (answer, head) in pairs.items():
        slopes = torch.autograd.grad(
            answer.sum(), list(head.parameters()), retain_graph=True, allow_unused=True
        )
        if any(slope is not None and slope.any() for slope in slopes):
            found.add(name)
    return found


class SharedColumn(InfoGAN):
    """The mistake of a widespread implementation: one output is realness and a code at once."""

    def discriminate(self, discriminator, images, code):
        seen = super().discriminate(discriminator, images, code)
        return replace(seen, logits=seen.answers[:, self.categories])


def test_realness_and_codes_do_not_share_weights_of_their_heads():
    assert couplings(told(InfoGAN)) == set()
    assert couplings(told(ACGAN)) == set()
    assert couplings(told(SharedColumn)) == {"realness from Q"}


def test_each_answer_comes_from_its_own_row_and_the_first_ones_are_the_categories():
    """The term vanishes for a Q whose bias alone is right; in any other order it does not."""
    gan = told(InfoGAN(SPEC, 3, 2))
    head = gan.conditioning.head
    assert head.out_features == 5
    code = torch.tensor([[0.0, 1, 0, 0.25, -0.5]]).repeat(4, 1)

    def missing(bias):
        with torch.no_grad():
            head.weight.zero_()
            head.bias.copy_(torch.tensor(bias))
        fake = gan.discriminate(torch.randn(4, *SPEC.shape), code)
        return gan.conditioning.g_term(generation(fake)).item()

    assert missing([0.0, 50, 0, 0.25, -0.5]) == pytest.approx(0, abs=1e-6)
    assert missing([0.25, -0.5, 0.0, 50, 0]) > 1
    assert missing([0.0, 50, 0, -0.5, 0.25]) == pytest.approx(0.5625)


def test_q_has_the_papers_hidden_layer_if_asked():
    """FC128, BatchNorm, LeakyReLU 0.1, FC (Chen et al. 2016, appendix C.1); linear by default."""
    gan = told(InfoGAN(SPEC, 3, 2, hidden=128))
    kinds = [nn.Linear, nn.BatchNorm1d, nn.LeakyReLU, nn.Linear]
    assert [type(layer) for layer in gan.conditioning.head] == kinds
    first, norm, leaky, last = gan.conditioning.head
    assert (first.out_features, leaky.negative_slope, last.out_features) == (128, 0.1, 5)
    seen = gan.discriminate(torch.randn(4, *SPEC.shape), torch.zeros(4, 5))
    x = seen.features @ first.weight.T
    x = (x - x.mean(dim=0)) / (x.var(dim=0, correction=0) + norm.eps).sqrt()
    want = torch.where(x > 0, x, 0.1 * x) @ last.weight.T + last.bias
    torch.testing.assert_close(seen.answers, want, rtol=1e-4, atol=1e-5)
    assert couplings(gan) == set()
    assert isinstance(told(InfoGAN(SPEC, 3, 2)).conditioning.head, nn.Linear)
    assert is_spectral(told(InfoGAN(SPEC, hidden=8), "spectral").conditioning)


def test_a_q_with_batchnorm_trains():
    """With D's weights, though D itself has no BatchNorm; both kinds of images pass D apart."""
    gan = told(InfoGAN(SPEC, hidden=8), "none")
    before = copy.deepcopy(gan.conditioning.head.state_dict())
    train(gan)
    after = gan.conditioning.head.state_dict()
    assert all(not torch.equal(before[name], after[name]) for name in before)


# Semi-supervised ---------------------------------------------------------------------------------


def k_plus_1(answers):
    """The explicit softmax over K classes and "generated", whose logit is 0."""
    return torch.cat([answers, torch.zeros(len(answers), 1)], dim=1).softmax(dim=1)


@closed_form
@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_the_semisupervised_logit_is_that_of_k_plus_1_classes(scale):
    """D(x) = Z / (Z + 1) = 1 - p(K + 1 | x) (Salimans et al. 2016, section 5)."""
    gan = linear_gan(SemiSupervised)
    seen = gan.discriminate(scale * torch.randn(8, 6, 1, 1), torch.zeros(8, 0))
    head = gan.conditioning.head
    answers = seen.features @ head.weight.T + head.bias
    assert torch.equal(seen.answers, answers)
    torch.testing.assert_close(seen.logits, answers.exp().sum(dim=1).log(), rtol=1e-12, atol=1e-12)
    z = answers.exp().sum(dim=1)
    d = gan.loss.score(seen.logits)
    torch.testing.assert_close(d, z / (z + 1), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(d, 1 - k_plus_1(answers)[:, -1], rtol=1e-12, atol=1e-12)
    for wrong in (answers.max(dim=1).values, answers.sum(dim=1)):
        assert (wrong.sigmoid() - d).abs().max() > 1e-3


@closed_form
def test_the_nonsaturating_loss_on_these_logits_is_the_papers_unsupervised_loss():
    """-E[log(1 - p(K + 1 | x))] - E[log p(K + 1 | G(z))], from the explicit softmax."""
    real, fake = torch.randn(2, 6, 4)
    got = NonSaturating().d_loss(real.logsumexp(dim=1), fake.logsumexp(dim=1))
    paper = -(1 - k_plus_1(real)[:, -1]).log().mean() - k_plus_1(fake)[:, -1].log().mean()
    assert got.item() == pytest.approx(paper.item(), rel=1e-12)
    swapped = -(1 - k_plus_1(fake)[:, -1]).log().mean() - k_plus_1(real)[:, -1].log().mean()
    assert abs(got - swapped) > 1e-3


@closed_form
def test_the_supervised_loss_looks_at_labeled_images_alone():
    conditioning = SemiSupervised(ImageSpec(1, 2, 3), weight=0.4)
    answers, classes = torch.randn(4, 3), torch.tensor([0, 2, 1, 1])
    others = (output(torch.randn(4, 3), torch.zeros(4, 0)) for _ in range(2))
    seen = Discrimination(lambda x: x, *others, output(answers, one_hot(classes, 3)))
    wanted = 0.4 * surprise(answers, classes)
    assert conditioning.d_term(seen).item() == pytest.approx(wanted, rel=1e-12)
    assert conditioning.g_term(generation(seen.fake)) is None
    named = (answers.argmax(dim=1) == classes).double().mean().item()
    assert conditioning.readings(seen)["accuracy/labeled"].item() == pytest.approx(named)


def test_semisupervised_learning_without_labeled_images_says_so():
    gan = told(SemiSupervised)
    real = Batch(torch.randn(4, *SPEC.shape), torch.zeros(4, dtype=torch.long))
    with pytest.raises(
        ValueError, match=r"^semi-supervised learning needs labeled images, got None$"
    ):
        gan.d_loss(real, torch.randn(4, *SPEC.shape), torch.zeros(4, 0))


# In the GAN --------------------------------------------------------------------------------------


def labeled_batch(n: int = 4) -> Batch:
    """Random images with labels, and as many labeled ones with others."""
    generator = stream("cpu", 5)
    images = torch.randn(2, n, *SPEC.shape, generator=generator)
    labels = torch.randint(10, (2, n), generator=generator)
    return Batch(images[0], labels[0], Batch(images[1], labels[1]))


@each_kind
def test_ds_and_gs_losses_are_the_games_and_the_conditionings_terms(kind):
    gan = told(kind, norm="none")
    batch, code = labeled_batch(), gan.code_in(gan.fixed_latents(4))
    fake = torch.randn(4, *SPEC.shape, generator=stream("cpu", 6))
    real, judged = gan.discriminate(batch.images, code), gan.discriminate(fake, code)
    seen = Discrimination(lambda x: x, real, judged, gan._discriminate_labeled(batch.labeled))
    d = gan.loss.d_loss(real.logits, judged.logits)
    g = gan.loss.g_loss(judged.logits)
    terms = [gan.conditioning.d_term(seen), gan.conditioning.g_term(generation(judged))]
    has_terms = {ACGAN: (True, True), InfoGAN: (True, True), SemiSupervised: (True, False)}
    assert tuple(term is not None for term in terms) == has_terms.get(kind, (False, False))
    for plain, term, got in zip(
        (d, g),
        terms,
        (gan.d_loss(batch, fake, code), gan.g_loss(fake, batch, latents_of(gan, code))),
        strict=True,
    ):
        wanted = plain if term is None else plain + term
        torch.testing.assert_close(got, wanted, rtol=1e-6, atol=1e-6)
        assert term is None or abs(term) > 1e-3, "the term could be left out unseen"


class WatchHeads(Watch):
    """Looks at the heads that conditioning adds, too."""

    def players(self, gan):
        return [*super().players(gan), ("heads", gan.conditioning)]


def leaks(gan: GAN, watch: Watch) -> list[tuple[str, str]]:
    """Who changed, or stayed, against the rules; heads without parameters always stay."""
    has_heads = any(True for _ in gan.conditioning.parameters())
    own = {
        "d_step": {"discriminator", *(["heads"] if has_heads else [])},
        "g_step": {"generator"},
    }
    return [
        (step, player)
        for step, player, *changed in watch.changed
        if changed != [player in own[step]] * 2
    ]


@each_kind
@pytest.mark.parametrize("norm", ["batch", "spectral"])
def test_heads_are_trained_in_ds_update_and_nobody_else_is_touched(norm, kind):
    """Parameters, gradients and buffers of the other player stay, the heads among D's."""
    gan, watch = told(kind, norm, iterations=2, d_steps=2), WatchHeads()
    train(gan, callbacks=[watch])
    assert len(watch.changed) == 2 * 3 * 3
    assert leaks(gan, watch) == []


def test_the_check_sees_heads_that_gs_update_touches():
    """The usual mistake: G's update freezes D's network and forgets the head beside it."""

    class Forgetful(GAN):
        def g_step(self, minibatch):
            self._d_frozen = frozen(self.discriminator)
            super().g_step(minibatch)

    gan, watch = told(InfoGAN, iterations=1), WatchHeads()
    gan.__class__ = Forgetful
    train(gan, callbacks=[watch])
    assert leaks(gan, watch) == [("g_step", "heads")]


def test_the_check_sees_heads_that_nobody_trains():
    gan, watch = told(InfoGAN, iterations=1), WatchHeads()
    gan._d_frozen  # noqa: B018 - both networks, as usual
    gan.players["d"] = Player((gan.discriminator,), gan.players["d"].rule)
    train(gan, callbacks=[watch])
    assert leaks(gan, watch) == [("d_step", "heads")]


@pytest.mark.parametrize("kind", HEADED)
def test_ds_optimizer_has_the_heads_and_gs_has_not(kind):
    gan = told(kind, iterations=1)
    train(gan)
    g, d = (
        {id(p) for group in optimizer.param_groups for p in group["params"]}
        for optimizer in gan.optimizers(use_pl_optimizer=False)
    )
    heads = {id(p) for p in gan.conditioning.parameters()}
    assert heads
    assert heads <= d
    assert not heads & g
    assert d == heads | {id(p) for p in gan.discriminator.parameters()}


class Steps(Callback):
    """Notes what each update's loss is given, and G's latents, in order."""

    def __init__(self):
        self.given = []

    def on_train_start(self, trainer, gan):
        d_loss, g_loss = gan.d_loss, gan.g_loss
        latents = []
        gan.generator.register_forward_pre_hook(lambda _, args: latents.append(args[0].detach()))

        def noted(player, real, code):
            self.given.append((player, real, code.detach(), gan.code_in(latents[-1])))

        def d(real, fake, code):
            noted("d", real, code)
            return d_loss(real, fake, code)

        def g(fake, real, z, computed):
            noted("g", real, gan.code_in(z))
            return g_loss(fake, real, z, computed)

        gan.d_loss, gan.g_loss = d, g


@each_by_class
@pytest.mark.parametrize("parts", [1, 3])
def test_generated_images_have_the_labels_of_the_real_ones_in_both_updates(parts, kind):
    """G is told, and D asked, about the labels of this very minibatch, or part of one."""
    steps = Steps()
    rules = {f"{player}_rule": UpdateRule(adam(), accumulate=parts) for player in "gd"}
    train(told(kind, iterations=2, d_steps=2, **rules), callbacks=[steps])
    assert [player for player, *_ in steps.given] == (["d"] * 2 * parts + ["g"] * parts) * 2
    for _, real, asked, given in steps.given:
        wanted = one_hot(real.labels, 10).float()
        assert torch.equal(asked, wanted)
        assert torch.equal(given, wanted)
    all_labels = [tuple(real.labels.tolist()) for _, real, *_ in steps.given]
    assert len(set(all_labels)) > 1, "any labels would do"


@pytest.mark.parametrize("parts", [2, 3])
def test_parts_of_a_minibatch_carry_labels_and_labeled_images(parts):
    steps = Steps()
    rule = UpdateRule(adam(), accumulate=parts)
    train(told(SemiSupervised, iterations=1, d_rule=rule, g_rule=rule), callbacks=[steps])
    truth = Digits().read()
    shown = {image.numpy().tobytes(): int(c) for image, c in zip(*truth, strict=True)}
    ds = [real for player, real, *_ in steps.given if player == "d"]
    assert len(ds) == parts
    assert sum(real.size for real in ds) == sum(real.labeled.size for real in ds) == 8
    for real in ds:
        for batch in (real, real.labeled):
            pixels = ((batch.images + 1) * 127.5).round().to(torch.uint8)
            known = [shown[image.numpy().tobytes()] for image in pixels]
            assert known == batch.labels.tolist()


@pytest.mark.parametrize("n", [2, 3, 8])
def test_chunks_put_together_again_are_the_minibatch(n):
    batch = labeled_batch(8)
    parts = batch.chunk(n)
    assert len(parts) == n
    for pick in (lambda b: b, lambda b: b.labeled):
        for field in ("images", "labels"):
            whole = torch.cat([getattr(pick(part), field) for part in parts])
            assert torch.equal(whole, getattr(pick(batch), field))


@each_kind
def test_accumulation_gives_the_whole_minibatchs_gradient(kind):
    """Without BatchNorm a minibatch in uneven parts makes the same update as in one."""
    noise = torch.randn(16, NOISE, generator=stream("cpu", 1))
    drawn = InfoGAN(SPEC).code(torch.zeros(16), stream("cpu", 2))

    def trained(parts, wrong=None):
        rule = UpdateRule(lambda p: torch.optim.SGD(p, lr=0.1), accumulate=parts)
        gan, at = told(kind, "none", iterations=1, d_rule=rule, g_rule=rule), [0]

        def latents(labels):  # parts draw one after another: give both runs the same rows
            rows = slice(at[0], at[0] + len(labels))
            at[0] += len(labels)
            labels = labels if wrong is None else wrong(labels)
            code = drawn[rows] if kind is InfoGAN else gan.conditioning.code(labels, None)
            return torch.cat([noise[rows], code], dim=1)

        gan.latents = latents
        train(gan)
        return weights(gan)

    one, several = trained(1), trained(3)
    for name in one:
        torch.testing.assert_close(one[name], several[name], rtol=1e-4, atol=1e-6)
    if kind in BY_CLASS:
        mixed_up = trained(3, wrong=lambda labels: labels.roll(1))
        apart = [(one[name] - mixed_up[name]).abs().max() for name in one]
        assert max(apart) > 1e-4, "labels of other images would pass"


@closed_form
@pytest.mark.parametrize("regularizer", [R1(gamma=3.0), GradientPenalty(weight=3.0)])
def test_penalties_see_the_critic_of_each_rows_own_class(regularizer):
    """D(x, y) = (w + V[y])'x: the gradient at row i is w + V[y_i], wherever x is."""
    gan = linear_gan(Projection, loss=Wasserstein(), regularizers={"it": regularizer})
    labels = torch.tensor([2, 0, 1, 1])
    real = Batch(torch.randn(4, 6, 1, 1), labels)
    fake, code = torch.randn(4, 6, 1, 1), one_hot(labels, 3)
    without = linear_gan(Projection, loss=Wasserstein())
    without.load_state_dict(gan.state_dict())
    penalty = (gan.d_loss(real, fake, code) - without.d_loss(real, fake, code)).item()
    w, v = gan.discriminator.head.weight[0], gan.conditioning.embed.weight.T

    def by_hand(classes):
        norms = [(w + v[c]).norm().item() for c in classes]
        if isinstance(regularizer, R1):
            return 1.5 * sum(norm**2 for norm in norms) / 4
        return 3 * sum((norm - 1) ** 2 for norm in norms) / 4

    assert penalty == pytest.approx(by_hand(labels.tolist()), rel=1e-9)
    assert abs(penalty - by_hand([0, 0, 0, 0])) > 1e-3
    assert abs(penalty - by_hand([0, 1, 2, 0])) > 1e-3


@pytest.mark.parametrize("kind", [Concat, Projection])
def test_the_critic_asks_about_each_image_under_its_own_rows_code(kind):
    """On the minibatch's images the critic says what D said; in another order it does not."""
    seen = []

    class Keep(Regularizer):
        def d_term(self, update):
            seen.append(update)

    gan = told(kind, "none", regularizers={"it": Keep()})
    real, fake = labeled_batch(), torch.randn(4, *SPEC.shape)
    gan.d_loss(real, fake, gan.conditioning.code(real.labels, None))
    (update,) = seen
    for side in (update.real, update.fake):
        assert torch.equal(update.critic(side.images), side.logits)
        assert not torch.equal(update.critic(side.images.flip(0)).flip(0), side.logits)


def test_augmentation_comes_before_the_planes_of_the_class():
    """D sees noisy pixels under clean planes, and the output keeps the images as they were."""
    d = Shown()
    gan = told(Concat, discriminator=d, augment=InstanceNoise(sigma=0.5))
    images = torch.zeros(4, *SPEC.shape)
    seen = gan.discriminate(images, torch.eye(10)[:4])
    assert torch.equal(seen.images, images)
    assert d.x[:, :1].std().item() == pytest.approx(0.5, rel=0.2)
    assert set(d.x[:, 1:].unique().tolist()) == {0, 1}


def test_a_discriminator_from_elsewhere_can_be_shown_planes():
    gan = told(Concat, discriminator=Shown())
    seen = gan.discriminate(torch.randn(4, *SPEC.shape), torch.eye(10)[:4])
    assert seen.features is None
    assert seen.logits.shape == (4,)


# Pictures and samples ----------------------------------------------------------------------------


@each_by_class
def test_the_sheet_of_classes_has_a_row_of_each_noise_and_a_column_of_each_class(kind):
    noise = torch.randn(3, NOISE)
    (name, latents), *others = kind(SPEC).sheets(noise).items()
    assert (name, others) == ("classes", [])
    assert latents.shape == (3 * 10, NOISE + 10)
    rows = latents.view(3, 10, -1)
    for row, z in zip(rows, noise, strict=True):
        assert torch.equal(row[:, :NOISE], z.expand(10, -1))
        assert torch.equal(row[:, NOISE:], torch.eye(10))


def test_infogans_sheets_change_one_code_each():
    noise = torch.randn(12, NOISE)  # more rows than categories
    sheets = InfoGAN(SPEC, 10, 2).sheets(noise)
    assert list(sheets) == ["categories", "code-1", "code-2"]
    walk = torch.linspace(-1, 1, 10)
    for name, latents in sheets.items():
        assert latents.shape == (12 * 10, NOISE + 12)
        for r, row in enumerate(latents.view(12, 10, -1)):
            assert torch.equal(row[:, :NOISE], noise[r].expand(10, -1))
            category, first, second = row[:, NOISE:-2], row[:, -2], row[:, -1]
            own = one_hot(torch.tensor(r % 10), 10).float().expand(10, -1)
            assert torch.equal(category, torch.eye(10) if name == "categories" else own)
            assert torch.equal(first, walk if name == "code-1" else torch.zeros(10))
            assert torch.equal(second, walk if name == "code-2" else torch.zeros(10))


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ((4, 0), ["categories"]),
        ((0, 3), ["code-1", "code-2", "code-3"]),
    ],
)
def test_infogan_has_sheets_of_the_codes_that_it_has(options, names):
    conditioning = InfoGAN(SPEC, *options)
    sheets = conditioning.sheets(torch.randn(2, NOISE))
    assert list(sheets) == names
    for name, latents in sheets.items():
        columns = 4 if name == "categories" else 10
        assert latents.shape == (2 * columns, NOISE + conditioning.code_dim)
    if not options[0]:
        code = sheets["code-2"][:, NOISE:]
        assert torch.equal(code[:10, 1], torch.linspace(-1, 1, 10))
        assert not code[:, [0, 2]].any()


@each_kind
def test_every_sheet_can_be_drawn(kind):
    gan = told(kind)
    for latents in gan.conditioning.sheets(torch.randn(2, NOISE)).values():
        assert gan.generate(latents).shape == (20, *SPEC.shape)


@each_by_class
def test_samples_honour_the_labels(kind):
    gan = told(kind)
    labels = torch.tensor([7, 7, 0, 3])
    z = gan.fixed_latents(4, seed=1, labels=labels)
    assert gan.code_in(z).argmax(dim=1).tolist() == labels.tolist()
    assert torch.equal(gan.sample(4, seed=1, labels=labels), gan.generate(z))
    others = gan.sample(4, seed=1, labels=torch.tensor([7, 2, 0, 3]))
    apart = (gan.sample(4, seed=1, labels=labels) - others).abs().amax(dim=(1, 2, 3))
    assert (apart > 0).tolist() == [False, True, False, False]


@each_by_class
def test_samples_without_labels_go_through_the_classes(kind):
    gan = told(kind)
    classes = gan.code_in(gan.fixed_latents(23)).argmax(dim=1)
    assert classes.tolist() == [i % 10 for i in range(23)]
    assert torch.equal(gan.sample(23), gan.sample(23, labels=torch.arange(23) % 10))


@each_kind
def test_fixed_latents_are_a_function_of_the_seed(kind):
    gan = told(kind, iterations=1)
    z = gan.fixed_latents(5, seed=1)
    train(gan)
    torch.manual_seed(99)
    assert torch.equal(z, gan.fixed_latents(5, seed=1))
    other = gan.fixed_latents(5, seed=2)
    assert not (z[:, :NOISE] == other[:, :NOISE]).any()
    assert torch.equal(gan.code_in(z), gan.code_in(other)) == (kind is not InfoGAN)
    assert z.shape == (5, NOISE + gan.conditioning.code_dim)


@each_kind
def test_sampling_and_drawing_sheets_do_not_disturb_training(kind):
    class Draw(Callback):
        def on_train_batch_end(self, trainer, gan, *_):
            gan.sample(4)
            for latents in gan.conditioning.sheets(torch.zeros(1, NOISE)).values():
                gan.generate(latents)

    train(plain := told(kind, iterations=2))
    train(drawn := told(kind, iterations=2), callbacks=[Draw()])
    assert same(weights(plain), weights(drawn))


# Whole runs --------------------------------------------------------------------------------------


@each_kind
@pytest.mark.parametrize("parts", [1, 2])
def test_resume_is_exact(tmp_path, parts, kind):
    """4 iterations at once equal 2, a checkpoint, a new process' worth of objects, and 2 more."""

    def made():
        rule = UpdateRule(adam(), accumulate=parts)
        return told(kind, "spectral", iterations=4, d_rule=rule, g_rule=rule)

    train(whole := made())
    train(half := made(), max_steps=2).save_checkpoint(tmp_path / "half.ckpt")
    rest = made()
    for parameter in rest.conditioning.parameters():  # heads must come from the checkpoint
        nn.init.ones_(parameter.data)
    torch.manual_seed(12345)  # nothing may depend on the global random state
    train(rest, ckpt_path=tmp_path / "half.ckpt")
    assert same(weights(whole), weights(rest))
    assert not same(weights(whole), weights(half)), "the check would pass on anything"


@pytest.mark.parametrize("precision", ["bf16-mixed", "64-true"])
@each_kind
def test_other_precisions_train(kind, precision):
    gan = told(kind, iterations=1)
    train(gan, precision=precision)
    assert all(torch.isfinite(t).all() for t in gan.state_dict().values())


def test_the_papers_semisupervised_method_trains_its_classifier():
    """Feature matching alone for G; after 40 iterations D knows its own labeled images."""
    gan = told(
        SemiSupervised,
        "none",
        iterations=40,
        regularizers={"matching": FeatureMatching()},
        d_rule=UpdateRule(adam(2e-3)),
    )
    train(gan, batch_size=32)
    data = ImageData(Digits(), 32, 1, 40, labels=LabelBudget(5))
    data.setup()
    images, labels = (tensor[data.labeled] for tensor in data.images)
    with torch.no_grad():
        seen = gan.discriminate(images / 127.5 - 1, torch.zeros(len(labels), 0))
    right = (seen.answers.argmax(dim=1) == labels).float().mean()
    assert right > 0.6  # 0.1 by chance


@pytest.mark.parametrize("kind", [Concat, InfoGAN, Conditioning])
def test_two_ranks_draw_what_one_would(kind):
    """Each rank has its own labels; noise and codes together are those of one rank with all."""
    labels = torch.tensor([3, 1, 4, 1, 5, 9])

    def drawn(labels, rank, ranks):
        gan = told(kind)
        gan.trainer = SimpleNamespace(world_size=ranks, global_rank=rank)
        gan.noise = stream("cpu", 0)
        return gan.latents(labels)

    whole = drawn(labels, 0, 1)
    halves = [drawn(labels[3 * rank :][:3], rank, 2) for rank in (0, 1)]
    assert torch.equal(torch.cat(halves), whole)
    alone = [drawn(labels[3 * rank :][:3], 0, 1) for rank in (0, 1)]
    assert not torch.equal(torch.cat(alone), whole), "ranks that draw the same would pass"


def test_an_update_moves_the_embeddings_of_the_minibatchs_classes_alone():
    gan = told(Projection, "none", iterations=1, loss=Hinge())
    before = gan.conditioning.embed.weight.clone()
    steps = Steps()
    train(gan, callbacks=[steps], batch_size=4)
    present = {c for _, real, *_ in steps.given for c in real.labels.tolist()}
    moved = (gan.conditioning.embed.weight - before).abs().amax(dim=0)
    assert set(moved.nonzero().flatten().tolist()) == present
    assert 0 < len(present) < 10
