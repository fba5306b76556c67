"""StyleGAN2's layers against plain float64 references, its networks, and path length.

Wrong versions are kept beside the right ones, and are told apart.
"""

import copy
import itertools
import math

import pytest
import torch
from torch import nn
from torch.nn.functional import leaky_relu, one_hot

from commands import completed, run_train, runs_in, stop_after
from conftest import differing, fit, same, small_gan, weights
from ganlab.conditioning import Projection
from ganlab.experiments.experiment import Experiment
from ganlab.experiments.session import quiet_lightning
from ganlab.gan import GAN
from ganlab.networks import DCGANGenerator, StyleGAN2Discriminator, StyleGAN2Generator
from ganlab.networks.contract import Generator
from ganlab.networks.discriminator import MinibatchStd
from ganlab.networks.equalized import Activation, Conv, Dense
from ganlab.networks.mapping import Mapping
from ganlab.networks.modulation import ModulatedConv
from ganlab.networks.resampling import LowPass
from ganlab.networks.stylegan2 import NoiseInput
from ganlab.regularizers import R1, PathLength
from ganlab.spec import ImageSpec
from ganlab.storage import checkpoint
from ganlab.training.terms import Discrimination, Generation, Output
from graphs import apart

TAPS = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def double(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def tiny_g(spec, latent=6, code=0, **options):
    """A generator of 4 channels whose noise inputs do something."""
    chosen = {"base": 4 * spec.size, "most": 4, "w_dim": 5, "mapping_layers": 2, **options}
    made = StyleGAN2Generator(spec, latent + code, code, **chosen)
    for module in made.modules():
        if isinstance(module, NoiseInput):
            module.strength.data.fill_(0.1)
    return made


def tiny_d(spec, **options):
    return StyleGAN2Discriminator(spec, **{"base": 4 * spec.size, "most": 4, **options})


def styles_of(g, z):
    return g.generate(z)[1]["w"]


# Resampling --------------------------------------------------------------------------------------


def correlated(x, kernel):
    """(H, W) and (k, k) -> (H - k + 1, W - k + 1), pixel by pixel."""
    (h, w), k = x.shape, len(kernel)
    found = x.new_zeros(h - k + 1, w - k + 1)
    for i, j in itertools.product(range(h - k + 1), range(w - k + 1)):
        found[i, j] = (x[i : i + k, j : j + k] * kernel).sum()
    return found


def padded(x, before, after):
    (h, w), total = x.shape, before + after
    found = x.new_zeros(h + total, w + total)
    found[before : before + h, before : before + w] = x
    return found


def stuffed(x):
    """A zero after each pixel, in both directions."""
    found = x.new_zeros(2 * len(x), 2 * x.shape[1])
    found[::2, ::2] = x
    return found


def of_channels(function, x):
    return torch.stack([torch.stack([function(map_) for map_ in image]) for image in x])


@pytest.mark.parametrize("taps", [(1, 3, 3, 1), (1, 2, 1), (1, 1)])
def test_resampling_is_an_explicit_convolution(taps):
    low, x = LowPass(taps).double(), double(2, 3, 6, 6)
    row = torch.tensor(taps, dtype=torch.float64)
    square, n = torch.outer(row, row) / row.sum() ** 2, len(taps)
    up = lambda m: correlated(padded(stuffed(m), n - 1 - (n - 2) // 2, n), 4 * square)[:12, :12]
    down = lambda m: correlated(padded(m, (n - 1) // 2, n), square)[:6:2, :6:2]
    blur = lambda m: correlated(padded(m, 2, 2), 1.5 * square)
    torch.testing.assert_close(low.up(x), of_channels(up, x))
    torch.testing.assert_close(low.down(x), of_channels(down, x))
    torch.testing.assert_close(low.blur(x, padding=2, gain=1.5), of_channels(blur, x))


def test_resampling_keeps_a_constant_and_a_blur_without_gain_does_not():
    low, flat = LowPass(), torch.ones(1, 1, 8, 8)
    assert low.up(flat)[0, 0, 2:-2, 2:-2].allclose(torch.tensor(1.0))
    assert low.down(flat)[0, 0, 1:-1, 1:-1].allclose(torch.tensor(1.0))
    stuffed_with_zeros = stuffed(flat[0, 0])[None, None]
    inside = lambda gain: low.blur(stuffed_with_zeros, padding=0, gain=gain)[0, 0, 2:-2, 2:-2]
    assert inside(4.0).allclose(torch.tensor(1.0))
    assert inside(1.0).allclose(torch.tensor(0.25))


def test_resampling_of_a_ramp_does_not_move_it():
    """Up and down again: a shift by half a pixel would change a ramp."""
    low, ramp = LowPass(), torch.arange(12.0).expand(1, 1, 12, 12)
    again = low.down(low.up(ramp))
    torch.testing.assert_close(again[..., 2:-2, 2:-2], ramp[..., 2:-2, 2:-2])


# Layers ------------------------------------------------------------------------------------------


def test_equalised_layers_scale_their_weights_in_the_pass():
    dense, x = Dense(50, 40, bias=0.5, rate=0.01).double(), double(3, 50)
    assert dense.weight.std().item() == pytest.approx(100, rel=0.1)
    for row, got in zip(x, dense(x), strict=True):
        for o in range(40):
            want = 0.01 * ((dense.weight[o] * row).sum() / math.sqrt(50) + dense.bias[o])
            torch.testing.assert_close(got[o], want)
    conv, images = Conv(3, 2, 3).double(), double(2, 3, 5, 5)
    conv.bias.data = double(2)
    want = [
        sum(correlated(padded(image[i], 1, 1), conv.weight[o, i]) for i in range(3)) / math.sqrt(27)
        + conv.bias[o]
        for image in images
        for o in range(2)
    ]
    torch.testing.assert_close(conv(images).flatten(0, 1), torch.stack(want))


def test_a_halving_convolution_filters_and_takes_every_other_pixel():
    conv, images = Conv(2, 1, 3, down=True, bias=False).double(), double(1, 2, 6, 6)
    square = torch.outer(TAPS, TAPS) / 64
    filtered = [correlated(padded(image, 2, 2), square) for image in images[0]]
    maps = [correlated(m, conv.weight[0, i])[::2, ::2] for i, m in enumerate(filtered)]
    torch.testing.assert_close(conv(images)[0, 0], sum(maps) / math.sqrt(18))


@pytest.mark.parametrize("width", [16, 256])
def test_an_update_changes_what_a_layer_computes_by_the_same_share_at_any_width(width):
    """Adam's first step moves each weight by its rate: with torch's start it depends on the width.

    The share is the rate; with weights of size 1 / sqrt(fan_in) it would be sqrt(fan_in) times it.
    """
    shares = []
    for layer in (Dense(width, width), nn.Linear(width, width)):
        before = layer.weight.detach().clone()
        layer(torch.randn(64, width)).square().mean().backward()
        torch.optim.Adam([layer.weight], lr=0.01).step()
        shares.append(((layer.weight - before).norm() / before.norm()).item())
    assert shares[0] == pytest.approx(0.01, rel=0.1)
    assert shares[1] == pytest.approx(0.01 * math.sqrt(3 * width), rel=0.1)


def looped(conv, x, w, *, demodulated=True, gain=4.0):
    """A modulated convolution, image by image, weight by weight."""
    weight, found = conv.weight, []
    outputs, fan_in, k, _ = weight.shape
    for image, row in zip(x, w, strict=True):
        style = conv.style.weight @ row / math.sqrt(len(row)) + conv.style.bias
        own = torch.stack(
            [torch.stack([s * m for s, m in zip(style, o, strict=True)]) for o in weight]
        )
        for o in range(outputs):
            length = (own[o].square().sum() + 1e-8).sqrt()
            own[o] = own[o] / (length if demodulated else math.sqrt(fan_in * k * k))
        maps = []
        for o in range(outputs):
            if conv.low is None:
                here = [
                    correlated(padded(image[i], k // 2, k // 2), own[o, i]) for i in range(fan_in)
                ]
            else:  # a transposed convolution is one with the kernel turned around
                here = [
                    correlated(padded(stuffed(image[i])[:-1, :-1], 2, 2), own[o, i].flip(0, 1))
                    for i in range(fan_in)
                ]
            total = sum(here)
            if conv.low is not None:
                total = correlated(padded(total, 1, 1), gain * torch.outer(TAPS, TAPS) / 64)
            maps.append(total)
        found.append(torch.stack(maps))
    return torch.stack(found)


MODULATED = [
    pytest.param({}, id="same size"),
    pytest.param({"up": True}, id="up"),
    pytest.param({"kernel": 1, "demodulate": False}, id="to image"),
]


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("options", MODULATED)
def test_a_modulated_convolution_is_a_loop_over_images(options, grouped):
    conv = ModulatedConv(3, 2, 4, grouped=grouped, **options).double()
    x, w = double(2, 3, 4, 4), double(2, 4)
    demodulated = conv.demodulate
    with torch.no_grad():
        want, got = looped(conv, x, w, demodulated=demodulated), conv(x, w)
        wrong = [looped(conv, x, w, demodulated=not demodulated), looped(conv, x, w.flip(0))]
        wrong += [looped(conv, x, w, gain=1.0)] if conv.low is not None else []
    torch.testing.assert_close(got, want)
    assert all((got - other).abs().max() > 0.01 for other in wrong)


@pytest.mark.parametrize("options", MODULATED)
def test_both_forms_of_a_modulated_convolution_have_the_same_gradients(options):
    conv = ModulatedConv(3, 2, 4, **options).double()
    x, w, found = double(2, 3, 4, 4), double(2, 4).requires_grad_(), []
    for conv.grouped in (False, True):
        (of_w,) = torch.autograd.grad(conv(x, w).square().sum(), w, create_graph=True)
        found.append((of_w, *torch.autograd.grad(of_w.square().sum(), [w, conv.weight])))
    torch.testing.assert_close(*found)


def test_demodulation_keeps_the_variance_whatever_the_style():
    x, spread = torch.randn(4, 32, 16, 16), {}
    for demodulate in (True, False):
        conv = ModulatedConv(32, 32, 8, demodulate=demodulate)
        conv.style.weight.data *= 30
        inside = conv(x, torch.randn(4, 8)).detach()[:, :, 1:-1, 1:-1]
        spread[demodulate] = inside.std(dim=(1, 2, 3))
    assert (spread[True] - 1).abs().max() < 0.15
    assert spread[False].min() > 5


def test_an_activation_keeps_the_mean_square_and_is_clamped_before_its_gain():
    x = torch.randn(10_000)
    assert Activation()(x).square().mean().item() == pytest.approx(1.04, abs=0.05)
    torch.testing.assert_close(Activation()(x), math.sqrt(2) * leaky_relu(x, 0.2))
    assert Activation(gain=0.5, clamp=1.0)(x).max() == 0.5


def test_a_mapping_sees_only_directions():
    mapping, z = Mapping(6, 3, 8, layers=2), torch.randn(4, 6)
    code = torch.eye(3)[[0, 1, 2, 0]]
    w = mapping(z, code)
    torch.testing.assert_close(mapping(5 * z, code), w)
    assert (mapping(z, code.flip(0)) - w).abs().max() > 0.01
    assert (mapping(z.flip(0), code) - w).abs().max() > 0.01


def test_the_minibatchs_deviation_is_a_mean_over_entries():
    x, n = double(4, 3, 2, 2), 3 * 2 * 2
    groups = [x[:2], x[2:]]
    spread = [(g - g.mean(0)).square().mean(0).add(1e-8).sqrt().sum() for g in groups]
    got = MinibatchStd(group=2)(x)[:, 3]
    for i, total in enumerate(spread):
        torch.testing.assert_close(got[2 * i : 2 * i + 2], (total / n).expand(2, 2, 2))
    assert (got[0, 0, 0] - spread[0]).abs() > 0.1, "the sum is another"


# Networks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize(
    "spec",
    [ImageSpec(c, s) for s in (28, 32, 64) for c in (1, 3, 4)] + [ImageSpec(3, 256)],
    ids=str,
)
def test_networks_of_every_size(spec, residual):
    g, d = tiny_g(spec, code=3), tiny_d(spec, residual=residual)
    z = torch.cat([torch.randn(4, 6), torch.eye(3)[[0, 1, 2, 0]]], dim=1)
    images = g(z)
    assert images.shape == (4, *spec.shape)
    logits, features = d.logits_and_features(images)
    assert (logits.shape, features.shape) == ((4,), (4, 4))
    logits.sum().backward()
    assert all(p.grad is not None for n in (g, d) for p in n.parameters())
    w = g.eval().mapping(z)
    assert w.shape == (4, 5)
    each = w.unsqueeze(1).expand(-1, g.layers, -1)
    assert torch.equal(g.synthesis(w), g.synthesis(each))
    assert torch.equal(g.synthesis(w), g(z))


def test_every_layer_has_its_own_style():
    """The last style is of the image's last share alone, and none is without effect."""
    g = tiny_g(ImageSpec(1, 16)).eval()
    w = torch.randn(2, g.layers, 5)
    assert g.layers == 6
    with torch.no_grad():
        images = g.synthesis(w)
        for layer in range(g.layers):
            other = w.clone()
            other[:, layer] = 1
            assert not torch.equal(g.synthesis(other), images)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"mixing": 1.5}, "mixing must be at most 1, got 1.5"),
        ({"mixing": -1.0}, "mixing must be at least 0, got -1.0"),
        ({"base": 15}, "base must be at least 16, got 15"),
        ({"most": 0}, "most must be at least 1, got 0"),
        ({"mapping_layers": 0}, "mapping_layers must be at least 1, got 0"),
        ({"clamp": 0.0}, "clamp must be greater than 0, got 0.0"),
        ({"bf16_stages": -1}, "bf16_stages must be at least 0, got -1"),
        ({"w_dim": 0}, "w_dim must be at least 1, got 0"),
    ],
)
def test_options_out_of_range_are_refused(options, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        tiny_g(ImageSpec(1, 16), **options)


@pytest.mark.parametrize("make", [tiny_g, tiny_d])
def test_a_size_that_is_none_is_refused(make):
    with pytest.raises(ValueError, match=r"^stylegan2 takes images of size 28 or 8, 16, 32"):
        make(ImageSpec(1, 20))


def test_an_image_is_a_function_of_z_in_evaluation_only():
    g, z = tiny_g(ImageSpec(1, 16)), torch.randn(3, 6)
    assert not torch.equal(g(z), g(z))
    g.eval()
    images = g(z)
    assert torch.equal(g(z), images)
    torch.testing.assert_close(g(z[1:2]), images[1:2])
    assert torch.equal(copy.deepcopy(g)(z), images)
    other = tiny_g(ImageSpec(1, 16)).eval()
    other.load_state_dict(g.state_dict())
    assert torch.equal(other(z), images)


def test_styles_are_mixed_from_one_layer_on():
    """In training: the first layers have the image's own w, all others that of other noise."""
    g, z = tiny_g(ImageSpec(1, 16), code=2, mixing=1.0), torch.randn(5, 8)
    cutoffs = set()
    with torch.no_grad():
        own = g.mapping(z)
        for _ in range(60):
            mine = (styles_of(g, z) == own.unsqueeze(1)).all(dim=2)
            cutoff = int(mine[0].sum())
            assert torch.equal(mine, (torch.arange(g.layers) < cutoff).expand(5, -1))
            cutoffs.add(cutoff)
        assert cutoffs == set(range(1, g.layers)), "the first layer is always the image's own"
        assert torch.equal(styles_of(g.eval(), z), own.unsqueeze(1).expand(-1, g.layers, -1))


@pytest.mark.parametrize("mixing", [0.0, 0.3, 0.9])
def test_styles_are_mixed_as_often_as_asked(mixing):
    g, z = tiny_g(ImageSpec(1, 8), mixing=mixing), torch.randn(2, 6)
    with torch.no_grad():
        own = g.mapping(z)
        mixed = [not torch.equal(styles_of(g, z)[:, -1], own) for _ in range(300)]
    assert sum(mixed) / 300 == pytest.approx(mixing, abs=0.08)


def test_the_mean_of_w_is_followed_in_training_only():
    g = tiny_g(ImageSpec(1, 8), base=8, most=1)
    with torch.no_grad():
        mean = g.mapping(torch.randn(20_000, 6)).mean(dim=0)
        for _ in range(400):
            g(torch.randn(64, 6))
        torch.testing.assert_close(g.w_mean, (1 - 0.995**400) * mean, rtol=0, atol=0.02)
        assert mean.norm() > 0.1
        before = g.w_mean.clone()
        g.eval()(torch.randn(64, 6))
    assert torch.equal(g.w_mean, before)


def test_bfloat16_is_computed_where_it_is_asked_for_and_scales_stay_float32():
    spec = ImageSpec(1, 32)
    g, d = tiny_g(spec, bf16_stages=2), tiny_d(spec, bf16_stages=2)
    seen = {}

    def note(name):
        return lambda _, inputs, output: seen.__setitem__(name, output.dtype)

    for name, module in itertools.chain(g.named_modules(prefix="g"), d.named_modules(prefix="d")):
        if isinstance(module, ModulatedConv | Conv | Dense):
            module.register_forward_hook(note(name))
    scales = g.stages[-1].convs[0].conv.scales(torch.randn(2, 5))
    images = g(torch.randn(4, 6))
    assert [scale.dtype for scale in scales] == [torch.float32] * 2
    assert (images.dtype, d(images).dtype) == (torch.float32, torch.float32)
    of_stages = [seen[f"g.stages.{i}.convs.0.conv"] for i in range(4)]
    assert of_stages == [torch.float32] * 2 + [torch.bfloat16] * 2
    of_d = [seen[f"d.features.{i}.layers.0"] for i in (4, 6, 8)]
    assert of_d == [torch.bfloat16] * 2 + [torch.float32]
    every = tiny_g(spec, bf16_stages=9)
    assert [stage.precision.low for stage in every.stages] == [False, True, True, True]


def test_bfloat16_is_near_float32():
    g = tiny_g(ImageSpec(3, 32), most=16, base=512).eval()
    low, z = copy.deepcopy(g), torch.randn(8, 6)
    for stage in low.stages[1:]:
        stage.precision.low = True
    with torch.no_grad():
        assert 0 < (low(z) - g(z)).norm() / g(z).norm() < 0.03


@pytest.mark.parametrize("network", ["g", "d"])
def test_autocast_leaves_styles_and_images_in_float32(network):
    g, d = tiny_g(ImageSpec(3, 16)), tiny_d(ImageSpec(3, 16))
    z = torch.randn(4, 6)
    with torch.autocast("cpu", torch.bfloat16):
        images, computed = g.generate(z)
        assert (images.dtype, computed["w"].dtype) == (torch.float32, torch.float32)
        output = images if network == "g" else d(images)
        term = PathLength().g_term(generation(g, z))
    (output.float().sum() + term).backward()
    assert all(p.grad.isfinite().all() for p in g.parameters())
    assert term.dtype == torch.float32


# Projection --------------------------------------------------------------------------------------


def test_the_conditional_logit_is_the_authors():
    """<out(features), mapping(class)> / sqrt(width), by the weights."""
    spec = ImageSpec(1, 16, classes=3)
    d, told = tiny_d(spec, mapping_layers=2), Projection(spec)
    told.attach(d)
    d, told = d.double(), told.double()
    images, code = double(4, 1, 16, 16), one_hot(torch.tensor([0, 1, 2, 0]), 3).double()
    scale = lambda layer: layer.rate / math.sqrt(layer.weight.shape[1])
    by = lambda layer, x: x @ layer.weight.T * scale(layer) + layer.rate * layer.bias
    with torch.no_grad():
        out = by(d.head, d.features(images))
        mapping = told.embed.mapping
        y = by(mapping.embedding, code)
        y = y / (y.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()
        for layer in mapping.layers[::2]:
            y = math.sqrt(2) * leaky_relu(by(layer, y), 0.2)
        want = (out * y).sum(dim=1) / 2
        got = told.discriminate(d, images, code).logits
    torch.testing.assert_close(got, want)
    assert len(mapping.layers) == 4


@pytest.mark.parametrize("kind", ["acgan", "infogan", "projection", "concat", "semisupervised"])
def test_every_conditioning_trains(kind):
    words = ("model=stylegan2", f"conditioning={kind}", "trainer=smoke", "logger=csv")
    options = [*words, "model.generator.most=4", "model.discriminator.most=4"]
    if kind == "semisupervised":
        options.append("conditioning.labels_per_class=1")
    quiet_lightning()
    experiment = Experiment(**completed(*options))
    gan = experiment.build()
    before = weights(gan)
    experiment.trainer_with([], []).fit(gan, experiment.image_data(gan))
    assert all(tensor.isfinite().all() for tensor in gan.state_dict().values())
    assert not same(weights(gan), before)


# Gradients of the penalties ----------------------------------------------------------------------


def generation(g, z):
    """An update of G of which only G and its latents matter."""
    empty = torch.zeros(len(z), 1)
    return Generation(g, z, Output(empty, empty, empty))


def disagreement(term, parameters, h=1e-6):
    """Of a term's gradient and a central difference, along a random direction, relatively."""
    along = [torch.randn_like(p) for p in parameters]
    gradients = torch.autograd.grad(term(), parameters, allow_unused=True)
    slope = sum((g * v).sum() for g, v in zip(gradients, along, strict=True) if g is not None)
    ends = []
    for sign in (1, -1):
        moved = [p.data.clone() for p in parameters]
        for p, v in zip(parameters, along, strict=True):
            p.data.add_(sign * h * v)
        ends.append(term().item())
        for p, kept in zip(parameters, moved, strict=True):
            p.data.copy_(kept)
    difference = (ends[0] - ends[1]) / (2 * h)
    assert difference != 0
    return abs(slope.item() / difference - 1)


@pytest.mark.parametrize("residual", [True, False])
def test_the_gradient_of_r1_through_d_is_a_finite_difference(residual):
    d, real = tiny_d(ImageSpec(2, 8), residual=residual).double(), double(4, 2, 8, 8)

    def term():
        output = Output(real, real.new_zeros(4, 0), d(real))
        return R1(gamma=2.0).d_term(Discrimination(d, output, output))

    assert disagreement(term, list(d.parameters())) < 1e-5


@pytest.mark.parametrize("grouped", [False, True])
def test_the_gradient_of_path_length_through_g_is_a_finite_difference(grouped):
    g = tiny_g(ImageSpec(2, 8), grouped=grouped).double()
    z = double(4, 6)

    def term():
        torch.manual_seed(3)
        return PathLength(decay=0.3).g_term(generation(g, z))

    assert disagreement(term, list(g.parameters())) < 1e-5


# Path length -------------------------------------------------------------------------------------


class LinearG(nn.Module):
    """z (N, d) -> A z as images (N, 1, 4, 4)."""

    def __init__(self, d=3):
        super().__init__()
        self.a = nn.Parameter(double(16, d))

    def forward(self, z):
        return (z @ self.a.T).view(-1, 1, 4, 4)


class LinearStyled(LinearG, Generator):
    """Through w = 2 z, the same for three layers of which each adds A w / 3."""

    def generate(self, z):
        w = (2 * z).unsqueeze(1).expand(-1, 3, -1)
        return super().forward(w.mean(dim=1)), {"w": w}


def lengths_and_mean(term, g, z, seed):
    """|J' y| of the first half, from the same noise, and the moving average after it."""
    torch.manual_seed(seed)
    y = torch.randn(len(z) // 2, 1, 4, 4, dtype=torch.float64) / 4
    lengths = (y.flatten(1) @ g.a).norm(dim=1)
    return lengths, 0.9 * term.mean + 0.1 * lengths.mean()


@pytest.mark.parametrize("kind", [LinearG, LinearStyled])
def test_path_length_of_a_linear_generator_in_closed_form(kind):
    g, z, term = kind(), double(8, 3), PathLength(weight=2.0, decay=0.1).double()
    for seed in range(3):
        lengths, mean = lengths_and_mean(term, g, z, seed)
        if kind is LinearStyled:  # the gradient is a third in each of three layers
            lengths, mean = lengths / 3, 0.9 * term.mean + 0.1 * (lengths / 3).mean()
        want = 2 * (lengths - mean).square().mean()
        without = 2 * (lengths - lengths.mean()).square().mean()
        torch.manual_seed(seed)
        got = term.g_term(generation(g, z))
        torch.testing.assert_close(got, want)
        torch.testing.assert_close(term.mean, mean.detach())
        assert not torch.isclose(got, without), "the batch's own mean is another"


def test_expected_squared_lengths_are_the_jacobians_size():
    """E |J' y|^2 = |A|^2 / (H W)."""
    g, term = LinearG(), PathLength()
    lengths = term.lengths(g, double(20_000, 3))
    expected = g.a.square().sum().item() / 16
    assert lengths.square().mean().item() == pytest.approx(expected, rel=0.03)


def test_the_gradient_of_path_length_is_that_of_its_closed_form():
    g, z, term = LinearG(), double(8, 3), PathLength(decay=0.1).double()
    lengths, mean = lengths_and_mean(term, g, z, seed=5)
    (want,) = torch.autograd.grad(2 * (lengths - mean).square().mean(), g.a)
    torch.manual_seed(5)
    (got,) = torch.autograd.grad(term.g_term(generation(g, z)), g.a)
    torch.testing.assert_close(got, want)


def test_path_length_lowers_the_spread_of_lengths():
    """A generator that is trained by the term alone: lengths come near to one another."""
    g, term = tiny_g(ImageSpec(1, 8), noise=False, mixing=0.0), PathLength(decay=0.1)
    rule = torch.optim.Adam(g.parameters(), lr=0.01, betas=(0.0, 0.99))
    z = torch.randn(256, 6)

    def spread():
        torch.manual_seed(1)
        lengths = term.lengths(g, z).detach()
        return (lengths.std() / lengths.mean()).item()

    before = spread()
    for _ in range(60):
        rule.zero_grad()
        term.g_term(generation(g, torch.randn(64, 6))).backward()
        rule.step()
    assert spread() < 0.8 * before


def test_path_length_works_on_other_generators_and_one_image():
    g = DCGANGenerator(ImageSpec(1, 16), 6, width=4)
    term = PathLength().g_term(generation(g, torch.randn(4, 6)))
    term.backward()
    assert all(p.grad.isfinite().all() for p in g.parameters())
    assert PathLength().g_term(generation(tiny_g(ImageSpec(1, 8)), torch.randn(1, 6))) >= 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"decay": 0.0}, "decay must be greater than 0, got 0.0"),
        ({"decay": 1.5}, "decay must be at most 1, got 1.5"),
        ({"weight": -1.0}, "weight must be at least 0, got -1.0"),
        ({"every": 0}, "every must be at least 1, got 0"),
    ],
)
def test_a_path_length_out_of_range_is_refused(options, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        PathLength(**options)


# Training ----------------------------------------------------------------------------------------

SPEC = small_gan().spec
CONDITIONED = {
    "generator": lambda: tiny_g(SPEC, latent=8, code=10),
    "discriminator": lambda: tiny_d(SPEC, mapping_layers=2),
    "conditioning": lambda: Projection(SPEC),
    "regularizers": lambda: {"r1": R1(gamma=0.1, every=4), "path": PathLength(every=2)},
}


@pytest.mark.long
def test_an_iteration_with_lazy_terms_is_captured():
    """And does what Python does, whichever terms are due, with mixed styles and fresh noise."""
    found = apart(CONDITIONED, "cpu")
    assert found.is_close, found
    assert found.eager == 0


def test_bfloat16_trains_without_nan():
    make = {name: made() for name, made in CONDITIONED.items()}
    make["generator"] = tiny_g(SPEC, latent=8, code=10, bf16_stages=3)
    make["discriminator"] = tiny_d(SPEC, mapping_layers=2, bf16_stages=3)
    gan = small_gan(8, **make)
    before = weights(gan)
    fit(gan)
    assert all(tensor.isfinite().all() for tensor in gan.state_dict().values())
    assert not same(weights(gan), before)


WORDS = (
    *("model=stylegan2", "conditioning=projection", "regularizer=[r1,path_length]"),
    *("model.generator.most=4", "model.discriminator.most=4", "latent.dim=6"),
    *("trainer=smoke", "logger=csv", "regularizer.r1.every=3", "regularizer.path_length.every=2"),
)


def last(run):
    return checkpoint.read(checkpoint.listed(run / "checkpoints")[-1])


@pytest.mark.long
def test_a_run_that_is_stopped_goes_on_exactly(tmp_path, monkeypatch):
    """Stopped after 5 of 9 iterations: no multiple of the terms' periods."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"

    def train(folder):
        return run_train(*WORDS, "iterations=9", "ema=0.9", f"output_dir={folder}").code

    with monkeypatch.context() as patch:
        stop_after(5, patch)
        assert train(parts) == 130
    assert last(runs_in(parts)[0])["iterations"] == 5
    assert (train(parts), train(whole)) == (0, 0)
    (one,), (other,) = runs_in(whole), runs_in(parts)
    mine, theirs = last(one), last(other)
    assert (mine["iterations"], theirs["iterations"]) == (9, 9)
    assert differing(mine["state_dict"], theirs["state_dict"]) == []
    assert mine["state_dict"]["regularizers.path_length.mean"] > 0
    assert mine["state_dict"]["generator.w_mean"].norm() > 0


@pytest.mark.parametrize("recipe", ["stylegan2_ada", "stylegan2_f"])
def test_the_recipes_have_the_lazy_factors_of_the_authors(recipe):
    config = completed(f"experiment={recipe}")
    rate, r1 = {"stylegan2_ada": (2.5e-3, 0.01), "stylegan2_f": (2e-3, 0.0002 * 32**2 / 32)}[recipe]
    for player, every in (("g", 4), ("d", 16)):
        rule, factor = config[f"{player}_optimizer"], every / (every + 1)
        assert rule["lr"] == pytest.approx(rate * factor, rel=1e-3)
        assert rule["betas"] == pytest.approx([0.0, 0.99**factor], abs=1e-6)
    assert (config["regularizer"]["r1"]["gamma"], config["regularizer"]["r1"]["every"]) == (r1, 16)
    assert ("path_length" in config["regularizer"]) == (recipe == "stylegan2_f")


def test_a_gan_knows_the_generators_w():
    gan = small_gan(generator=tiny_g(SPEC, latent=8), discriminator=tiny_d(SPEC))
    assert isinstance(gan, GAN)
    images, computed = gan._generated(torch.randn(2, 8))
    assert (images.shape[0], computed["w"].shape) == (2, (2, gan.generator.layers, 5))
