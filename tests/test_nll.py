"""Sweeps of models with a likelihood, ranked by it."""

import csv
import io
import json
import math
import shutil
import statistics
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from pydantic import TypeAdapter

from commands import run_sweep, run_train, runs_in
from ganlab.runs.folder import Run
from ganlab.runs.records import NATS, Likelihood, LikelihoodKind
from ganlab.scoring import nll
from ganlab.scoring.protocol import require_alike, score_named
from ganlab.sweeps.record import card_of, jobs_in, likelihoods
from ganlab.sweeps.scores import deciding, results
from ganlab.training.likelihood import Kind, LogLikelihood

SMALL = ("model=vae", "latent.dim=2", "model.encoder.hidden=[8]", "model.generator.hidden=[8]")
SMALL += (
    "callback.likelihood.every=2",
    "callback.likelihood.n=20",
    "callback.likelihood.samples=3",
)
NAME = "nll/iwae-3"
RECORD = {
    "name": "nll/ais-10",
    "kind": "estimate",
    "nats": 90.0,
    "error": 1.0,
    "images": 20,
    "interval": [87.0, 93.0],
    "protocol": {"binarise": "fixed", "seed": 0, "iterations": 4},
}


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Two rates with two seeds each; the folder of the sweep."""
    outputs = tmp_path_factory.mktemp("outputs")
    base = ("trainer=smoke", "logger=csv", f"output_dir={outputs}", *SMALL)
    outcome = run_train("-m", *base, "g_optimizer.lr=0.0001,0.01", "seed=0,1", "iterations=20")
    assert (outcome.code, outcome.err) == (0, "")
    (folder,) = (outputs / "sweeps").iterdir()
    return folder


def nats(run: Run) -> float:
    """What summary.json says."""
    (one,) = run.summary()["likelihoods"]
    assert one["name"] == NAME
    return one["nats"]


def test_the_least_nats_come_first(swept):
    by_rate = {}
    for job in jobs_in(swept):
        rate = next(word for word in job.overrides if word.startswith("g_optimizer.lr="))
        by_rate.setdefault(rate.partition("=")[2], []).append(nats(job.run))
    means = {rate: statistics.fmean(values) for rate, values in by_rate.items()}
    assert means["0.01"] < means["0.0001"], "the one that learns"
    rows = list(csv.DictReader(io.StringIO(run_sweep("table", str(swept), "format=csv").out)))
    assert [row["g_optimizer.lr"] for row in rows] == ["0.01", "0.0001"]
    for row in rows:
        assert float(row[NAME]) == pytest.approx(means[row["g_optimizer.lr"]])
        assert row["runs"] == "2"
        assert float(row[f"{NAME} (half of its 95% interval)"]) > 0
    first, run, _ = run_sweep("best", str(swept)).out.splitlines()
    assert first.startswith(f"{NAME} ")
    assert first.endswith("(95% interval of the mean over 2 seeds): g_optimizer.lr=0.01")
    assert nats(Run(Path(run.strip()))) == min(by_rate["0.01"])


@pytest.mark.parametrize("by", ["nll", NAME])
def test_they_are_asked_for_by_name(swept, by):
    told = json.loads(run_sweep("table", str(swept), f"by={by}", "format=json", "seeds=apart").out)
    assert told["by"] == "nll"
    found = [run["likelihoods"][NAME]["value"] for run in told["runs"]]
    assert found == sorted(found)
    assert sorted(found) == sorted(nats(Run(run)) for run in runs_in(swept.parents[1]))
    assert run_sweep("plot", str(swept), f"by={by}").out == f"{swept / 'nll.png'}\n"


@pytest.mark.parametrize("kind", get_args(Kind))
def test_records_and_training_say_the_same_of_a_likelihood(kind):
    """Each has its own words: a report needs no torch."""
    one = LogLikelihood(method="it", kind=kind, nats=1.0, error=0.1, images=2)
    assert str(one).startswith(f"nll/it: {NATS[kind]} 1.00 nats".replace("  ", " "))
    assert get_args(Kind) == get_args(LikelihoodKind)


def test_an_end_of_an_interval_that_is_infinite_is_no_number_of_json():
    about = {"method": "ais-2", "kind": "upper bound", "nats": 80.0, "error": 0.5, "images": 10}
    one = LogLikelihood(**about, interval=(-math.inf, 83.0))
    told = json.loads(json.dumps(one.as_dict(), allow_nan=False))
    assert told["interval"] == [None, 83.0]
    assert TypeAdapter(Likelihood).validate_python(told).interval == [None, 83.0]


def test_a_likelihood_that_no_run_has_is_a_mistake(swept):
    outcome = run_sweep("table", str(swept), "by=nll/iwae-5000")
    assert outcome.code == 2
    assert f"by: no run of '{swept}' has a score 'nll/iwae-5000'" in outcome.err


@pytest.mark.parametrize("by", ["frechet", "nll"])
def test_runs_with_scores_are_ranked_by_these_and_show_their_likelihoods_beside(
    tmp_path, swept, by
):
    base = ("trainer=smoke", "logger=csv", f"output_dir={tmp_path}", *SMALL)
    scored = ("metrics=classifier", "metrics.n=100", "metrics.every=4")
    run_train(*base, *scored)
    jobs = jobs_in(tmp_path)
    assert deciding(jobs) == "frechet"
    assert deciding(jobs_in(swept)) == "nll"
    assert deciding([]) == "frechet"
    (one,) = results(jobs, by)
    shown = [name for card in one.cards for name in card.scores]
    assert ("frechet" in shown) == (by == "frechet")
    assert shown.count("nll") == 1
    (row,) = csv.DictReader(io.StringIO(run_sweep("table", str(tmp_path), "format=csv").out))
    assert float(row[NAME]) == nats(jobs[0].run)


def test_unlike_protocols_are_not_compared(swept, tmp_path):
    one = nll.card(RECORD)
    other = nll.card({**RECORD, "protocol": {**RECORD["protocol"], "binarise": "dynamic"}})
    assert one.protocol.differences(other.protocol) == ["binarise: fixed and dynamic"]
    with pytest.raises(ValueError, match="binarise: fixed and dynamic"):
        require_alike([("one", one.protocol), ("other", other.protocol)])
    fewer = nll.card({**RECORD, "images": 10})
    assert one.protocol.differences(fewer.protocol) == ["images: 20 and 10"]
    later = nll.card({**RECORD, "protocol": {**RECORD["protocol"], "seed": 1, "iterations": 9}})
    assert one.protocol.differences(later.protocol) == []


def test_the_best_is_the_least_and_the_last_the_newest(tmp_path):
    told = [
        {**RECORD, "nats": value, "protocol": {**RECORD["protocol"], "iterations": iteration}}
        for value, iteration in ((95.0, 2), (90.0, 4), (99.0, 6))
    ]
    (tmp_path / "summary.json").write_text(json.dumps({"likelihoods": told}))
    chosen = {which: card_of(Run(tmp_path), "nll", which) for which in ("best", "last")}
    values = {which: card.scores["nll"].value for which, card in chosen.items()}
    assert values == {"best": 90.0, "last": 99.0}
    Run(tmp_path).forget_scores(after=4)
    assert [card.iterations for card in likelihoods(Run(tmp_path))] == [2, 4]


def test_its_margin_has_what_comes_from_images_and_what_from_chains():
    card = nll.card(RECORD)
    assert card.named() == {"nll/ais-10": 90.0}
    assert card.scores["nll"].margin == pytest.approx(math.hypot(1.96, 3.0))
    alone = nll.card({**RECORD, "interval": None, "error": math.nan})
    assert alone.scores["nll"].margin is None
    assert card.protocol.sentences() == [
        "about so many nats, of 20 images",
        "method ais-10, of probability, binarise fixed",
    ]
    exact = replace(card.protocol, kind="exact")
    assert exact.sentences()[0] == "the number itself, of 20 images"
    assert score_named(card.protocol.name("nll")) == "nll"


@pytest.mark.parametrize("wrong", [False, True])
def test_bounds_of_one_quantity_are_compared_whatever_the_model_is(wrong):
    """A VAE's and a belief network's; of densities those with any deviation."""
    seen = {"binarise": "dynamic", "samples": 3}
    vae = {**seen, "likelihood": "Bernoulli"}
    normal = [{**seen, "likelihood": f"normal, {it}"} for it in ("deviation 0.1", "learned")]
    pairs = [(vae, normal[0])] if wrong else [(seen, vae), normal]
    for one, other in pairs:
        mine, theirs = (nll.card({**RECORD, "protocol": it}).protocol for it in (one, other))
        assert mine.differences(theirs) == (["of: probability and density"] if wrong else [])


def test_the_state_of_runs_is_told_though_their_likelihoods_cannot_be_compared(swept, tmp_path):
    outputs = Path(shutil.copytree(swept.parents[1], tmp_path / "outputs"))
    file = runs_in(outputs)[0] / "summary.json"
    file.write_text(file.read_text().replace('"binarise": "dynamic"', '"binarise": "fixed"'))
    folder = str(outputs / "sweeps" / swept.name)
    outcome = run_sweep("status", folder)
    assert (outcome.code, outcome.err) == (0, "")
    assert "4 finished" in outcome.out
    refused = run_sweep("table", folder)
    assert refused.code == 2
    assert "binarise: " in refused.err
