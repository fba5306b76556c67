"""A profile says where time goes, and training is bit for bit what it would be without one."""

import gzip
import json
from types import SimpleNamespace

import pytest
from torch.autograd import DeviceType

from commands import run_train, runs_in, smoke
from conftest import fit, same, small_gan, weights
from ganlab.callbacks import Journal, Profile
from ganlab.callbacks.profile import ADVICE, shares
from ganlab.gan import GAN
from ganlab.regularizers import LeCam
from ganlab.runs.folder import identity
from ganlab.training.labels import PREFIX, labelled, part
from graphs import Capturing


def average(key, clock, device=0.0, kind=DeviceType.CPU):
    return SimpleNamespace(
        key=key, cpu_time_total=clock, device_time_total=device, device_type=kind
    )


def test_shares_are_milliseconds_of_an_iteration_the_largest_first():
    """Of labels alone, and not of their shadows on the GPU."""
    averages = [
        average("ganlab/G step", 2000.0, 500.0),
        average("ganlab/D step", 6000.0),
        average("aten::mm", 5000.0),
        average("ganlab/D step", 0.0, 9000.0, DeviceType.CUDA),
    ]
    found = shares(averages, 2)
    assert list(found.items()) == [("D step", (3.0, 0.0)), ("G step", (1.0, 0.25))]


def test_a_label_costs_nothing_without_a_profiler():
    called = []
    labelled("a")(called.append)(1)
    with part("b") as nothing:
        assert nothing is None
    assert called == [1]


def profiled(tmp_path, **options) -> tuple[GAN, Profile]:
    gan, seen = small_gan(iterations=12, ema=0.9), Profile(tmp_path, **options)
    fit(gan, callbacks=[seen, Journal(4)])
    return gan, seen


def test_training_is_bit_for_bit_the_same(tmp_path, capsys):
    plain = small_gan(iterations=12, ema=0.9)
    fit(plain, callbacks=[Journal(4)])
    gan, seen = profiled(tmp_path, iterations=3)
    assert same(weights(gan), weights(plain))
    assert vars(gan).keys() == vars(plain).keys()
    assert vars(gan.generator).keys() == vars(plain.generator).keys()
    assert (seen.first, seen.last) == (4, 7)
    text = (tmp_path / "profile.txt").read_text()
    assert text in capsys.readouterr().out
    assert text.startswith("profile of iterations 5 to 7: ")
    for name in ("D step", "G step", "backward", "D forward", "bookkeeping/Journal"):
        assert f"\n{name} " in text
    assert "aten::" in text
    assert "\nto make " in text
    trace = json.loads(gzip.decompress((tmp_path / "trace.json.gz").read_bytes()))
    names = [event.get("name") for event in trace["traceEvents"]]
    assert names.count(f"{PREFIX}D step") == 3


def test_iterations_replayed_by_a_graph_are_a_part(tmp_path):
    fit(small_gan(iterations=12), callbacks=[Capturing(), Profile(tmp_path, iterations=3)])
    assert "\ngraph of both updates" in (tmp_path / "profile.txt").read_text()


def test_a_wrong_profile_would_be_seen(tmp_path, monkeypatch):
    """One that touches a weight."""
    plain = small_gan(iterations=12, ema=0.9)
    fit(plain, callbacks=[Journal(4)])
    start = Profile._start

    def draws(self, gan):
        next(gan.generator.parameters()).data += 1e-6
        start(self, gan)

    monkeypatch.setattr(Profile, "_start", draws)
    assert not same(weights(profiled(tmp_path)[0]), weights(plain))


def test_a_large_trace_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("ganlab.callbacks.profile.TRACE_BYTES", 10)
    profiled(tmp_path, iterations=1)
    assert [file.name for file in tmp_path.iterdir()] == ["profile.txt"]


def test_a_run_that_is_too_short_says_so(tmp_path, capsys):
    fit(small_gan(iterations=2), callbacks=[Profile(tmp_path)])
    assert "no profile: it needs 3 iterations, but 2 are left" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


class Fails(Journal):
    def on_train_batch_end(self, trainer, gan, *_):
        if gan.iterations == 6:
            raise RuntimeError("it fails")


def test_a_failure_ends_the_profile(tmp_path):
    gan, seen = small_gan(iterations=12), Profile(tmp_path)
    with pytest.raises(RuntimeError, match="it fails"):
        fit(gan, callbacks=[seen, Fails(4)])
    assert seen._profile is None


def test_each_part_has_a_label_and_advice_is_about_one_of_them(tmp_path):
    gan = small_gan(iterations=12, ema=0.9, regularizers={"lecam": LeCam()})
    fit(gan, callbacks=[Profile(tmp_path, iterations=3), Journal(4)])
    lines = (tmp_path / "profile.txt").read_text().splitlines()
    named = {line[:40].strip() for line in lines[4:]}
    parts = {"D step", "G step", "losses", "regularizer.lecam", "bookkeeping/EMA"}
    assert parts | ADVICE.keys() - {"bookkeeping"} <= named


def test_profile_true_is_no_other_experiment(tmp_path):
    outcome = run_train(*smoke(tmp_path, "profile=true", "iterations=6"))
    assert (outcome.code, outcome.err) == (0, "")
    (run,) = runs_in(tmp_path)
    assert (run / "profile.txt").read_text() in outcome.out
    from ganlab.runs.folder import Run

    config = Run(run).config()
    assert config["profile"] is True
    assert identity(config) == identity({**config, "profile": False}) == run.name
    assert identity({**config, "seed": 1}) != run.name
