"""docs/extend.md: each kind of part can be added from outside the package, by one file."""

import csv
import os
import signal
import sys
from pathlib import Path

import pytest
import torch

import ganlab
from commands import run_train, runs_in
from conftest import ROOT, same
from ganlab.generative import Generative
from ganlab.runs.folder import Run
from test_readme import write_examples

PAGE = (ROOT / "docs" / "extend.md").read_text()
SMALL = (
    *("trainer=cpu", "logger=csv", "iterations=6", "log_every=1", "batch_size=8", "~scale"),
    *("model.generator.width=4", "model.discriminator.width=4", "model.discriminator.norm=layer"),
)


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """Trains by some words in a folder with the page's files: (run, rows of metrics.csv)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    write_examples(PAGE, tmp_path)

    def train(*words):
        outcome = run_train(*SMALL, *words)
        assert (outcome.code, outcome.err) == (0, "")
        (run,) = runs_in(tmp_path / "outputs")
        with (run / "metrics.csv").open(newline="") as file:
            return Run(run), list(csv.DictReader(file))

    yield train
    for file in tmp_path.glob("*.py"):
        sys.modules.pop(file.stem, None)


def numbers(rows, name):
    return [float(row[name]) for row in rows if row[name]]


def test_a_term_of_ds_loss(trained):
    _, rows = trained("+regularizer.small._target_=my_terms.SmallLogits")
    assert len(numbers(rows, "penalty/small")) == 6


def test_a_lazy_term_of_gs_loss(trained):
    """In iterations 1 and 5, each four times as heavy; it reaches G."""
    seek = "+regularizer.seek"
    run, rows = trained(f"{seek}._target_=my_terms.ModeSeeking", f"{seek}.every=4")
    assert [bool(row["loss/g/seek"]) for row in rows] == [True, False, False, False, True, False]
    weights = torch.load(run.last_checkpoint(), weights_only=True)["state_dict"]
    (run.path / "config.yaml").unlink()  # so that the plain run is the only one
    run.path.rename(run.path.parent.parent.parent / "elsewhere")
    plain, _ = trained()
    without = torch.load(plain.last_checkpoint(), weights_only=True)["state_dict"]
    differing = [name for name in without if not torch.equal(weights[name], without[name])]
    assert any(name.startswith("generator.") for name in differing)


def test_numbers_that_follow_schedules(trained, monkeypatch):
    """A penalty's strength, Adam's beta2 and the average's decay, each by its own schedule."""
    from ganlab.training.ema import EMA
    from ganlab.training.updates import UpdateRule

    seen, begin, move = [], UpdateRule.begin, EMA.begin

    def watched(rule, optimizer, clock, scale=1.0):
        begin(rule, optimizer, clock, scale)
        seen.append(optimizer.param_groups[0]["betas"])

    shares = []
    monkeypatch.setattr(UpdateRule, "begin", watched)
    monkeypatch.setattr(EMA, "begin", lambda e, *a: (move(e, *a), shares.append(e.share)))
    run, rows = trained(
        "regularizer=r1",
        "regularizer.r1.gamma={_target_:ganlab.schedules.Linear,value:8}",
        "d_optimizer.betas=[0.5,{_target_:ganlab.schedules.Linear,value:0.8,end:1.2}]",
        "ema.half_life=4",
    )
    of_d = [betas[1] for betas in seen[1::2]]
    assert of_d == pytest.approx([0.8 + 0.16 * i / 6 for i in range(6)])
    assert [betas[1] for betas in seen[::2]] == [0.999] * 6
    half_lives = [min(4, 0.05 * 8 * t) for t in range(6)]
    decays = [0.5 ** (8 / half_life) if half_life else 0.0 for half_life in half_lives]
    assert shares == pytest.approx([1 - decay for decay in decays])
    penalties = numbers(rows, "penalty/r1")
    assert penalties[0] > 0
    assert run.config()["regularizer"]["r1"]["gamma"]["until"] == 1.0, "it is complete"


def test_a_schedule(trained):
    trained("d_schedule._target_=my_schedules.Step", "d_schedule.at=0.9")


def test_an_augmentation_that_hears_d(trained):
    run, _ = trained("augment._target_=my_augment.Brightness", "augment.target=-2")
    saved = torch.load(run.last_checkpoint(), weights_only=True)
    assert saved["state_dict"]["augment.p"].item() == pytest.approx(0.06), "it is in checkpoints"


def test_a_callback(trained):
    _, rows = trained("+callback.norm._target_=my_callbacks.WeightNorm")
    assert len(numbers(rows, "weight_norm/g")) == 6


def test_a_training_step(trained):
    _, rows = trained("gan._target_=my_gans.Lenient")
    assert len(numbers(rows, "loss/d")) == 6


def test_a_score_by_which_the_best_checkpoint_is_kept(trained):
    """It is in metrics.csv and in summary.json, under a name with its protocol."""
    mine = "metrics.also=[{_target_:my_measures.MeanDistance}]"
    words = ["metrics=classifier", mine, "metrics.best=mean_distance", "metrics.n=20"]
    run, rows = trained(*words, "metrics.every=3", "checkpoint_every=3")
    name = "mean_distance/classifier-digits/20"
    first, second = numbers(rows, name)
    assert min(first, second) > 0
    best = run.summary()["best"]
    assert (best["score"], best["iteration"]) == (name, [3, 6][second < first])
    assert best["selected_by"] == min(first, second)
    cards = [s for s in run.summary()["scores"] if s["iterations"] == best["iteration"]]
    values = [card["scores"]["mean_distance"]["value"] for card in cards]
    assert set(values) == {best["selected_by"], best["value"]}, "on its own noise, and on fresh"
    assert run.best_checkpoint() is not None


def test_a_score_that_is_misspelt_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = run_train(*SMALL, "metrics=classifier", "metrics.best=mean_distance")
    assert outcome.code == 2
    assert "best must be one of frechet, is, kernel, " in outcome.err
    assert outcome.err.endswith("got 'mean_distance'\n")


MATCHING = "gan._target_=my_models.MeanMatching"


def test_a_model_without_a_discriminator(trained):
    """It is trained, averaged, scored, drawn and sampled like every other."""
    run, rows = trained(MATCHING, "metrics=classifier", "metrics.n=20", "g_optimizer.lr=0.05")
    losses = numbers(rows, "loss/g")
    assert losses[-1] < losses[0]
    assert rows[-1]["images_seen"] == str(6 * 8)
    assert "health/diversity" in rows[-1]
    assert not {"loss/d", "health/d_accuracy", "D(x)"} & rows[-1].keys()
    saved = torch.load(run.last_checkpoint(), weights_only=True)
    assert not any(name.startswith("discriminator") for name in saved["state_dict"])
    assert len(saved["optimizer_states"]) == 1
    assert run.summary()["scores"]
    assert ganlab.load(run.path, trust=True).sample(3, seed=1).shape == (3, 1, 16, 16)


def test_a_model_without_a_discriminator_resumes_to_the_bit(trained, tmp_path, monkeypatch):
    whole, _ = trained(MATCHING)
    expected = torch.load(whole.last_checkpoint(), weights_only=True)["state_dict"]
    whole.path.rename(tmp_path / "whole")
    with monkeypatch.context() as patch:
        average = Generative.average

        def interrupted(model):
            if model.iterations == 3:
                os.kill(os.getpid(), signal.SIGINT)
            average(model)

        patch.setattr(Generative, "average", interrupted)
        assert run_train(*SMALL, MATCHING).code == 130
    run, _ = trained(MATCHING)
    assert run.summary()["status"] == "finished"
    assert same(torch.load(run.last_checkpoint(), weights_only=True)["state_dict"], expected)


def test_a_kind_with_a_config_of_its_own(trained):
    """It has no discriminator, and says so of all that makes one."""
    mine = ["--config-dir", "my_conf", "model=imle", "model.samples=64", "g_optimizer.lr=0.05"]
    without = [word for word in SMALL if "discriminator" not in word]
    refused = run_train(*without, *mine, "loss=hinge")
    assert (refused.code, "loss: IMLE has no use for it" in refused.err) == (2, True)
    outcome = run_train(*without, *mine)
    assert (outcome.code, outcome.err) == (0, "")
    (run,) = runs_in(Path("outputs"))
    assert run.parent.name == "digits-imle"
    with (run / "metrics.csv").open(newline="") as file:
        losses = numbers(list(csv.DictReader(file)), "loss/g")
    assert losses[-1] < losses[0]
    assert ganlab.load(run, trust=True).sample(3, seed=1).shape == (3, 1, 16, 16)
