"""Our Inception network and its resizing against torch-fidelity's and Pillow's, weights at random.

One pass of 48 images through each network serves all tests.  Frechet distances are of 128 of the
2,048 features, whose eigenvalues take no time.
"""

import hashlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate
from torchvision.models import inception_v3

import inception_weights
from ganlab.data import Digits
from ganlab.metrics import (
    Moments,
    frechet_distance,
    inception_score,
    inceptionv3,
    kernel_distance,
    neighbourhood,
)
from ganlab.metrics.features import Features
from ganlab.metrics.inceptionv3 import Inception
from ganlab.metrics.resize import resize

BAR = 1e-4  # relative, for features and every score made of them
N = 24


def pixels(n, *size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 3, *size), dtype=torch.uint8, generator=generator)


def off(got, expected):
    """The largest error, relative to the largest number."""
    return float((got - expected).abs().max() / expected.abs().max())


# Resizing

SIZES = [(8, 8), (28, 28), (32, 32), (64, 48), (1, 1), (299, 299), (350, 400), (640, 299)]


def by_tensorflow(images):
    module = pytest.importorskip("torch_fidelity.interpolate_compat_tensorflow")
    grey = images.float()
    return module.interpolate_bilinear_2d_like_tensorflow1x(grey, (299, 299), align_corners=False)


def by_pillow(images):
    """As clean-fid: each channel as floats, clipped, never rounded to whole grey levels."""
    channels = [Image.fromarray(x.numpy().astype(np.float32)) for x in images.flatten(0, 1)]
    made = [np.asarray(x.resize((299, 299), Image.Resampling.BICUBIC)) for x in channels]
    return torch.from_numpy(np.stack(made)).clip(0, 255).view(len(images), 3, 299, 299)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("kind", "reference"), [("tf1_bilinear", by_tensorflow), ("pil_bicubic", by_pillow)]
)
def test_resizing_is_that_of_the_reference(size, kind, reference):
    images = pixels(2, *size)
    made = resize(images, kind)
    assert made.dtype == torch.float32
    assert (made - reference(images)).abs().max() < 1e-3  # grey levels; 6e-5 seen


@pytest.mark.parametrize("kind", ["tf1_bilinear", "pil_bicubic"])
def test_images_of_the_networks_size_keep_their_pixels(kind):
    images = pixels(1, 299, 299)
    assert torch.equal(resize(images, kind), images.float())


def half_pixel(images, *_):
    return interpolate(images.float(), (299, 299), mode="bilinear")


def antialiased(images, *_):
    return interpolate(images.float(), (299, 299), mode="bilinear", antialias=True)


@pytest.mark.parametrize("wrong", [half_pixel, antialiased])
@pytest.mark.parametrize("kind", ["tf1_bilinear", "pil_bicubic"])
@pytest.mark.parametrize("size", [32, 400])
def test_the_usual_resizings_are_rejected(wrong, kind, size):
    images = pixels(1, size, size)
    assert (wrong(images) - resize(images, kind)).abs().max() > 10


def test_a_kind_of_resizing_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="kind must be one of tf1_bilinear, pil_bicubic"):
        resize(pixels(1, 8, 8), "bilinear")


# The network


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return inception_weights.make(tmp_path_factory.mktemp("weights") / "random.pth")


@pytest.fixture(scope="module")
def extractor(file):
    return Inception(file)


@pytest.fixture(scope="module")
def sets():
    """Real: digits in one colour on another; generated: other ones, blurred by half a pixel."""
    digits = Digits().read().images[: 2 * N] / 255
    ink, ground = torch.rand(2, 2 * N, 3, 1, 1, generator=torch.Generator().manual_seed(0)) * 255
    real, fake = torch.lerp(ground, ink, digits).split(N)
    return SimpleNamespace(real=real.byte(), fake=((fake + fake.roll(1, dims=-1)) / 2).byte())


def features_of(extractor, sets):
    found = extractor(torch.cat([sets.real, sets.fake]))
    return SimpleNamespace(
        real=Features(*(x[:N] for x in found)), fake=Features(*(x[N:] for x in found))
    )


@pytest.fixture(scope="module")
def ours(extractor, sets):
    return features_of(extractor, sets)


@pytest.fixture(scope="module")
def theirs(file, sets):
    module = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    layers = ["2048", "logits_unbiased"]
    return features_of(
        module.FeatureExtractorInceptionV3("", layers, feature_extractor_weights_path=str(file)),
        sets,
    )


def fid(features):
    real, fake = (Moments.of(x.vectors[:, :128]) for x in (features.real, features.fake))
    return frechet_distance(real, fake)


@pytest.mark.long
def test_features_and_logits_are_torch_fidelitys(ours, theirs):
    for kind in ("real", "fake"):
        for got, expected in zip(getattr(ours, kind), getattr(theirs, kind), strict=True):
            assert got.dtype == torch.float32
            assert got.shape == expected.shape
            assert off(got, expected) < BAR  # 2e-5 seen


def test_the_frechet_distance_is_torch_fidelitys(ours, theirs):
    module = pytest.importorskip("torch_fidelity.metric_fid")
    sets = (theirs.fake, theirs.real)
    statistics = [module.fid_features_to_statistics(x.vectors[:, :128]) for x in sets]
    (expected,) = module.fid_statistics_to_metric(*statistics, verbose=False).values()
    assert fid(ours) == pytest.approx(expected, rel=BAR)


def test_the_inception_score_is_torch_fidelitys(ours, theirs):
    module = pytest.importorskip("torch_fidelity.metric_isc")
    expected = module.isc_features_to_metric(theirs.fake.logits, splits=4, shuffle=False)
    mean, std = expected.values()
    found = inception_score(ours.fake.logits, splits=4, seed=None)
    assert found == (pytest.approx(mean, rel=BAR), pytest.approx(std, abs=BAR * mean))
    assert mean > 1.5


def test_the_kernel_distance_is_torch_fidelitys(ours, theirs):
    module = pytest.importorskip("torch_fidelity.metric_kid")
    expected = module.kid_features_to_metric(
        theirs.fake.vectors, theirs.real.vectors, kid_subsets=2, kid_subset_size=N, verbose=False
    )
    found, _ = kernel_distance(ours.real.vectors, ours.fake.vectors, subsets=2, size=N)
    assert found == pytest.approx(expected["kernel_inception_distance_mean"], rel=BAR)


def test_precision_and_recall_are_torch_fidelitys(ours, theirs):
    module = pytest.importorskip("torch_fidelity.metric_prc")
    options = {"prc_batch_size": 1000, "save_cpu_ram": False, "verbose": False}
    expected = module.prc_features_to_metric(
        theirs.fake.vectors, theirs.real.vectors, prc_neighborhood=3, **options
    )
    found = neighbourhood(ours.real.vectors, ours.fake.vectors, k=3)
    assert (found.precision, found.recall) == pytest.approx(
        (expected["precision"], expected["recall"]), rel=BAR
    )


@pytest.mark.long
@pytest.mark.parametrize("mistake", ["half-pixel centres", "no rounding to 8 bits"])
def test_images_prepared_in_another_way_are_rejected(
    extractor, sets, ours, theirs, monkeypatch, mistake
):
    """By features and by distance, though both sets are prepared alike."""
    generator = torch.Generator().manual_seed(0)

    def unrounded(images, kind):
        floats = images + torch.rand(images.shape, generator=generator) - 0.5
        return resize(floats.clamp(0, 255), kind)

    wrong = half_pixel if mistake == "half-pixel centres" else unrounded
    monkeypatch.setattr(inceptionv3, "resize", wrong)
    found = features_of(extractor, sets)
    assert off(found.real.vectors, theirs.real.vectors) > 10 * BAR
    assert fid(found) != pytest.approx(fid(theirs), rel=3 * BAR)


def test_covariances_over_n_are_rejected(ours, theirs):
    def over_n(features):
        moments = Moments.of(features.vectors[:, :128])
        moments.products -= moments.covariance * (N - 1) / N
        return moments

    found = frechet_distance(over_n(ours.real), over_n(ours.fake))
    assert found != pytest.approx(fid(theirs), rel=10 * BAR)


def test_sums_and_roots_in_float32_are_rejected(ours, theirs):
    rows = [x.vectors[:, :128].numpy() for x in (ours.real, ours.fake)]
    a, b = (np.cov(x, rowvar=False, dtype=np.float32) for x in rows)
    values = np.linalg.eigvals(a @ b).astype(np.complex64)
    means = np.square(rows[0].mean(axis=0) - rows[1].mean(axis=0)).sum()
    single = means + np.trace(a) + np.trace(b) - 2 * np.sqrt(values).real.sum()
    assert single != pytest.approx(fid(theirs), rel=BAR)


def test_logits_have_no_bias(file, ours):
    """With it, as the network itself would answer, the score is another."""
    head = torch.load(file, weights_only=True)
    plain = ours.fake.vectors @ head["fc.weight"].T
    assert off(ours.fake.logits, plain) < 1e-5
    biased = inception_score(plain + head["fc.bias"], splits=1)[0]
    assert biased != pytest.approx(inception_score(ours.fake.logits, splits=1)[0], rel=BAR)


def test_features_do_not_depend_on_the_division_into_parts(extractor, sets, ours, monkeypatch):
    monkeypatch.setattr(inceptionv3, "PART", 3)
    monkeypatch.setattr(inceptionv3, "STEM_PART", 2)
    assert off(extractor(sets.real[:5]).vectors, ours.real.vectors[:5]) < 1e-5
    assert extractor(sets.real[:0]).vectors.shape == (0, 2048)


def test_grey_images_are_repeated(extractor):
    grey = pixels(1, 16, 16)[:, :1]
    assert torch.equal(extractor(grey).vectors, extractor(grey.expand(-1, 3, -1, -1)).vectors)


def test_features_are_exact_whatever_the_training_around(extractor, sets, ours):
    """In bfloat16 they would be off by 1e-2."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = extractor(sets.real[:1]).vectors
    assert found.dtype == torch.float32
    assert not found.requires_grad
    assert off(found, ours.real.vectors[:1]) < 1e-5


def test_clean_features_are_of_pillows_images_and_named_so(file, sets, ours, monkeypatch):
    clean, images = Inception(file, "pil_bicubic"), sets.real[:4]
    found = clean(images).vectors
    assert clean.name == f"inception-clean-{clean.weights[:8]}"
    assert off(found, ours.real.vectors[:4]) > 10 * BAR
    monkeypatch.setattr(inceptionv3, "resize", lambda images, _: by_pillow(images))
    assert off(found, clean(images).vectors) < BAR


def test_only_the_known_file_is_the_reference(file, extractor, monkeypatch):
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert (extractor.weights, extractor.name) == (digest, f"inception-{digest[:8]}")
    assert not extractor.is_reference
    monkeypatch.setattr(inceptionv3, "SHA256", digest)
    known = Inception(file)
    assert (known.is_reference, known.name) == (True, "inception")
    assert (known.dim, known.classes) == (2048, 1008)
    assert known.fingerprint != Inception(file, "pil_bicubic").fingerprint


@pytest.mark.parametrize(
    "images", [torch.zeros(2, 3, 8, 8), pixels(2, 8, 8)[0], pixels(2, 8, 8)[:, :2]]
)
def test_images_of_another_kind_are_refused(extractor, images):
    with pytest.raises(ValueError, match=r"^images must be uint8 \(N, 1 or 3, H, W\), got "):
        extractor(images)


# The file of weights


class Harm:
    """Unpickled without care, makes a file."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return open, (str(self.file), "w")


def test_a_file_of_something_else_is_refused_with_what_is_wrong(tmp_path):
    with torch.device("meta"):
        network = inception_v3(num_classes=1008, aux_logits=False, init_weights=False)
    one = torch.zeros(())
    whole = {name: one.expand(value.shape) for name, value in network.state_dict().items()}
    file, harmed = tmp_path / "file.pth", tmp_path / "harmed"
    short = {name: value for name, value in whole.items() if not name.startswith("fc.")}
    other = {**whole, "fc.weight": one.expand(1000, 2048)}
    for content, says in (
        (short, "lacks fc.bias, fc.weight (2 of 566 tensors)"),
        ({}, "lacks Conv2d_1a_3x3.bn.bias, "),
        ({**whole, "AuxLogits.fc.bias": one}, "has unexpected AuxLogits.fc.bias (1 of 566"),
        (other, "has a wrong shape for fc.weight (1 of 566 tensors)"),
        (one, "does not hold tensors by name"),
        ({"a": 1}, "does not hold tensors by name"),
        (Harm(harmed), "is not a file of tensors"),
    ):
        torch.save(content, file)
        with pytest.raises(ValueError) as refused:
            Inception(file)
        assert str(refused.value).startswith(f"'{file}' {says}")
    file.write_bytes(b"<html>")
    with pytest.raises(ValueError, match="is not a file of tensors"):
        Inception(file)
    assert not harmed.exists()
