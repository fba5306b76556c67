"""Scores of a GAN: each is what the functions give for its images; training is not disturbed."""

import json
import math
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from conftest import fit, same, small_gan, weights
from ganlab.callbacks import Checkpoints, Journal, Scores
from ganlab.conditioning import Concat
from ganlab.data import Digits, ImageData, Images
from ganlab.errors import DataError
from ganlab.loggers import MetricsFile
from ganlab.metrics import (
    Moments,
    frechet_distance,
    inception_score,
    kernel_distance,
    neighbourhood,
)
from ganlab.networks import DCGANDiscriminator, DCGANGenerator
from ganlab.plots import pictures
from ganlab.scoring import Protocol, Score, Scorecard, Scorer
from ganlab.scoring.plans import ByClassifier, ByInception, data_name
from ganlab.scoring.reference import reference
from ganlab.spec import ImageSpec
from ganlab.storage import cache
from ganlab.storage.cache import hash_of
from small_extractors import Patches


@pytest.fixture(scope="module")
def digits():
    return Digits().read()


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANLAB_CACHE", str(tmp_path / "cache"))


def real(digits, extractor=None, **options):
    names = {"data": "digits", "split": "train", "classes": 10}
    return reference(digits, extractor or Patches(), **names, **options)


def scorer(digits, n=700, **options):
    extractor = Patches()
    return Scorer(extractor, real(digits, extractor, kept=600), n, **{"kept": 600, **options})


# The reference ----------------------------------------------------------------------------------


def test_the_reference_holds_the_moments_of_all_images_and_a_fair_sample(digits):
    found = real(digits, kept=600)
    vectors, logits = Patches()(digits.images)
    expected = Moments.of(vectors)
    assert frechet_distance(found.moments, expected) == pytest.approx(0, abs=1e-6)
    assert found.moments.n == len(digits.labels)
    assert found.counts.tolist() == digits.labels.bincount().tolist()
    assert found.predicted.tolist() == logits.argmax(dim=1).bincount(minlength=10).tolist()
    rows = {tuple(row) for row in vectors.tolist()}
    assert found.vectors.shape == (600, 16)
    assert all(tuple(row) in rows for row in found.vectors.tolist())
    shares = found.labels.bincount(minlength=10) / 600
    assert (shares - 0.1).abs().max() < 0.05


def test_a_sorted_set_is_sampled_fairly_and_its_first_images_are_not(digits):
    order = digits.labels.argsort()
    ordered = type(digits)(digits.images[order], digits.labels[order])
    found = real(ordered, n=300)
    assert found.counts.min() > 15
    assert ordered.labels[:300].bincount(minlength=10).min() == 0


def test_statistics_are_read_from_the_cache_and_computed_anew_where_they_are_damaged(digits):
    extractor = Patches()
    first = real(digits, extractor)
    calls = extractor.calls
    again = real(digits, extractor)
    assert extractor.calls == calls
    assert torch.equal(first.moments.products, again.moments.products)
    (file,) = cache.folder().glob("reference-*.npz")
    file.write_bytes(file.read_bytes()[:-50])
    third = real(digits, extractor)
    assert extractor.calls == 2 * calls
    assert torch.equal(first.vectors, third.vectors)


@pytest.mark.parametrize("change", ["pixels", "labels", "n", "kept", "extractor"])
def test_what_changes_the_statistics_changes_the_cache_key(digits, change):
    images, labels = digits
    extractor, options = Patches(), {"n": 1000, "kept": 500}
    real(digits, extractor, **options)
    if change == "pixels":
        images = images.clone()
        images[5, 0, 3, 3] ^= 1
    elif change == "labels":
        labels = labels.flip(0)
    elif change == "extractor":
        extractor = Patches(name="others")
    else:
        options[change] -= 1
    real(type(digits)(images, labels), extractor, **options)
    assert len(list(cache.folder().glob("reference-*.npz"))) == 2


def test_more_real_images_than_there_are_is_refused(digits):
    few = type(digits)(digits.images[:9], digits.labels[:9])
    for images, n, sentence in (
        (digits, 1798, "1798 real images are needed, digits (train) has 1797"),
        (few, None, "10 real images are needed, digits (train) has 9"),
    ):
        with pytest.raises(DataError, match=f"^{re.escape(sentence)}$"):
            real(images, n=n)


# The scores -------------------------------------------------------------------------------------


def test_every_score_is_what_its_function_gives_for_the_sampled_images(digits):
    gan, score = small_gan(), scorer(digits)
    card = score(gan)
    with torch.no_grad():
        images = pictures.quantised(gan.generate(gan.fixed_latents(700, 0, score.labels(0))))
        fake, logits = Patches()(images)
        truth, _ = Patches()(digits.images)
    kept = score.reference.vectors
    near = neighbourhood(kept, fake[:600], 5)
    distance = frechet_distance(Moments.of(truth), Moments.of(fake))
    got = {name: found.value for name, found in card.scores.items()}
    assert got == {
        "frechet": pytest.approx(distance, rel=1e-9),
        "is": pytest.approx(inception_score(logits)[0], rel=1e-9),
        "kernel": pytest.approx(kernel_distance(kept, fake[:600], 100, 600)[0], rel=1e-9),
        **{name: pytest.approx(value) for name, value in near._asdict().items()},
    }
    assert card.scores["is"].deviation == pytest.approx(inception_score(logits)[1], rel=1e-9)
    assert card.iterations == gan.iterations


def test_images_are_quantised_as_files_are_and_skipping_that_is_seen(digits):
    gan, score = small_gan(), scorer(digits)
    z = gan.fixed_latents(64)
    (part,) = score.images(gan, slice(64), 0)
    assert part.dtype == torch.uint8
    assert part.shape == (64, 1, 16, 16)
    assert torch.equal(pictures.quantised(gan.generate(z)), pictures.quantised(gan.sample(64)))
    levels = gan.generate(z).add(1).mul(127.5)
    assert (levels - pictures.quantised(gan.generate(z))).abs().max() > 0.4


def test_the_averaged_weights_are_scored_where_there_are_any(digits):
    gan, score = small_gan(ema=0.99), scorer(digits)
    before = score(gan)
    with torch.no_grad():
        for parameter in gan.generator.parameters():
            parameter.mul_(1.5)
    assert score(gan).scores == before.scores
    assert before.protocol.ema == 0.99
    with torch.no_grad():
        for parameter in gan.ema.network.parameters():
            parameter.mul_(1.5)
    assert score(gan).scores != before.scores


def test_the_protocol_says_what_was_done(digits):
    card = scorer(digits, seed=3)(small_gan())
    found = card.protocol
    assert (found.extractor, found.preparation, found.weights) == (
        "patches",
        "as they are",
        64 * "1",
    )
    assert (found.data, found.split, found.real, found.fake) == ("digits", "train", 1797, 700)
    assert (found.kept, found.subsets, found.seed, found.ema) == (600, (100, 600), 3, None)
    assert found.real_hash == hash_of(digits._asdict())[:16]
    assert card.named()["frechet/patches/700"] == card.scores["frechet"].value
    assert found.sentences() == [
        "by patches (11111111), as they are",
        "700 generated (trained weights, seed 3, uint8, rounded)",
        f"1,797 real of digits, train ({found.real_hash[:8]})",
    ]


def test_another_seed_is_other_noise_and_the_same_one_the_same(digits):
    gan, one, two = small_gan(), scorer(digits), scorer(digits, seed=1)
    assert one(gan).scores == one(gan).scores
    assert one(gan).scores != two(gan).scores


def test_data_without_classes_is_scored_by_held_out_images_that_have_some():
    """STL-10 trains on images without labels, and its test images are of ten classes."""
    held_out = Digits(split="test").read()
    unlabeled = SimpleNamespace(
        spec=ImageSpec(1, 16, classes=0),
        images=Images(held_out.images, torch.zeros_like(held_out.labels)),
        test_images=lambda: held_out,
    )
    assert ByInception(split="test").real_images(unlabeled).labels.unique().tolist() == [0]
    labeled = SimpleNamespace(**vars(unlabeled) | {"spec": ImageSpec(1, 16, classes=10)})
    assert len(ByInception(split="test").real_images(labeled).labels.unique()) == 10


def test_classes_are_generated_in_the_proportions_of_the_data(digits):
    few = digits.labels < 3
    uneven = type(digits)(digits.images[few], digits.labels[few].clamp(max=1))  # 1 : 2
    score = scorer(uneven, n=300)
    labels = score.labels(0)
    share = uneven.labels.float().mean().item()
    assert labels.bincount()[1].item() / 300 == pytest.approx(share, abs=1 / 300)
    assert not torch.equal(labels, labels.sort().values)
    assert not torch.equal(labels, score.labels(1))
    one_after_the_other = torch.arange(300) % 10
    assert one_after_the_other.bincount().tolist() != labels.bincount(minlength=10).tolist()


def test_a_generator_that_is_told_classes_is_told_these(digits):
    spec, told = Digits().spec, []
    concat = Concat(spec)
    generator = DCGANGenerator(spec, 18, width=8)
    gan = small_gan(
        conditioning=concat,
        generator=generator,
        discriminator=DCGANDiscriminator(concat.shown, width=8),
    )
    score = scorer(digits, n=100)
    generator.register_forward_pre_hook(lambda _, args: told.append(args[0][:, 8:].argmax(dim=1)))
    score(gan)
    assert torch.equal(torch.cat(told), score.labels(0))


# During training --------------------------------------------------------------------------------


def noisy_gan(**options):
    """Everything that scoring could disturb: averaged weights, dropout, BatchNorm, k = 2."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        drops = nn.Sequential(nn.Flatten(), nn.Dropout(0.3), nn.Linear(256, 1), nn.Flatten(0))
    return small_gan(discriminator=drops, d_steps=2, ema=0.9, **options)


def scores_callback(digits, tmp_path, plan=None, score=None):
    plan = plan or ByClassifier(every=1, n=100)
    callback = Scores(plan, Journal(1), Checkpoints(tmp_path, 1000))
    callback.scorer = score or scorer(digits, n=100)
    return callback


def test_a_run_that_is_scored_ends_with_the_same_weights_bit_for_bit(digits, tmp_path):
    plain, scored = noisy_gan(), noisy_gan()
    fit(plain)
    state = torch.get_rng_state()
    fit(scored, callbacks=[callback := scores_callback(digits, tmp_path)])
    assert callback.latest.iterations == 4
    assert same(weights(plain), weights(scored))
    assert torch.equal(state, torch.get_rng_state())


class TrainingMode(Scorer):
    """Generates as in training, so that BatchNorm's statistics move."""

    def images(self, gan, share, seed):
        gan.generator.train()
        yield pictures.quantised(gan.generator(gan.fixed_latents(self.n, seed)))


class ForgetsTheMode(Scorer):
    """Leaves G in evaluation mode."""

    def images(self, gan, share, seed):
        yield from super().images(gan, share, seed)
        gan.generator.eval()


@pytest.mark.parametrize("kind", [TrainingMode, ForgetsTheMode])
def test_the_usual_ways_to_disturb_training_are_seen(digits, tmp_path, kind):
    plain, scored = noisy_gan(), noisy_gan()
    fit(plain)
    wrong = kind(Patches(), real(digits), 100)
    fit(scored, callbacks=[scores_callback(digits, tmp_path, score=wrong)])
    assert not same(weights(plain), weights(scored))


class Scripted:
    """Gives one distance after the other, and 2.5 on fresh noise."""

    def __init__(self, *values):
        self.values, self.asked, self.seeds = list(values), [], []

    def __call__(self, gan, seed=None):
        facts = {"extractor": "script", "weights": "0", "preparation": "-", "data": "digits"}
        facts |= {"split": "train", "real": 2, "real_hash": "0", "available": 2, "fake": 1000}
        if seed is None:
            self.asked.append(gan.iterations)
            value = self.values[len(self.asked) - 1]
        else:
            self.seeds.append(seed)
            value = 2.5
        scores = {"frechet": Score(value), "recall": Score(0.5)}
        return Scorecard(Protocol(**facts, seed=seed or 0), scores, gan.iterations)


def scripted(tmp_path, *values, iterations=6, **plan):
    """A fit whose scores are these; returns the callback and the GAN."""
    script = Scripted(*values)
    callback = scores_callback(None, tmp_path, ByClassifier(**{"every": 1, **plan}), script)
    gan = small_gan(iterations)
    file = MetricsFile(tmp_path / "metrics.csv")
    fit(gan, callbacks=[callback.journal, callback, callback.checkpoints], logger=[file])
    return callback, gan


def best_iteration(folder):
    return torch.load(folder / "best.ckpt", weights_only=True)["iterations"]


def test_scores_come_at_intervals_and_after_the_last_iteration(tmp_path):
    callback, _ = scripted(tmp_path, 3.0, 2.0, 1.0, iterations=5, every=2)
    assert callback.scorer.asked == [2, 4, 5]


def test_the_best_checkpoint_is_the_one_of_the_best_score(tmp_path):
    callback, _ = scripted(tmp_path, 5.0, 3.0, 4.0, 2.0, 6.0, 7.0)
    assert best_iteration(tmp_path) == 4
    assert (callback.best.iterations, callback.latest.iterations) == (4, 6)
    assert (callback.best.scores["frechet"].value, callback.since_best) == (2.0, 2)
    assert callback.conclusion() == (
        "frechet/script/1k: 7; best 2, at iteration 4, which has 2.5 on fresh noise"
    )


def test_the_best_checkpoint_is_scored_once_on_noise_that_did_not_choose_it(tmp_path):
    callback, _ = scripted(tmp_path, 5.0, 3.0, 4.0, iterations=3, seed=7)
    assert callback.scorer.seeds == [7 + 2**31]
    assert callback.summary() == {
        "best": {
            "iteration": 2,
            "score": "frechet/script/1k",
            "selected_by": 3.0,
            "value": 2.5,
            "seed": 7 + 2**31,
        }
    }
    assert Scores(callback.plan, callback.journal, callback.checkpoints).summary() == {}


def test_an_interrupted_run_waits_for_its_end_before_its_best_is_scored_again(tmp_path):
    callback, gan = scripted(tmp_path, 5.0, 3.0, 4.0, iterations=3)
    callback.fresh = None
    gan.iterations = 2
    callback.on_train_end(None, gan)
    assert (callback.fresh, callback.summary()) == (None, {})


class Noisy(Scripted):
    """10 and the error of a seed's noise, which differs from checkpoint to checkpoint."""

    def __call__(self, gan, seed=None):
        age = int(gan.state_dict()["generator.layers.1.weight"].sum().item() * 1e6)
        error = np.random.default_rng([seed or 0, abs(age)]).standard_normal()
        card = Scripted(0.0)(gan)
        protocol = replace(card.protocol, seed=seed or 0)
        return replace(card, protocol=protocol, scores={"frechet": Score(10 + error)})


def test_the_score_that_chose_a_checkpoint_is_too_good_and_the_one_on_fresh_noise_is_not(tmp_path):
    callback = scores_callback(None, tmp_path, ByClassifier(every=1), Noisy())
    trained = fit(gan := small_gan(20), callbacks=[callback.journal, callback])
    chosen = callback.best.scores["frechet"].value
    fresh = []
    for seed in range(100):
        callback.plan, callback.fresh = ByClassifier(every=1, seed=seed), None
        callback.score_again(trained, gan)
        fresh.append(callback.fresh.scores["frechet"].value)
    assert chosen < 9
    assert abs(np.mean(fresh) - 10) < 3 / math.sqrt(100) < 10 - chosen


def test_fresh_noise_is_scored_with_the_weights_of_the_best_checkpoint(digits, tmp_path):
    gan = noisy_gan(iterations=3)
    callback = scores_callback(digits, tmp_path)
    trained = fit(gan, callbacks=[callback])
    last, best = weights(gan), noisy_gan()
    best.load_state_dict(torch.load(tmp_path / "best.ckpt", weights_only=True)["state_dict"])
    expected = callback.scorer(best, callback.plan.fresh_seed).scores
    assert callback.fresh.scores == expected != callback.best.scores
    callback.fresh, callback.best = None, replace(callback.best, iterations=1)
    callback.score_again(trained, gan)
    assert same(weights(gan), last)
    assert callback.fresh.iterations == 1


def test_a_damaged_best_checkpoint_costs_a_sentence(tmp_path, capsys):
    callback, gan = scripted(tmp_path, 5.0, 3.0, iterations=2)
    (tmp_path / "best.ckpt").write_bytes(b"no checkpoint")
    callback.fresh = None
    callback.score_again(None, gan)
    assert "the best checkpoint is not scored on fresh noise" in capsys.readouterr().err


def test_of_scores_that_are_better_when_larger_the_largest_is_kept(tmp_path):
    scripted(tmp_path, 5.0, 3.0, 4.0, iterations=3, best="recall")
    assert best_iteration(tmp_path) == 1  # all the same: the first


def test_a_run_ends_when_patience_does(tmp_path):
    callback, gan = scripted(tmp_path, 5.0, 3.0, 4.0, 3.0, 2.0, 1.0, patience=2)
    assert gan.iterations == 4
    assert callback.exhausted
    _, gan = scripted(tmp_path, 5.0, 3.0, 4.0, 2.0, 3.0, 1.0, patience=2)
    assert gan.iterations == 6


def test_a_resumed_run_knows_its_best_score_and_its_patience(tmp_path):
    callback, _ = scripted(tmp_path, 5.0, 3.0, 4.0, iterations=3, patience=5)
    again = scores_callback(None, tmp_path, callback.plan, Scripted(9.0))
    again.load_state_dict(json.loads(json.dumps(callback.state_dict())))
    assert again.best == callback.best
    assert (again.latest, again.since_best) == (callback.latest, 1)
    fresh = scores_callback(None, tmp_path, callback.plan, Scripted(9.0))
    fresh.load_state_dict(fresh.state_dict())
    assert (fresh.best, fresh.latest, fresh.since_best) == (None, None, 0)
    assert fresh.conclusion() == ""


def test_scores_are_logged_under_their_full_names_against_every_axis(tmp_path):
    scripted(tmp_path, 3.0, 2.0, iterations=4, every=2)
    header, *lines = (tmp_path / "metrics.csv").read_text().splitlines()
    columns = header.split(",")
    rows = [dict(zip(columns, line.split(","), strict=True)) for line in lines]
    found = [row for row in rows if row["frechet/script/1k"]]
    assert [(row["iterations"], row["frechet/script/1k"]) for row in found] == [
        ("2", "3.0"),
        ("4", "2.0"),
    ]
    assert [row["images_seen"] for row in found] == ["32", "64"]
    assert all(float(row["seconds"]) > 0 for row in found)
    assert all(row["recall/script/1k"] == "0.5" for row in found)


def test_the_time_of_scoring_is_no_time_of_training(tmp_path, monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr("ganlab.training.stopwatch.now", lambda: clock.now)

    class Slow(Scripted):
        def __call__(self, gan, seed=None):
            clock.now += 1000.0
            return super().__call__(gan, seed)

    callback = scores_callback(None, tmp_path, ByClassifier(every=1), Slow(3.0, 2.0, 1.0))
    fit(small_gan(3), callbacks=[callback.journal, callback, callback.checkpoints])
    assert callback.journal.seconds == 0
    assert clock.now == 4000  # three in training, and one of the best on fresh noise


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"every": 0}, "every must be at least 1, got 0"),
        ({"patience": 0}, "patience must be at least 1, got 0"),
        ({"n": 9}, "n must be at least 10, got 9"),
        ({"real": 9}, "real must be at least 10, got 9"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"best": "fid"}, "best must be one of frechet, is, kernel, .*; got 'fid'"),
    ],
)
def test_a_plan_out_of_range_is_refused(options, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        ByClassifier(**options)


def test_a_scorer_needs_images_for_every_split_and_neighbour(digits):
    with pytest.raises(ValueError, match=r"^n must be at least 10, got 9$"):
        scorer(digits, n=9)


def test_held_out_images_are_read_to_train_a_classifier_and_not_to_load_it(monkeypatch, capsys):
    data, asked = ImageData(Digits(split="train"), 16, minibatches=1, iterations=1), []
    data.setup()
    read = data.test_images
    monkeypatch.setattr(data, "test_images", lambda: asked.append(1) or read())
    first, second = (ByClassifier().extractor(data) for _ in range(2))
    assert asked == [1]
    assert first.weights == second.weights
    assert "classifier-digits is trained: it names" in capsys.readouterr().out


def test_data_sets_are_named_as_their_choices_are():
    named = {
        name: data_name(type(name, (), {})())
        for name in ("FashionMNIST", "CIFAR10", "MNIST", "SVHN")
    }
    assert named == {
        "FashionMNIST": "fashion_mnist",
        "CIFAR10": "cifar10",
        "MNIST": "mnist",
        "SVHN": "svhn",
    }
