"""Runs that start from another run: trained longer, or on other data."""

import shutil

import pytest
import torch

from commands import completed, run_train, runs_in, smoke, summary, trained
from conftest import differing
from ganlab.errors import ConfigError
from ganlab.runs.folder import Run, identity
from ganlab.storage import checkpoint

TRAINED = ("iterations=4", "checkpoint_every=2", "log_every=1")


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("outputs"), *TRAINED)


def started(folder, *overrides):
    """The run that a command with `start` makes, in a folder of its own."""
    outcome = run_train(*smoke(folder, *TRAINED, *overrides))
    assert (outcome.code, outcome.err) == (0, "")
    (run,) = runs_in(folder)
    return run, outcome.out


def saved(run):
    return checkpoint.read(Run(run).last_checkpoint())


@pytest.mark.long
def test_a_finished_run_trained_longer_is_the_run_that_had_not_ended(first, tmp_path):
    """To the bit: weights, average and optimizers, counts, noise, and the order of the images."""
    longer, out = started(tmp_path / "a", f"start={first}", "iterations=8")
    whole, _ = started(tmp_path / "b", "iterations=8")
    assert f"goes on from {first}/checkpoints/iteration-0000004.ckpt" in out
    assert longer.name not in (first.name, whole.name)
    mine, theirs = saved(longer), saved(whole)
    for part in ("state_dict", "optimizer_states", "iterations", "images_seen", "updates"):
        assert differing(mine[part], theirs[part]) == [], part
    assert summary(longer)["iterations"] == 8
    assert summary(longer)["seconds"] < summary(first)["seconds"] + summary(longer)["seconds"]


def test_the_run_it_starts_from_is_not_touched(first, tmp_path):
    before = {file: file.read_bytes() for file in first.rglob("*") if file.is_file()}
    started(tmp_path, f"start={first}", "iterations=6")
    assert {file: file.read_bytes() for file in first.rglob("*") if file.is_file()} == before


def test_a_generator_alone_starts_with_its_average_and_counts_from_zero(first, tmp_path):
    words = [f"start={first}", "start.networks=[generator]", "iterations=1", "seed=5"]
    words += ["optim@g_optimizer=sgd", "g_optimizer.lr=0", "g_optimizer.momentum=0"]
    run, out = started(tmp_path, *words)
    assert "starts with generator of" in out
    assert "optimizers, counts and schedules begin anew" in out
    mine, theirs = saved(run), saved(first)
    assert mine["iterations"] == 1
    learned = [n for n, t in theirs["state_dict"].items() if n.endswith("weight")]
    same = [n for n in learned if torch.equal(mine["state_dict"][n], theirs["state_dict"][n])]
    assert {name.split(".")[0] for name in learned} == {"generator", "discriminator", "ema"}
    assert {name.split(".")[0] for name in same} >= {"generator"}
    assert not [name for name in same if name.startswith("discriminator")]


def test_a_checkpoint_file_is_a_start_as_well(first, tmp_path):
    file = first / "checkpoints" / "iteration-0000002.ckpt"
    alone = tmp_path / "alone.ckpt"
    shutil.copy(file, alone)
    runs = [started(tmp_path / n, f"start={at}")[0] for n, at in (("a", file), ("b", alone))]
    assert differing(saved(runs[0])["state_dict"], saved(runs[1])["state_dict"]) == []
    assert differing(saved(runs[0])["state_dict"], saved(first)["state_dict"]) == []


def test_where_it_starts_is_part_of_the_run(first, monkeypatch):
    paths = [first, first / ".", first.parent / ".." / first.parent.name / first.name]
    ids = {identity(completed(f"start.run={path}", "iterations=9")) for path in paths}
    assert len(ids) == 1
    file = first / "checkpoints" / "iteration-0000002.ckpt"
    assert identity(completed(f"start.run={file}", "iterations=9")) not in ids
    assert identity(completed("iterations=9")) not in ids
    alone = completed(f"start.run={first}", "iterations=9", "start.networks=[generator]")
    assert identity(alone) not in ids


@pytest.mark.long
def test_a_run_that_was_stopped_goes_on_from_its_own_checkpoint(first, tmp_path):
    """Not from the start again."""
    words = smoke(tmp_path, *TRAINED, f"start={first}", "iterations=8")
    assert run_train(*words).code == 0
    (run,) = runs_in(tmp_path)
    before = saved(run)
    (run / "checkpoints" / "iteration-0000008.ckpt").unlink()
    (run / "summary.json").unlink()
    assert run_train(*words).code == 0
    assert differing(saved(run)["state_dict"], before["state_dict"]) == []
    assert min(int(file.stem.split("-")[1]) for file in (run / "checkpoints").iterdir()) >= 6


REFUSED = {
    "start=nowhere": "start: there is no run or checkpoint 'nowhere'",
    "start={out}": "'{out}' is no run: it has no config.yaml",
    "start=last": "start: name the run; with 'last', the run that starts would be the newest one",
    "start={run} iterations=4": "has done 4 of them; set iterations to more",
    "start={run} iterations=8 model.generator.width=16": "do not fit: 'generator",
    "start={run} iterations=8 ema=null": "do not fit: only one of them has 'ema",
    "start={run} start.networks=[generatr]": "there is no 'generatr'; did you mean 'generator'?",
    "start={run} start.networks=[loss]": "start.networks: there is no 'loss'",
    "start={run}/metrics.csv iterations=8": "is damaged",
    "start={run} start.checkpoint=best.ckpt": "start: there is no checkpoint",
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_be_started_from_is_refused_before_any_work(words, first, tmp_path):
    names = {"run": first, "out": first.parents[1]}
    outcome = run_train(*smoke(tmp_path / "new", *TRAINED, *words.format(**names).split()))
    assert outcome.code == 2, outcome
    assert REFUSED[words].format(**names) in outcome.err
    assert not (tmp_path / "new").exists()


def test_resuming_with_other_settings_names_the_way(first, tmp_path):
    outcome = run_train(*smoke(tmp_path, *TRAINED, f"resume={first}", "iterations=8"))
    assert outcome.code == 2
    assert f"to start a new run from its weights: start={first}\n" in outcome.err


@pytest.mark.long
def test_a_sweep_may_start_from_several_runs(first, tmp_path):
    files = ",".join(str(file) for file in sorted((first / "checkpoints").glob("*.ckpt")))
    outcome = run_train("-m", *smoke(tmp_path, *TRAINED, f"start={files}", "iterations=5"))
    assert outcome.code == 0, outcome
    assert "2 finished" in outcome.out


def test_a_last_run_is_no_start():
    with pytest.raises(ConfigError, match="name the run"):
        completed("start.run=last")
