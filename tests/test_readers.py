"""Whatever lies in a folder, commands end with a sentence: no traceback, no hang, nothing written.

The corpus grows: a file that once did harm is kept here.  GANLAB_CASES sets the number of cases of
the random ones.
"""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ganlab
from commands import run_evaluate, run_sample, run_sweep, trained
from ganlab.errors import ConfigError
from ganlab.runs import records
from ganlab.runs.folder import Run
from ganlab.scoring.scorecard import Scorecard
from ganlab.sweeps.record import Sweep, cards

CASES = int(os.environ.get("GANLAB_CASES", "60"))
RANDOM = settings(
    max_examples=CASES,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
PROTOCOL = {
    "extractor": "pixels", "weights": "0", "preparation": "none", "data": "digits",
    "split": "train", "real": 100, "real_hash": "0", "available": 100, "fake": 100,
}  # fmt: skip
CARD = {
    "iterations": 3, "repeats": 1, "protocol": PROTOCOL,
    "scores": {"frechet": {"name": "frechet/pixels/100", "value": 1.0,
                           "margin": None, "deviation": None, "n": 1}},
}  # fmt: skip
SUMMARY = {"status": "finished", "iterations": 3, "seconds": 1.0, "scores": [CARD]}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("outputs"))


@pytest.fixture
def copy(finished, tmp_path):
    """A run that a test may spoil."""
    return shutil.copytree(finished, tmp_path / "outputs" / "digits-dcgan-nonsaturating" / "1")


def complaint(reads):
    """The sentence with which a reader refuses, if it does."""
    try:
        reads()
    except ConfigError as error:
        return str(error)
    return ""


def changed(node, path, value):
    """A copy of plain data with one value replaced."""
    if not path:
        return value
    first, *rest = path
    items = dict(node) if isinstance(node, dict) else list(node)
    items[first] = changed(items[first], rest, value)
    return items


# summary.json -----------------------------------------------------------------------------------

NO_SUMMARY = {
    "": "expecting value",
    "{": "expecting property name",
    "[]": "input should be a valid dictionary",
    '"finished"': "input should be a valid dictionary",
    "[" * 100_000: "recursion",
    '{"status": 1}': "status: input should be 'running'",
    '{"status": "done"}': "status: input should be 'running'",
    '{"iterations": "3"}': "iterations: input should be a valid integer, got '3'",
    '{"iterations": -1}': "iterations: input should be greater than or equal to 0, got -1",
    '{"iterations": 1e99}': "iterations: input should be a valid integer",
    '{"iterations": ' + "9" * 5000 + "}": "exceeds the limit",
    '{"scores": {}}': "scores: input should be a valid list",
    '{"scores": [1]}': "scores[0]: input should be a valid dictionary, got 1",
    '{"health": [{}]}': "health[0].ailment: field required",
    '{"error": ["a"]}': "error: input should be a valid string",
}


@pytest.mark.parametrize("text", NO_SUMMARY)
def test_a_damaged_summary_is_one_sentence(text, copy):
    (copy / "summary.json").write_text(text, encoding="utf-8")
    outcome = run_sweep("status", str(copy.parents[1]))
    assert outcome.code == 2
    assert outcome.err.count("\n") == 2
    assert "summary.json' is damaged: " in outcome.err
    assert NO_SUMMARY[text].lower() in outcome.err.lower()


NO_CARD = [
    (("scores",), ["frechet"]),
    (("scores", "frechet"), 1.0),
    (("scores", "frechet", "value"), "low"),
    (("scores",), {"../x": {"name": "x", "value": 1.0, "error": None}}),
    (("scores", "frechet", "margin"), "high"),
    (("iterations",), None),
    (("repeats",), 0),
    (("protocol",), None),
    (("protocol",), {**PROTOCOL, "subsets": 3}),
    (("protocol", "fake"), "many"),
    (("protocol",), {**PROTOCOL, "further": 1}),
]


@pytest.mark.parametrize(("path", "value"), NO_CARD)
@pytest.mark.parametrize("verb", ["table", "best", "plot"])
def test_a_damaged_score_is_one_sentence(verb, path, value, copy):
    bad = changed(CARD, path, value)
    (copy / "summary.json").write_text(json.dumps({**SUMMARY, "scores": [CARD, bad]}))
    before = names(copy.parents[2])
    outcome = run_sweep(verb, str(copy.parents[1]))
    assert outcome.code == 2
    assert "summary.json' is damaged: scores: " in outcome.err
    assert names(copy.parents[2]) == before


def names(folder):
    return sorted(str(path) for path in folder.rglob("*"))


def test_scores_survive_their_own_reader():
    assert Scorecard.from_dict(CARD).as_dict()["scores"] == CARD["scores"]


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_scores_that_are_no_numbers_are_drawn_and_listed(value, copy):
    bad = changed(CARD, ("scores", "frechet", "value"), float(value))
    (copy / "summary.json").write_text(json.dumps({**SUMMARY, "scores": [bad]}))
    for verb in ("table", "best", "plot", "status"):
        outcome = run_sweep(verb, str(copy.parents[1]))
        assert outcome.code in (0, 2), outcome
        assert "Traceback" not in outcome.err


def test_a_score_named_like_a_path_writes_nothing_outside(copy):
    """`metrics.best` names the picture of `sweep plot`."""
    config = yaml.safe_load((copy / "config.yaml").read_text())
    config["metrics"] = {"best": "../../x"}
    (copy / "config.yaml").write_text(yaml.safe_dump(config))
    before = names(copy.parents[2])
    outcome = run_sweep("plot", str(copy.parents[1]))
    assert outcome.code == 2
    assert "../../x" in outcome.err
    assert names(copy.parents[2]) == before


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
KEYS = ("status", "error", "iterations", "seconds", "last", "health", "scores", "jobs", "run")
NODES = st.dictionaries(st.sampled_from(KEYS), JSON) | JSON


@RANDOM
@given(node=NODES, cut=st.none() | st.integers(0, 40))
def test_any_json_is_read_or_refused(tmp_path, node, cut):
    (tmp_path / "config.yaml").write_text("{}")
    text = json.dumps(node)[:cut]
    for name in ("summary.json", "sweep.json", "environment.json"):
        (tmp_path / name).write_text(text)
    run = Run(tmp_path)
    for reads in (run.summary, run.environment, lambda: cards(run), Sweep(tmp_path).jobs):
        assert "\n" not in complaint(reads)


@RANDOM
@given(content=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path, content):
    for name in ("config.yaml", "summary.json", "sweep.json", "environment.json"):
        (tmp_path / name).write_bytes(content)
    run = Run(tmp_path)
    for reads in (run.config, run.summary, run.environment, Sweep(tmp_path).jobs):
        assert "\n" not in complaint(reads)


@pytest.mark.parametrize("name", ["config.yaml", "summary.json", "sweep.json"])
@pytest.mark.parametrize("kind", ["fifo", "device", "folder", "large"])
def test_what_is_no_file_is_refused_at_once(kind, name, copy):
    file = copy / name
    file.unlink(missing_ok=True)
    make = {
        "fifo": lambda: os.mkfifo(file),
        "device": lambda: file.symlink_to("/dev/zero"),
        "folder": file.mkdir,
        "large": lambda: os.truncate(os.open(file, os.O_CREAT | os.O_RDWR), records.LARGEST + 1),
    }
    make[kind]()
    where = str(copy)
    for verb in ("status", "table", "plot"):
        outcome = run_sweep(verb, where)
        assert outcome.code == 2, outcome
        assert outcome.err.count("\n") == 2, outcome.err


# config.yaml and checkpoints --------------------------------------------------------------------

WRONG = {
    "a key is unknown": (("nonsense",), 1, "nonsense: unknown"),
    "a number is a text": (("batch_size",), "many", "batch_size: expected"),
    "out of range": (("batch_size",), 0, "batch_size must be at least 1"),
    "a group is a text": (("loss",), "hinge", "loss: expected"),
    "a network is missing": (("model",), {}, "model.generator: missing"),
    "a network is a list": (("model", "generator"), [1], "model.generator"),
    "a parameter is unknown": (("model", "generator", "nonsense"), 1, "takes no 'nonsense'"),
    "too wide": (("model", "generator", "width"), 10**12, "no size of a network"),
    "wider than saved": (("model", "generator", "width"), 4000, "do not fit"),
    "negative": (("model", "generator", "width"), -3, ""),
    "zero": (("model", "generator", "width"), 0, ""),
    "no seed": (("seed",), -1, "seed must be"),
    "other noise": (("latent", "dim"), 7, "do not fit"),
    "an average that is not wanted": (("ema",), None, "do not fit"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_config_of_nonsense_is_one_sentence(case, copy):
    path, value, said = WRONG[case]
    config = yaml.safe_load((copy / "config.yaml").read_text())
    if path == ("nonsense",):
        config["nonsense"] = value
    elif path[-1] == "nonsense":
        config["model"]["generator"]["nonsense"] = value
    else:
        config = changed(config, path, value)
    (copy / "config.yaml").write_text(yaml.safe_dump(config))
    for outcome in (run_sample(f"run={copy}", "n=4"), run_evaluate(f"run={copy}", "n=20")):
        assert outcome.code == 2, outcome
        assert said in outcome.err
        assert outcome.err.startswith("ganlab: ")
    assert not (copy / "sampled").exists()


def spoiled(saved, how):
    """A checkpoint's content with one part replaced."""
    first = next(name for name in saved["state_dict"] if name.startswith("generator"))
    wide = torch.zeros(1).expand(10**12)
    changes = {
        "no state": {k: v for k, v in saved.items() if k != "state_dict"},
        "no spec": {k: v for k, v in saved.items() if k != "spec"},
        "a spec of text": {**saved, "spec": "1 x 8 x 8"},
        "a large spec": {**saved, "spec": {**saved["spec"], "size": 10**12}},
        "another spec": {**saved, "spec": {**saved["spec"], "channels": 3}},
        "a spec of points": {**saved, "spec": {"dim": 2}},
        "an unknown spec": {**saved, "spec": {"colour": 2}},
        "text for a tensor": {**saved, "state_dict": {**saved["state_dict"], first: "a"}},
        "another shape": {**saved, "state_dict": {**saved["state_dict"], first: torch.zeros(3)}},
        "no memory for it": {**saved, "state_dict": {**saved["state_dict"], first: wide}},
        "one too many": {**saved, "state_dict": {**saved["state_dict"], "x": torch.zeros(3)}},
        "negative counts": {**saved, "iterations": -3},
        "counts of text": {**saved, "updates": {"g": "many"}},
        "no counts": {**saved, "updates": None},
        "observations of nothing": {**saved, "observations": {}},
        "a list": {"a": [1]},
        "empty": {},
    }
    return changes[how] if how else list(changes)


@pytest.mark.parametrize("how", spoiled({"state_dict": {"generator": 0}, "spec": {}}, ""))
def test_a_checkpoint_of_nonsense_is_one_sentence(how, copy):
    (file,) = (copy / "checkpoints").glob("iteration-*3.ckpt")
    torch.save(spoiled(torch.load(file, weights_only=True), how), file)
    outcome = run_sample(f"run={copy}", "n=4")
    assert outcome.code == 2, outcome
    assert outcome.err.startswith("ganlab: ")
    with pytest.raises(ConfigError):
        ganlab.load(copy)
    assert not (copy / "sampled").exists()


def test_a_tensor_that_pretends_to_be_large_takes_no_memory(copy):
    """All shapes fit, but a stride of 0 makes a large network out of four bytes."""
    (file,) = (copy / "checkpoints").glob("iteration-*3.ckpt")
    saved = torch.load(file, weights_only=True)
    name, tensor = next((n, t) for n, t in saved["state_dict"].items() if t.numel() > 100)
    saved["state_dict"][name] = torch.zeros(1).expand(tensor.shape)
    torch.save(saved, file)
    with pytest.raises(ConfigError, match="is larger than its data"):
        ganlab.load(copy)


@pytest.mark.parametrize("kind", ["fifo", "device"])
def test_a_checkpoint_that_is_no_file_is_damaged(kind, copy):
    for file in (copy / "checkpoints").iterdir():
        file.unlink()
    file = copy / "checkpoints" / "iteration-0000003.ckpt"
    os.mkfifo(file) if kind == "fifo" else file.symlink_to("/dev/zero")
    outcome = run_sample(f"run={copy}", "n=4")
    assert (outcome.code, outcome.out) == (2, "")
    assert "has no checkpoint that is sound; damaged: iteration-0000003.ckpt" in outcome.err


# What is written stays inside -------------------------------------------------------------------


def test_a_linked_folder_is_not_written_through(copy, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (copy / "sampled").symlink_to(elsewhere)
    outcome = run_sample(f"run={copy}", "n=4")
    assert outcome.code == 1
    assert "sampled': it is a link, and may lead outside of the run" in outcome.err
    assert list(elsewhere.iterdir()) == []


def test_linked_files_are_replaced_and_not_followed(copy, tmp_path):
    target = tmp_path / "precious"
    target.write_text("precious")
    outcome = run_sample(f"run={copy}", "n=4")
    (picture,) = map(Path, outcome.out.split())
    picture.unlink()
    for name in (picture.name, f".{picture.name}.part"):
        (picture.parent / name).symlink_to(target)
    assert run_sample(f"run={copy}", "n=4").code == 0
    assert target.read_text() == "precious"
    assert not picture.is_symlink()


def test_a_spreadsheet_computes_nothing(copy, tmp_path):
    word = "x==HYPERLINK(1)"
    record = {"jobs": [{"run": str(copy), "overrides": [word, f"y={y}"]} for y in ("-1", "+a")]}
    record["jobs"][1]["run"] += "/other"
    (tmp_path / "sweep.json").write_text(json.dumps(record))
    rows = run_sweep("table", str(tmp_path), "format=csv").out.splitlines()
    assert sorted(row.split(",")[0] for row in rows[1:]) == ["'+a", "-1"]


# metrics.csv ------------------------------------------------------------------------------------

NO_READINGS = {
    "text": "iterations,loss/d\n1,high\n",
    "no iterations": "loss/d\n1\n",
    "NUL": "iterations,a\n1,\0\n",
    "a cell too many": "iterations,a\n1,2,3\n",
    "a cell too few": "iterations,a\n1\n",
    "no text": b"\xff\xfe\xff\n\xff\n",
    "a long cell": "iterations,a\n1," + "9" * 200_000 + "\n",
    "not finite": "iterations,a\n1,nan\n2,inf\n3,-inf\nnan,1\n",
    "empty": "",
    "a header": "iterations,a\n",
}


@pytest.mark.parametrize("kind", [*NO_READINGS, "fifo", "device", "folder"])
def test_readings_of_nonsense_are_drawn_or_refused(kind, copy):
    file = copy / "metrics.csv"
    file.unlink()
    if kind in NO_READINGS:
        text = NO_READINGS[kind]
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    else:
        make = {"fifo": os.mkfifo, "folder": Path.mkdir}
        make.get(kind, lambda at: at.symlink_to("/dev/zero"))(file)
    (copy / "summary.json").write_text(json.dumps({**SUMMARY, "scores": [CARD]}))
    outcome = run_sweep("plot", str(copy.parents[1]))
    assert outcome.code in (0, 2), outcome
    if outcome.code == 2:
        assert "metrics.csv' is damaged: " in outcome.err
    if kind not in NO_READINGS:
        assert outcome.code == 2
