"""Adaptive augmentation: each transformation, how often it comes, and how p follows D."""

import copy
import functools
import math
import re

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from commands import run_train
from conftest import fit, same, small_gan, weights
from ganlab import losses
from ganlab.augment import ADA, color, filtering, geometry
from ganlab.augment.ada import GROUPS, NAMES
from ganlab.augment.filtering import POWER, filter_bank
from ganlab.augment.warp import CENTRE, warp
from ganlab.augment.wavelets import SYM2, SYM6
from ganlab.compatibility import refuse
from ganlab.conditioning import Conditioning
from ganlab.errors import CombinationError
from ganlab.networks import DCGANDiscriminator
from ganlab.regularizers import R1
from ganlab.schedules import Clock, Linear
from ganlab.spec import ImageSpec
from ganlab.training.terms import Output
from graphs import Capturing, Norms

TAPS = torch.tensor(SYM6, dtype=torch.float64)
each_name = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def pictures(n, channels=3, size=16):
    return 2 * torch.rand(n, channels, size, size, dtype=torch.float64) - 1


def only(name, p=1.0):
    """ADA with one transformation, on float64."""
    return ADA(p=p, groups=(), multipliers={name: 1.0}).double()


def everything(p=1.0):
    return ADA(p=p, groups=tuple(GROUPS))


@pytest.fixture
def drawn(monkeypatch):
    """Fixes what a transformation draws: one value for each time that it is drawn."""

    def fix(table, name, *values):
        left = iter(values)
        draw = lambda images: (
            torch.tensor(next(left), dtype=torch.float64).expand(len(images), -1).squeeze(1)
        )
        monkeypatch.setitem(table, name, table[name]._replace(draw=draw))

    return fix


def moved(drawn, name, images, *values):
    drawn(geometry.MOVES, name, *([value] for value in values))
    return only(name)(images)


def recolored(drawn, name, images, value):
    drawn(color.CHANGES, name, [value])
    return only(name)(images)


# Resampling ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("taps", "moments"), [(SYM2, 2), (SYM6, 6)])
def test_the_wavelets_are_orthogonal_and_smooth(taps, moments):
    """Symlets: sum h(k) h(k + 2m) = 1 where m = 0, and as many vanishing moments as promised."""
    h = np.array(taps)
    products = [h[2 * m :] @ h[: len(h) - 2 * m] for m in range(len(h) // 2)]
    assert products == pytest.approx([1, *[0] * (len(h) // 2 - 1)], abs=1e-10)
    k = np.arange(len(h)) - CENTRE
    alternating = [(h * (-1.0) ** k * k**m).sum() for m in range(moments)]
    assert h.sum() == pytest.approx(2**0.5)
    assert alternating == pytest.approx([0] * moments, abs=1e-6)


def resampled(image, inverse):
    """`warp` of one image (H, W), step by step, without a matrix for a filter."""
    h, (height, width) = np.array(SYM6), image.shape
    edge = 3 * max(image.shape)
    padded = np.pad(image, edge, mode="reflect")
    fine = np.zeros([2 * n for n in padded.shape])
    fine[::2, ::2] = padded
    for axis in (0, 1):
        smooth = lambda row: np.convolve(row, 2**0.5 * h)[CENTRE : CENTRE + len(row)]
        fine = np.apply_along_axis(smooth, axis, fine)
    sampled = np.zeros((2 * height + 10, 2 * width + 10))
    for i in range(len(sampled)):
        for j in range(sampled.shape[1]):
            y, x = (i - CENTRE) / 2 - (height - 1) / 2, (j - CENTRE) / 2 - (width - 1) / 2
            x, y, _ = inverse @ (x, y, 1)
            row, column = 2 * (y + (height - 1) / 2 + edge), 2 * (x + (width - 1) / 2 + edge)
            r, c = math.floor(row), math.floor(column)
            b, a = row - r, column - c
            sampled[i, j] = (1 - b) * ((1 - a) * fine[r, c] + a * fine[r, c + 1])
            sampled[i, j] += b * ((1 - a) * fine[r + 1, c] + a * fine[r + 1, c + 1])
    for axis in (0, 1):
        halve = lambda row: np.correlate(row, h / 2**0.5)[::2]
        sampled = np.apply_along_axis(halve, axis, sampled)
    return sampled


@pytest.mark.parametrize(("height", "width"), [(8, 8), (5, 7), (2, 9)])
def test_resampling_against_explicit_loops(height, width):
    """Far outside of the image, too, where it is reflected again and again."""
    images = torch.rand(4, 1, height, width, dtype=torch.float64)
    inverse = torch.eye(3, dtype=torch.float64) + 0.5 * torch.randn(4, 3, 3).double()
    inverse[:, 2] = torch.tensor([0.0, 0.0, 1.0])
    inverse[:, :2, 2] *= 8
    got = warp(images, inverse, TAPS)
    for image, matrix, one in zip(images, inverse, got, strict=True):
        want = resampled(image[0].numpy(), matrix.numpy())
        np.testing.assert_allclose(one[0].numpy(), want, atol=1e-10)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 28, 32])
def test_resampling_without_a_move_gives_the_image_back(size):
    """To 1e-11, by orthogonality; linear filters of any other kind blur it."""
    images = torch.rand(2, 3, size, size, dtype=torch.float64)
    identity = torch.eye(3, dtype=torch.float64).expand(2, 3, 3)
    assert (warp(images, identity, TAPS) - images).abs().max() < 1e-11
    linear = torch.tensor([0, 0, 0, 0, 1, 2, 1, 0, 0, 0, 0, 0]) / 8**0.5
    if size > 1:
        assert (warp(images, identity, linear.double()) - images).abs().max() > 0.01


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_at_p_0_images_are_bit_for_bit_the_same(dtype):
    images = pictures(4).to(dtype)
    augment = everything(0.0).to(dtype)
    assert torch.equal(augment(images), images)
    assert torch.equal(ADA()(images.float()), images.float()), "where p follows D it starts there"


@pytest.mark.parametrize("size", [1, 2, 7, 16, 28])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_any_size_and_number_of_channels(size, channels):
    images = pictures(3, channels, size).float()
    changed = everything()(images)
    assert changed.shape == images.shape
    assert torch.isfinite(changed).all()


def test_autocast_does_not_touch_the_colors():
    images = pictures(4).float()
    augment = everything()
    torch.manual_seed(1)
    want = augment(images)
    with torch.autocast("cpu", torch.bfloat16):
        torch.manual_seed(1)
        assert torch.equal(augment(images), want)


# Geometry: each of its moves ----------------------------------------------------------------------


def dot(row, column, size=16):
    image = torch.zeros(1, 1, size, size, dtype=torch.float64)
    image[..., row, column] = 1
    return image


def brightest(images):
    return tuple(np.unravel_index(images[0, 0].argmax().item(), images.shape[2:]))


def test_xflip_mirrors(drawn):
    assert brightest(moved(drawn, "xflip", dot(3, 2), 1.0)) == (3, 13)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_rotate90_turns_by_quarters(drawn, quarters):
    want = torch.rot90(dot(3, 2), -quarters, dims=(2, 3))
    got = moved(drawn, "rotate90", dot(3, 2), quarters * math.pi / 2)
    assert brightest(got) == brightest(want)


def test_xint_shifts_by_whole_pixels_and_reflects(drawn):
    """Exactly: an orthogonal wavelet does not blur whole shifts."""
    images = pictures(2)
    drawn(geometry.MOVES, "xint", [2.0, -3.0])  # right and up
    got = only("xint")(images).numpy()
    want = np.pad(images.numpy(), [(0, 0), (0, 0), (0, 3), (2, 0)], mode="reflect")
    np.testing.assert_allclose(got, want[:, :, 3:, :16], atol=1e-6)


def slopes(images):
    """(along x, along y) of an image that is linear in its middle, and its value there."""
    middle = images[0, 0, 6:10, 6:10]
    by_x, by_y = middle.diff(dim=1), middle.diff(dim=0)
    assert by_x.std() < 1e-4
    assert by_y.std() < 1e-4
    return by_x.mean().item(), by_y.mean().item(), middle.mean().item()


def ramp(a, b, size=16):
    places = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    return (a * places + b * places[:, None])[None, None]


@pytest.mark.parametrize(
    ("name", "value", "want"),
    [
        ("scale", 1.25, (0.8, 1.6)),  # larger: gentler slopes
        ("anisotropy", 1.25, (0.8, 2.5)),
        ("rotate90", math.pi / 2, (-2, 1)),
        ("xflip", 1.0, (-1, 2)),
    ],
)
def test_moves_of_a_slope(drawn, name, value, want):
    along_x, along_y, middle = slopes(moved(drawn, name, ramp(1, 2), value))
    assert (along_x, along_y) == pytest.approx(want, abs=1e-4)
    assert middle == pytest.approx(0, abs=0.2), "the centre stays, to a tenth of a pixel"


def test_rotate_turns_a_slope_before_and_after(drawn):
    """From right to down; 0.3 and then 0.4 radians."""
    along_x, along_y, _ = slopes(moved(drawn, "rotate", ramp(1, 0), 0.3, 0.4))
    assert (along_x, along_y) == pytest.approx((math.cos(0.7), math.sin(0.7)), abs=1e-4)


def test_xfrac_moves_a_slope(drawn):
    drawn(geometry.MOVES, "xfrac", [1.25, -0.5])
    got = slopes(only("xfrac")(ramp(1, 2)))
    assert got == pytest.approx((1, 2, -1.25 + 2 * 0.5), abs=0.02)


def test_one_matrix_is_all_moves_one_after_the_other(drawn):
    """On points, by formulas that know no matrices; another order ends elsewhere."""
    turn = lambda p, t: (
        p[0] * math.cos(t) - p[1] * math.sin(t),
        p[0] * math.sin(t) + p[1] * math.cos(t),
    )
    steps = [
        ("xflip", [1.0], lambda p: (-p[0], p[1])),
        ("rotate90", [math.pi / 2], lambda p: (-p[1], p[0])),
        ("xint", [2.0, -1.0], lambda p: (p[0] + 2, p[1] - 1)),
        ("scale", [1.3], lambda p: (1.3 * p[0], 1.3 * p[1])),
        ("rotate", [0.5], lambda p: turn(p, 0.5)),
        ("anisotropy", [0.8], lambda p: (0.8 * p[0], p[1] / 0.8)),
        ("rotate", [-1.1], lambda p: turn(p, -1.1)),
        ("xfrac", [0.25, 3.5], lambda p: (p[0] + 0.25, p[1] + 3.5)),
    ]
    for name in geometry.MOVES:
        drawn(geometry.MOVES, name, *(value for n, value, _ in steps if n == name))
    chances = dict.fromkeys(geometry.MOVES, torch.ones((), dtype=torch.float64))
    inverse = geometry.Geometry().double().inverses(pictures(1), chances)[0].numpy()
    for point in np.random.default_rng(0).normal(size=(5, 2)):
        went = functools.reduce(lambda p, step: step[2](p), steps, tuple(point))
        assert (inverse @ (*went, 1))[:2] == pytest.approx(point, abs=1e-12)
        other = functools.reduce(lambda p, step: step[2](p), reversed(steps), tuple(point))
        assert (inverse @ (*other, 1))[:2] != pytest.approx(point, abs=0.1)


def test_nothing_dark_comes_in_at_the_borders():
    images = torch.full((200, 3, 16, 16), 0.7)
    geometric = ADA(p=1.0, groups=("blit", "geometry"))(images)
    assert (geometric - 0.7).abs().max() < 1e-4


# Color --------------------------------------------------------------------------------------------

RED = torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64)[None, :, None, None].expand(1, 3, 2, 2)


@pytest.mark.parametrize(
    ("name", "value", "want"),
    [
        ("brightness", 0.25, (1.25, -0.75, -0.75)),
        ("contrast", 0.5, (0.5, -0.5, -0.5)),
        ("lumaflip", 1.0, (5 / 3, -1 / 3, -1 / 3)),
        ("hue", 2 * math.pi / 3, (-1, 1, -1)),  # green
        ("hue", -2 * math.pi / 3, (-1, -1, 1)),
        ("saturation", 0.0, (-1 / 3, -1 / 3, -1 / 3)),
        ("saturation", 2.0, (7 / 3, -5 / 3, -5 / 3)),
    ],
)
def test_colors_of_red(drawn, name, value, want):
    got = recolored(drawn, name, RED, value)
    assert (got == got[..., :1, :1]).all()
    assert got[0, :, 0, 0].tolist() == pytest.approx(want, abs=1e-7)


def test_one_matrix_is_all_changes_of_color_one_after_the_other(drawn):
    values = {"brightness": 0.3, "contrast": 1.4, "lumaflip": 1.0, "hue": 0.8, "saturation": 0.6}
    for name, value in values.items():
        drawn(color.CHANGES, name, [value])
    images = pictures(2, size=4)
    got = ADA(p=1.0, groups=("color",)).double()(images)
    x = images.permute(0, 2, 3, 1).numpy() + 0.3
    x = 1.4 * x
    x = x - 2 * x.mean(axis=-1, keepdims=True)
    x = x @ Rotation.from_rotvec(0.8 * np.ones(3) / 3**0.5).as_matrix().T
    mean = x.mean(axis=-1, keepdims=True)
    x = mean + 0.6 * (x - mean)
    np.testing.assert_allclose(got.permute(0, 2, 3, 1).numpy(), x, atol=1e-6)


def test_grey_images_change_as_grey_ones_of_three_channels():
    """The first three; hue and saturation do not touch them."""
    grey = pictures(50, channels=1)
    three = ADA(p=1.0, groups=(), multipliers=dict.fromkeys(("brightness", "contrast"), 1.0))
    torch.manual_seed(1)
    one = three(grey)
    torch.manual_seed(1)
    torch.testing.assert_close(three(grey.expand(-1, 3, -1, -1))[:, :1], one)
    for name in ("hue", "saturation"):
        assert torch.equal(only(name)(grey), grey)
    torch.testing.assert_close(only("lumaflip")(grey).abs(), grey.abs())


def test_transparency_keeps_its_values_and_moves_with_the_image():
    images = pictures(20, channels=4)
    assert torch.equal(ADA(p=1.0, groups=("color",))(images)[:, 3], images[:, 3])
    images[:, 3] = images[:, 0]
    moved = ADA(p=1.0, groups=("blit", "geometry"))(images)
    torch.testing.assert_close(moved[:, 3], moved[:, 0])


# Filter, noise, cutout ----------------------------------------------------------------------------


def test_the_filters_add_up_to_the_identity_and_part_the_frequencies():
    """Octaves: at pi the highest band has everything, at 0 the lowest."""
    bank = filter_bank().double().numpy()
    assert bank.shape == (4, 43)
    delta = (np.arange(43) == 21).astype(float)
    np.testing.assert_allclose(bank.sum(axis=0), delta, atol=1e-6)
    k = np.arange(43) - 21
    low = lambda w: abs(np.exp(-1j * w * np.arange(4)) @ SYM2) ** 2 / 2
    for w in np.linspace(0, math.pi, 9):
        response = bank @ np.cos(w * k)
        lows = [low(w), low(w) * low(2 * w), low(w) * low(2 * w) * low(4 * w)]
        want = [lows[2], lows[1] - lows[2], lows[0] - lows[1], 1 - lows[0]]
        np.testing.assert_allclose(response, want, atol=1e-6)


def test_the_filter_against_convolutions_of_padded_images(monkeypatch):
    images, gains = pictures(3, size=32), torch.tensor([[1.0, 0.5, 2.0, 0.25]]).double()
    monkeypatch.setattr(filtering.Filter, "gains", lambda *_: gains.expand(3, 4))
    got = only("imgfilter")(images).numpy()
    taps = gains[0].numpy() @ filter_bank().double().numpy()
    padded = np.pad(images.numpy(), [(0, 0), (0, 0), (21, 21), (21, 21)], mode="reflect")
    smooth = lambda row: np.convolve(row, taps, mode="valid")
    want = np.apply_along_axis(smooth, 3, np.apply_along_axis(smooth, 2, padded))
    np.testing.assert_allclose(got, want, atol=1e-6)


def test_the_filters_gains_keep_the_power_of_natural_images():
    """Of one band drawn alone; of all the product of such gains."""
    stage = filtering.Filter().double()
    gains = stage.gains(pictures(4000, size=1), torch.tensor(0.25))
    one = gains[((gains / gains.mode(dim=1, keepdim=True)[0] - 1).abs() > 1e-9).sum(dim=1) == 1]
    assert len(one) > 1000
    power = (one.square() * torch.tensor(POWER).double()).sum(dim=1)
    torch.testing.assert_close(power, torch.ones_like(power))


def test_noise_has_a_strength_of_its_own_in_each_image():
    images = pictures(2000, channels=1, size=8)
    added = (only("noise")(images) - images).flatten(1)
    mean_of_squares = added.square().mean().item()
    assert mean_of_squares == pytest.approx(0.01, rel=0.15), "E[sigma^2] = 0.1^2"
    sigmas = added.std(dim=1)
    assert sigmas.mean() == pytest.approx(0.1 * (2 / math.pi) ** 0.5, rel=0.1)
    assert added.mean().abs() < 0.002


def test_cutout_makes_a_hole_of_half_the_size_around_any_place():
    images = pictures(2000, size=8).abs() + 0.1
    gone = only("cutout")(images) == 0
    assert torch.equal(gone[:, 0], gone[:, 2])
    rows, columns = gone[:, 0].any(dim=2).sum(dim=1), gone[:, 0].any(dim=1).sum(dim=1)
    assert torch.equal(gone[:, 0].sum(dim=(1, 2)), rows * columns), "a rectangle"
    assert {rows.min().item(), rows.max().item()} == {2, 4}, "cut off at the edge"
    at_corner = gone[:, 0, 0, 0].double().mean().item()
    assert at_corner == pytest.approx((0.25 + 0.5 / 8 - 0.5 / 8 * 1) ** 2, abs=0.04)


# Chances ------------------------------------------------------------------------------------------

P = 0.3
CHANGED = {  # the share of images that change at p, if not p itself
    "xflip": P / 2,
    "rotate90": P * 3 / 4,
    "xint": P * (1 - 1 / 4),  # of 8 pixels: U(-1, 1) rounds to 0 half of the time, in x and in y
    "lumaflip": P / 2,
    "imgfilter": 1 - (1 - P) ** 4,
}


def changed_by(augment, n=3000, size=8):
    images = pictures(n, size=size)
    return (augment(images) != images).flatten(1).any(dim=1).double().mean().item()


def near(share, want, n=3000):
    return abs(share - want) < 5 * (want * (1 - want) / n) ** 0.5


@each_name
def test_each_transformation_comes_as_often_as_p_says(name):
    """Rotation stands twice, and p for each of both, a mistake, would rotate too many."""
    share = changed_by(only(name, P))
    assert near(share, CHANGED.get(name, P))
    assert not near(share, 1 - (1 - P) ** 2) or name in ("xflip", "imgfilter")
    half = ADA(p=P, groups=(), multipliers={name: 0.5}).double()
    assert near(changed_by(half), CHANGED.get(name, P) / 2) or name == "imgfilter"


def test_rotation_turns_by_any_angle_with_probability_p():
    """0 where neither was drawn, and uniform otherwise, also where both were."""
    stage, chances = geometry.Geometry().double(), {"rotate": torch.tensor(P)}
    inverse = stage.inverses(pictures(5000, size=1), chances)
    angles = torch.atan2(inverse[:, 0, 1], inverse[:, 0, 0])
    still = angles == 0
    assert near(1 - still.double().mean().item(), P, 5000)
    counts = torch.histc(angles[~still], 8, -math.pi, math.pi)
    expected = (~still).sum() / 8
    assert ((counts - expected).abs() < 5 * expected.sqrt()).all()


def test_transformations_come_independently_of_each_other():
    augment = ADA(p=P, groups=(), multipliers={"brightness": 1.0, "hue": 0.5, "cutout": 0.5})
    share = changed_by(augment.double())
    assert near(share, 1 - (1 - P) * (1 - P / 2) ** 2)


def test_what_changes_does_not_leak_below_p_1():
    """Quarter turns with probability p make T = (1 - p) I + p / 4 of the orientations' histogram.

    From what D sees at p = 0.5, T^-1 finds the true histogram.  At p = 1 any other looks the same.
    """
    true, n = torch.tensor([0.6, 0.3, 0.1, 0.0]), 6000
    drawn = torch.multinomial(true, n, replacement=True)
    corners = [(0, 0), (0, 3), (3, 3), (3, 0)]  # clockwise, by quarter turns
    each = torch.cat([dot(*corner, size=4) for corner in corners])
    for p, leaks in ((0.5, False), (1.0, True)):
        seen = only("rotate90", p)(each[drawn])
        values = torch.stack([seen[:, 0, r, c] for r, c in corners], dim=1)
        histogram = values.argmax(dim=1).bincount(minlength=4) / n
        mixing = (1 - p) * torch.eye(4) + p / 4
        torch.testing.assert_close(histogram, mixing @ true, atol=0.03, rtol=0)
        assert (torch.linalg.matrix_rank(mixing) < 4) == leaks
        if not leaks:
            found = torch.linalg.solve(mixing, histogram)
            torch.testing.assert_close(found, true, atol=0.06, rtol=0)


# Gradients ----------------------------------------------------------------------------------------


@each_name
def test_the_gradient_of_r1_through_each_against_finite_differences(name):
    """R1 starts at the image before augmentation; its slope by D's weights is checked."""
    augment, images = only(name), pictures(3, size=5)
    weight = torch.randn(images[0].numel(), dtype=torch.float64, requires_grad=True)
    direction = torch.randn_like(weight)

    def r1(weight):
        torch.manual_seed(1)
        x = images.clone().requires_grad_()
        d = (augment(x).flatten(1) @ weight).tanh().sum()
        return torch.autograd.grad(d, x, create_graph=True)[0].square().sum()

    slope = torch.autograd.grad(r1(weight), weight)[0] @ direction
    with torch.enable_grad():
        step = 1e-5 * direction
        difference = (r1(weight + step) - r1(weight - step)) / 2e-5
    assert slope.item() == pytest.approx(difference.item(), rel=1e-5)
    assert slope.abs() > 1e-6


def test_all_of_it_is_differentiable_twice_by_the_images():
    augment, images = everything().double(), pictures(2, size=3).requires_grad_()

    def changed(x):
        torch.manual_seed(1)
        return augment(x)

    assert torch.autograd.gradcheck(changed, images)
    assert torch.autograd.gradgradcheck(lambda x: changed(x).square(), images, fast_mode=True)


# The controller -----------------------------------------------------------------------------------


def path(answers, batch, every=4, target=0.6, span=100.0, mean=np.sign, top=math.inf):
    """p after each of D's minibatches of logits, by a plain loop."""
    p, heard, ps = 0.0, [], []
    for number, logits in enumerate(answers, 1):
        heard += [mean(logit) for logit in logits]
        if number % every == 0:
            p += np.sign(np.mean(heard) - target) * batch * every / span
            p, heard = min(max(p, 0.0), top), []
        ps.append(p)
    return ps


def followed(answers, batch, ranks=1, **options):
    """p at the beginning of the next iteration after each minibatch, the same on all ranks."""
    several = [ADA(images=100, **options) for _ in range(ranks)]
    ps = []
    for number, logits in enumerate(answers):
        shares = torch.tensor(logits).chunk(ranks)
        for one, share in zip(several, shares, strict=True):
            one.begin(Clock(0.0, number * batch, batch))
            one.begin(Clock(0.0, number * batch, batch))  # as extragradient does
            one.hear(Output(torch.zeros(0), torch.zeros(0), share))
        for name in ("signs", "heard", "p"):  # as Generative.average does
            mean = torch.stack([getattr(one, name) for one in several]).mean(dim=0)
            for one in several:
                getattr(one, name).copy_(mean)
        after = [copy.deepcopy(one) for one in several]
        for one in after:
            one.begin(Clock(0.0, (number + 1) * batch, batch))
        assert len({one.p.item() for one in after}) == 1
        ps.append(after[0].p.item())
    return ps


def made_up():
    """D's answers of 64 minibatches: sure of itself first, then not, then again."""
    rng = np.random.default_rng(0)
    centres = [*[1.5] * 20, *[0.7] * 8, *[-0.5] * 24, *[4.0] * 12]  # 0.7: E[sign] = 0.44
    return [rng.normal(centre, 1.2, size=8).tolist() for centre in centres]


@pytest.mark.parametrize("ranks", [1, 2])
def test_p_follows_d_as_a_plain_loop_says(ranks):
    """Wrong versions end elsewhere: without sign, another interval, a clamp above, none below."""
    answers = made_up()
    got = followed(answers, batch=8, ranks=ranks)
    assert got == pytest.approx(path(answers, 8), abs=1e-6)
    assert max(got) > 1, "nothing clamps it above"
    assert min(got[20:52]) == 0
    wrong = [{"mean": lambda logit: logit}, {"every": 1}, {"every": 8}, {"top": 1.0}]
    for options in (*wrong, {"target": 0.9}):
        assert got != pytest.approx(path(answers, 8, **options), abs=1e-3), options
    for options in ({"every": 2}, {"target": 0.2}):
        own = followed(answers, batch=8, ranks=ranks, **options)
        assert own == pytest.approx(path(answers, 8, **options), abs=1e-6)


def test_p_follows_a_schedule_and_hears_nothing():
    augment = ADA(p=Linear(value=0.5, end=0.0))
    assert not augment.needs_sign
    assert "p" not in augment.state_dict()
    augment.begin(Clock(0.5, 0, 1))
    assert augment.p.item() == 0.25
    augment.hear(Output(torch.zeros(0), torch.zeros(0), torch.ones(4)))
    assert augment.readings()["augment/sign"] == 1
    augment.begin(Clock(1.0, 4000, 1))
    assert augment.p.item() == 0
    assert ADA(p=0.4).p.item() == pytest.approx(0.4)


def quick(**options):
    """A GAN whose p moves within a few iterations."""
    return small_gan(9, augment=ADA(images=200, target=0.0), **options)


def test_p_moves_in_training_and_is_observed():
    gan = quick(loss=losses.Hinge(), regularizers={"r1": R1()}, discriminator=without_batchnorm())
    fit(gan, batch_size=8)
    read = gan.observations.read()
    assert gan.augment.p > 0
    assert 0 < read["augment/p"] < gan.augment.p
    assert -1 <= read["augment/sign"] <= 1
    assert all(torch.isfinite(tensor).all() for tensor in gan.state_dict().values())


def without_batchnorm():
    return DCGANDiscriminator(small_gan().spec, width=8, norm="none")


def test_accumulation_hears_every_part():
    """Of one minibatch in two passes, p is the same as of one in one."""
    whole, parts = ADA(images=100), ADA(images=100)
    for number, logits in enumerate(made_up()[:12]):
        for one in (whole, parts):
            one.begin(Clock(0.0, 8 * number, 8))
        whole.hear(Output(torch.zeros(0), torch.zeros(0), torch.tensor(logits)))
        for part in torch.tensor(logits).chunk(2):
            parts.hear(Output(torch.zeros(0), torch.zeros(0), part))
    assert torch.equal(whole.p, parts.p)
    assert torch.equal(whole.signs, parts.signs)
    assert whole.p > 0


def test_a_graph_replays_it_while_p_moves():
    """On the CPU's tape; p is set between the iterations."""
    ends = []
    for callback in (Norms(), capturing := Capturing()):
        torch.manual_seed(1)
        fit(gan := quick(), callbacks=[callback])
        ends.append(gan)
    assert capturing.refused == []
    eager, replayed = ends
    assert eager.augment.p == replayed.augment.p > 0
    for name, value in weights(eager).items():
        torch.testing.assert_close(weights(replayed)[name], value, rtol=1e-5, atol=1e-6, msg=name)


def test_a_run_resumes_exactly_between_two_steps_of_p(tmp_path):
    """After 6 iterations, when half of the signs have been heard."""
    fit(whole := quick(), batch_size=8)
    fit(half := quick(), batch_size=8, max_steps=6).save_checkpoint(tmp_path / "a.ckpt")
    assert half.augment.heard == 16
    torch.manual_seed(12345)
    fit(rest := quick(), batch_size=8, ckpt_path=tmp_path / "a.ckpt")
    assert same(weights(whole), weights(rest))
    assert rest.augment.p == whole.augment.p > half.augment.p > 0


def test_it_can_be_copied_and_planned_without_memory():
    copied = copy.deepcopy(ADA())
    assert copied.state_dict().keys() == {"p", "signs", "heard", "stepped"}
    with torch.device("meta"):
        assert everything().p.is_meta


# What is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": ["blit", "geometri"]}, "'geometri' is none of .* did you mean 'geometry'"),
        ({"multipliers": {"brigthness": 0.5}}, "did you mean 'brightness'"),
        ({"multipliers": {"hue": -1.0}}, r"multipliers\.hue must be at least 0"),
        ({"p": 1.2}, r"p must be in \[0, 1\], got 1.2"),
        ({"p": Linear(value=-0.5)}, r"p must be in \[0, 1\], got -0.5"),
        ({"target": 1.0}, "target must be"),
        ({"every": 0}, "every must be at least 1"),
        ({"images": 0}, "images must be greater than 0"),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        ADA(**options)


SIGNS = [losses.Minimax, losses.NonSaturating, losses.Hinge]
LOSSES = [
    *(*SIGNS, losses.LeastSquares, losses.Wasserstein, losses.Relativistic),
    losses.RelativisticAverage,
]


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_whose_sign_says_nothing_are_refused_unless_p_is_set(loss):
    spec = ImageSpec(1, 16)
    parts = (DCGANDiscriminator(spec, width=8), loss(), {}, Conditioning(spec))
    refuse(*parts, ADA(p=0.5), spec)
    if loss in SIGNS:
        refuse(*parts, ADA(), spec)
        return
    with pytest.raises(CombinationError, match=f"nothing with {loss.__name__}; set augment.p"):
        refuse(*parts, ADA(), spec)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["augment.groups=[colour]"], "augment: groups: 'colour' is none of .*'color'"),
        (["augment.p=2"], r"augment: p must be in \[0, 1\], got 2"),
        (["loss=relativistic"], "augment: ADA follows the sign of D"),
        (["data=ring_2d", "model=toy"], "augment moves pixels of images"),
    ],
)
def test_a_command_says_so_in_one_sentence(tmp_path, words, message):
    outcome = run_train("augment=ada", "trainer=smoke", *words, f"output_dir={tmp_path}/outputs")
    assert outcome.code == 2
    assert "Traceback" not in outcome.err
    assert re.search(message, outcome.err), outcome.err
