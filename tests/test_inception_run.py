"""A whole run scored by an Inception network, as a user without an account sees it in W&B."""

import json
from pathlib import Path

import pytest

import inception_weights
from commands import run_evaluate, run_train, runs_in, smoke
from ganlab.metrics.inceptionv3 import Inception
from ganlab.scoring import ByInception
from test_loggers import table
from test_wandb import narrow, user
from wandb_server import records


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """A file of random weights: of the exact structure, but no reference."""
    return inception_weights.make(tmp_path_factory.mktemp("weights") / "random.pth")


@pytest.fixture(scope="module")
def run(tmp_path_factory, weights) -> Path:
    folder = tmp_path_factory.mktemp("scored")
    plan = ["metrics=inception", f"metrics.weights={weights}", "metrics.n=12", "metrics.real=12"]
    process = user(folder, "-m", "ganlab.train", *narrow(*plan))
    assert (process.returncode, process.stderr) == (0, "")
    return runs_in(folder / "outputs")[0]


def test_scores_reach_weights_and_biases_under_names_that_say_what_they_are(run, weights):
    name = Inception(weights).name
    assert name.startswith("inception-")
    history = [r["history"]["item"] for r in records(run) if r["type"] == "history"]
    ours = f"frechet/{name}/12"
    (row,) = [item for item in history if ours in item]
    written = [line for line in table(run / "metrics.csv") if line[ours]][-1]
    assert {key: row[key] for key in written if written[key]} == {
        key: float(value) for key, value in written.items() if value
    }
    assert row["iterations"] == 3
    assert not {"fid", "is", "kid"} & row.keys()
    assert not any(key.startswith(("modes", "kl")) for key in row)  # of ImageNet's classes


def test_the_command_finds_the_same_scores_and_protocol(run):
    (before,) = json.loads((run / "summary.json").read_text())["scores"]
    outcome = run_evaluate(f"run={run}")
    assert (outcome.code, outcome.err) == (0, "")
    (after,) = json.loads((run / "summary.json").read_text())["scores"]
    assert after["protocol"] == before["protocol"]
    for name, score in before["scores"].items():
        assert after["scores"][name]["value"] == pytest.approx(score["value"], rel=1e-5), name


def test_clean_scores_are_called_so(weights):
    made = {clean: ByInception(weights=weights, clean=clean).extractor(None) for clean in (0, 1)}
    digits = made[0].weights[:8]
    assert [made[clean].name for clean in (0, 1)] == [
        f"inception-{digits}",
        f"inception-clean-{digits}",
    ]
    assert made[1].preparation.startswith("pil_bicubic to 299")
    assert made[0].fingerprint != made[1].fingerprint


def test_a_file_that_holds_no_weights_is_refused_before_anything_is_trained(tmp_path):
    (tmp_path / "not.pth").write_bytes(b"not weights")
    words = smoke(tmp_path / "out", "metrics=inception", f"metrics.weights={tmp_path}/not.pth")
    outcome = run_train(*words)
    assert outcome.code == 2
    assert outcome.err.endswith(f"  metrics: '{tmp_path}/not.pth' is no file of tensors\n")
    assert runs_in(tmp_path / "out") == []
