"""What a model card says of a training without an end, of likelihoods, and of BatchNorm."""

import json

import pytest

from exports import MODELS, SMALL, run_of
from ganlab.export import export
from ganlab.runs.folder import Run

pytest.importorskip("safetensors", reason="no safetensors: pip install 'ganlab[export]'")
RUNNING = {"scores": [], "status": "running"}  # all that a killed run's summary says
WATCHED = ["health=watch", "iterations=1500"]
VERDICT = {"ailment": "collapse", "iteration": 900, "since": 800, "evidence": "e", "advice": "a"}
ENDED = {"status": "finished", "iterations": 1500, "images_seen": 96000, "seconds": 61.4}
READINGS = "iterations,images_seen,seconds,loss/g\n1300,1,40.25,1\n1390,1,43.1,\n1400,1,4"
LIKELIHOOD = {"name": "nll/iwae-50", "method": "iwae-50", "images": 1000, "interval": None}
LIKELIHOOD |= {"kind": "lower bound", "nats": 1104.223, "error": 0.517}
CONVENTIONS = {"iterations": 3, "data": "digits", "split": "test", "binarise": "dynamic"}


def card_of(run):
    """The model card of an export without ONNX."""
    to = run.parent / "given"
    export(run=str(run), to=str(to), onnx=False)
    return (to / "README.md").read_text()


def card(tmp_path, *words, summary=None, readings=None, iterations=3):
    """The card of a run with what its summary.json and its metrics.csv say."""
    run = run_of(tmp_path / "run", *SMALL, *words, iterations=iterations)
    if summary is not None:
        Run(run).summary_file.write_text(json.dumps(summary))
    if readings is not None:
        (run / "metrics.csv").write_text(readings)
    return card_of(run)


# The course of the training ----------------------------------------------------------------------


def test_a_killed_run_has_no_end(tmp_path):
    said = card(tmp_path, *WATCHED, summary=RUNNING, readings=READINGS, iterations=1300)
    assert "| iterations | 1,300 of 1,500 iterations; training did not finish |" in said
    assert "| time | 43 s for 1,390 iterations |" in said, "of the last whole reading"
    assert "It was watched. What was found is not known: training did not finish." in said
    assert "no ailment was found" not in said


def test_a_time_that_nothing_tells_has_no_row(tmp_path):
    said = card(tmp_path, *WATCHED, summary=RUNNING)
    assert "| time |" not in said
    assert "| machine | CPU |" in said


@pytest.mark.parametrize("status", ["interrupted", "failed", "stopped"])
def test_a_run_that_was_ended_knows_its_time_and_its_health(status, tmp_path):
    ended = {**ENDED, "status": status, "iterations": 1300, "health": []}
    said = card(tmp_path, *WATCHED, summary=ended, iterations=1300)
    assert "| iterations | 1,300 of 1,500 iterations; training did not finish |" in said
    assert "| time | 61 s for 1,300 iterations |" in said
    assert "It was watched, and no ailment was found." in said


def test_what_came_after_an_interruption_counts_when_it_is_killed(tmp_path):
    summary = {**ENDED, "status": "running", "iterations": 1000, "health": [VERDICT]}
    said = card(tmp_path, *WATCHED, summary=summary, readings=READINGS, iterations=1300)
    assert "| time | 43 s for 1,390 iterations |" in said
    assert "- collapse, at iteration 900: e." in said
    assert "What was found later is not known: training did not finish." in said


def test_readings_before_an_interruption_do_not_replace_its_summary(tmp_path):
    summary = {**ENDED, "status": "interrupted", "iterations": 1450, "seconds": 9.94}
    said = card(tmp_path, *WATCHED, summary=summary, readings=READINGS, iterations=1450)
    assert "| time | 9.9 s for 1,450 iterations |" in said


def test_a_finished_run_is_said_to_be_no_more(tmp_path):
    said = card(tmp_path, *WATCHED, summary={**ENDED, "health": []}, iterations=1500)
    assert "| iterations | 1,500 |" in said
    assert "| time | 61 s for 1,500 iterations |" in said
    assert "did not finish" not in said


def test_an_earlier_checkpoint_of_a_finished_run_is_not_the_end(tmp_path):
    said = card(tmp_path, *WATCHED, summary={**ENDED, "health": []}, iterations=900)
    assert "| iterations | 900 of 1,500 iterations |" in said


def test_minutes_plan_no_iterations(tmp_path):
    said = card(tmp_path, "minutes=5", summary=RUNNING, iterations=70)
    assert "| iterations | 70; training did not finish |" in said


# Likelihoods -------------------------------------------------------------------------------------


def test_a_likelihood_stands_with_its_kind_and_its_protocol(tmp_path):
    known = {**LIKELIHOOD, "protocol": CONVENTIONS}
    other = {**LIKELIHOOD, "nats": 7.0, "protocol": {**CONVENTIONS, "iterations": 1}}
    about = {**LIKELIHOOD, "name": "nll/ais", "kind": "estimate", "interval": [80.0, 90.5]}
    said = card(
        tmp_path,
        "model=vae",
        summary={"likelihoods": [known, other, {**about, "protocol": CONVENTIONS}]},
    )
    assert "has not been scored" not in said
    assert "Minus the mean log-likelihood of images or points, in nats for each" in said
    row = "| `nll/iwae-50` | at most 1,104.22 nats, standard error 0.52 over 1,000 images "
    assert f"{row}(protocol 1) |" in said
    assert "about 1,104.22 nats" in said
    assert "95% interval 80.00 to 90.50 (protocol 2) |" in said
    assert "1. Protocol 1: data digits, split test, binarise dynamic." in said
    assert "7.00 nats" not in said, "of other weights"


# BatchNorm and libraries -------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["vae", "dcgan"])
def test_only_what_has_batchnorm_is_said_to_have_it(model, tmp_path):
    said = card(tmp_path, f"model={model}", *MODELS[model])
    assert ("| BatchNorm | running statistics |" in said) == (model == "dcgan")
    assert ("with BatchNorm's statistics" in said) == (model == "dcgan")
