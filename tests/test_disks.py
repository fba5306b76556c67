"""A disk that is full, read-only or missing costs a sentence, and nothing that exists."""

import os

import pytest

from commands import run_evaluate, run_sample, run_train, runs_in, smoke, summary, trained
from ganlab.errors import ConfigError
from ganlab.storage import cache


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("outputs"))


@pytest.fixture
def full(monkeypatch):
    """A disk without room: it shows when what was written is flushed."""

    def refusing(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refusing)


def test_sampling_onto_a_full_disk_is_a_sentence(finished, full):
    before = sorted(finished.rglob("*"))
    assert run_sample(f"run={finished}", "n=4") == (
        1,
        "",
        "ganlab: stopped: No space left on device; make room and give the same command again\n",
    )
    assert [file for file in sorted(finished.rglob("*")) if file.is_file()] == [
        file for file in before if file.is_file()
    ]


def test_scores_that_cannot_be_kept_are_printed_all_the_same(finished, full):
    before = summary(finished)
    outcome = run_evaluate(f"run={finished}", "n=100")
    assert outcome.code == 0
    assert "frechet/classifier-digits/100" in outcome.out
    said = f"the scores above are not kept in '{finished}': No space left on device\n"
    assert outcome.err.endswith(said)
    assert summary(finished) == before


def test_a_sweep_without_room_for_its_record_does_not_begin(tmp_path, full):
    outcome = run_train("-m", *smoke(tmp_path, "seed=0,1"))
    assert outcome.code == 1
    assert outcome.err == (
        "ganlab: stopped: No space left on device; make room and give the same command again\n"
    )
    assert runs_in(tmp_path) == []


@pytest.mark.parametrize("kind", ["a file", "below a file", "full"])
def test_a_cache_that_cannot_be_used_costs_time_alone(kind, tmp_path, monkeypatch, request):
    blocked = tmp_path / "blocked"
    blocked.write_text("")
    folder = {"a file": blocked, "below a file": blocked / "cache", "full": tmp_path / "cache"}
    monkeypatch.setenv("GANLAB_CACHE", str(folder[kind]))
    if kind == "full":
        request.getfixturevalue("full")
    made = cache.Entry({}, {"a": 1})
    assert cache.kept("x", lambda: made) == made
    assert cache.kept("x", lambda: made) == made


def test_a_run_with_a_classifier_finishes_without_a_cache(tmp_path, monkeypatch):
    (tmp_path / "home").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("GANLAB_CACHE")
    outcome = run_train(*smoke(tmp_path / "o", "metrics=classifier", "metrics.n=50"))
    assert outcome.code == 0, outcome
    assert "is not kept for later runs: " in outcome.err
    (run,) = runs_in(tmp_path / "o")
    assert summary(run)["scores"]


def test_errors_of_making_are_no_errors_of_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANLAB_CACHE", str(tmp_path))

    def failing():
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        cache.kept("x", failing)
    with pytest.raises(ConfigError):
        cache.kept("x", lambda: (_ for _ in ()).throw(ConfigError(["a mistake"])))
