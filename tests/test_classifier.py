"""The classifier as extractor: its weights as a function of the data, what its features see."""

import math
import random
from contextlib import ExitStack, nullcontext
from unittest import mock

import pytest
import torch
from torch.nn.functional import conv2d, cross_entropy

from conftest import same, weights
from ganlab.data import MNIST, Digits, Images
from ganlab.metrics import Moments, classifier, frechet_distance, inception_score, neighbourhood
from ganlab.metrics.classifier import (
    Classifier,
    ClassifierNetwork,
    Stacked,
    accuracy,
    minibatches,
    train_classifier,
)
from ganlab.metrics.features import Extractor, Features
from ganlab.spec import ImageSpec
from ganlab.training.streams import stream

SPEC = Digits().spec
TRAIN, TEST = (Digits(split=split).read() for split in ("train", "test"))


@pytest.fixture(scope="module", autouse=True)
def _quick():
    """Here classifiers are trained as they are by default."""


def noise(*shape, seed=0):
    return torch.randint(256, shape, generator=stream("cpu", seed), dtype=torch.uint8)


def untrained(spec=SPEC, width=4, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Classifier("classifier-untrained", ClassifierNetwork(spec, width))


def quick(images=None, labels=None, classes=10, **options):
    """A few updates of a narrow network on 8 x 8 digits."""
    if images is None:
        images, labels = Digits(8).read()
    return train_classifier(images, labels, classes, **{"updates": 3, "width": 4, **options})


@pytest.fixture(scope="module")
def digits() -> Classifier:
    return Classifier("classifier-digits", train_classifier(*TRAIN, 10, updates=120, width=8))


# The weights are a function of the arguments


def other_seeds():
    stack = ExitStack()
    stack.enter_context(torch.random.fork_rng())
    torch.manual_seed(7)
    return stack


CIRCUMSTANCES = {
    "another global seed": other_seeds,
    "no gradients": torch.no_grad,
    "inference mode": torch.inference_mode,
    "bfloat16": lambda: torch.autocast("cpu", torch.bfloat16),
}


@pytest.mark.parametrize("name", CIRCUMSTANCES)
def test_the_weights_do_not_depend_on_the_callers_state(name):
    usual = quick()
    with CIRCUMSTANCES[name]():
        found = quick()
    assert same(weights(found), weights(usual))


def test_it_trains_in_float32_with_gradients_on_one_thread():
    seen = []

    def look(*_):
        modes = torch.is_autocast_enabled("cpu"), torch.is_grad_enabled()
        seen.append((*modes, torch.get_num_threads()))

    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        quick(progress=look)
    assert seen == [(False, True, 1)] * 3


def test_images_of_inference_mode_can_be_trained_on():
    images, labels = Digits(8).read()
    with torch.inference_mode():
        found = quick(images.clone(), labels.clone())
    assert same(weights(found), weights(quick()))


@pytest.fixture
def threads():
    """Sets the number of threads, for one test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_the_weights_do_not_depend_on_the_number_of_threads(threads):
    def on(number):
        threads(number)
        found = weights(train_classifier(*TRAIN, 10, updates=2))
        assert torch.get_num_threads() == number
        return found

    assert same(on(1), on(2))
    with mock.patch.object(classifier, "undisturbed", nullcontext):
        assert not same(on(1), on(2))  # the sums of two threads are others


@pytest.mark.parametrize(
    "options", [{"seed": 1}, {"updates": 4}, {"width": 5}, {"classes": 11}], ids=str
)
def test_every_argument_counts(options):
    assert not same(weights(quick(**options)), weights(quick()))


def test_the_seed_decides_both_weights_and_order():
    with mock.patch.object(classifier, "fit"):
        first, second = (weights(quick(seed=seed)) for seed in (0, 1))
    assert not torch.equal(first["head.weight"], second["head.weight"])
    assert not torch.equal(minibatches(500, 3, 0), minibatches(500, 3, 1))


class StopError(Exception):
    pass


def stop(done, total):
    raise StopError


@pytest.mark.parametrize("progress", [None, stop])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad, torch.inference_mode])
def test_the_callers_state_is_left_as_it_was(progress, mode, threads):
    def state():
        modes = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        return torch.get_num_threads(), modes, random.getstate()

    threads(2)
    with mode():
        before, numbers = state(), torch.get_rng_state()
        with pytest.raises(StopError) if progress else nullcontext():
            quick(progress=progress)
        assert state() == before
        assert torch.equal(torch.get_rng_state(), numbers)


def test_gpus_are_not_reseeded():
    """As `torch.manual_seed` does, inside of `fork_rng(devices=())` too."""
    with mock.patch("torch.cuda.manual_seed_all") as reseeded:
        quick()
        assert not reseeded.called
        torch.manual_seed(torch.initial_seed())
        assert reseeded.called


def test_the_images_are_only_read():
    images, labels = Digits(8).read()
    before = images.clone(), labels.clone()
    quick(images, labels)
    assert torch.equal(images, before[0])
    assert torch.equal(labels, before[1])


# The recipe


@pytest.mark.parametrize(("n", "updates"), [(1000, 20), (128, 3), (5, 2), (300, 1)])
def test_every_image_is_seen_as_often_as_any_other(n, updates):
    order = minibatches(n, updates, seed=0)
    assert order.shape == (updates, 128)
    times = order.flatten().bincount(minlength=n)
    assert times.max() - times.min() <= 1
    whole = order.flatten()[: order.numel() // n * n].view(-1, n)
    assert (whole.sort(dim=1).values == torch.arange(n)).all()
    if len(whole) > 1:
        assert not torch.equal(whole[0], whole[1])


def test_progress_counts_the_updates():
    seen = []
    quick(updates=4, progress=lambda *told: seen.append(told))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize(
    ("channels", "n", "updates", "width"),
    [(1, 600, 500, 16), (3, 2000, 1500, 32), (3, 600, 700, 32), (1, 36, 136, 16)],
)
def test_colour_takes_a_wider_network_and_a_small_set_few_updates(channels, n, updates, width):
    images, labels = noise(n, channels, 8, 8), torch.arange(n) % 3
    with mock.patch.object(classifier, "fit") as fit:
        network = train_classifier(images, labels, 3)
    assert len(fit.call_args.args[3]) == updates
    assert network.layers[0].out_channels == width


def test_colours_are_told_apart():
    labels = torch.arange(90) % 3
    images = noise(90, 3, 12, 12) // 2
    images[torch.arange(90), labels] += 100  # of as much light
    trained = Classifier("classifier-colours", quick(images[:60], labels[:60], 3, updates=60))
    assert accuracy(trained, images[60:], labels[60:]) == 1


def test_digits_held_out_are_named_rightly(digits):
    """98% at this budget; an untrained network guesses."""
    assert accuracy(digits, *TEST) > 0.97
    assert accuracy(untrained(), *TEST) < 0.3


def test_label_smoothing_would_cap_the_inception_score():
    """Of held-out digits, whose ten classes are nearly equally frequent."""

    def score(**smoothed):
        loss = lambda *both, **given: cross_entropy(*both, **{**given, **smoothed})
        with mock.patch.object(classifier, "cross_entropy", loss):
            trained = train_classifier(*train, 10, updates=100, width=8)
        return inception_score(Classifier("a", trained)(test.images).logits, splits=1)[0]

    train, test = (Digits(8, split=split).read() for split in ("train", "test"))
    assert score() > 1.2 * score(label_smoothing=0.1)


# The extractor


@pytest.mark.parametrize(
    ("channels", "size", "classes"),
    [(1, 8, 2), (1, 16, 10), (1, 28, 10), (3, 17, 3), (3, 32, 100), (3, 64, 5), (1, 100, 2)],
)
def test_any_size_gives_features_and_logits(channels, size, classes):
    extractor = untrained(ImageSpec(channels, size, classes), width=2)
    vectors, logits = extractor(noise(5, channels, size, size))
    assert vectors.shape == (5, extractor.dim) == (5, 64)
    assert logits.shape == (5, extractor.classes) == (5, classes)
    assert vectors.dtype == logits.dtype == torch.float32
    assert (vectors >= 0).all()
    assert extractor.network.layers[:3](torch.zeros(1, channels, size, size)).shape[-1] <= 16


def test_an_image_has_its_features_whatever_stands_beside_it(digits):
    together = digits(TEST.images[:64])
    for i in (0, 17, 63):
        alone = digits(TEST.images[i : i + 1])
        assert torch.allclose(alone.vectors[0], together.vectors[i], rtol=1e-4, atol=1e-5)
        assert torch.allclose(alone.logits[0], together.logits[i], rtol=1e-4, atol=1e-4)
    for count in (1, 8):  # in training mode, what BatchNorm sees of its neighbours counts
        digits.network.train()
        mistaken = digits.network.layers[:3](TEST.images[:count].float() / 255)[0]
        digits.network.eval()
        right = digits.network.layers[:3](TEST.images[:64].float() / 255)[0]
        assert not torch.allclose(mistaken, right, rtol=1e-2, atol=1e-2)


def test_it_is_frozen(digits):
    before = weights(digits)
    assert not any(parameter.requires_grad for parameter in digits.parameters())
    around = torch.nn.Sequential(digits).train()
    assert not any(module.training for module in digits.modules())
    with torch.enable_grad():
        assert not any(part.requires_grad for part in around(TEST.images[:9]))
    assert same(weights(digits), before)


def test_the_preparation_is_what_it_says(digits):
    vectors = digits(TEST.images[:9]).vectors
    assert digits.preparation == "divided by 255"
    assert torch.allclose(vectors, digits.network.layers(TEST.images[:9].float() / 255))
    other = digits.network.layers(TEST.images[:9].float() / 127.5 - 1)
    assert not torch.allclose(vectors, other, rtol=0.1)


def test_products_on_a_gpu_are_in_whole_float32(digits):
    """Asked for inside of a pass only; a machine without a GPU keeps the settings too."""
    seen = []
    hook = digits.network.register_forward_hook(
        lambda *_: seen.append(torch.backends.cudnn.allow_tf32)
    )
    before, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, True
    try:
        digits(TEST.images[:2])
        assert torch.backends.cudnn.allow_tf32
    finally:
        torch.backends.cudnn.allow_tf32 = before
        hook.remove()
    assert seen == [False]


def test_features_are_float32_inside_of_autocast(digits):
    usual = digits(TEST.images[:9])
    with torch.autocast("cpu", torch.bfloat16):
        found = digits(TEST.images[:9])
        rough = digits.network(TEST.images[:9])
    assert all(torch.equal(a, b) for a, b in zip(found, usual, strict=True))
    assert not torch.allclose(rough.vectors.float(), usual.vectors, rtol=1e-4, atol=1e-5)


def test_what_it_is_called_and_how_it_is_told_apart():
    network = quick()
    assert not network.training
    extractor = Classifier("classifier-digits", network)
    assert extractor.name == "classifier-digits"
    assert len(extractor.weights) == 64
    assert Classifier("classifier-digits", quick()).fingerprint == extractor.fingerprint
    others = [
        Classifier("classifier-digits", quick(seed=1)),
        Classifier("classifier-mnist", network),
        Stacked(extractor),
    ]
    assert len({other.fingerprint for other in [extractor, *others]}) == 4


def test_statistics_of_batchnorm_are_part_of_the_fingerprint():
    one, other = untrained(), untrained()
    assert one.fingerprint == other.fingerprint
    other.network.layers[1].running_mean += 1e-3
    assert Classifier(one.name, other.network).fingerprint != one.fingerprint


def test_weights_that_were_kept_give_the_same_extractor(tmp_path):
    network = quick()
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    again = ClassifierNetwork(network.spec, 4)
    again.load_state_dict(torch.load(tmp_path / "weights.pt"))
    a, b = Classifier("a", network), Classifier("a", again)
    assert a.fingerprint == b.fingerprint
    images = Digits(8).read().images[:50]
    assert all(torch.equal(x, y) for x, y in zip(a(images), b(images), strict=True))


# Three digits as one


def test_stacked_channels_are_read_one_by_one(digits):
    triples = TEST.images[:60].reshape(20, 3, 16, 16)
    vectors, logits = Stacked(digits)(triples)
    assert vectors.shape == (20, Stacked(digits).dim) == (20, 192)
    assert logits.shape == (20, Stacked(digits).classes) == (20, 1000)
    for n, triple in enumerate(triples):
        one, two, three = (digits(channel[None, None]) for channel in triple)
        expected = torch.cat([one.vectors, two.vectors, three.vectors], dim=1)[0]
        assert torch.allclose(vectors[n], expected, rtol=1e-4, atol=1e-4)
        p, q, r = (each.logits[0].log_softmax(dim=0) for each in (one, two, three))
        for a, b, c in [(0, 0, 0), (1, 2, 3), (9, 0, 5), (9, 9, 9)]:
            joint = (p[a] + q[b] + r[c]).item()
            assert logits[n, 100 * a + 10 * b + c].item() == pytest.approx(joint, abs=2e-3)


def test_stacked_logits_are_log_probabilities_of_triples(digits):
    triples = TEST.images[:300].reshape(100, 3, 16, 16)
    logits = Stacked(digits)(triples).logits
    assert torch.allclose(logits.exp().sum(dim=1), torch.ones(100), atol=1e-4)
    hundreds, tens, ones = TEST.labels[:300].reshape(100, 3).T
    named = logits.argmax(dim=1)
    assert (named == 100 * hundreds + 10 * tens + ones).double().mean() > 0.9
    assert (named == 100 * ones + 10 * tens + hundreds).double().mean() < 0.3  # the other way round


# What is refused


def test_what_cannot_be_trained_on_is_refused():
    images, labels = noise(6, 1, 8, 8), torch.arange(6)
    shape = "images must be uint8 (N, C, size, size), got"
    cases = [
        ({"images": images.float()}, f"{shape} float32 (6, 1, 8, 8)"),
        ({"images": images[0]}, f"{shape} uint8 (1, 8, 8)"),
        ({"images": images[..., :7]}, f"{shape} uint8 (6, 1, 8, 7)"),
        ({"labels": labels.int()}, "labels must be int64 (6,), got int32 (6,)"),
        ({"labels": labels[:5]}, "labels must be int64 (6,), got int64 (5,)"),
        ({"labels": labels[:, None]}, "labels must be int64 (6,), got int64 (6, 1)"),
        ({"images": images[:0], "labels": labels[:0]}, "labels must be int64 (0,), got int64 (0,)"),
        ({"labels": labels + 1}, "labels must be in 0..5, got 1..6"),
        ({"labels": labels - 1}, "labels must be in 0..5, got -1..4"),
        ({"labels": labels * 0 + 3}, "labels must name two classes or more, all are 3"),
        ({"images": noise(6, 1, 7, 7)}, "size must be at least 8, got 7"),
        ({"updates": 0}, "updates must be at least 1, got 0"),
        ({"width": 0}, "width must be at least 1, got 0"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
    ]
    for changed, message in cases:
        arguments = {"images": images, "labels": labels, "classes": 6, **changed}
        with pytest.raises(ValueError) as refused:
            train_classifier(**arguments)
        assert str(refused.value) == message


def test_images_that_it_was_not_trained_on_are_refused():
    grey = untrained()
    with pytest.raises(ValueError) as refused:
        ClassifierNetwork(ImageSpec(1, 8, classes=1), 4)
    assert str(refused.value) == "classes must be at least 2, got 1"
    wanted = "classifier-untrained takes uint8 (N, 1, 16, 16), got"
    channels = "stacked-classifier-untrained takes images of three channels, got"
    cases = [
        (grey, noise(2, 1, 8, 8), f"{wanted} uint8 (2, 1, 8, 8)"),
        (grey, noise(2, 3, 16, 16), f"{wanted} uint8 (2, 3, 16, 16)"),
        (grey, noise(1, 16, 16), f"{wanted} uint8 (1, 16, 16)"),
        (grey, noise(2, 1, 16, 16) / 255, f"{wanted} float32 (2, 1, 16, 16)"),
        (Stacked(grey), noise(2, 1, 16, 16), f"{channels} uint8 (2, 1, 16, 16)"),
        (Stacked(grey), noise(3, 16, 16), f"{channels} uint8 (3, 16, 16)"),
        (Stacked(grey), noise(2, 3, 8, 8), f"{wanted} uint8 (6, 1, 8, 8)"),
    ]
    for extractor, images, message in cases:
        with pytest.raises(ValueError) as refused:
            extractor(images)
        assert str(refused.value) == message


# Accuracy


class Brightest(Extractor):
    """Names an image by its first pixel."""

    def __init__(self):
        super().__init__("brightest", "0" * 64, "none", dim=1, classes=4)

    def forward(self, images):
        values = images[:, 0, 0, 0]
        return Features(values.float()[:, None], torch.eye(4)[values.long()])


@pytest.mark.parametrize("batch", [1, 2, 5, 500])
def test_accuracy_is_the_share_that_is_named_rightly(batch):
    images = torch.tensor([0, 1, 2, 3, 3], dtype=torch.uint8).view(5, 1, 1, 1).expand(5, 1, 8, 8)
    labels = torch.tensor([0, 1, 2, 3, 0])
    # The mean of the batches' accuracies would be 2/3 or 5/6 of them where the last is smaller.
    assert accuracy(Brightest(), images, labels, batch) == pytest.approx(0.8, abs=1e-15)


def test_accuracy_refuses_labels_that_the_extractor_cannot_name():
    images = noise(2, 1, 8, 8)
    calls = [
        ("labels must be in 0..3, got 0..4", torch.tensor([0, 4]), 500),
        ("labels must be int64 (2,), got int64 (3,)", torch.tensor([0, 1, 2]), 500),
        ("batch must be at least 1, got 0", torch.tensor([0, 1]), 0),
    ]
    for message, labels, batch in calls:
        with pytest.raises(ValueError) as refused:
            accuracy(Brightest(), images, labels, batch)
        assert str(refused.value) == message


# What the features see


def noisy(images, std, seed=0):
    added = torch.randn(images.shape, generator=stream("cpu", seed)) * 255 * std
    return (images + added).round().clamp(0, 255).to(torch.uint8)


def blurred(images):
    line = torch.exp(-(torch.arange(-3.0, 4) ** 2) / 2)
    kernel = torch.outer(line, line) / line.sum() ** 2
    return conv2d(images.float(), kernel[None, None], padding=3).round().to(torch.uint8)


def distances(extractor, real: Images, fake: Images) -> dict[str, float]:
    """Frechet distance to real images, of others with one fault each."""
    images, labels = fake
    first = torch.stack([images[labels == c][0] for c in range(10)])
    sets = {
        "held out": images,
        "noise .05": noisy(images, 0.05),
        "noise .1": noisy(images, 0.1),
        "blur": blurred(images),
        "without a class": images[labels != 5],
        "half of the classes": images[labels < 5],
        "ten images": noisy(first[torch.arange(len(images)) % 10], 0.01),
        "one image": noisy(first[:1].expand_as(images), 0.01),
    }
    known = Moments.of(extractor(real.images).vectors)
    return {
        name: frechet_distance(known, Moments.of(extractor(made).vectors))
        for name, made in sets.items()
    }


def times_as_far(found, name):
    return found[name] / found["held out"]


def require_order(found):
    for better, worse in [
        ("held out", "noise .05"),
        ("noise .05", "noise .1"),
        ("held out", "blur"),
        ("held out", "without a class"),
        ("without a class", "half of the classes"),
        ("held out", "ten images"),
        ("ten images", "one image"),
        ("half of the classes", "one image"),
    ]:
        assert 1.2 * found[better] < found[worse], (better, worse)


def test_worse_digits_are_further_away(digits):
    found = distances(digits, TRAIN, TEST)
    require_order(found)
    blind = distances(untrained(width=8), TRAIN, TEST)
    with pytest.raises(AssertionError):
        require_order(blind)
    assert times_as_far(found, "without a class") > 2 * times_as_far(blind, "without a class")


@pytest.mark.long
def test_real_mnist_is_named_and_its_faults_are_ordered(data_root):
    """12 seconds of one thread for 99.2%."""
    train, test = (MNIST(data_root, split=s, download=False).read() for s in ("train", "test"))
    extractor = Classifier("classifier-mnist", train_classifier(*train, 10))
    assert accuracy(extractor, *test) > 0.99
    chosen, n = torch.randperm(len(test.labels), generator=stream("cpu", 1)), 2000
    fake = Images(*(part[chosen[:n]] for part in test))
    real = Images(*(part[chosen[n : 2 * n]] for part in test))
    found = distances(extractor, real, fake)
    require_order(found)
    assert times_as_far(found, "without a class") > 5
    one = fake.images[:1].expand_as(fake.images)
    near = neighbourhood(extractor(real.images).vectors, extractor(noisy(one, 0.01)).vectors)
    assert near.recall < 0.01
    assert near.coverage < 0.1
    logits = extractor(fake.images).logits
    assert 9.3 < inception_score(logits, splits=1)[0] < 10
    assert math.isclose(inception_score(logits[:1].expand(50, -1), splits=1)[0], 1, abs_tol=1e-6)
