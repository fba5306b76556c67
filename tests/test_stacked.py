"""Stacked MNIST: three digits a picture, a thousand classes."""

import numpy as np
import pytest
import torch

from ganlab.data import MNIST, ImageData, StackedMNIST
from ganlab.data.images import resized
from ganlab.errors import DataError
from ganlab.metrics import class_balance
from test_data import write_mnist


def source(root, **options):
    return StackedMNIST(root, **{"download": False, "n": 50, **options})


def digits_of(labels):
    """(N, 3): hundreds, tens, ones."""
    return torch.stack([labels // 100, labels // 10 % 10, labels % 10], dim=1)


def test_each_channel_is_a_digit_and_the_label_says_which(tmp_path, monkeypatch):
    """Red counts hundreds.  Every pixel, against all of MNIST's images."""
    digits, labels = write_mnist(tmp_path, monkeypatch)["train"]
    images, classes = source(tmp_path).read()
    assert (images.shape, images.dtype) == ((50, 3, 28, 28), torch.uint8)
    assert (classes.shape, classes.dtype) == ((50,), torch.int64)
    for image, named in zip(images.numpy(), digits_of(classes).tolist(), strict=True):
        for channel, digit in zip(image, named, strict=True):
            (found,) = np.flatnonzero((digits[:, 0] == channel).all(axis=(1, 2)))
            assert labels[found] == digit


def test_the_digits_of_an_image_are_drawn_apart(tmp_path, monkeypatch):
    """All 216 triples of six digits come up, about equally often: 5 standard errors of 100."""
    digits, _ = write_mnist(tmp_path, monkeypatch)["train"]
    images, _ = source(tmp_path, n=21_600).read()
    first = torch.from_numpy(digits[:, 0, 0, 0].astype(np.int64))
    assert len(first.unique()) == 6
    which = (images[:, :, 0, 0].long().unsqueeze(2) == first).long().argmax(dim=2)
    count = (which @ torch.tensor([36, 6, 1])).bincount(minlength=216)
    assert (count - 100).abs().max() < 50


def test_the_draw_is_a_function_of_its_seed_alone(tmp_path, monkeypatch):
    write_mnist(tmp_path, monkeypatch)
    first = source(tmp_path, seed=1).read()
    torch.manual_seed(99)
    state = torch.get_rng_state()
    again, other = (source(tmp_path, seed=seed).read() for seed in (1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, other.images)
    fewer = source(tmp_path, seed=1, n=20).read()
    assert torch.equal(fewer.images, first.images[:20])
    assert torch.equal(fewer.labels, first.labels[:20])


def test_the_test_part_is_of_mnists_test_digits(tmp_path, monkeypatch):
    written = write_mnist(tmp_path, monkeypatch)
    made = source(tmp_path, size=16, seed=3)
    images, labels = ImageData(made, 4, 1, 5).test_images()
    assert images.shape == (50, 3, 16, 16)
    known = resized(torch.from_numpy(written["test"][0]), 16).flatten(1).tolist()
    assert all(channel in known for channel in images[:20].flatten(0, 1).flatten(1).tolist())
    held_out = made.test()
    assert (held_out.seed, held_out.digits.download) == (3, False)
    assert held_out.test() is None
    assert source(tmp_path, n=26_001).test().n == 26_000
    assert labels.max() < 1000


def test_it_is_resized_when_asked_to(tmp_path, monkeypatch):
    write_mnist(tmp_path, monkeypatch)
    whole, small = source(tmp_path).read(), source(tmp_path, size=8)
    assert small.spec.shape == (3, 8, 8)
    assert torch.equal(small.read().images, resized(whole.images, 8))


def test_its_spec_is_known_before_anything_is_there(tmp_path):
    spec = source(tmp_path / "nowhere").spec
    assert (spec.shape, spec.classes) == ((3, 28, 28), 1000)


def test_missing_files_are_reported_as_mnists(tmp_path):
    made = source(tmp_path / "nowhere")
    for call in (made.check, made.prepare, made.read):
        with pytest.raises(DataError, match=r"^MNIST \(train\) is missing or damaged in '"):
            call()
    source(tmp_path / "nowhere", download=True).check()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"n": 0}, "n must be at least 1, got 0"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"size": 3}, "size must be at least 4, got 3"),
        ({"split": "all"}, "split must be one of train, test; got 'all'"),
    ],
)
def test_wrong_options_are_refused(options, sentence):
    with pytest.raises(ValueError) as error:
        source("x", **options)
    assert str(error.value) == sentence


def test_real_mnist_has_all_thousand_modes(data_root):
    """Of as many images as are compared (Lin et al. 2018); chance alone makes a KL of .0192."""
    made = source(data_root, n=26_000)
    images, labels = made.read()
    assert images.shape == (26_000, 3, 28, 28)
    found = class_balance(labels.bincount(minlength=1000))
    assert found.modes == 1000
    assert 0.0192 < found.kl < 0.026
    whole = MNIST(data_root, download=False).read()
    share = whole.labels.bincount() / 60_000
    for digits in digits_of(labels).unbind(dim=1):
        error = (share * (1 - share) / 26_000).sqrt()
        assert ((digits.bincount(minlength=10) / 26_000 - share).abs() < 5 * error).all()
    pictures = {image.numpy().tobytes() for image in whole.images}
    assert all(channel.numpy().tobytes() in pictures for channel in images[:50].flatten(0, 1))
