"""What a report does not know, and says so: health, values, scores; exports are no runs."""

import json
import shutil

import pytest
import yaml

from ganlab.reporting import page
from ganlab.reporting.tolerant import Tolerant
from ganlab.runs.folder import EXPORTED
from ganlab.sweeps.record import Job
from test_report import NAME, grid, made_run, made_sweep, run_report, shown_rows, write_rows

NONE_FOUND = "No ailment was found."


def test_an_export_is_refused(tmp_path):
    run = made_run(tmp_path / "given")
    shutil.rmtree(run / "checkpoints")
    (run / EXPORTED).write_bytes(b"")
    other = made_run(tmp_path / "other")
    said = f"runs: '{run}' is an export: its generator alone is there; name the run itself"
    for words in ([str(run)], [str(other), str(run)]):
        assert run_report(*words) == (2, "", f"ganlab: 1 mistake, nothing was started\n  {said}\n")
    assert not (run / "report.html").exists()


# Health -----------------------------------------------------------------------------------------


def killed(run):
    """A run that ended before it could write its verdicts."""
    told = json.loads((run / "summary.json").read_text())
    del told["health"]
    (run / "summary.json").write_text(json.dumps({**told, "status": "running"}))


def unwatched(run):
    """A run that was told not to look, whatever its files say."""
    config = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump(config | {"health": {}}))


@pytest.mark.parametrize(
    ("change", "standing", "sentence"),
    [
        (lambda _: None, "no ailment", NONE_FOUND),
        (killed, "not known", "It is not known"),
        (unwatched, "not watched", "It was not watched."),
        (lambda run: write_rows(run, 3, ("loss/d",)), "not known", "It is not known"),
    ],
    ids=["watched", "killed", "unwatched", "no readings"],
)
def test_no_ailment_is_found_only_where_one_was_looked_for(tmp_path, change, standing, sentence):
    run = made_run(tmp_path / "run")
    change(run)
    html = page.report([run])
    assert sentence in html
    assert (NONE_FOUND in html) == (standing == "no ailment")
    found = page.shown(Job(Tolerant(run)), 100, 1).portrait.health
    assert (found.standing, found.names, found.ailments) == (standing, standing, ())


# Filters ----------------------------------------------------------------------------------------


@pytest.fixture
def partial(tmp_path, opened):
    """The page of a sweep whose last three runs have no loss, and whose last one has no score."""
    points = grid(seeds=(0,))
    for i, (overrides, options) in enumerate(points):
        if i < 3:
            overrides.append(f"loss={'hinge' if i else 'minimax'}")
        options["score"] = None if i == 5 else float(i)
    sweep = made_sweep(tmp_path, points)
    run_report(str(sweep))
    page = opened(sweep / "report.html")
    page.click("#filters summary")
    return page


@pytest.mark.long
def test_runs_without_a_value_have_a_box_of_their_own(partial):
    boxes = partial.locator("fieldset[data-name='loss'] input")
    partial.locator("fieldset[data-name='loss'] input[value='minimax']").uncheck()
    assert shown_rows(partial) == [1, 2, 3, 4, 5]
    partial.locator("fieldset[data-name='loss'] input[value='hinge']").uncheck()
    assert shown_rows(partial) == [3, 4, 5]
    partial.locator("fieldset[data-name='loss'] .unknown").uncheck()
    assert shown_rows(partial) == []
    partial.click("#everyone")
    assert boxes.evaluate_all("all => all.every((one) => one.checked)")
    assert partial.locator("fieldset[data-name='model'] .unknown").count() == 0


@pytest.mark.long
def test_runs_without_a_number_can_be_hidden_and_isolated(partial):
    fieldset = partial.locator(f"fieldset[data-name='{NAME}']")
    fieldset.locator(".most").fill("2")
    assert shown_rows(partial) == [0, 1, 2, 5]
    fieldset.locator(".unknown").uncheck()
    assert shown_rows(partial) == [0, 1, 2]
    fieldset.locator(".unknown").check()
    fieldset.locator(".known").uncheck()
    assert shown_rows(partial) == [5]


# Scores -----------------------------------------------------------------------------------------


def test_runs_without_the_score_are_counted(tmp_path):
    points = grid()
    for _, options in points[:3]:
        options["score"] = None
    html = page.report([made_sweep(tmp_path, points)])
    assert f"Not ranked, because they have no {NAME}: 3 of 12 runs." in html
    assert "scored by another protocol" not in html
    assert "Not in the table" not in html


def test_likelihoods_of_another_protocol_are_counted(tmp_path):
    def told(**protocol):
        about = {"kind": "lower bound", "error": 0.5, "images": 100, "nats": 90.0}
        return [{"name": "nll/iwae-50", "protocol": protocol, **about}]

    points = [
        ([f"seed={i}"], {"likelihoods": told(**({"binarise": "fixed"} if i == 2 else {}))})
        for i in range(3)
    ]
    html = page.report([made_sweep(tmp_path, points)])
    assert "Not in the table, because it is of another protocol: nll/iwae-50 of 1 run." in html
    assert "Not ranked" not in html
