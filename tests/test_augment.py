"""Augmentation: what may come of an image, gradients through it, and who sees what in training."""

import itertools
import math

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn

from conftest import ROOT, fit, same, small_gan, weights
from ganlab.augment import Augment, DiffAugment, InstanceNoise, shift_and_flip
from ganlab.losses import BEGAN, EBGAN, Hinge, Minimax, NonSaturating, Relativistic
from ganlab.networks import DCGANDiscriminator
from ganlab.networks.contract import Discriminator
from ganlab.regularizers import R1, R2, Consistency, FeatureMatching, GradientPenalty, PullAway
from ganlab.schedules import Clock
from ganlab.training.batch import Batch
from ganlab.training.terms import Discrimination, Output
from test_gan import Watch

COLOR, TRANSLATION, CUTOUT = (DiffAugment((name,)) for name in ("color", "translation", "cutout"))
ALL = DiffAugment()


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def pictures(n, channels=3, size=16):
    """Float64 images without a 0 in them, of unlike brightness and contrast."""
    images = torch.rand(n, channels, size, size, dtype=torch.float64) + 0.01
    return images * torch.rand(n, 1, 1, 1).double() + torch.rand(n, 1, 1, 1).double()


def uniform(draws, low, high):
    """Whether draws have the mean and variance of U(low, high), within 4 standard errors."""
    unit = (draws.double() - low) / (high - low)
    n = unit.numel()
    near = lambda got, want, variance: abs(got - want) < 4 * (variance / n) ** 0.5
    return bool(near(unit.mean(), 1 / 2, 1 / 12) and near(unit.var(), 1 / 12, 1 / 180))


def test_no_augmentation_gives_the_very_images():
    images = pictures(2)
    assert Augment()(images) is images
    assert DiffAugment(())(images) is images


# Color -------------------------------------------------------------------------------------------


def read_color(images, changed):
    """Brightness b, saturation s and contrast c of each image, and what they leave unexplained.

    x -> m + b + c (g - m) + c s (x - g), with g the mean of each pixel and m that of the image.
    """
    mean, grey = images.mean(dim=(1, 2, 3), keepdim=True), images.mean(dim=1, keepdim=True)
    grey = grey.expand_as(images)
    b = (changed.mean(dim=(1, 2, 3), keepdim=True) - mean).flatten()
    slope = lambda y, x: (y * x).sum(dim=(1, 2, 3)) / x.square().sum(dim=(1, 2, 3))
    c = slope(changed, grey - mean)
    cs = slope(changed, images - grey)
    b_, c_, cs_ = (value[:, None, None, None] for value in (b, c, cs))
    explained = mean + b_ + c_ * (grey - mean) + cs_ * (images - grey)
    return b, cs / c, c, (changed - explained).abs().max().item()


def test_color_is_three_uniform_numbers_an_image():
    """b in +-0.5, s in 0 ... 2, c in 0.5 ... 1.5; noise in each pixel is rejected."""
    images = pictures(3000, size=4)
    b, s, c, unexplained = read_color(images, COLOR(images))
    assert unexplained < 1e-12
    for draws, low, high in ((b, -0.5, 0.5), (s, 0, 2), (c, 0.5, 1.5)):
        assert low - 1e-9 <= draws.min() < draws.max() <= high + 1e-9
        assert uniform(draws, low, high)
        assert not uniform(draws, low, high + 0.2)
    for x, y in itertools.combinations((b, s, c), 2):  # drawn apart from each other
        assert abs(torch.corrcoef(torch.stack([x, y]))[0, 1]) < 4 / 3000**0.5
    assert read_color(images, images + 0.1 * torch.rand_like(images))[3] > 0.01


def test_brightness_alone_changes_an_even_image():
    """It stays even, and has moved by at most a half."""
    images = torch.full((50, 3, 4, 4), 0.25, dtype=torch.float64)
    changed = COLOR(images).flatten(1)
    assert (changed.amax(dim=1) - changed.amin(dim=1)).max() < 1e-14
    assert (changed - 0.25).abs().max() <= 0.5
    assert len(changed[:, 0].unique()) == 50


def test_grey_stays_grey_and_contrast_keeps_the_images_mean():
    """A contrast about 0, a usual mistake, moves the mean by more than brightness can."""
    grey = pictures(50, channels=1).expand(-1, 3, -1, -1) + 5
    changed = COLOR(grey)
    assert (changed - changed[:, :1]).abs().max() < 1e-13
    moved = lambda images: (images - grey).mean(dim=(1, 2, 3)).abs().max()
    assert moved(changed) <= 0.5
    assert moved(grey * 1.4) > 0.5


def test_images_of_one_channel_keep_their_only_color():
    grey = pictures(20, channels=1)
    b, _, c, _ = read_color(grey, changed := COLOR(grey))
    mean = grey.mean(dim=(1, 2, 3), keepdim=True)
    want = mean + b[:, None, None, None] + c[:, None, None, None] * (grey - mean)
    torch.testing.assert_close(changed, want, rtol=1e-12, atol=1e-12)


def test_saturation_keeps_the_mean_of_each_pixels_channels():
    """Where that is the same all over an image, it still is, for any contrast."""
    images = pictures(50)
    images = images - images.mean(dim=1, keepdim=True)
    means = COLOR(images).mean(dim=1).flatten(1)
    assert (means.amax(dim=1) - means.amin(dim=1)).max() < 1e-14
    assert means.abs().max() <= 0.5


# Translation and cutout --------------------------------------------------------------------------


def shift_by(images, down, right):
    """Each image moved down and right, 0 moving in; on numpy, by slices."""
    moved, size = np.zeros_like(images), images.shape[-1]
    part = lambda by: (slice(max(by, 0), size + min(by, 0)), slice(max(-by, 0), size + min(-by, 0)))
    (to_rows, rows), (to_columns, columns) = part(down), part(right)
    moved[..., to_rows, to_columns] = images[..., rows, columns]
    return moved


def shifts_of(images, changed, most, shift=shift_by):
    """(down, right) of each image, None where no shift explains it."""
    images, changed = images.numpy(), changed.numpy()
    places = list(itertools.product(range(-most, most + 1), repeat=2))
    shifted = {place: shift(images, *place) for place in places}
    return [
        next((p for p in places if np.array_equal(shifted[p][i], changed[i])), None)
        for i in range(len(images))
    ]


def evenly(values, choices):
    """Whether each choice comes as often as the others, within 5 standard errors."""
    n, share = len(values), 1 / len(choices)
    error = (share * (1 - share) / n) ** 0.5
    return set(values) == set(choices) and all(
        abs(values.count(choice) / n - share) < 5 * error for choice in choices
    )


@pytest.mark.parametrize(("size", "most"), [(8, 1), (16, 2), (32, 4)])
def test_translation_shifts_each_image_by_up_to_an_eighth_with_black_moving_in(size, most):
    """All channels alike, all places as often; an image rolled around its edges is rejected."""
    images = pictures(450 if size == 8 else 50, 2, size)
    found = shifts_of(images, TRANSLATION(images), most)
    assert None not in found
    assert {abs(step) for place in found for step in place} == set(range(most + 1))
    if size == 8:
        assert evenly(found, list(itertools.product((-1, 0, 1), repeat=2)))
    rolled = images.roll((1, 1), dims=(2, 3))
    assert set(shifts_of(images, rolled, most)) == {None}


def test_translation_rounds_an_eighth_as_the_authors_code_does():
    """28 / 8 = 3.5 becomes 4."""
    images = pictures(60, 1, 28)
    found = shifts_of(images, TRANSLATION(images), 4)
    assert None not in found
    assert 4 in {abs(step) for place in found for step in place}


def holes_of(images, changed):
    """The rows and columns that became 0 in each image; None where it is no rectangle of all."""
    holes = []
    for gone, kept in zip(changed == 0, changed == images, strict=True):
        rows, columns = gone[0].any(dim=1), gone[0].any(dim=0)
        square = (rows[:, None] & columns).expand_as(gone)
        fits = torch.equal(gone, square) and torch.equal(kept, ~square)
        span = lambda line: tuple(line.nonzero().flatten().tolist())
        holes.append((span(rows), span(columns)) if fits else None)
    return holes


@pytest.mark.parametrize(
    ("size", "spans"),
    [
        (4, [(0,), (0, 1), (1, 2), (2, 3), (3,)]),  # a square of 2: its start is -1 ... 3
        (5, [(0, 1), (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4)]),  # of 3, around 0 ... 4
    ],
)
def test_cutout_takes_a_square_of_half_the_size_from_anywhere(size, spans):
    """Cut off at edges, through all channels, every place as often; all else stays."""
    images = pictures(2500, 2, size)
    holes = holes_of(images, CUTOUT(images))
    assert None not in holes
    assert evenly(holes, list(itertools.product(spans, repeat=2)))


@pytest.mark.parametrize("size", [16, 28, 32])
def test_cutout_takes_at_most_half_the_size_squared(size):
    images = pictures(200, 1, size)
    gone = (CUTOUT(images) == 0).sum(dim=(1, 2, 3))
    assert 0 < gone.min() < gone.max() == (size // 2) ** 2


# All of them -------------------------------------------------------------------------------------

KINDS = [COLOR, TRANSLATION, CUTOUT, ALL]
every_kind = pytest.mark.parametrize(
    "augment", KINDS, ids=["color", "translation", "cutout", "all"]
)


def by_seed(augment, seed=1):
    """The same draws at each call."""

    def seeded(images):
        torch.manual_seed(seed)
        return augment(images)

    return seeded


@every_kind
def test_gradients_go_through(augment):
    """Against finite differences, and once more, as gradient penalties need."""
    images = pictures(2, 3, 4).requires_grad_()
    assert torch.autograd.gradcheck(by_seed(augment), images)
    assert torch.autograd.gradgradcheck(lambda x: by_seed(augment)(x).square(), images)


def test_r1_through_augmentation_is_that_of_the_whole_critic():
    """D(A x + b) = w'(A x + b): gamma / 2 |A'w|^2, with slope gamma A A' w in D's weights."""
    real, w = pictures(2, 2, 4), torch.randn(32, dtype=torch.float64, requires_grad=True)
    augment = by_seed(ALL)
    critic = lambda images: augment(images).flatten(1) @ w
    output = Output(real, real.new_zeros(2, 0), critic(real))
    penalty = R1(gamma=3.0).d_term(Discrimination(critic, output, output))
    (slope,) = torch.autograd.grad(penalty, w)
    rows = torch.autograd.functional.jacobian(augment, real)
    matrices = [rows[i, :, :, :, i].reshape(32, 32) for i in range(2)]
    v = w.detach()
    want = 1.5 * sum((a.T @ v).square().sum() for a in matrices) / 2
    assert penalty.item() == pytest.approx(want.item(), rel=1e-12)
    torch.testing.assert_close(slope, 3 * sum(a @ a.T @ v for a in matrices) / 2)
    assert abs(want - 1.5 * v.square().sum()) > 0.1 * want, "A is not the identity"


@pytest.mark.parametrize("augment", [*KINDS, InstanceNoise()], ids=lambda a: type(a).__name__)
def test_draws_are_made_anew_and_follow_torchs_seed(augment):
    """Each call, each image: GAN seeds torch in every iteration, so runs resume exactly."""
    images = pictures(1).expand(8, -1, -1, -1)
    first = by_seed(augment)(images)
    again = augment(images)
    assert not torch.equal(first, again)
    assert torch.equal(by_seed(augment)(images), first)
    assert not torch.equal(by_seed(augment, 2)(images), first)
    assert len({image.numpy().tobytes() for image in first}) > 3


@every_kind
def test_the_images_themselves_stay(augment):
    images = pictures(4)
    before = images.clone()
    augment(images)
    assert torch.equal(images, before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("augment", [*KINDS, InstanceNoise()], ids=lambda a: type(a).__name__)
def test_shape_and_precision_stay(augment, dtype):
    images = pictures(4).to(dtype)
    changed = augment(images)
    assert (changed.shape, changed.dtype) == (images.shape, dtype)


def test_policies_are_applied_in_their_order():
    """Color after cutout brightens the hole, the other order leaves it black."""
    images = pictures(50)
    for policy in itertools.permutations(("color", "cutout", "translation")):
        got = by_seed(DiffAugment(policy))(images)
        torch.manual_seed(1)
        want = images
        for name in policy:
            want = DiffAugment((name,))(want)
        assert torch.equal(got, want)
    black = lambda *policy: (DiffAugment(policy)(images) == 0).any()
    assert black("color", "cutout")
    assert not black("cutout", "color")


@pytest.mark.parametrize(
    ("policy", "sentence"),
    [
        (("flip",), "policy[0] must be one of color, translation, cutout; got 'flip'"),
        (("color", "Cutout"), "policy[1] must be one of color, translation, cutout; got 'Cutout'"),
        ("color,cutout", "policy[0] must be one of color, translation, cutout; got 'c'"),
    ],
)
def test_unknown_policies_are_refused(policy, sentence):
    with pytest.raises(ValueError) as error:
        DiffAugment(policy)
    assert str(error.value) == sentence


# Instance noise ----------------------------------------------------------------------------------


def later(term, progress):
    """The term at a later moment of the run."""
    term.begin(Clock(progress, 0, 1))
    return term


@pytest.mark.parametrize(
    ("progress", "until", "share"),
    [(0.0, 1.0, 1.0), (0.25, 1.0, 0.75), (0.0, 0.5, 1.0), (0.25, 0.5, 0.5), (0.4, 0.5, 0.2)],
)
def test_instance_noise_is_gaussian_and_fades_linearly(progress, until, share):
    """Mean 0, deviation sigma (1 - progress / until), drawn for each pixel."""
    images = pictures(100)
    noise = later(InstanceNoise(sigma=0.3, until=until), progress)(images) - images
    n, sigma = noise.numel(), 0.3 * share
    assert noise.mean().item() == pytest.approx(0, abs=4 * sigma / n**0.5)
    assert noise.std().item() == pytest.approx(sigma, abs=4 * sigma / (2 * n) ** 0.5)
    kurtosis = noise.double().pow(4).mean() / sigma**4  # 3 of a Gaussian, 1.8 of uniform noise
    assert kurtosis.item() == pytest.approx(3, abs=4 * (96 / n) ** 0.5)


def test_instance_noise_has_gone_at_its_end():
    images = pictures(2)
    for noise, progress in (
        (InstanceNoise(0.3, until=0.5), 0.5),
        (InstanceNoise(0.3, until=0.5), 0.9),
        (InstanceNoise(0.3), 1.0),
        (InstanceNoise(0), 0.0),
    ):
        assert torch.equal(later(noise, progress)(images), images)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: InstanceNoise(-0.1), "sigma must be at least 0, got -0.1"),
        (lambda: InstanceNoise(math.nan), "sigma must be at least 0, got nan"),
        *(
            (
                lambda until=until: InstanceNoise(until=until),
                f"until must be greater than 0 and at most 1, got {until}",
            )
            for until in (0, -0.5, 1.5, math.nan)
        ),
    ],
)
def test_noise_out_of_range_is_refused(make, sentence):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == sentence


# The transformation of consistency regularization ------------------------------------------------


def reflect_by(images, down, right):
    """A window of numpy's reflected image."""
    most, size = images.shape[-1] // 8, images.shape[-1]
    padded = np.pad(images, ((0, 0), (0, 0), (most, most), (most, most)), mode="reflect")
    top, left = most - down, most - right
    return padded[..., top : top + size, left : left + size]


@pytest.mark.parametrize("size", [8, 16, 36])
def test_consistency_shifts_by_up_to_an_eighth_and_reflects_at_edges(size):
    """All places come as often; black moving in, as in DiffAugment, is rejected."""
    most = size // 8
    images = pictures(450 if size == 8 else 30, 2, size)
    found = shifts_of(images, shift_and_flip(images, flip=False), most, reflect_by)
    assert None not in found
    assert {abs(step) for place in found for step in place} == set(range(most + 1))
    if size == 8:
        assert evenly(found, list(itertools.product((-1, 0, 1), repeat=2)))
    assert None in shifts_of(images, TRANSLATION(images), most, reflect_by)


def test_images_are_mirrored_only_if_asked_and_then_half_of_them():
    """After the shift, left to right, all channels at once."""
    images = pictures(900, 2, 8)
    changed = shift_and_flip(images, flip=True)
    straight, mirrored = (
        shifts_of(images, seen, 1, reflect_by) for seen in (changed, changed.flip(3))
    )
    assert all((a is None) != (b is None) for a, b in zip(straight, mirrored, strict=True))
    assert mirrored.count(None) / 900 == pytest.approx(1 / 2, abs=4 * 0.5 / 900**0.5)
    assert evenly([p for p in straight if p], list(itertools.product((-1, 0, 1), repeat=2)))


def test_images_of_fewer_than_8_pixels_are_only_mirrored():
    images = pictures(20, 1, 7)
    assert torch.equal(shift_and_flip(images, flip=False), images)
    changed = shift_and_flip(images, flip=True)
    assert all(
        torch.equal(a, b) or torch.equal(a.flip(2), b) for a, b in zip(images, changed, strict=True)
    )


# In training: who sees what ----------------------------------------------------------------------


class Spy(Augment):
    """Brightens images by 1000, and remembers what it got and what it gave."""

    def __init__(self):
        super().__init__()
        self.step, self.calls, self.progress = None, [], 0.0

    def begin(self, clock):
        self.progress = clock.progress

    def forward(self, images):
        self.calls.append((self.step, images.detach().clone(), self.progress))
        return images + 1000

    def numbers(self, step):
        """Images in each call of one kind of update, in order."""
        return [len(images) for name, images, _ in self.calls if name == step]


class Steps(Watch):
    """Tells the spy whose update it is, and notes what D's network is shown."""

    def __init__(self, spy):
        super().__init__()
        self.spy, self.shown = spy, []

    def on_train_start(self, trainer, gan):
        super().on_train_start(trainer, gan)
        gan.discriminator.features.register_forward_pre_hook(
            lambda _, inputs: self.shown.append(inputs[0].detach().clone())
        )

    def wrapped(self, gan, name, step):
        step = super().wrapped(gan, name, step)

        def telling(real):
            self.spy.step = name
            step(real)

        return telling


def spied(iterations=2, **options):
    """The spy and the watch of a short run on minibatches of 8."""
    spy = Spy()
    d = DCGANDiscriminator(small_gan().spec, width=8, norm="none")
    watch = Steps(spy)
    gan = small_gan(iterations, augment=spy, discriminator=d, **options)
    fit(gan, batch_size=8, callbacks=[watch])
    return spy, watch


@pytest.mark.parametrize(
    ("options", "in_d", "in_g"),
    [
        ({}, 2, 1),
        ({"loss": Relativistic()}, 2, 2),
        ({"regularizers": {"it": FeatureMatching()}}, 2, 2),
        ({"regularizers": {"it": R1()}}, 2, 1),  # the slope is that of the pass itself
        ({"regularizers": {"it": GradientPenalty()}}, 3, 1),
        ({"regularizers": {"it": Consistency()}}, 3, 1),
        ({"regularizers": {"it": Consistency(fake_weight=1.0)}}, 4, 1),
        ({"regularizers": {"r1": R1(), "r2": R2(), "it": PullAway()}}, 2, 1),
        ({"d_steps": 2}, 4, 1),
    ],
    ids=["plain", "relativistic", "matching", "r1", "gp", "cr", "bcr", "r1+r2+pull_away", "k2"],
)
def test_all_that_d_sees_is_augmented_in_both_players_updates(options, in_d, in_g):
    """Real and generated images, and those of penalties: nothing else reaches the network."""
    spy, watch = spied(**options)
    assert spy.numbers("d_step") == [8] * 2 * in_d
    assert spy.numbers("g_step") == [8] * 2 * in_g
    images = torch.cat([images for _, images, _ in spy.calls])
    assert torch.equal(torch.cat(watch.shown), images + 1000)  # in fewer passes, in this order
    assert images.abs().max() < 100, "an image is augmented once, never twice"


def test_first_come_the_real_images_then_the_generated_ones_then_a_penaltys():
    spy, watch = spied(iterations=1, regularizers={"gp": GradientPenalty()})
    real, fake, between = (images for step, images, _ in spy.calls if step == "d_step")
    assert torch.equal(real, watch.seen[0][1])
    assert not torch.equal(real, fake)
    assert (between >= torch.minimum(real, fake) - 1e-6).all()
    assert (between <= torch.maximum(real, fake) + 1e-6).all()


def test_augmentation_is_told_how_far_the_run_is():
    spy, _ = spied(iterations=4)
    assert [progress for step, _, progress in spy.calls if step == "g_step"] == [0, 0.25, 0.5, 0.75]
    assert {progress for _, _, progress in spy.calls} == {0, 0.25, 0.5, 0.75}


def test_an_opinions_images_are_those_before_augmentation():
    """What penalties start from: they augment for themselves."""
    gan = small_gan(augment=Spy())
    images, labels = torch.rand(4, 1, 16, 16), torch.arange(4)
    gan.discriminator.eval()
    output = gan.discriminate(images, torch.zeros(4, 0))
    assert output.images is images
    assert torch.equal(output.logits, gan.discriminator(images + 1000))
    assert not torch.equal(output.logits, gan.discriminator(images))
    labeled = gan._discriminate_labeled(Batch(images, labels))
    assert labeled.images is images
    assert torch.equal(labeled.logits, output.logits)
    assert torch.equal(labeled.code, torch.eye(10)[:4].long())


@pytest.mark.parametrize(
    "augment", [ALL, InstanceNoise(0.5, until=0.9)], ids=["diffaugment", "instance_noise"]
)
def test_runs_with_augmentation_resume_exactly(augment, tmp_path):
    fit(whole := small_gan(augment=augment), batch_size=8)
    fit(half := small_gan(augment=augment), batch_size=8, max_steps=2).save_checkpoint(
        tmp_path / "a.ckpt"
    )
    torch.manual_seed(12345)
    fit(rest := small_gan(augment=augment), batch_size=8, ckpt_path=tmp_path / "a.ckpt")
    assert same(weights(whole), weights(rest))
    assert not same(weights(whole), weights(half))
    fit(plain := small_gan(), batch_size=8)
    assert not same(weights(whole), weights(plain)), "it made no difference at all"


# In training: each update and its own player -----------------------------------------------------


class Autoencoder(Discriminator):
    """D as an autoencoder: the energy of an image is its mean squared error."""

    energy = True

    def __init__(self, spec, width=16):
        super().__init__()
        pixels = math.prod(spec.shape)
        self.encode = nn.Sequential(nn.Flatten(), nn.Linear(pixels, width), nn.BatchNorm1d(width))
        self.decode = nn.Linear(width, pixels)

    def logits_and_features(self, x):
        codes = self.encode(x)
        return (self.decode(codes.relu()) - x.flatten(1)).square().mean(dim=1), codes


def energies(loss, **options):
    torch.manual_seed(0)
    return {"loss": loss, "discriminator": Autoencoder(small_gan().spec), **options}


def new_parts():
    """Options of small_gan, made for one run: some have a state."""
    term = lambda regularizer: {"regularizers": {"it": regularizer}}
    return {
        "ebgan": energies(EBGAN()),
        "ebgan+pull_away": energies(EBGAN(), **term(PullAway())),
        "began": energies(BEGAN(rate=0.1)),
        "pull_away": term(PullAway(10.0)),
        "feature_matching": term(FeatureMatching()),
        "feature_matching_beside": term(FeatureMatching(alone=False)),
        "consistency": term(Consistency()),
        "balanced_consistency": term(Consistency(fake_weight=10.0, flip=True)),
        "diffaugment": {"augment": ALL},
        "instance_noise": {"augment": InstanceNoise()},
    }


class WatchAll(Watch):
    """Also looks at the state of loss, regularizers and augmentation."""

    def players(self, gan):
        return [*super().players(gan), *((n, getattr(gan, n)) for n in ("loss", "augment"))]


@pytest.mark.parametrize("name", new_parts())
def test_each_update_of_new_parts_leaves_the_other_player_alone(name):
    """Parameters, gradients and running statistics; a loss's own state moves in D's update."""
    watch = WatchAll()
    fit(gan := small_gan(2, **new_parts()[name]), batch_size=8, callbacks=[watch])
    own = {"d_step": ["discriminator"], "g_step": ["generator"]}
    if name == "began":
        own["d_step"].append("loss")
    assert len(watch.changed) == 2 * 2 * 4
    for step, player, state_changed, gradients_changed in watch.changed:
        assert state_changed == (player in own[step]), (step, player)
        assert gradients_changed == (player in own[step] and player != "loss"), (step, player)
    assert all(torch.isfinite(tensor).all() for tensor in gan.state_dict().values())


def test_every_new_part_trains_differently():
    """The check above would pass on a part that is never used."""
    ends = {}
    plain = {"plain": {}, "hinge": {"loss": Hinge()}}
    for name, options in {**plain, **new_parts()}.items():
        fit(gan := small_gan(2, **options), batch_size=8)
        ends[name] = torch.cat([p.detach().flatten() for p in gan.generator.parameters()])
    for a, b in itertools.combinations(ends, 2):
        assert not torch.equal(ends[a], ends[b]), (a, b)


@pytest.mark.parametrize("alone", [True, False])
def test_feature_matching_alone_is_all_that_g_minimises(alone):
    """Minimax and NonSaturating differ in G's loss only: then not at all, else as ever."""
    ends = []
    for loss in (Minimax(), NonSaturating()):
        regularizers = {"it": FeatureMatching(alone=alone)}
        fit(gan := small_gan(2, loss=loss, regularizers=regularizers), batch_size=8)
        ends.append(weights(gan))
        assert ("loss/g" in gan.observations.read()) != alone
    assert same(*ends) == alone


def test_readings_of_energies_and_terms_are_observed():
    fit(gan := small_gan(3, **new_parts()["ebgan+pull_away"]), batch_size=8)
    read = gan.observations.read()
    assert 0 <= read["loss/g/it"] <= 0.1
    assert read["D(G(z))"] > 0 < read["D(x)"]
    fit(gan := small_gan(3, **new_parts()["began"]), batch_size=8)
    read = gan.observations.read()
    assert 0 < read["began/k"] < gan.loss.k.item() < 1, "the mean of a k that rises"
    assert read["began/convergence"] >= read["D(x)"] > 0
    assert "loss/g/it" not in read


def test_a_runs_balance_of_energies_resumes_exactly(tmp_path):
    """k and M are in checkpoints."""
    made = lambda: small_gan(**new_parts()["began"])
    fit(whole := made(), batch_size=8)
    fit(made(), batch_size=8, max_steps=2).save_checkpoint(tmp_path / "a.ckpt")
    fit(rest := made(), batch_size=8, ckpt_path=tmp_path / "a.ckpt")
    assert same(weights(whole), weights(rest))
    assert whole.loss.k > 0


@pytest.mark.parametrize("precision", ["bf16-mixed", "64-true"])
@pytest.mark.parametrize("name", new_parts())
def test_new_parts_train_in_other_precisions(name, precision):
    fit(gan := small_gan(2, **new_parts()[name]), batch_size=8, precision=precision)
    assert all(torch.isfinite(tensor).all() for tensor in gan.state_dict().values())


@pytest.mark.parametrize(
    "path", sorted((ROOT / "conf" / "augment").glob("*.yaml")), ids=lambda path: path.stem
)
def test_every_configured_augmentation_is_one(path):
    augment = instantiate(OmegaConf.load(path))
    assert isinstance(augment, Augment)
    images = pictures(2)
    assert augment(images).shape == images.shape
