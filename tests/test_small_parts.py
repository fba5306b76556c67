"""Schedules, EMA, latent, spec, observations, pictures, optim: each rule in closed form."""

import math
from dataclasses import MISSING, fields
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from conftest import ROOT, adam
from ganlab.errors import NonFiniteError
from ganlab.experiments.experiment import Experiment
from ganlab.latent import Gaussian, Uniform
from ganlab.plots.pictures import animate, grid, save, to_pixels
from ganlab.regularizers import GradientPenalty
from ganlab.schedules import START, STEEPEST, Clock, Constant, Cosine, HalfLife, Linear
from ganlab.spec import ImageSpec, at_least, one_of, positive
from ganlab.training.ema import EMA
from ganlab.training.observations import Observations
from ganlab.training.streams import mixed, stream
from ganlab.training.terms import Discrimination, Output
from ganlab.training.updates import UpdateRule, average_over_ranks, global_norm, gradients


def refused(call):
    """The sentence with which `call` is refused."""
    with pytest.raises(ValueError) as error:
        call()
    return str(error.value)


# Schedules ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "at"),
    [
        (Constant(), {0: 1, 0.5: 1, 1: 1}),
        (Linear(), {0: 1, 0.25: 0.75, 0.5: 0.5, 1: 0}),
        (Linear(end=0.2), {0: 1, 0.5: 0.6, 1: 0.2}),
        (Linear(start=0.5), {0: 1, 0.5: 1, 0.75: 0.5, 1: 0}),
        (Linear(start=0.6, end=0.5), {0: 1, 0.5: 1, 0.6: 1, 0.8: 0.75, 1: 0.5}),
        (Linear(end=2), {0: 1, 0.5: 1.5, 1: 2}),
        (Cosine(), {0: 1, 0.25: (1 + math.sqrt(0.5)) / 2, 0.5: 0.5, 1: 0}),
        (Cosine(end=0.1), {0: 1, 0.5: 0.55, 1: 0.1}),
    ],
    ids=lambda value: type(value).__name__ if callable(value) else "",
)
def test_schedules_have_their_values(schedule, at):
    assert [schedule.factor(progress) for progress in at] == pytest.approx(
        list(at.values()), abs=1e-15
    )


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Linear(start=1), "start must be less than 1, got 1"),
        (lambda: Linear(start=-0.1), "start must be at least 0, got -0.1"),
        (lambda: Linear(end=-1), "end must be at least 0, got -1"),
        (lambda: Linear(start=math.nan), "start must be at least 0, got nan"),
        (lambda: Cosine(end=-1), "end must be at least 0, got -1"),
    ],
)
def test_schedules_refuse_values_out_of_range(make, sentence):
    assert refused(make) == sentence


@pytest.mark.parametrize(
    ("schedule", "images", "half_life"),
    [
        (HalfLife(640), 0, 640),
        (HalfLife(ramp=0.05), 64_000, 3200),
        (HalfLife(ramp=0.05), 6_400_000, 320_000),
        (HalfLife(640, ramp=0.05), 6400, 320),
        (HalfLife(640, ramp=0.05), 64_000, 640),
        (HalfLife(Linear(value=640, end=0.5)), 64, 480),
    ],
)
def test_a_half_life_is_ramped_as_in_stylegan2_ada(schedule, images, half_life):
    """0.5^(batch / min(half-life, ramp * images)); a decay of 0.995 has 138 iterations always."""
    assert schedule(Clock(0.5, images, 64)) == pytest.approx(0.5 ** (64 / half_life), rel=1e-12)


def test_a_ramp_begins_without_a_past_and_ends_with_a_share_of_any_run():
    """Half of the average's weight is on the last 5% of the images, after 1,000 or 4,000 steps."""
    assert HalfLife(ramp=0.05)(START) == 0
    for steps in (1000, 4000):
        decays = [HalfLife(ramp=0.05)(Clock(0, 64 * t, 64)) for t in range(1, steps)]
        assert math.prod(decays[-steps // 20 :]) == pytest.approx(0.5, abs=0.02)
        assert 0.995 ** (steps / 20) < 0.8 if steps == 1000 else 0.995 ** (steps / 20) < 0.37


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (HalfLife, "half_life, in images, or ramp, a share of the images so far: set one"),
        (lambda: HalfLife(0), "half_life must be greater than 0, got 0"),
        (lambda: HalfLife(ramp=-0.1), "ramp must be greater than 0, got -0.1"),
        (lambda: HalfLife(ramp=0.1), "ramp must be at most ln 2 / 9 = 0.077, got 0.1"),
    ],
)
def test_a_half_life_out_of_range_is_refused(make, sentence):
    assert refused(make) == sentence


def test_the_steepest_ramp_is_the_averages_own():
    """Above it min(decay, t / (t + 9)) would be t / (t + 9) whatever the ramp."""
    decay = HalfLife(ramp=STEEPEST)(Clock(0, 64 * 10**6, 64))
    assert decay == pytest.approx(10**6 / (10**6 + 9), abs=1e-10)


# EMA ---------------------------------------------------------------------------------------------


def one_weight(value):
    network = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    nn.init.constant_(network.weight, value)
    return network


def trailing(decay, weights, start=1.0, share=1.0):
    """The average after each of the trained weights in turn."""
    ema, seen = EMA(one_weight(start), decay), []
    ema.share = share
    for step, weight in enumerate(weights, 1):
        ema.begin(step)
        ema.update(one_weight(weight))
        seen.append(ema.network.weight.item())
    return seen


def test_the_ramp_forgets_the_first_weights_as_one_over_a_binomial():
    """Product of t / (t + 9) for t = 1..n is 1 / C(n + 9, 9); without a ramp it is decay^n."""
    got = trailing(0.999, [0.0] * 20)
    assert got == pytest.approx([1 / math.comb(n + 9, 9) for n in range(1, 21)], rel=1e-12)
    assert got[0] == pytest.approx(0.1)
    assert all(a < 0.5 * 0.999**n for n, a in enumerate(got, 1)), "a plain average is not rejected"


def test_after_the_ramp_the_decay_is_the_one_asked_for():
    """decay = 1/2 is reached at t = 9, where t / (t + 9) = 1/2."""
    got = trailing(0.5, [0.0] * 15)
    want = [
        1 / math.comb(n + 9, 9) if n <= 9 else 0.5 ** (n - 9) / math.comb(18, 9) for n in range(16)
    ]
    assert got == pytest.approx(want[1:], rel=1e-12)


def test_the_average_is_a_weighted_mean_of_all_weights():
    """a_n = sum over t of (1 - b_t) w_t times the later b; lerp's ends exchanged are rejected."""
    weights, decay = [3.0, -1.0, 0.5, 8.0, 2.0], 0.3
    b = [min(decay, t / (t + 9)) for t in range(1, 6)]
    want = math.prod(b) + sum((1 - b[t]) * w * math.prod(b[t + 1 :]) for t, w in enumerate(weights))
    got = trailing(decay, weights)[-1]
    assert got == pytest.approx(want, rel=1e-12)
    swapped = 1.0
    for beta, w in zip(b, weights, strict=True):
        swapped = (1 - beta) * swapped + beta * w
    assert abs(swapped - want) > 0.1


def test_a_share_in_memory_makes_the_same_average():
    """A graph reads it there."""
    weights = [3.0, -1.0, 0.5, 8.0, 2.0] * 4
    share = torch.tensor(1.0, dtype=torch.float64)
    assert trailing(0.9, weights, share=share) == pytest.approx(trailing(0.9, weights), rel=1e-12)
    assert share.item() == pytest.approx(1 - 20 / 29)


def test_decay_zero_keeps_no_past():
    assert trailing(0.0, [3.0, -1.0]) == [3.0, -1.0]


def test_buffers_are_copied_and_the_copy_is_not_trainable():
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    ema = EMA(network, 0.9)
    assert not any(p.requires_grad for p in ema.parameters())
    assert not ema.network.training
    with torch.no_grad():
        network(torch.full((4, 2), 7.0) + torch.randn(4, 2))  # moves the running statistics only
    assert not torch.equal(ema.network[1].running_mean, network[1].running_mean)
    ema.begin(1)
    ema.update(network)
    for mine, theirs in zip(ema.network.buffers(), network.buffers(), strict=True):
        assert torch.equal(mine, theirs)
    assert ema.network[1].num_batches_tracked == 1
    assert all(p.requires_grad for p in network.parameters())
    assert not any(
        p.data_ptr() == q.data_ptr() for p in network.parameters() for q in ema.parameters()
    )


@pytest.mark.parametrize("decay", [1, 1.5, -0.1, math.nan])
def test_a_decay_out_of_range_is_refused(decay):
    sentence = f"ema must be at least 0 and less than 1, got {decay}"
    assert refused(lambda: EMA(nn.Linear(1, 1), decay)) == sentence


# Latent ------------------------------------------------------------------------------------------


def moments(z):
    """Mean, variance and kurtosis (3 for a normal, 9/5 for a uniform distribution)."""
    z = z.double().flatten()
    centered = z - z.mean()
    variance = centered.square().mean()
    return z.mean().item(), variance.item(), (centered**4).mean().item() / variance.item() ** 2


def test_gaussian_noise_is_standard_normal():
    z = Gaussian(50).sample(4000, stream("cpu", 1))
    assert z.shape == (4000, 50)
    mean, variance, kurtosis = moments(z)  # 200,000 draws: 4 standard errors each
    assert mean == pytest.approx(0, abs=4 * (1 / 2e5) ** 0.5)
    assert variance == pytest.approx(1, abs=4 * (2 / 2e5) ** 0.5)
    assert kurtosis == pytest.approx(3, abs=4 * (24 / 2e5) ** 0.5)


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (2.0, 5.0)])
def test_uniform_noise_fills_its_range(low, high):
    z, width = Uniform(50, low, high).sample(4000, stream("cpu", 1)), high - low
    assert z.shape == (4000, 50)
    assert low <= z.min() < low + 1e-3 * width
    assert high - 1e-3 * width < z.max() <= high
    mean, variance, kurtosis = moments(z)
    assert mean == pytest.approx((low + high) / 2, abs=4 * width * (1 / 12 / 2e5) ** 0.5)
    assert variance == pytest.approx(width**2 / 12, rel=0.01)
    assert kurtosis == pytest.approx(9 / 5, abs=0.02)


def test_the_paper_of_dcgan_draws_from_minus_one_to_one():
    assert (Uniform().dim, Uniform().low, Uniform().high) == (100, -1.0, 1.0)
    assert Gaussian().dim == 100


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Gaussian(0), "dim must be at least 1, got 0"),
        (lambda: Uniform(-3), "dim must be at least 1, got -3"),
        (lambda: Uniform(2, 1.0, 1.0), "low must be less than high, got low=1.0, high=1.0"),
        (lambda: Uniform(2, 1, -1), "low must be less than high, got low=1, high=-1"),
        (lambda: Uniform(2, math.nan), "low must be less than high, got low=nan, high=1.0"),
    ],
)
def test_priors_refuse_values_out_of_range(make, sentence):
    assert refused(make) == sentence


@pytest.mark.parametrize("latent", [Gaussian(3), Uniform(3)], ids=["gaussian", "uniform"])
def test_noise_is_a_function_of_the_key_alone(latent):
    """Neither the global random state nor earlier draws matter, and none is touched."""
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = latent.sample(5, stream("cpu", 3, 4))
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(2)
    assert torch.equal(first, latent.sample(5, stream("cpu", 3, 4)))


def test_rows_of_noise_do_not_repeat_within_a_draw_or_across_draws():
    generator = stream("cpu", 3, 4)
    rows = torch.cat([Gaussian(3).sample(5, generator) for _ in range(2)])
    assert len(rows.unique(dim=0)) == 10


def test_different_keys_give_different_noise_and_seeds():
    """Every element of the key and their order count, for neighbouring seeds and iterations."""
    keys = [(seed, kind, step) for seed in range(6) for kind in range(1, 5) for step in range(50)]
    assert len({mixed(*key) for key in keys}) == len(keys)
    assert len({sum(key) for key in keys}) < len(keys), "a plain sum would pass as well"
    first = {tuple(Gaussian(2).sample(1, stream("cpu", *key)).flatten().tolist()) for key in keys}
    assert len(first) == len(keys)


def test_mixed_is_a_fixed_63_bit_function():
    """Old runs can be repeated only if this never changes."""
    assert mixed(0, 1) == 2918264622725855778
    assert mixed(7, 2, 100_000) == 971523846595863976
    values = [mixed(0, i) for i in range(200)]
    assert all(0 <= value < 2**63 for value in values)
    bits = np.array([[value >> i & 1 for i in range(63)] for value in values]).mean(axis=0)
    assert bits.min() > 0.3
    assert bits.max() < 0.7


def test_negative_keys_are_refused():
    with pytest.raises(ValueError):
        mixed(-1)


# Spec --------------------------------------------------------------------------------------------


def test_a_spec_says_its_shape():
    spec = ImageSpec(3, 32, 10)
    assert spec.shape == (3, 32, 32)
    assert str(spec) == "3 x 32 x 32"
    assert ImageSpec(1, 28).classes == 0
    assert ImageSpec(1, 28) == ImageSpec(1, 28, 0) != ImageSpec(1, 28, 2)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ((0, 8), "channels must be at least 1, got 0"),
        ((1, 0), "size must be at least 1, got 0"),
        ((0, -1), "channels must be at least 1, got 0; size must be at least 1, got -1"),
        ((1, 8, -1), "classes must be at least 0, got -1"),
    ],
)
def test_a_spec_out_of_range_is_refused(values, sentence):
    assert refused(lambda: ImageSpec(*values)) == sentence


def test_ranges_pass_none_and_their_ends_and_name_every_offender():
    at_least(1, a=1, b=None, c=1.5)
    positive(a=1e-9, b=None)
    assert refused(lambda: at_least(1, a=0, b=2, c=-3)) == (
        "a must be at least 1, got 0; c must be at least 1, got -3"
    )
    assert refused(lambda: positive(a=0, b=1, c=-1)) == (
        "a must be greater than 0, got 0; c must be greater than 0, got -1"
    )


def test_nan_is_out_of_every_range():
    """The usual comparison, `value < minimum`, lets NaN pass."""
    nan = math.nan
    assert not nan < 0
    assert refused(lambda: at_least(0, a=nan)) == "a must be at least 0, got nan"
    assert refused(lambda: positive(a=nan)) == "a must be greater than 0, got nan"


def test_choices_are_listed():
    one_of(("a", "b"), name="b")
    assert refused(lambda: one_of(("a", "b"), name="c")) == "name must be one of a, b; got 'c'"


# Observations ------------------------------------------------------------------------------------


def test_reading_gives_means_since_the_last_reading_and_empties():
    seen = Observations(torch.sigmoid)
    for value in (1.0, 2.0, 6.0):
        seen.add("loss/d", torch.tensor(value, requires_grad=True) * 1)
    seen.add("loss/g", torch.tensor(-0.5, dtype=torch.float64))
    assert seen.read() == {"loss/d": 3.0, "loss/g": -0.5}
    assert seen.read() == {}
    seen.add("loss/d", torch.tensor(8.0))
    assert seen.read() == {"loss/d": 8.0}


def test_scores_average_over_images_not_over_minibatches():
    """A mean of the minibatches' means is wrong where they are unequal: rejected."""
    seen = Observations(torch.sigmoid)
    real = [torch.tensor([1.0, 2.0, 3.0]), torch.tensor([-4.0])]
    fake = [torch.tensor([-1.0, 0.0, 0.5]), torch.tensor([2.0])]
    seen.add("loss/d", torch.tensor(0.0))
    for pair in zip(real, fake, strict=True):
        seen.add_logits(*pair)
    read = seen.read()
    for name, logits in (("D(x)", real), ("D(G(z))", fake)):
        probabilities = [1 / (1 + math.exp(-x)) for part in logits for x in part.tolist()]
        assert read[name] == pytest.approx(sum(probabilities) / 4, rel=1e-6)
        wrong = sum(part.sigmoid().mean().item() for part in logits) / 2
        assert read[name] != pytest.approx(wrong, rel=0.05)
    seen.add("loss/d", torch.tensor(0.0))
    assert seen.read() == {"loss/d": 0.0}, "logits were not emptied"


def test_the_score_is_of_logits_and_not_of_their_mean():
    seen = Observations(torch.square)
    seen.add("x", torch.tensor(0.0))
    seen.add_logits(torch.tensor([-1.0, 1.0]), torch.tensor([-2.0, 2.0]))
    assert seen.read() == {"x": 0.0, "D(x)": 1.0, "D(G(z))": 4.0}


@pytest.mark.parametrize(("value", "text"), [(math.nan, "nan"), (math.inf, "inf")])
def test_values_that_are_not_finite_are_named(value, text):
    seen = Observations(torch.sigmoid)
    seen.add("loss/d", torch.tensor(1.0))
    seen.add("loss/g", torch.tensor(1.0))
    seen.add("loss/g", torch.tensor(value))
    seen.add("penalty/r1", torch.tensor(value))
    with pytest.raises(NonFiniteError) as error:
        seen.read()
    assert str(error.value) == f"loss/g is {text}, penalty/r1 is {text}"


def test_a_logit_that_is_not_finite_is_named():
    seen = Observations(lambda logits: logits)
    seen.add("loss/d", torch.tensor(1.0))
    seen.add_logits(torch.tensor([0.0]), torch.tensor([math.nan]))
    with pytest.raises(NonFiniteError, match=r"^D\(G\(z\)\) is nan$"):
        seen.read()


def test_observing_keeps_no_graph():
    seen, x = Observations(torch.sigmoid), torch.ones(2, requires_grad=True)
    seen.add("a", x.sum())
    seen.add_logits(2 * x, 3 * x)
    held = [*seen._scalars["a"], *seen._logits[0]]
    assert len(held) == 3
    assert not any(tensor.requires_grad for tensor in held)


# Pictures ----------------------------------------------------------------------------------------


def test_pixels_of_minus_one_zero_and_one():
    pixels = to_pixels(torch.tensor([-1.0, 0.0, 1.0]).view(1, 3, 1, 1))
    assert pixels.dtype == np.uint8
    assert pixels.tolist() == [[[[0, 128, 255]]]]


def test_pixels_invert_how_data_is_read():
    """All 256 levels come back; truncation in place of rounding is rejected."""
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    read = levels.float().div(127.5).sub(1)
    assert to_pixels(read)[0, :, :, 0].tolist() == levels[0, 0].tolist()
    assert not torch.equal(read.add(1).mul(127.5).to(torch.uint8), levels)


def test_pixels_beyond_the_range_are_clamped_not_wrapped():
    assert to_pixels(torch.tensor([-1.5, 1.5]).view(2, 1, 1, 1)).flatten().tolist() == [0, 255]


def test_pixels_are_row_column_channel():
    images = torch.zeros(1, 3, 2, 4)
    images[0, 2, 1, 3] = 1
    pixels = to_pixels(images)
    assert pixels.shape == (1, 2, 4, 3)
    assert np.argwhere(pixels == 255).tolist() == [[0, 1, 3, 2]]


@pytest.mark.parametrize(
    ("size", "factor"), [(8, 7), (16, 4), (28, 2), (32, 2), (56, 1), (64, 1), (128, 1)]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_grid_is_square_with_small_images_enlarged(size, factor, channels):
    """10 images: 4 columns and 3 rows of tiles, 2 pixels of padding around each."""
    sheet = grid(torch.rand(10, channels, size, size))
    tile = size * factor
    assert sheet.shape == (3 * (tile + 2) + 2, 4 * (tile + 2) + 2, 3)
    assert sheet.dtype == np.uint8


@pytest.mark.parametrize("channels", [1, 3])
def test_a_grid_shows_each_image_in_its_place_unsmoothed(channels):
    """Row by row, each pixel a block; the padding is white; grey images are equal in R, G, B."""
    levels = torch.randint(0, 255, (5, channels, 16, 16), dtype=torch.uint8)
    sheet = grid(levels.float() / 127.5 - 1, columns=3)
    assert sheet.shape == (2 * 66 + 2, 3 * 66 + 2, 3)
    assert (sheet[:2] == 255).all()
    for i, image in enumerate(levels):
        row, column = divmod(i, 3)
        tile = sheet[2 + 66 * row :, 2 + 66 * column :][:64, :64]
        want = image.permute(1, 2, 0).expand(16, 16, 3).numpy().repeat(4, axis=0).repeat(4, axis=1)
        assert np.array_equal(tile, want)
        assert not np.array_equal(tile, want.transpose(1, 0, 2)), "a transposed tile would pass"


@pytest.mark.parametrize("shape", [(5, 7, 3), (5, 7, 1)], ids=["rgb", "grey"])
def test_a_saved_picture_reads_back_exactly_and_leaves_no_part(tmp_path, shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    save(tmp_path / "a.png", pixels)
    with Image.open(tmp_path / "a.png") as image:
        assert image.format == "PNG"
        assert image.mode == ("RGB" if shape[-1] == 3 else "L")
        assert np.array_equal(np.asarray(image), pixels.squeeze())
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_save_that_fails_leaves_the_old_picture(tmp_path, monkeypatch):
    """A writer that dies halfway must not destroy what was there."""
    save(tmp_path / "a.png", np.zeros((2, 2, 3), np.uint8))
    before = (tmp_path / "a.png").read_bytes()

    def dies(self, content):
        self.write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_bytes", dies)
    with pytest.raises(OSError, match="disk full"):
        save(tmp_path / "a.png", np.ones((2, 2, 3), np.uint8))
    assert (tmp_path / "a.png").read_bytes() == before


def test_an_animation_has_a_frame_for_each_picture_and_lingers_on_the_last(tmp_path):
    frames = [tmp_path / f"{i}.png" for i in range(4)]
    for i, frame in enumerate(frames):
        save(frame, np.full((6, 9, 3), 60 * i, np.uint8))
    animate(frames, tmp_path / "a.gif", seconds=0.2)
    with Image.open(tmp_path / "a.gif") as gif:
        assert (gif.format, gif.n_frames, gif.size) == ("GIF", 4, (9, 6))
        assert gif.info["loop"] == 0
        seen = []
        for i in range(4):
            gif.seek(i)
            seen.append((gif.convert("RGB").getpixel((3, 3))[0], gif.info["duration"]))
    assert seen == [(0, 200), (60, 200), (120, 200), (180, 1600)]
    assert not list(tmp_path.glob(".*"))


def test_an_animation_of_nothing_is_nothing(tmp_path):
    animate(iter([]), tmp_path / "a.gif")
    assert not list(tmp_path.iterdir())


# Regularizers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_gradient_penalty_works_in_the_images_precision(dtype):
    """Whatever torch's default is; D(x) = <w, x> with |w| = 3 costs 10 (3 - 1)^2."""
    real, fake = torch.randn(2, 4, 1, 3, 3).to(dtype)
    critic = lambda images: images.flatten(1).sum(dim=1)
    seen = [Output(images, images.new_zeros(4, 0), critic(images)) for images in (real, fake)]
    penalty = GradientPenalty(weight=10.0).d_term(Discrimination(critic, *seen))
    assert penalty.dtype == dtype
    assert penalty.item() == pytest.approx(40)


# Experiment --------------------------------------------------------------------------------------


def experiment(**values):
    """An Experiment of which nothing is built."""
    required = [f.name for f in fields(Experiment) if f.default is f.default_factory is MISSING]
    return Experiment(**{name: {} for name in required}, **values)


def test_seeds_that_would_repeat_other_streams_are_refused():
    """Beyond 32 bits a seed counts as two elements of the key."""
    assert mixed(2**32, 7) == mixed(0, 1, 7)
    assert experiment(seed=2**32 - 1).seed == 2**32 - 1
    sentence = "seed must be less than 2^32, got 4294967296"
    assert refused(lambda: experiment(seed=2**32)) == sentence


# Optim -------------------------------------------------------------------------------------------


def weight(*values):
    return nn.Parameter(torch.tensor(values))


@pytest.mark.parametrize("optimizer", [adam(), partial(torch.optim.SGD, lr=0.1)])
def test_optimizers_are_fused_where_they_can_be_and_the_caller_allows_it(optimizer):
    rule = UpdateRule(optimizer)
    assert rule.build([weight(1.0)], fused=True).defaults["fused"] is True
    assert not rule.build([weight(1.0)], fused=False).defaults["fused"]


@pytest.mark.parametrize("options", [{"fused": False}, {"foreach": True}, {"foreach": False}])
def test_a_form_that_was_asked_for_is_kept(options):
    optimizer = partial(torch.optim.Adam, lr=0.1, **options)
    made = UpdateRule(optimizer).build([weight(1.0)], fused=True)
    assert not made.defaults["fused"]
    assert {name: made.defaults[name] for name in options} == options


def test_optimizers_without_a_fused_form_are_built_plainly():
    made = UpdateRule(partial(torch.optim.RMSprop, lr=0.1)).build([weight(1.0)], fused=True)
    assert isinstance(made, torch.optim.RMSprop)
    on_meta = nn.Parameter(torch.empty(1, device="meta"))
    assert not UpdateRule(adam()).build([on_meta], fused=True).defaults["fused"]
    lambdas = UpdateRule(lambda parameters: torch.optim.SGD(parameters, lr=0.5))
    assert lambdas.build([weight(1.0)], fused=True).defaults["lr"] == 0.5


def test_parameters_may_be_a_generator():
    network = nn.Linear(2, 2)
    made = UpdateRule(adam()).build(network.parameters(), fused=True)
    assert len(made.param_groups[0]["params"]) == 2


def test_rates_are_factors_of_the_first_rate_and_do_not_compound():
    rule = UpdateRule(partial(torch.optim.SGD, lr=0.8), Linear())
    optimizer = rule.build(
        [{"params": [weight(1.0)]}, {"params": [weight(2.0)], "lr": 0.2}], fused=False
    )
    for progress, want in ((0.0, [0.8, 0.2]), (0.5, [0.4, 0.1]), (0.5, [0.4, 0.1]), (1.0, [0, 0])):
        rule.begin(optimizer, Clock(progress, 0, 1))
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx(want)


def test_rates_go_on_after_the_optimizers_state_is_restored():
    """The base rate is part of the state: what is restored halfway is not halved twice."""
    rule = UpdateRule(partial(torch.optim.SGD, lr=0.8), Linear())
    old, new = (rule.build([weight(1.0)], fused=False) for _ in range(2))
    rule.begin(old, Clock(0.5, 0, 1))
    new.load_state_dict(old.state_dict())
    rule.begin(new, Clock(0.75, 0, 1))
    assert new.param_groups[0]["lr"] == pytest.approx(0.2)


def test_the_global_norm_is_of_all_gradients_as_one_vector():
    """A sum or the greatest of the tensors' norms is rejected."""
    tensors = [torch.arange(12.0).view(3, 4), -torch.ones(5) * 7, torch.tensor(9.0)]
    want = math.sqrt(sum(x * x for t in tensors for x in t.double().flatten().tolist()))
    got = global_norm(tensors).item()
    assert got == pytest.approx(want, rel=1e-6)
    assert got == pytest.approx(nn.utils.get_total_norm(tensors).item(), rel=1e-6)
    norms = [t.norm().item() for t in tensors]
    assert got != pytest.approx(sum(norms), rel=0.05)
    assert got != pytest.approx(max(norms), rel=0.01)


def test_gradients_are_those_of_all_groups_that_have_one():
    a, b, c = weight(1.0), weight(2.0), weight(3.0)
    optimizer = torch.optim.SGD([{"params": [a, b]}, {"params": [c]}], lr=0.1)
    (2 * a + 5 * c).backward()
    assert [g.item() for g in gradients(optimizer)] == [2, 5]


def test_averaging_nothing_needs_no_process_group():
    average_over_ranks([])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"clip": 0}, "clip must be greater than 0, got 0"),
        ({"clip": -1.0}, "clip must be greater than 0, got -1.0"),
        ({"accumulate": 0}, "accumulate must be at least 1, got 0"),
    ],
)
def test_an_update_rule_out_of_range_is_refused(options, sentence):
    assert refused(lambda: UpdateRule(adam(), **options)) == sentence


def test_every_configured_optimizer_and_schedule_can_be_built():
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    schedules = sorted((ROOT / "conf" / "schedule").glob("*.yaml"))
    optimizers = sorted((ROOT / "conf" / "optim").glob("*.yaml"))
    assert schedules
    assert optimizers
    for path in schedules:
        assert instantiate(OmegaConf.load(path))(START) == 1
    for path in optimizers:
        made = UpdateRule(instantiate(OmegaConf.load(path))).build([weight(1.0)], fused=True)
        assert isinstance(made, torch.optim.Optimizer)
