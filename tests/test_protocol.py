"""A score's name and record: what may be called FID, and what may stand beside what."""

import json
from dataclasses import asdict, fields, replace

import pytest

from ganlab.errors import ProtocolMismatchError
from ganlab.scoring import Protocol, Score, Scorecard, require_alike, tables
from ganlab.scoring.protocol import PROTOCOLS, score_named, thousands, versions
from ganlab.scoring.scorecard import mean_of, spread
from ganlab.storage.inception import SHA256 as WEIGHTS

FACTS = {
    "extractor": "inception",
    "weights": WEIGHTS,
    "preparation": "TensorFlow 1's bilinear resize to 299",
    "data": "cifar10",
    "split": "train",
    "real": 50_000,
    "real_hash": "ab12",
    "fake": 50_000,
}
REFERENCE = Protocol(**FACTS)
DESCRIBES = {"ema": 0.999, "batchnorm": "averaged", "seed": 5, "versions": {"torch": "9.9"}}
CHANGED = {"truncation": 0.7, "subsets": (10, 100), **DESCRIBES}


def card(protocol=REFERENCE, value=3.5, **scores):
    given = {"frechet": value, "is": 9.0, **scores}
    return Scorecard(protocol, {name: Score(v, 0.1) for name, v in given.items()}, 1000)


def test_fid_and_is_are_the_reference_extractors_at_50000_alone():
    assert REFERENCE.name("frechet") == "fid"
    assert REFERENCE.name("is") == "is"
    assert REFERENCE.name("kernel") == "kid"
    assert REFERENCE.name("precision") == "precision/inception/50k"


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"fake": 10_000}, "frechet/inception/10k"),
        ({"fake": 49_999}, "frechet/inception/49999"),
        ({"split": "test"}, "frechet/inception/50k/test"),
        ({"weights": 64 * "0"}, "frechet/inception/50k"),
        ({"extractor": "inception-clean"}, "frechet/inception-clean/50k"),
        ({"extractor": "classifier-mnist", "fake": 10_000}, "frechet/classifier-mnist/10k"),
        ({"extractor": "classifier-digits", "fake": 1797}, "frechet/classifier-digits/1797"),
    ],
)
def test_all_else_carries_its_own_name(change, name):
    assert replace(REFERENCE, **change).name("frechet") == name


@pytest.mark.parametrize("change", [{}, {"fake": 1797}, {"fake": 10_000, "split": "test"}])
@pytest.mark.parametrize("score", ["frechet", "is", "kernel", "precision", "kl"])
def test_a_metric_that_is_a_score_is_known_by_its_name(score, change):
    assert score_named(replace(REFERENCE, **change).name(score)) == score


@pytest.mark.parametrize(
    "name",
    ["loss/d", "loss/d/conditioning", "D(x)", "test_error/supervised", "grad_norm/g", "kernel"],
)
def test_what_is_no_score_is_not_taken_for_one(name):
    assert score_named(name) is None


def changed(name):
    """A value of the field that differs from the reference's."""
    value = getattr(REFERENCE, name)
    if name in CHANGED:
        return CHANGED[name]
    return f"{value}x" if isinstance(value, str) else value + 1


@pytest.mark.parametrize("name", [f.name for f in fields(Protocol)])
def test_every_convention_that_differs_is_named_and_what_describes_the_generator_is_not(name):
    other = replace(REFERENCE, **{name: changed(name)})
    assert other != REFERENCE
    found = REFERENCE.differences(other)
    if name in DESCRIBES:
        assert found == []
        require_alike([("a", REFERENCE), ("b", other)])
    else:
        assert found == [f"{name}: {getattr(REFERENCE, name)} and {changed(name)}"]
        with pytest.raises(ProtocolMismatchError, match=name):
            require_alike([("a", REFERENCE), ("b", REFERENCE), ("c", other)])


def test_the_refusal_says_whose_scores_and_every_difference():
    other = replace(REFERENCE, fake=10_000, split="test")
    with pytest.raises(ProtocolMismatchError) as refusal:
        require_alike([("runs/a", REFERENCE), ("runs/b", other)])
    assert str(refusal.value) == (
        "'runs/a' and 'runs/b' were scored by unlike protocols: split: train and test; "
        "fake: 50000 and 10000"
    )


def test_a_record_survives_json():
    record = json.loads(json.dumps(card().as_dict()))
    assert Scorecard.from_dict(record) == card()
    assert record["scores"]["frechet"] == {"name": "fid", "value": 3.5, "error": 0.1}
    assert record["protocol"] == json.loads(json.dumps(asdict(REFERENCE)))


def test_less_is_better_for_distances_and_more_for_all_else():
    better, worse = card(value=1.0, recall=0.9), card(value=2.0, recall=0.1)
    assert better.better(None, "frechet")
    assert better.better(worse, "frechet")
    assert better.better(worse, "recall")
    assert not worse.better(better, "frechet")
    assert not worse.better(better, "recall")
    assert not better.better(better, "frechet")


def test_repeats_have_a_mean_and_the_deviation_of_a_sample():
    assert mean_of([card()]) == card()
    both = mean_of([card(value=1.0), card(value=3.0)])
    assert both.scores["frechet"] == Score(2.0, pytest.approx(2**0.5))
    assert both.repeats == 2
    assert spread([4.0]) == Score(4.0, None)


def test_scores_are_spelled_to_the_digits_that_their_error_leaves():
    spelled = {
        Score(8.2415, 0.163): "8.24 ± 0.16",
        Score(37.92, 5.81): "37.9 ± 5.8",
        Score(1234.6, 120.0): "1235 ± 120",
        Score(0.22783, 0.00402): "0.2278 ± 0.0040",
        Score(10.0, 0.0): "10",
        Score(0.123456): "0.1235",
        Score(0.123456, 6e-16): "0.1235",  # rounding, where all subsets are the same images
    }
    assert {score: tables.spelled(score) for score in spelled} == spelled


def test_published_protocols_differ_in_what_their_papers_fix():
    conventions = {name: (c.n, c.split, c.real, c.clean) for name, c in PROTOCOLS.items()}
    assert conventions == {
        "stylegan": (50_000, "train", None, False),
        "mimicry": (50_000, "train", 50_000, False),
        "lucic": (10_000, "test", 10_000, False),
        "cleanfid": (50_000, "train", None, True),
    }


def test_numbers_of_images_are_short_where_that_is_exact():
    assert [thousands(n) for n in (50_000, 10_000, 1000, 1797, 500)] == [
        "50k",
        "10k",
        "1k",
        "1797",
        "500",
    ]


def test_versions_are_recorded():
    assert versions().keys() == {"ganlab", "torch", "torchvision"}
