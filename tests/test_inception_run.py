"""A whole run scored by an Inception network, as a user without an account sees it in W&B."""

import json
from pathlib import Path

import pytest
import torch
from torchmetrics.image.fid import NoTrainInceptionV3

import inception_weights
from commands import Outcome, run_evaluate, run_train, runs_in, smoke
from ganlab.commands.evaluation import Choice, subject
from ganlab.metrics.inceptionv3 import Inception
from ganlab.runs.folder import Run
from ganlab.scoring import ByInception, Scorecard, crosscheck
from ganlab.scoring.evaluation import Evaluation
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


@pytest.mark.long
def test_scores_reach_weights_and_biases_under_names_that_say_what_they_are(run, weights):
    name = Inception(weights).name
    assert name.startswith("inception-")
    history = [r["history"]["item"] for r in records(run) if r["type"] == "history"]
    ours = f"frechet/{name}/12/real-12"
    (row,) = [item for item in history if ours in item]
    written = [line for line in table(run / "metrics.csv") if line[ours]][-1]
    assert {key: row[key] for key in written if written[key]} == {
        key: float(value) for key, value in written.items() if value
    }
    assert row["iterations"] == 3
    assert not {"fid", "is", "kid"} & row.keys()
    assert not any(key.startswith(("modes", "kl")) for key in row)  # of ImageNet's classes


@pytest.mark.long
def test_the_command_finds_the_same_scores_and_protocol(run):
    before, fresh = json.loads((run / "summary.json").read_text())["scores"]
    outcome = run_evaluate(f"run={run}")
    assert (outcome.code, outcome.err) == (0, "")
    after, unchanged = json.loads((run / "summary.json").read_text())["scores"]
    assert after["protocol"] == before["protocol"]
    assert unchanged == fresh
    for name, score in before["scores"].items():
        assert after["scores"][name]["value"] == pytest.approx(score["value"], rel=1e-5), name


# Beside torchmetrics ------------------------------------------------------------------------------

NAMES = ("frechet", "is", "kernel")
BAR = 1e-4  # relative: two networks in float32


@pytest.fixture(scope="module")
def checked(run) -> Outcome:
    """What the check says of the run, as JSON; the table is on stderr."""
    return run_evaluate(f"run={run}", "check=torchmetrics", "format=json")


@pytest.mark.long
def test_torchmetrics_finds_the_same_scores_of_the_same_images(run, checked):
    assert checked.code == 0
    (found,) = json.loads(checked.out)["runs"]
    rows = found["torchmetrics"]
    assert all(set(row) == {"score", "ganlab", "torchmetrics", "difference"} for row in rows)
    assert [row["score"] for row in rows] == [found["scores"][name]["name"] for name in NAMES]
    for name, row in zip(NAMES, rows, strict=True):
        assert row["ganlab"] == found["scores"][name]["value"]
        assert row["torchmetrics"] == pytest.approx(row["ganlab"], rel=BAR)
        apart = abs(row["ganlab"] - row["torchmetrics"]) / abs(row["torchmetrics"])
        assert row["difference"] == apart
    noted = json.loads((run / "summary.json").read_text())["scores"]
    assert found["protocol"] == json.loads(json.dumps(noted[0]["protocol"]))


def test_the_table_has_both_beside_each_other(checked):
    lines = checked.err.splitlines()
    head = lines.index("| score | ganlab | torchmetrics | relative difference |")
    rows = [line.strip("| ").split(" | ") for line in lines[head + 2 : head + 5]]
    (found,) = json.loads(checked.out)["runs"]
    for row, one in zip(rows, found["torchmetrics"], strict=True):
        assert row[0] == one["score"]
        assert [float(cell) for cell in row[1:3]] == pytest.approx(
            [one["ganlab"], one["torchmetrics"]], rel=1e-7
        )
        assert float(row[3]) == pytest.approx(one["difference"], rel=0.06)
    assert lines[head + 5] == crosscheck.NOTE


@pytest.mark.long
def test_another_resizing_or_other_images_would_be_found_out(run, checked, monkeypatch):
    """By the kernel distance; an Inception Score of parts of one or two images is always near 1."""
    (scored,) = json.loads(checked.out)["runs"]
    card = Scorecard.from_dict(scored)
    found = Evaluation(*subject(Run(run), Choice(None, None, {}), "last", None, trust=False))
    monkeypatch.setattr(crosscheck.Torchmetrics, "frechet", lambda theirs: 1.0)  # takes 4 s

    def apart() -> float:
        return crosscheck.by_torchmetrics(found, card)[-1].difference

    assert apart() < BAR
    with monkeypatch.context() as patch:
        patch.setattr(crosscheck, "chosen", lambda count, n: torch.arange(n))
        assert apart() > 100 * BAR, "other real images"
    monkeypatch.setattr(crosscheck, "network", by_default)
    assert apart() > 10 * BAR, "antialiased"


def by_default(file: Path, layer: str) -> torch.nn.Module:
    """torchmetrics's network as it is made where nobody says how to resize."""
    return NoTrainInceptionV3("inception-v3-compat", [layer], str(file))


def test_clean_scores_are_not_checked(run, weights):
    words = ("protocol=cleanfid", f"weights={weights}", "check=torchmetrics")
    outcome = run_evaluate(f"run={run}", *words)
    sentence = "check: torchmetrics does not resize like Pillow; leave protocol=... out"
    assert outcome == (2, "", f"ganlab: 1 mistake, nothing was started\n  {sentence}\n")


def test_without_torch_fidelity_it_says_what_to_install(run, monkeypatch):
    monkeypatch.setattr(crosscheck, "find_spec", lambda name: None)
    outcome = run_evaluate(f"run={run}", "check=torchmetrics")
    assert outcome.code == 2
    assert "check: torchmetrics needs torch-fidelity for Inception; pip install " in outcome.err


@pytest.mark.parametrize(
    ("ours", "theirs", "difference"), [(2.0, 4.0, 0.5), (-1.0, 1.0, 2.0), (0.0, 0.0, 0.0)]
)
def test_differences_are_parts_of_torchmetrics_own(ours, theirs, difference):
    assert crosscheck.Comparison("fid", ours, theirs).difference == difference
    assert crosscheck.Comparison("fid", 1.0, 0.0).difference == float("inf")


# Files of weights ---------------------------------------------------------------------------------


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
    assert outcome.err.endswith(f"  metrics: '{tmp_path}/not.pth' is not a file of tensors\n")
    assert runs_in(tmp_path / "out") == []
