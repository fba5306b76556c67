"""A sweep's record, what the sweep commands say of it, sweepers and launchers with real runs."""

import csv
import io
import itertools
import json
import os
import re
import shlex
import shutil
import statistics
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hydra._internal.utils import get_args_parser
from PIL import Image

import ganlab
from commands import completed, composer, run_evaluate, run_sweep, run_train, runs_in, shell, smoke
from conftest import ROOT, same, weights
from ganlab.commands.preflight import preflight
from ganlab.compatibility import doubts
from ganlab.errors import ConfigError
from ganlab.experiments.experiment import Experiment
from ganlab.plots import figures
from ganlab.runs.folder import Run
from ganlab.scoring import tables
from ganlab.scoring.protocol import Protocol
from ganlab.scoring.scorecard import Score, Scorecard
from ganlab.sweeps import charts, documents, scores
from ganlab.sweeps.needs import needed
from ganlab.sweeps.record import STATES, Job, Sweep, card_of, jobs_in, objective
from ganlab.sweeps.study import Point

SCORED = ("metrics=classifier", "metrics.n=100", "metrics.every=2")


def sweep_in(output_dir: Path) -> Path:
    """The folder of the only sweep."""
    (folder,) = (output_dir / "sweeps").iterdir()
    return folder


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Two losses with two seeds each, scored twice; (outputs, outcome)."""
    outputs = tmp_path_factory.mktemp("outputs")
    words = smoke(outputs, *SCORED, "loss=hinge,nonsaturating", "seed=0,1")
    return outputs, run_train("-m", *words)


@pytest.mark.long
def test_a_sweep_records_its_jobs_and_says_at_the_end_how_they_stand(swept):
    outputs, outcome = swept
    assert (outcome.code, outcome.err) == (0, "")
    folder = sweep_in(outputs)
    assert outcome.out.endswith(f"{folder}: 4 finished\n")
    jobs = Sweep(folder).jobs()
    assert {job.run.path for job in jobs} == set(runs_in(outputs))
    said = [[w for w in job.overrides if w.startswith(("loss", "seed"))] for job in jobs]
    assert said == [
        [f"loss={loss}", f"seed={seed}"] for loss in ("hinge", "nonsaturating") for seed in (0, 1)
    ]


@pytest.mark.long
def test_the_same_jobs_are_the_same_sweep_and_nothing_is_trained_again(swept):
    outputs, _ = swept
    before = {run: (run / "summary.json").stat().st_mtime_ns for run in runs_in(outputs)}
    record = (sweep_in(outputs) / "sweep.json").read_text()
    again = smoke(outputs, *SCORED, "seed=1,0", "loss=nonsaturating,hinge")
    outcome = run_train("-m", *again)
    assert outcome.out.count("finished already: ") == 4
    assert {run: (run / "summary.json").stat().st_mtime_ns for run in runs_in(outputs)} == before
    assert (sweep_in(outputs) / "sweep.json").read_text() == record


@pytest.mark.long
def test_other_jobs_are_another_sweep_and_a_folder_can_be_named(tmp_path):
    run_train("-m", *smoke(tmp_path, "seed=0,1"))
    first = sweep_in(tmp_path)
    run_train("-m", *smoke(tmp_path, "seed=0,2"))
    assert len(list((tmp_path / "sweeps").iterdir())) == 2
    mine = tmp_path / "it's mine, a=b"
    quoted = str(mine).replace("'", "\\'")
    run_train("-m", *smoke(tmp_path, "seed=0,1"), f"hydra.sweep.dir='{quoted}'")
    assert [job.run.path for job in Sweep(mine).jobs()] == [
        job.run.path for job in Sweep(first).jobs()
    ]


def test_a_folder_of_outputs_can_be_moved_with_its_sweeps(swept, tmp_path):
    outputs, _ = swept
    moved = Path(shutil.copytree(outputs, tmp_path / "moved"))
    jobs = Sweep(sweep_in(moved)).jobs()
    assert {job.run.path for job in jobs} == set(runs_in(moved))
    assert {job.state for job in jobs} == {"finished"}


FRAGILE = ["loss=wasserstein", "optim@d_optimizer=sgd", "iterations=20", "d_optimizer.lr=1e20,1e-3"]


def test_a_failed_job_is_reported_by_name_with_its_reason(tmp_path):
    outcome = run_train("-m", *smoke(tmp_path, *FRAGILE))
    folder = sweep_in(tmp_path)
    assert outcome.code == 1
    assert f"{folder}: 1 finished, 1 failed\n  failed: d_optimizer.lr=1e+20 (" in outcome.out
    report = outcome.out[outcome.out.index(str(folder)) :]
    assert re.search(r"\): by iteration \d+, .*(nan|inf|not finite)", report)
    assert "Traceback" not in outcome.out + outcome.err


def lock(run: Path) -> subprocess.Popen:
    """A process that works in a run's folder."""
    hold = "import sys; from filelock import FileLock; l = FileLock(sys.argv[1]); l.acquire()"
    hold += "; print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", hold, str(run / ".lock")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    return process


def test_status_tells_what_each_run_is_doing(swept, tmp_path):
    outputs = Path(shutil.copytree(swept[0], tmp_path / "outputs"))
    folder = sweep_in(outputs)
    waiting, failed, stopped, running = (job.run.path for job in Sweep(folder).jobs())
    shutil.rmtree(waiting)
    for run, status in ((failed, "failed"), (stopped, "running"), (running, "running")):
        summary = json.loads((run / "summary.json").read_text()) | {"status": status}
        (run / "summary.json").write_text(json.dumps(summary))
    with lock(running) as holder:
        outcome = run_sweep("status", str(folder))
        holder.stdin.close()
    assert (outcome.code, outcome.err) == (0, "")
    rows = [line.split(" | ") for line in outcome.out.splitlines()[2:-1]]
    assert [row[0].strip("| ") for row in rows] == ["waiting", "failed", "interrupted", "running"]
    assert [row[1] for row in rows] == ["", *["3 of 3"] * 3]
    assert [[cell.strip("| ") for cell in row[3:]] for row in rows][2:] == [
        ["loss=nonsaturating", "0"],
        ["loss=nonsaturating", "1"],
    ]
    assert outcome.out.splitlines()[-1] == "1 running, 1 interrupted, 1 failed, 1 waiting"


@pytest.mark.long
def test_a_run_that_another_process_works_in_is_left_to_it(swept, tmp_path):
    outputs = Path(shutil.copytree(swept[0], tmp_path / "outputs"))
    busy = Sweep(sweep_in(outputs)).jobs()[1].run.path
    (busy / "summary.json").unlink()
    with lock(busy) as holder:
        words = smoke(outputs, *SCORED, "loss=hinge,nonsaturating", "seed=0,1")
        outcome = run_train("-m", *words)
        holder.stdin.close()
    assert outcome.code == 0
    assert outcome.out.count("finished already: ") == 3
    assert f"another process is working in '{busy}'" in outcome.out
    assert "3 finished, 1 running\n  running: loss=hinge seed=1" in outcome.out


def frechet(run: Path) -> float:
    """The score of a run's best checkpoint on fresh noise, by the summary itself."""
    return json.loads((run / "summary.json").read_text())["best"]["value"]


def cells(text: str) -> list[dict[str, str]]:
    """A Markdown table's rows."""
    head, _, *rows = (
        [c.strip() for c in line.strip("|").split(" | ")]
        for line in text.splitlines()
        if line.startswith("|")
    )
    return [dict(zip(head, row, strict=True)) for row in rows]


def test_a_table_has_seeds_together_and_the_best_first(swept):
    outputs, _ = swept
    outcome = run_sweep("table", str(sweep_in(outputs)))
    rows = cells(outcome.out)
    expected = {}
    for run in runs_in(outputs):
        expected.setdefault(run.parent.name.rpartition("-")[2], []).append(frechet(run))
    ranked = sorted(expected, key=lambda loss: statistics.mean(expected[loss]))
    assert [row["loss"] for row in rows] == ranked
    for row in rows:
        mean, _, error = row["frechet/classifier-digits/100"].partition(" ± ")
        found = expected[row["loss"]]
        assert float(mean) == pytest.approx(statistics.mean(found), abs=float(error) / 10)
        margin = 12.7062 * statistics.stdev(found) / 2**0.5  # Student's t of two
        assert float(error) == pytest.approx(margin, rel=0.1)
        assert (row["runs"], "seed" in row) == ("2", False)


def test_a_table_as_csv_has_numbers_and_each_run_by_itself_if_wanted(swept):
    outputs, _ = swept
    together = run_sweep("table", str(sweep_in(outputs)), "format=csv")
    rows = list(csv.DictReader(io.StringIO(together.out)))
    name = "frechet/classifier-digits/100"
    assert float(rows[0][name]) <= float(rows[1][name])
    assert float(rows[0][f"{name} (standard deviation)"]) > 0
    apart = run_sweep("table", str(sweep_in(outputs)), "format=csv", "seeds=apart")
    rows = list(csv.DictReader(io.StringIO(apart.out)))
    assert {row["run"]: float(row[name]) for row in rows} == {
        str(run): frechet(run) for run in runs_in(outputs)
    }
    assert sorted(row["seed"] for row in rows) == ["0", "0", "1", "1"]


def test_runs_without_a_record_are_told_apart_by_what_differs_in_their_configs(swept):
    outputs, _ = swept
    rows = cells(run_sweep("table", str(outputs)).out)
    assert {row["experiment"] for row in rows} == {
        "digits-dcgan-hinge",
        "digits-dcgan-nonsaturating",
    }
    assert {row["runs"] for row in rows} == {"2"}


def test_the_best_is_the_best_and_its_images_can_be_drawn(swept):
    outputs, _ = swept
    outcome = run_sweep("best", str(sweep_in(outputs)), "top=2")
    first = cells(run_sweep("table", str(sweep_in(outputs))).out)[0]
    line, run, command, *_ = outcome.out.splitlines()
    mean = first["frechet/classifier-digits/100"]
    said = f"frechet/classifier-digits/100 {mean} (95% interval of the mean over 2 seeds)"
    assert line == f"{said}: loss={first['loss']}"
    rivals = [r for r in runs_in(outputs) if r.parent.name.endswith(first["loss"])]
    assert Path(run.strip()) == min(rivals, key=frechet)
    assert command.split()[-1] == "checkpoint=best"
    assert Run(Path(run.strip())).best_checkpoint() is not None


def test_the_last_scores_can_be_asked_for_in_place_of_the_best(swept):
    for run in map(Run, runs_in(swept[0])):
        last, best = (card_of(run, "frechet", which) for which in ("last", "best"))
        assert last.iterations == 3
        assert best.scores["frechet"].value == frechet(run.path) == objective(run)
        chosen = run.summary()["best"]
        assert chosen["selected_by"] <= last.scores["frechet"].value
        assert (best.iterations, best.protocol.seed) == (chosen["iteration"], 2**31)


@pytest.mark.parametrize("wrong", [False, True])
def test_the_best_of_a_run_is_the_score_that_did_not_choose_it(tmp_path, wrong):
    """Without the summary's word the least of all scores is taken, which is too good."""
    chosen, last = card(1.0), replace(card(3.0), iterations=9)
    fresh = replace(card(2.0), protocol=replace(chosen.protocol, seed=7))
    best = {"iteration": 5, "score": "", "selected_by": 1.0, "value": 2.0, "seed": 7}
    records = [one.as_dict() for one in (last, chosen, fresh)]
    summary = {"scores": records} | ({} if wrong else {"best": best})
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    found = card_of(Run(tmp_path), "frechet")
    assert found.scores["frechet"].value == (1.0 if wrong else 2.0)


def test_runs_of_another_class_are_not_taken_for_seeds_of_one_experiment(tmp_path):
    classes = ("ganlab.gan.GAN", "my.OtherGAN", "my.OtherGAN")
    for seed, target in enumerate(classes):
        config = completed(f"seed={seed}")
        config["gan"] = {**config["gan"], "_target_": target}
        folder = tmp_path / "digits-dcgan-nonsaturating" / f"{seed:08x}"
        (folder / "checkpoints").mkdir(parents=True)
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
    found = scores.results(jobs_in(tmp_path), "frechet")
    assert len({one.label for one in found}) == 2
    assert [one.settings["gan._target_"] for one in found] == ["ganlab.gan.GAN"] + [
        "my.OtherGAN"
    ] * 2


def test_scores_of_one_name_that_are_unlike_are_refused(swept, tmp_path):
    outputs = Path(shutil.copytree(swept[0], tmp_path / "outputs"))
    file = runs_in(outputs)[0] / "summary.json"
    file.write_text(file.read_text().replace('"weights": "', '"weights": "0'))
    outcome = run_sweep("table", str(sweep_in(outputs)))
    assert outcome.code == 2
    assert "were scored by unlike protocols: weights: " in outcome.err


@pytest.fixture
def rescored(swept, tmp_path):
    """The sweep with its first run scored again on half as many images, and better."""
    outputs = Path(shutil.copytree(swept[0], tmp_path / "outputs"))
    folder = sweep_in(outputs)
    rescore(Sweep(folder).jobs()[0].run, half=True)
    return folder


def rescore(run: Run, *, half: bool, first: bool = True) -> None:
    """Adds scores on half as many images, which are half as large."""
    summary = run.summary()
    made = json.loads(json.dumps(summary["scores"][0]))
    made["protocol"]["fake"] //= 2
    made["scores"]["frechet"]["value"] /= 2
    scores = [made, *summary["scores"]] if first else [*summary["scores"], made]
    run.summary_file.write_text(json.dumps({**summary, "scores": scores if half else []}))


def test_seeds_that_were_scored_in_different_ways_have_no_mean(rescored):
    """Two names, frechet/.../50 and .../100; of the one that all have there is a mean."""
    jobs = Sweep(rescored).jobs()
    name = "frechet/classifier-digits/100"
    assert scores.shared(jobs, "frechet") == name
    (row,) = [r for r in cells(run_sweep("table", str(rescored)).out) if r["loss"] == "hinge"]
    assert row["runs"] == "2"
    assert "±" in row[name]
    for job in jobs[:2]:
        summary = job.run.summary()
        kept = [s for s in summary["scores"] if (s["protocol"]["fake"] == 50) == (job is jobs[0])]
        job.run.summary_file.write_text(json.dumps({**summary, "scores": kept}))
    for verb in ("table", "best", "plot"):
        outcome = run_sweep(verb, str(rescored))
        assert outcome.code == 2
        assert "frechet/classifier-digits/50" in outcome.err
        assert "set by=..., one of these, or evaluate all runs alike" in outcome.err
    assert run_sweep("best", str(rescored), f"by={name}").out.startswith(name)
    half = run_sweep("best", str(rescored), "by=frechet/classifier-digits/50").out
    assert half.startswith("frechet/classifier-digits/50")
    assert "over" not in half.splitlines()[0], "one run has it"


def test_the_best_run_that_was_scored_afterwards_is_drawn_by_its_last_checkpoint(swept, tmp_path):
    outputs = Path(shutil.copytree(swept[0], tmp_path / "my outputs"))
    for file in outputs.rglob("best.ckpt"):
        file.unlink()
    command = run_sweep("best", str(sweep_in(outputs))).out.splitlines()[2].strip()
    assert command.startswith("python -m ganlab.sample 'run=")
    assert command.endswith("checkpoint=last")


def test_jobs_that_are_one_run_are_refused(tmp_path):
    outcome = run_train("-m", *smoke(tmp_path, "log_every=1,2"))
    assert outcome.code == 2
    assert "'log_every=1' and 'log_every=2' are the same run, '" in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_what_slurm_requeues_must_not_begin_anew(tmp_path):
    words = smoke(tmp_path, "seed=0,1", "resume=never", "hydra/launcher=slurm")
    outcome = run_train("-m", *words)
    assert outcome.code == 2
    assert "  resume: never would start again each time that Slurm requeues a job\n" in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_a_score_that_is_no_number_is_outdone_by_any(swept):
    card = card_of(Run(runs_in(swept[0])[0]), "frechet")
    none = replace(card, scores={**card.scores, "frechet": Score(float("nan"))})
    assert card.better(none, "frechet")
    assert not none.better(card, "frechet")


def test_a_job_that_cannot_begin_is_no_mistake_of_a_sweep_that_runs(tmp_path):
    """What a precision needs is known when its trainer is made."""
    outcome = run_train("-m", *smoke(tmp_path, "trainer.precision=32-true,transformer-engine"))
    assert outcome.code == 1
    assert "nothing was started" not in outcome.err
    assert "job 2: " in outcome.out
    assert "; this job has not begun" in outcome.out
    assert "1 finished, 1 waiting" in outcome.out


def test_a_run_whose_lock_may_not_be_opened_is_what_it_says_of_itself(swept, monkeypatch, tmp_path):
    def denied(run):
        raise PermissionError

    monkeypatch.setattr(Run, "locked", denied)
    run = Run(tmp_path)
    for status, state in (("running", "running"), ("failed", "failed"), ("finished", "finished")):
        run.summary_file.write_text(json.dumps({"status": status}))
        assert Job(run).state == state


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["table", "nowhere"], "there is no run in or below 'nowhere'"),
        (["best", "{}", "by=is_it"], "by: no run of '{}' has a score 'is_it'"),
        (["best", "{}", "top=0"], "top must be at least 1, got 0"),
        (["table", "{}", "by"], "'by': expected name=value"),
        (["tabel", "{}"], "there is no 'tabel'; did you mean 'table'? (status, table, best, plot)"),
    ],
)
def test_a_wrong_question_is_answered_in_one_sentence(swept, words, sentence):
    folder = str(sweep_in(swept[0]))
    outcome = run_sweep(*(word.format(folder) for word in words))
    assert outcome.code == 2
    assert outcome.err == f"ganlab: 1 mistake, nothing was started\n  {sentence.format(folder)}\n"


def test_a_damaged_record_is_named(swept, tmp_path):
    outputs = Path(shutil.copytree(swept[0], tmp_path / "outputs"))
    (sweep_in(outputs) / "sweep.json").write_text("{")
    with pytest.raises(ConfigError, match=r"sweep\.json' is damaged"):
        jobs_in(sweep_in(outputs))


def test_a_plot_is_drawn_beside_the_record(swept):
    folder = sweep_in(swept[0])
    outcome = run_sweep("plot", str(folder))
    assert outcome.out == f"{folder / 'frechet.png'}\n"
    with Image.open(folder / "frechet.png") as image:
        assert image.width == 1200
        assert len(np.unique(np.asarray(image))) > 50


# As JSON ------------------------------------------------------------------------------------------

PROTOCOL = {field.name for field in fields(Protocol)}
NAMES = ("frechet", "is", "kernel", "precision", "recall", "density", "coverage", "modes", "kl")
CARD = {"iterations", "likelihoods", "repeats", "scores", "protocol"}
ABOUT = {"settings", "seed", "method", "stage"}
MEANS = {"experiment", "settings", "runs", "scored", *CARD} - {"repeats"}


def document(*words: str) -> dict:
    """What a sweep command says as JSON, and nothing beside it."""
    outcome = run_sweep(*words, "format=json")
    assert (outcome.code, outcome.err) == (0, "")
    return json.loads(outcome.out, parse_constant=pytest.fail)


def test_the_state_of_a_sweep_as_json(swept):
    folder = str(sweep_in(swept[0]))
    found = document("status", folder)
    assert found.keys() == {"folder", "counts", "runs"}
    assert found["folder"] == folder
    assert found["counts"] == dict.fromkeys(STATES, 0) | {"finished": 4}
    jobs = Sweep(Path(folder)).jobs()
    assert [run["run"] for run in found["runs"]] == [str(job.run.path) for job in jobs]
    first = found["runs"][0]
    assert first.keys() == {"run", "state", "iterations", "of", "error", *ABOUT}
    assert first | {"run": ""} == {
        "run": "",
        "state": "finished",
        "iterations": 3,
        "of": 3,
        "error": None,
        "settings": {"loss": "hinge"},
        "seed": 0,
        "method": None,
        "stage": None,
    }


def test_a_run_that_waits_has_the_same_keys(swept, tmp_path):
    outputs = Path(shutil.copytree(swept[0], tmp_path / "outputs"))
    waiting = Sweep(sweep_in(outputs)).jobs()[0].run.path
    shutil.rmtree(waiting)
    found = document("status", str(sweep_in(outputs)))["runs"]
    assert found[0].keys() == found[1].keys()
    assert [found[0][key] for key in ("state", "iterations", "of")] == ["waiting", 0, None]
    last = document("table", str(sweep_in(outputs)), "seeds=apart")["runs"][-1]
    assert last["run"] == str(waiting)
    assert last.keys() == {"run", *ABOUT, *CARD}
    assert [last[key] for key in sorted(CARD)] == [None, {}, None, None, {}]


def test_a_table_as_json_has_every_score_with_its_protocol(swept):
    folder = str(sweep_in(swept[0]))
    found = document("table", folder)
    assert found.keys() == {"folder", "by", "experiments"}
    assert (found["folder"], found["by"]) == (folder, "frechet")
    first, other = found["experiments"]
    assert first.keys() == other.keys() == MEANS
    assert first["scores"].keys() == set(NAMES)
    assert first["scores"]["frechet"].keys() == {"name", "value", "margin", "deviation", "n"}
    assert first["scores"]["frechet"]["name"] == "frechet/classifier-digits/100"
    assert first["protocol"].keys() == PROTOCOL
    assert (first["runs"], first["scored"]) == (2, 2)
    values = [
        [frechet(run) for run in runs_in(swept[0]) if run.parent.name.endswith(loss)]
        for loss in (first["settings"]["loss"], other["settings"]["loss"])
    ]
    for one, listed in zip((first, other), values, strict=True):
        score = one["scores"]["frechet"]
        assert score["value"] == pytest.approx(statistics.mean(listed), rel=1e-15)
        assert score["deviation"] == pytest.approx(statistics.stdev(listed), rel=1e-12)
        assert score["margin"] == pytest.approx(12.7062 * score["deviation"] / 2**0.5, rel=1e-5)
        assert score["n"] == 2
    assert first["scores"]["frechet"]["value"] < other["scores"]["frechet"]["value"]


def test_each_run_by_itself_as_json(swept):
    found = document("table", str(sweep_in(swept[0])), "seeds=apart")
    assert found.keys() == {"folder", "by", "runs"}
    assert all(run.keys() == {"run", *ABOUT, *CARD} for run in found["runs"])
    values = [run["scores"]["frechet"]["value"] for run in found["runs"]]
    assert values == sorted(frechet(run) for run in runs_in(swept[0]))
    assert sorted(run["seed"] for run in found["runs"]) == [0, 0, 1, 1]


def test_the_best_as_json_says_how_to_draw_it(swept):
    folder = str(sweep_in(swept[0]))
    found = document("best", folder, "top=2")
    assert found.keys() == {"folder", "by", "best"}
    first = found["best"][0]
    assert first.keys() == {*MEANS, "run", "command"}
    said = run_sweep("best", folder).out.splitlines()
    assert (first["run"], shlex.join(first["command"])) == tuple(line.strip() for line in said[1:])
    without = {key: first[key] for key in MEANS}
    assert without == document("table", folder)["experiments"][0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("0.5", 0.5),
        ("3", 3),
        ("true", True),
        ("null", None),
        ("hinge", "hinge"),
        ("[1,2.5]", [1, 2.5]),
        ("a: b: c", "a: b: c"),
        ("${seed}", "${seed}"),
        ("=", "="),
    ],
)
def test_settings_are_numbers_where_they_are(text, value):
    assert documents.value_of(text) == value


def test_a_number_that_json_has_not_is_null():
    node = {"a": float("nan"), "b": [float("inf"), 1.5], "c": ("x", None, True)}
    assert json.loads(tables.as_json(node)) == {"a": None, "b": [None, 1.5], "c": ["x", None, True]}


# A study ------------------------------------------------------------------------------------------

TWO = """
# @package _global_
defaults:
  - override /hydra/sweeper: study
  - override /metrics: classifier
hydra:
  mode: MULTIRUN
  sweeper:
    budget: {wide: 2}
    seeds: 2
    methods: {hinge: {choose: [loss=hinge]}, minimax: {choose: [loss=minimax]}}
    spaces:
      wide:
        g_optimizer.lr: tag(log,interval(1e-5,1e-2))
        d_optimizer.weight_decay: interval(0.0,0.1)  # in no YAML
"""


def study_words(outputs: Path, *words: str, yaml: str = TWO) -> list[str]:
    """A study of the user's own, in a folder beside the outputs."""
    conf = outputs.parent / f"{outputs.name}-conf"
    (conf / "sweep").mkdir(parents=True, exist_ok=True)
    (conf / "sweep" / "two.yaml").write_text(yaml.lstrip())
    scored = [word for word in SCORED if word != "metrics=classifier"]
    return ["--config-dir", str(conf), *smoke(outputs, "sweep=two", *scored, *words)]


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    outputs = tmp_path_factory.mktemp("outputs")
    return outputs, run_train(*study_words(outputs))


@pytest.mark.long
def test_a_study_searches_and_then_repeats_each_method_s_best(studied):
    outputs, outcome = studied
    assert (outcome.code, outcome.err) == (0, "")
    jobs = Sweep(sweep_in(outputs)).jobs()
    assert [(job.method, job.stage) for job in jobs] == [
        *[("hinge", "wide")] * 2,
        *[("minimax", "wide")] * 2,
        *[("hinge", "again")] * 2,
        *[("minimax", "again")] * 2,
    ]
    for method in ("hinge", "minimax"):
        tried = [j for j in jobs if (j.method, j.stage) == (method, "wide")]
        best = min(tried, key=lambda job: frechet(job.run.path)).run.config()
        again = [j.run.config() for j in jobs if (j.method, j.stage) == (method, "again")]
        assert [config.pop("seed") for config in again] == [1, 2]
        assert best.pop("seed") == 0
        assert again == [best, best]


@pytest.mark.long
def test_a_study_started_again_trains_nothing_again(studied):
    outputs, _ = studied
    outcome = run_train(*study_words(outputs))
    assert outcome.out.count("finished already: ") == 8
    assert outcome.out.endswith(f"{sweep_in(outputs)}: 8 finished\n")


def test_a_study_s_table_has_what_was_found_and_what_fresh_seeds_say_of_it(studied):
    outputs, _ = studied
    rows = cells(run_sweep("table", str(sweep_in(outputs))).out)
    name = "frechet/classifier-digits/100"
    jobs = Sweep(sweep_in(outputs)).jobs()
    for row in rows:
        found = {
            stage: [
                frechet(j.run.path) for j in jobs if (j.method, j.stage) == (row["method"], stage)
            ]
            for stage in ("wide", "again")
        }
        assert float(row[name]) == pytest.approx(min(found["wide"]), rel=1e-3)
        mean = float(row[f"{name}, fresh seeds"].partition(" ± ")[0])
        assert mean == pytest.approx(statistics.mean(found["again"]), rel=0.05)
        assert (row["points"], row["seeds"], row["without a score"]) == ("2", "2", "0")
    assert run_sweep("plot", str(sweep_in(outputs))).code == 0
    best = run_sweep("best", str(sweep_in(outputs))).out.splitlines()
    again = [str(job.run.path) for job in jobs if job.stage == "again"]
    assert best[1].strip() in again, "the luckiest of the search is not the best"
    assert "over 2 seeds" in best[0]


def test_a_study_s_table_as_json_has_both(studied):
    found = document("table", str(sweep_in(studied[0])))
    assert found.keys() == {"folder", "by", "methods"}
    for method in found["methods"]:
        assert method.keys() == {"method", "points", "unscored", "best", "again"}
        assert method["best"].keys() == {"run", *ABOUT, *CARD}
        assert method["again"].keys() == MEANS
        assert (method["points"], method["unscored"], method["again"]["runs"]) == (2, 0, 2)
        assert (method["best"]["method"], method["best"]["stage"]) == (method["method"], "wide")
    again = [method["again"]["scores"]["frechet"]["value"] for method in found["methods"]]
    assert again == sorted(again)


def test_a_study_is_checked_whole_before_anything_starts(tmp_path):
    wrong = TWO.replace(
        "[loss=hinge]", "[loss=hinge], spaces: {wide: {g_optimizer.lrr: 'choice(1,2)'}}"
    )
    outcome = run_train(*study_words(tmp_path / "new", yaml=wrong))
    assert outcome.code == 2
    sentence = "g_optimizer.lrr: Adam takes no 'lrr'; did you mean 'lr'? (in 1 of 4 jobs)"
    assert sentence in outcome.err
    assert not (tmp_path / "new").exists()


def test_a_study_needs_scores(tmp_path):
    unscored = TWO.replace("  - override /metrics: classifier\n", "")
    words = study_words(tmp_path / "new", yaml=unscored)
    outcome = run_train(*(word for word in words if not word.startswith("metrics")))
    assert outcome.code == 2
    assert "metrics: this sweeper looks for scores; set metrics=classifier" in outcome.err


# Charts of scores that are known ------------------------------------------------------------------


def card(value: float) -> Scorecard:
    protocol = Protocol(
        extractor="test",
        weights="0",
        preparation="",
        data="",
        split="train",
        real=9,
        real_hash="",
        fake=9,
    )
    return Scorecard(protocol, {"frechet": Score(value)}, 5)


def result(i: int, value: float | None, method: str = "", stage: str = "wide") -> scores.Result:
    job = Job(Run(Path(f"nowhere/{method}{i}")), (), method, stage if method else "")
    return scores.Result(job, {"a": str(i)}, card(value) if value is not None else None)


def test_experiments_are_ranked_and_those_without_a_score_come_last():
    found = [result(i, v) for i, v in ((0, 3.0), (1, None), (2, 1.0), (0, 5.0))]
    ranked = scores.experiments(found, "frechet")
    assert [(one.label, one.score and one.score.value) for one in ranked] == [
        ("a=2", 1.0),
        ("a=0", 4.0),
        ("a=1", None),
    ]


def test_a_run_that_failed_counts_as_the_worst(monkeypatch):
    found = [result(0, 3.0), result(1, None), result(2, None)]
    monkeypatch.setattr(
        Job, "state", property(lambda job: "failed" if "1" in str(job.run.path) else "waiting")
    )
    assert scores.points(found, "frechet", worst=9.0) == [3.0, 9.0]


def lines(axes) -> list[tuple[list[float], list[float]]]:
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines]


def test_the_chart_of_a_study_draws_the_expected_best_and_every_point():
    values = {"one": [3.0, 1.0, 2.0], "two": [4.0, 6.0]}
    found = [result(i, v, name) for name, vs in values.items() for i, v in enumerate(vs)]
    found += [result(9, 1.5, "one", "again")]
    figure = charts.study(found, "frechet")
    budget, points, again = figure.axes
    assert lines(budget) == [([1, 2, 3], [2.0, pytest.approx(4 / 3), 1.0]), ([1, 2], [5.0, 4.0])]
    assert lines(points)[0] == ([3.0, 1.0, 2.0], [1, 1, 1])
    assert lines(points)[2] == ([4.0, 6.0], [0, 0])
    assert lines(again)[0] == ([1.5], [1])
    assert figures.to_pixels(figure).shape[2] == 3


def test_the_chart_of_a_sweep_draws_no_more_than_can_be_told_apart():
    found = [result(i, float(i)) for i in range(1, 31)]
    figure = charts.sweep(found, "frechet")
    left, right = figure.axes
    assert len(left.lines) == charts.MOST
    assert (left.get_yscale(), right.get_xscale()) == ("log", "log")
    close = charts.sweep([result(i, 10.0 + i) for i in range(3)], "frechet").axes[1]
    assert close.get_xscale() == "linear", "a logarithm would leave one number on the axis"
    names = [text.get_text() for text in right.get_yticklabels()]
    assert names == [f"a={i}" for i in range(1, charts.MOST + 1)]
    assert "30 experiments, the best 12 drawn · 30 runs" in figure._suptitle.get_text()


# Sweepers and launchers of others -----------------------------------------------------------------


def optuna_words(outputs: Path, *words: str) -> list[str]:
    """Eight learning rates of G, the first three at random; D's is right."""
    search = [
        "sweep=optuna",
        "hydra.sweeper.n_trials=8",
        "hydra.sweeper.sampler.n_startup_trials=3",
    ]
    space = ["g_optimizer.lr=tag(log,interval(1e-6,1e-2))", "g_optimizer.betas.0=0.5"]
    run = ["iterations=40", "batch_size=32", "ema=0.9", "log_every=40", "metrics.n=200"]
    return [*smoke(outputs, *search, *words), *space, "d_optimizer.lr=0.003", *run]


# Optuna 2, which hydra-optuna-sweeper needs, and the SQLAlchemy of today.
old_optuna = pytest.mark.filterwarnings(
    "ignore::sqlalchemy.exc.MovedIn20Warning", "ignore::FutureWarning:optuna.*"
)


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    outputs = tmp_path_factory.mktemp("outputs")
    return outputs, run_train(*optuna_words(outputs))


@pytest.mark.long
def test_runs_that_were_scored_after_training_are_drawn(tmp_path):
    """Their metrics.csv has no scores: each is a point at its last iteration."""
    assert run_train("-m", *smoke(tmp_path, "seed=0,1")).code == 0
    for run in runs_in(tmp_path):
        assert run_evaluate(f"run={run}", "n=20").code == 0
    outcome = run_sweep("plot", str(sweep_in(tmp_path)))
    assert (outcome.code, outcome.err) == (0, "")
    assert Path(outcome.out.strip()).is_file()


SEARCHES = {
    "more trials": ("hydra.sweeper.n_trials=30", True),
    "another place": ("output_dir=elsewhere", True),
    "another logger": ("logger=csv", True),
    "fewer iterations": ("iterations=7", False),
    "a short trainer": ("trainer=smoke", False),
    "another precision": ("trainer.precision=bf16-mixed", False),
    "another seed of the sampler": ("hydra.sweeper.sampler.seed=1", False),
    "another interval": ("g_optimizer.lr=interval(0.1,0.2)", False),
}


@old_optuna
@pytest.mark.parametrize(("word", "is_same"), SEARCHES.values(), ids=SEARCHES)
def test_a_search_is_named_by_what_decides_its_results(word, is_same, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = []
    for words in (["sweep=optuna"], ["sweep=optuna", word]):
        found = preflight(get_args_parser().parse_args(words))
        folders.append(found.sweep.path.name)
    assert (folders[0] == folders[1]) == is_same


@pytest.mark.long
@old_optuna
def test_optuna_finds_a_better_score(searched):
    outputs, outcome = searched
    assert outcome.code == 0, outcome.err
    scores = [frechet(job.run.path) for job in Sweep(sweep_in(outputs)).jobs()]
    assert len(scores) == 8
    assert min(scores) < 0.7 * statistics.median(scores[:3])
    assert outcome.out.endswith(f"{sweep_in(outputs)}: 8 finished\n")


@pytest.mark.long
@old_optuna
def test_optuna_goes_on_where_it_was_by_reading_what_is_finished(searched):
    """Its sampler is seeded and hears the same scores, so it proposes the same points."""
    outputs, _ = searched
    before = runs_in(outputs)
    outcome = run_train(*optuna_words(outputs, "hydra.sweeper.n_trials=9"))
    assert outcome.out.count("finished already: ") == 8
    assert len(runs_in(outputs)) == 9
    assert set(before) < set(runs_in(outputs))


@old_optuna
def test_a_search_without_any_score_says_so(tmp_path):
    """All its jobs fail."""
    words = [w for w in optuna_words(tmp_path) if not w.startswith("d_optimizer.lr")]
    few = ["hydra.sweeper.n_trials=2", "hydra.sweeper.max_failure_rate=1.0"]
    outcome = run_train(*words, *few, "loss=least_squares", "d_optimizer.lr=1e20")
    assert outcome.code == 1
    assert "no job has a score: there is nothing to choose from" in outcome.out
    assert "Traceback" not in outcome.out + outcome.err


def test_a_search_in_the_wrong_direction_is_refused(tmp_path):
    words = optuna_words(tmp_path / "new", "hydra.sweeper.direction=maximize")
    outcome = run_train(*words)
    assert outcome.code == 2
    sentence = "hydra.sweeper.direction: metrics.best=frechet wants minimize, got maximize"
    assert sentence in outcome.err
    assert not (tmp_path / "new").exists()


def test_every_value_that_a_search_may_choose_is_checked_before_it_starts(tmp_path):
    outcome = run_train(
        *optuna_words(tmp_path / "new", "model.discriminator.norm=choice(none,bach)")
    )
    assert outcome.code == 2
    assert "model.discriminator: norm must be one of " in outcome.err
    assert "got 'bach' (in 1 of 3 jobs)" in outcome.err


def span(run: Path) -> tuple[float, float]:
    """When a run began and ended."""
    return (run / "config.yaml").stat().st_mtime, (run / "summary.json").stat().st_mtime


@pytest.mark.long
def test_joblib_trains_two_at_once_and_mixes_nothing(tmp_path):
    """As one after the other: the same weights, readings and grids, each in its own folder."""
    words = ["loss=hinge,nonsaturating", "seed=0,1", "gan._target_=held.Meeting"]
    run_train("-m", *smoke(tmp_path / "one", *words))
    launcher = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    path = os.pathsep.join([str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    (tmp_path / "meeting").mkdir()
    outcome = shell(
        *("-m", "ganlab.train", "-m", *smoke(tmp_path / "two", *words, *launcher)),
        PYTHONPATH=path,
        MEETING=str(tmp_path / "meeting"),
        timeout=300,
    )
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert outcome.stdout.endswith(f"{sweep_in(tmp_path / 'two')}: 4 finished\n")
    pairs = list(zip(runs_in(tmp_path / "one"), runs_in(tmp_path / "two"), strict=True))
    assert len(pairs) == 4
    for one, two in pairs:
        assert one.relative_to(tmp_path / "one") == two.relative_to(tmp_path / "two")
        assert same(weights(ganlab.load(one, trust=True)), weights(ganlab.load(two, trust=True)))
        readings = [(run / "metrics.csv").read_text().splitlines() for run in (one, two)]
        assert len(readings[0]) == len(readings[1]) == 4
    spans = sorted(span(two) for _, two in pairs)
    assert any(begun < ended for (_, ended), (begun, _) in itertools.pairwise(spans))


@pytest.mark.parametrize(
    ("word", "missing", "sentence"),
    [
        ("hydra/launcher=joblib", "hydra/launcher/joblib", "'joblib' needs hydra-joblib-launcher"),
        (
            "hydra/launcher=slurm",
            "hydra/launcher/submitit_slurm",
            "'slurm' needs hydra-submitit-launcher",
        ),
        ("sweep=optuna", "hydra/sweeper/optuna", "'optuna' needs hydra-optuna-sweeper"),
    ],
)
def test_a_launcher_that_is_not_installed_is_named_with_its_extra(
    monkeypatch, tmp_path, word, missing, sentence
):
    from hydra.core.config_store import ConfigStore

    composer()  # by now Hydra has heard of what is installed
    group, _, name = missing.rpartition("/")
    node = ConfigStore.instance().repo
    for part in group.split("/"):
        node = node[part]
    monkeypatch.delitem(node, f"{name}.yaml")
    option = "hydra.sweeper.n_trials=3" if word == "sweep=optuna" else "hydra.launcher.n_jobs=2"
    outcome = run_train("-m", *smoke(tmp_path / "new", word, option, "seed=0,1"))
    key, _, extra = word.partition("=")
    told = f"{key}: {sentence}; pip install 'ganlab[{extra}]'"
    said = f"ganlab: 1 mistake, nothing was started\n  {told} (in 2 of 2 jobs)\n"
    assert (outcome.code, outcome.err) == (2, said)


def test_a_launcher_without_a_sweep_is_refused(tmp_path):
    outcome = run_train(*smoke(tmp_path / "new", "hydra/launcher=joblib"))
    assert outcome.code == 2
    assert "'hydra/launcher=joblib': only a sweep is launched; add -m" in outcome.err


def losses(*words: str) -> list[Point]:
    """The jobs of sweep=losses."""
    composed = composer()
    base = composed.base(["sweep=losses"])
    return composed.points(["sweep=losses", *words], base.hydra, sweep=True)


def test_the_everyday_sweep_is_all_losses_with_three_seeds_and_what_they_need():
    energies, folder = {"ebgan", "began"}, ganlab.config.checks.conf_dir() / "loss"
    names = {file.stem for file in folder.glob("*.yaml")} - energies
    wanted = {
        frozenset([f"loss={name}", *needed(name), "sweep=losses", f"seed={seed}"])
        for name in names
        for seed in range(3)
    }
    points = losses()
    assert len(points) == 21
    assert {frozenset(point.overrides) for point in points} == wanted
    assert all((point.method, point.stage) == ("", "") for point in points)
    assert yaml.safe_load(yaml.safe_dump(completed("sweep=losses")))["metrics"]["every"] == 500


@pytest.mark.long
def test_no_loss_of_the_everyday_sweep_lacks_what_bounds_its_critic():
    for point in losses():
        experiment = Experiment(**completed(*point.overrides))
        with torch.device("meta"):
            gan = experiment.build()
        assert doubts(gan.discriminator, gan.loss, gan.regularizers) == []
    with torch.device("meta"):
        gan = Experiment(**completed("loss=wasserstein")).build()
    (said,) = doubts(gan.discriminator, gan.loss, gan.regularizers)  # as it was
    assert said.startswith("Wasserstein needs a critic with a bounded slope, and nothing bounds it")


@pytest.mark.parametrize(
    "words",
    [
        ["regularizer=[weight_clip]"],
        ["regularizer=[r1]", "model.discriminator.norm=none"],
        ["model.discriminator.norm=spectral"],
        ["loss=hinge"],
    ],
)
def test_a_critic_whose_slope_is_bounded_is_not_doubted(words):
    with torch.device("meta"):
        gan = Experiment(**completed("loss=wasserstein", *words)).build()
    assert doubts(gan.discriminator, gan.loss, gan.regularizers) == []


def test_a_critic_that_nothing_bounds_trains_and_is_told_so_once(tmp_path):
    outcome = run_train(*smoke(tmp_path, "loss=wasserstein"))
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.count("nothing bounds it here; set regularizer=[gradient_penalty]") == 1


def test_a_seed_of_the_command_line_is_the_only_one():
    points = losses("seed=7")
    assert len(points) == 7
    assert all("seed=7" in point.overrides for point in points)


def test_a_study_takes_no_list_of_values():
    outcome = run_train("sweep=losses", "model=vanilla,dcgan")
    sentence = "'model=vanilla,dcgan': a study has its own points; give one value"
    assert (outcome.code, sentence in outcome.err) == (2, True)


@pytest.mark.long
def test_a_study_without_a_search_compares_its_methods_as_they_are(tmp_path):
    """Like any other sweep: it needs no scores, and groups runs by what they differ in."""
    two = """
# @package _global_
defaults:
  - override /hydra/sweeper: study
hydra:
  mode: MULTIRUN
  sweeper:
    methods: {hinge: {choose: [loss=hinge]}, minimax: {choose: [loss=minimax]}}
    seeds: 2
"""
    words = study_words(tmp_path / "runs", yaml=two)
    words = [word for word in words if not word.startswith("metrics")]
    outcome = run_train(*words)
    assert (outcome.code, outcome.err) == (0, "")
    jobs = Sweep(sweep_in(tmp_path / "runs")).jobs()
    said = [(job.run.config()["loss"]["_target_"], job.run.config()["seed"]) for job in jobs]
    assert said == [(f"ganlab.losses.{n}", s) for n in ("Hinge", "Minimax") for s in (0, 1)]
    assert run_train(*words).out.count("finished already: ") == 4
