"""A score's name and record: what may be called FID, and what may stand beside what."""

import json
import random
import statistics
from dataclasses import asdict, fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganlab.errors import ProtocolMismatchError
from ganlab.scoring import Protocol, Score, Scorecard, require_alike, tables
from ganlab.scoring.protocol import PLAIN, PROTOCOLS, score_named, thousands, versions
from ganlab.scoring.scorecard import margin, mean_of, spread
from ganlab.storage.inception import PREPARATION
from ganlab.storage.inception import SHA256 as WEIGHTS

FACTS = {
    "extractor": "inception",
    "weights": WEIGHTS,
    "preparation": PREPARATION,
    "data": "cifar10",
    "split": "train",
    "real": 50_000,
    "real_hash": "ab12",
    "available": 50_000,
    "fake": 50_000,
}
REFERENCE = Protocol(**FACTS)
DESCRIBES = {
    "available": 60_000,
    "ema": 0.999,
    "batchnorm": "averaged",
    "seed": 5,
    "versions": {"torch": "9.9"},
}
CHANGED = {"truncation": 0.7, "subsets": (10, 100), **DESCRIBES}


def card(protocol=REFERENCE, value=3.5, **scores):
    given = {"frechet": value, "is": 9.0, **scores}
    return Scorecard(protocol, {name: Score(v, 0.1) for name, v in given.items()}, 1000)


EVERYTHING = replace(REFERENCE, kept=50_000)  # kernel distance and neighbours look at all images


def test_fid_is_and_kid_are_of_50000_images_as_the_reference_implementation_measures():
    assert EVERYTHING.is_reference
    assert [EVERYTHING.name(score) for score in ("frechet", "is", "kernel")] == ["fid", "is", "kid"]
    assert EVERYTHING.name("precision") == "precision/inception/50k"
    assert EVERYTHING.name("frechet_infinity") == "frechet_infinity/inception/50k"


def test_scores_of_kept_features_say_how_many_they_look_at():
    assert REFERENCE.name("frechet") == "fid"
    assert REFERENCE.name("kernel") == "kernel/inception/10k/real-10k"
    assert REFERENCE.name("precision") == "precision/inception/10k/real-10k"
    assert REFERENCE.name("memorisation") == "memorisation/inception/10k"  # of all real images
    small = replace(REFERENCE, real=5000, available=5000)
    assert small.name("coverage") == "coverage/inception/10k"


def by_the_generated_side_alone(protocol, score):
    """The wrong rule: whatever the real images are, 50,000 generated ones make a plain name."""
    inception = protocol.extractor == "inception" and protocol.weights == WEIGHTS
    plain = inception and protocol.fake == 50_000 and protocol.split == "train"
    return PLAIN[score] if plain and score in PLAIN else protocol.name(score)


@pytest.mark.parametrize("name", [Protocol.name, by_the_generated_side_alone])
def test_a_thousand_real_images_make_neither_fid_nor_kid(name):
    few = replace(EVERYTHING, real=1000)
    held = [name(few, score) for score in ("frechet", "kernel")] == [
        "frechet/inception/50k/real-1k",
        "kernel/inception/50k/real-1k",
    ]
    assert held == (name is Protocol.name)
    assert few.name("precision") == "precision/inception/50k/real-1k"
    assert few.name("is") == "is"  # it looks at no real images


def test_50000_of_a_larger_training_set_are_a_reference_as_all_of_a_small_one_are():
    assert replace(EVERYTHING, available=60_000).name("frechet") == "fid"
    assert replace(EVERYTHING, real=60_000, available=60_000).name("frechet") == "fid"
    assert replace(EVERYTHING, real=1336, available=1336).name("frechet") == "fid"
    part = replace(EVERYTHING, real=55_000, available=60_000)
    assert part.name("frechet") == "frechet/inception/50k/real-55k"


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"fake": 10_000}, "frechet/inception/10k"),
        ({"fake": 49_999}, "frechet/inception/49999"),
        ({"split": "test"}, "frechet/inception/50k/test"),
        ({"split": "test", "real": 5000}, "frechet/inception/50k/test/real-5k"),
        ({"weights": 64 * "0"}, "frechet/inception/50k"),
        ({"preparation": "pil_bicubic to 299"}, "frechet/inception/50k"),
        ({"precision": "bfloat16"}, "frechet/inception/50k"),
        ({"quantisation": "none"}, "frechet/inception/50k"),
        ({"truncation": 0.7}, "frechet/inception/50k/truncated-0.7"),
        ({"extractor": "inception-clean"}, "frechet/inception-clean/50k"),
        ({"extractor": "classifier-mnist", "fake": 10_000}, "frechet/classifier-mnist/10k"),
        ({"extractor": "classifier-digits", "fake": 1797}, "frechet/classifier-digits/1797"),
    ],
)
def test_all_else_carries_its_own_name(change, name):
    assert replace(EVERYTHING, **change).name("frechet") == name


@pytest.mark.parametrize(
    ("change", "score"),
    [
        ({"splits": 1}, "is"),
        ({"subsets": (10, 1000)}, "kernel"),
        ({"subsets": (100, 500)}, "kernel"),
        ({"kept": 49_999}, "kernel"),
    ],
)
def test_is_and_kid_have_the_parts_of_their_papers(change, score):
    assert replace(EVERYTHING, **change).name(score) not in PLAIN.values()


@given(
    score=st.sampled_from(["frechet", "is", "kernel", "precision", "modes", "memorisation", "own"]),
    extractor=st.from_regex(r"[a-z][a-z0-9_.-]{0,11}", fullmatch=True),
    split=st.sampled_from(["train", "test"]),
    real=st.integers(10, 70_000),
    available=st.none() | st.integers(10, 70_000),
    fake=st.integers(10, 70_000),
    kept=st.integers(10, 70_000),
    truncation=st.none() | st.floats(1e-6, 2),
)
def test_a_metric_that_is_a_score_is_known_by_its_name(score, **change):
    assert score_named(replace(REFERENCE, **change).name(score)) == score


@given(real=st.integers(10, 70_000), fake=st.integers(10, 70_000), kept=st.integers(10, 70_000))
def test_one_name_means_one_number_of_images(real, fake, kept):
    protocol = replace(REFERENCE, real=real, fake=fake, kept=kept, available=70_000)
    seen = min(fake, kept), min(real, kept)
    end = "" if seen[1] == 70_000 else f"/real-{thousands(seen[1])}"
    plain = seen[0] == 50_000 and seen[1] in (50_000, 70_000)
    expected = "kid" if plain else f"kernel/inception/{thousands(seen[0])}{end}"
    assert protocol.name("kernel") == expected


def test_records_of_earlier_versions_are_read_and_say_how_many_real_images_they_are_of():
    record = card(replace(REFERENCE, real=60_000, available=60_000)).as_dict()
    del record["protocol"]["available"]
    old = Scorecard.from_dict(record)
    assert old.protocol.name("frechet") == "frechet/inception/50k/real-60k"
    require_alike([("old", old.protocol), ("new", replace(old.protocol, available=60_000))])
    assert score_named("precision/inception/50k") == "precision"


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
    assert record["scores"]["frechet"] == {
        "name": "fid",
        "value": 3.5,
        "margin": 0.1,
        "deviation": None,
        "n": 1,
    }
    assert record["protocol"] == json.loads(json.dumps(asdict(REFERENCE)))


def test_less_is_better_for_distances_and_more_for_all_else():
    better, worse = card(value=1.0, recall=0.9), card(value=2.0, recall=0.1)
    assert better.better(None, "frechet")
    assert better.better(worse, "frechet")
    assert better.better(worse, "recall")
    assert not worse.better(better, "frechet")
    assert not worse.better(better, "recall")
    assert not better.better(better, "frechet")


def test_repeats_have_a_mean_its_interval_and_the_deviation_of_a_sample():
    assert mean_of([card()]) == card()
    both = mean_of([card(value=1.0), card(value=3.0)])
    half = pytest.approx(12.7062, rel=1e-5)  # t of 0.975 and one degree of freedom
    assert both.scores["frechet"] == Score(2.0, half, pytest.approx(2**0.5), 2)
    assert both.repeats == 2
    assert spread([4.0]) == Score(4.0)


def covered(half):
    """How often mean - half .. mean + half contains the truth, of 4,000 samples of three values."""
    generator = random.Random(0)
    samples = [[generator.gauss(5.0, 2.0) for _ in range(3)] for _ in range(4000)]
    hits = [abs(statistics.fmean(values) - 5.0) <= half(values) for values in samples]
    return statistics.fmean(hits)


def test_the_interval_of_a_mean_contains_the_truth_19_times_of_20():
    """A standard deviation, that of the mean and 1.96 of these are no such intervals."""
    assert covered(lambda values: spread(values).margin) == pytest.approx(0.95, abs=0.011)
    for half in (
        statistics.stdev,
        lambda values: statistics.stdev(values) / 3**0.5,
        lambda values: 1.96 * statistics.stdev(values) / 3**0.5,
    ):
        assert covered(half) < 0.85
    assert margin(1.0, 3) == pytest.approx(2.48, abs=0.005)


def test_a_table_with_intervals_says_what_they_are():
    alone, both = Score(1.5), spread([1.0, 2.0])
    assert tables.as_markdown([{"loss": "hinge", "fid": both}]).endswith(f"\n\n{tables.CAPTION}")
    assert "±" not in tables.as_markdown([{"loss": "hinge", "fid": alone}])
    header, row = tables.as_csv([{"loss": "hinge", "fid": both}]).splitlines()
    assert header == "loss,fid,fid (half of its 95% interval),fid (standard deviation),fid (n)"
    name, *numbers = row.split(",")
    assert [float(n) for n in numbers] == pytest.approx([1.5, 6.3531, 0.5**0.5, 2], rel=1e-4)
    assert name == "hinge"


def test_scores_are_spelled_to_the_digits_that_their_error_leaves():
    spelled = {
        Score(8.2415, 0.163): "8.24 ± 0.16",
        Score(37.92, 5.81): "37.9 ± 5.8",
        Score(1234.6, 120.0): "1235 ± 120",
        Score(0.22783, 0.00402): "0.2278 ± 0.0040",
        Score(4.679, deviation=0.037): "4.679 (sd 0.037)",
        Score(8.2415, 0.4, 0.16, 3): "8.24 ± 0.40",
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
        "cleanfid": (10_000, "test", None, True),  # the tables of CIFAR-10 in clean-fid's README
        "cleanfid-train": (50_000, "train", None, True),
    }
    assert {c.kept for c in PROTOCOLS.values()} == {50_000}  # so that kid is kid


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
