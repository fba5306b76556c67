"""A profile says where time goes, and training is bit for bit what it would be without one."""

import gzip
import json

import pytest
import torch

from commands import run_train, runs_in, smoke
from conftest import fit, same, small_gan, weights
from ganlab.callbacks import Journal, Profile, breakdown
from ganlab.callbacks.breakdown import (
    Cost,
    Operator,
    Span,
    advice,
    costs,
    operators,
    table,
    timeline,
)
from ganlab.callbacks.profile import labelled, spans, work
from ganlab.gan import GAN
from ganlab.regularizers import WeightClip
from ganlab.runs.folder import identity
from graphs import Capturing

WHOLE = Span("", 0, 100)
NESTED = [
    WHOLE,
    Span("data", 5, 15),
    Span("D step", 20, 60),
    Span("losses", 22, 50),
    Span("D forward", 24, 30),
    Span("regularizer.r1", 30, 45),
    Span("D forward", 32, 40),  # of the penalty's
    Span("backward", 50, 58),
    Span("bookkeeping/EMA", 60, 70),
]


def test_every_moment_is_counted_once_under_the_innermost_label():
    assert costs(NESTED) == {
        (breakdown.LOOP, ""): Cost(5 + 5 + 30),
        ("data", ""): Cost(10),
        ("D step", ""): Cost(2 + 2),
        ("D step", "losses"): Cost(2 + 5),
        ("D step", "D forward"): Cost(6),
        ("D step", "regularizer.r1"): Cost(15),
        ("D step", "backward"): Cost(8),
        ("bookkeeping", "EMA"): Cost(10),
    }


@pytest.mark.parametrize("end", [1, 37, 100])
def test_the_parts_sum_to_the_whole(end):
    generator = torch.Generator().manual_seed(end)
    cuts = sorted(torch.randint(0, 1000, (2 * end,), generator=generator).tolist())
    pairs = zip(cuts[::2], cuts[1::2], strict=True)
    made = [Span(f"l{i % 3}/m", a, b) for i, (a, b) in enumerate(pairs)]
    total = breakdown.sum_of(costs([Span("", 0, 1000), *made]).values())
    assert total == Cost(1000.0)


def test_work_of_another_thread_belongs_to_the_label_that_waits_for_it():
    """Autograd asks for a GPU's kernels in a thread of its own."""
    found = costs(NESTED, [(51.0, 7.0), (33.0, 2.0), (99.0, 1.0), (101.0, 50.0), (-1.0, 50.0)])
    assert found["D step", "backward"].device == 7.0
    assert found["D step", "regularizer.r1"].device == 2.0
    assert breakdown.sum_of(found.values()).device == 10.0


def test_the_timeline_goes_back_to_the_outer_label():
    assert timeline(NESTED[:2]) == [(0, ()), (5, ("data",)), (15, ()), (100, ())]


def test_the_table_lists_groups_and_their_parts_the_largest_first():
    lines = table(costs(NESTED), iterations=2).splitlines()
    names = [line[:32].rstrip() for line in lines[1:]]
    step = ["D step", "  regularizer.r1", "  backward", "  losses", "  D forward", "  else"]
    assert names == [
        *("an iteration", breakdown.LOOP, *step, "data", "bookkeeping", "  EMA"),
    ]
    assert lines[1].split() == ["an", "iteration", "0.050", "100%"]
    assert "GPU" not in lines[0]


def test_the_table_has_the_gpus_columns_where_one_has_worked():
    lines = table(costs(NESTED, [(51.0, 30.0), (6.0, 10.0)]), iterations=1).splitlines()
    assert lines[0].split() == ["ms", "share", "GPU", "ms", "share"]
    (row,) = (line for line in lines if "backward" in line)
    assert row.split() == ["backward", "0.008", "8%", "0.030", "75%"]


def test_advice_is_about_what_takes_most():
    (line,) = advice({("D step", "regularizer.r1"): Cost(90), ("data", ""): Cost(10)})
    assert line == (
        " 90%  regularizer.r1, and as much again of backward, which differentiates it: "
        "regularizer.r1.every=16"
    )
    kinds = {
        ("data", ""): "data",
        ("G step", "noise"): "noise",
        ("G step", "G forward"): "networks",
        ("D step", "backward"): "networks",
        ("D step", "optimizer"): "optimizer",
        ("bookkeeping", "Journal"): "bookkeeping",
        ("D step", ""): "overhead",
        (breakdown.LOOP, ""): "overhead",
    }
    for part, kind in kinds.items():
        assert advice({part: Cost(1.0)}) == [f"100%  {breakdown.ADVICE[kind]}"]
    assert advice({(group, ""): Cost(1.0) for group in breakdown.ADVICE}) == []
    assert advice({("data", ""): Cost(1.0), ("x", "G forward"): Cost(9.0)})[0].startswith(" 90%")


def test_operators_are_ordered_by_the_gpus_time_where_it_works():
    several = [Operator("mm", 5.0, 1.0, 2), Operator("add", 1.0, 3.0, 4)]
    assert [line.split()[0] for line in operators(several, 1).splitlines()[1:]] == ["add", "mm"]
    on_cpu = [one._replace(device=0.0) for one in several]
    head, *rows = operators(on_cpu, 1).splitlines()
    assert [row.split() for row in rows] == [
        ["mm", "0.005", "83%", "2.0"],
        ["add", "0.001", "17%", "4.0"],
    ]
    assert "GPU" not in head


def profiled(tmp_path, **options) -> tuple[GAN, Profile]:
    gan, seen = small_gan(iterations=12, ema=0.9), Profile(tmp_path, **options)
    fit(gan, callbacks=[seen, Journal(4)])
    return gan, seen


def test_training_is_bit_for_bit_the_same_and_the_labels_come_off(tmp_path, capsys):
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
    for part in ("D step", "G step", "  backward", "  D forward", "bookkeeping", "aten::"):
        assert f"\n{part}" in text
    trace = json.loads(gzip.decompress((tmp_path / "trace.json.gz").read_bytes()))
    names = [event.get("name") for event in trace["traceEvents"]]
    assert names.count("ganlab/D step") == 3


def test_iterations_replayed_by_a_graph_are_a_part(tmp_path):
    fit(small_gan(iterations=12), callbacks=[Capturing(), Profile(tmp_path, iterations=3)])
    assert "\ngraph of both updates" in (tmp_path / "profile.txt").read_text()


def test_a_wrong_profile_would_be_seen(tmp_path, monkeypatch):
    """One that touches a weight."""
    plain = small_gan(iterations=12, ema=0.9)
    fit(plain, callbacks=[Journal(4)])
    start = Profile._start

    def draws(self, trainer, gan):
        next(gan.generator.parameters()).data += 1e-6
        start(self, trainer, gan)

    monkeypatch.setattr(Profile, "_start", draws)
    assert not same(weights(profiled(tmp_path)[0]), weights(plain))


def test_a_large_trace_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("ganlab.callbacks.profile.TRACE_BYTES", 10)
    profiled(tmp_path, iterations=1)
    assert [file.name for file in tmp_path.iterdir()] == ["profile.txt"]


def test_a_run_that_is_too_short_says_so(tmp_path, capsys):
    fit(small_gan(iterations=2), callbacks=[Profile(tmp_path)])
    assert "no profile: it takes 3 iterations, and 2 are left" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


class Fails(Journal):
    def on_train_batch_end(self, trainer, gan, *_):
        if gan.iterations == 6:
            raise RuntimeError("it fails")


def test_a_failure_ends_the_profile_and_takes_the_labels_off(tmp_path):
    gan, seen = small_gan(iterations=12), Profile(tmp_path)
    with pytest.raises(RuntimeError, match="it fails"):
        fit(gan, callbacks=[seen, Fails(4)])
    assert seen._profile is None
    assert seen._wrapped == []
    assert "d_step" not in vars(gan)


def test_every_label_names_a_method_that_there_is():
    class Stub:
        callbacks = ()
        datamodule = None

    gan = small_gan(regularizers={"clip": WeightClip()})
    for owner, name, _ in labelled(Stub(), gan, besides=None):
        assert owner is None or callable(getattr(owner, name))


def test_what_the_profiler_sees_on_the_gpu_is_no_second_label():
    class Event:
        def __init__(self, name, device_type, device=0.0):
            self.name, self.device_type = name, device_type
            self.self_device_time_total = device
            self.time_range = type("Range", (), {"start": 1.0, "end": 2.0})

    from torch.autograd import DeviceType

    events = [
        Event("ganlab/D step", DeviceType.CPU, 9.0),
        Event("ganlab/D step", DeviceType.CUDA, 9.0),
        Event("aten::mm", DeviceType.CPU, 4.0),
        Event("gemm", DeviceType.CUDA, 4.0),
        Event("aten::view", DeviceType.CPU),
    ]
    assert spans(events) == [Span("D step", 1.0, 2.0)]
    assert work(events) == [(1.0, 4.0)]


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
