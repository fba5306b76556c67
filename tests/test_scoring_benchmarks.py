"""The benchmarks of scoring measure the product's pass, and see arithmetic that would move FID."""

import itertools
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d

import arithmetic
import inception_weights
import scoring
from arithmetic import Rounded, ThreeProducts, replaced, tf32
from ganlab.metrics.inceptionv3 import Inception
from ganlab.scoring import extraction


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return str(inception_weights.make(tmp_path_factory.mktemp("weights") / "random.pth"))


@pytest.mark.long
def test_throughput_passes_all_images_by_the_products_own_parts(file, monkeypatch):
    """By a clock that counts the images that the network was given; eigenvalues are left out."""
    given, forward = [], Inception.forward
    monkeypatch.setattr("ganlab.scoring.measures.frechet_distance", lambda *_: 0.0)
    monkeypatch.setattr(extraction, "CPU_PART", 8)
    monkeypatch.setattr(
        Inception, "forward", lambda self, x: given.append(len(x)) or forward(self, x)
    )
    readings = itertools.count(1)
    clock = SimpleNamespace(perf_counter=lambda: sum(given) + next(readings) / 1000)
    monkeypatch.setattr(scoring, "time", clock)
    found = scoring.throughput("cpu", 10, file)
    assert given == [8, 2] * 3  # real, generated, and a whole scoring
    seconds = {"real": 10.001, "extraction": 10.001, "scoring": 10.001}
    seconds |= {"generation": 0.001, "sums": 0.001}  # what the network takes no part in
    rates = {name: 10 / taken for name, taken in seconds.items()}
    assert found.pop("memory") > 100
    assert found == pytest.approx({**rates, "scores": 0.001})


@pytest.fixture(scope="module")
def sets():
    """Ten images, and the same but for two."""
    real = scoring.images(10, 32, 0)
    fake = real.clone()
    fake[:2] = scoring.images(2, 32, 1)
    return SimpleNamespace(real=real, fake=fake)


@pytest.mark.long
def test_the_product_agrees_with_float64_and_tf32_would_not(file, monkeypatch):
    known = {}

    class Once(scoring.InFloat64):
        """The slow half is computed once for each picture."""

        def vectors(self, pixels):
            for image in pixels.split(1):
                key = image.numpy().tobytes()
                known[key] = known[key] if key in known else super().vectors(image)
            return torch.cat([known[image.numpy().tobytes()] for image in pixels])

    monkeypatch.setattr(scoring, "InFloat64", Once)
    found = scoring.agreement("cpu", 10, file, dims=128)
    assert found["difference"] == abs(found["product"] / found["float64"] - 1) < 1e-4
    assert found["product"] > 0.1

    def rounded(file):
        return replaced(Inception(file), lambda conv: Rounded(conv, nearest=True))

    monkeypatch.setattr(scoring, "Inception", rounded)
    assert scoring.agreement("cpu", 10, file, dims=128)["difference"] > 1e-4


def numbers(*shape):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(*shape, generator=generator) * 10.0 ** torch.randn(1, generator=generator)


def test_tf32_has_ten_bits_and_is_nearest_or_nearer_to_0():
    x = numbers(10_000)
    near, cut = tf32(x), tf32(x, nearest=False)
    mantissa, _ = torch.frexp(near)
    assert torch.equal(mantissa * 2**11, (mantissa * 2**11).round())
    assert ((near - x).abs() <= x.abs() * 2**-11).all()
    assert (cut.abs() <= x.abs()).all()
    assert ((cut - x).abs() < x.abs() * 2**-10).all()
    assert ((cut - x).abs() > x.abs() * 2**-11).any()
    assert torch.equal(tf32(near), near)
    rest = x - near
    assert ((tf32(rest) - rest).abs() <= x.abs() * 2**-22).all()


def test_three_products_are_a_convolution_and_one_is_not():
    """Against float64; the relative error of one product of TF32 is of the order of 1e-4."""
    conv, x = nn.Conv2d(64, 32, 3, stride=2, padding=1), numbers(4, 64, 9, 9)
    exact = conv.double()(x.double())
    conv.float()
    off = lambda made: ((made(x).double() - exact).norm() / exact.norm()).item()
    with torch.no_grad():
        assert off(ThreeProducts(conv)) < 2e-6
        assert off(Rounded(conv, nearest=True)) > 1e-4


def by_two_kernels(x, weight, bias, stride, padding, dilation, groups):
    return conv2d(x, weight, bias, stride, padding, dilation, groups).relu()


@pytest.mark.parametrize(
    ("way", "changed"),
    [
        ("nchw", arithmetic.ChannelsFirst),
        ("fused", arithmetic.Fused),
        ("tf32x3", ThreeProducts),
        ("nearest", Rounded),
    ],
)
def test_every_way_is_the_same_network(way, changed, file, sets, monkeypatch):
    """But for rounding; cuDNN's fused kernel has a stand-in."""
    monkeypatch.setattr(torch, "cudnn_convolution_relu", by_two_kernels)
    image, plain = sets.real[:1], Inception(file)
    made = arithmetic.WAYS[way](Inception(file))
    count = sum(isinstance(module, changed) for module in made.modules())
    convolutions = sum(isinstance(module, nn.Conv2d) for module in plain.modules())
    averaged = 8  # whose ReLU comes after a mean
    assert count == {"nchw": 1, "fused": convolutions - averaged}.get(way, convolutions)
    expected = plain(image).vectors
    error = (made(image).vectors - expected).norm() / expected.norm()
    assert error < 2e-5 if way != "nearest" else 1e-4 < error < 0.05


def test_a_way_that_the_device_cannot_go_is_named_and_the_others_go_on(file, sets):
    row = arithmetic.row("fused", file, "cpu", sets, torch.zeros(1, 2048), (1.0, 0.0, 1.0, 1.0))
    assert row[0] == "fused"
    assert row[1].startswith("refused: ")
