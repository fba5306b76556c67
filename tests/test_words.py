"""Words as people write them: paths of all letters, Hydra's own ways, and short forms."""

import time
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given, settings
from hypothesis import strategies as st

from commands import run_sample, run_train, runs_in, shell, smoke, trained
from ganlab.commands.words import PATHS, quoted, understood

NAMES = [
    "ä ö",
    "a#b",
    "it's",
    '"so"',
    "中文",
    "a,b",
    "123",
    "1e3",
    "a=b",
    "[x]",
    "{y}",
    "a;b",
    "é&ü",
]


def parsed(word):
    return OverridesParser.create().parse_override(word).value()


@pytest.mark.parametrize("key", PATHS)
@pytest.mark.parametrize("name", NAMES)
def test_the_value_of_a_path_is_any_name(key, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(name).mkdir()
    (word,) = understood([f"{key}={name}"])
    assert str(parsed(word)) == name


@settings(max_examples=300)
@given(name=st.text(st.characters(codec="utf-8", exclude_characters="$\n\r"), min_size=1))
@example("\\")
@example("\\'")
@example("a\\\\'b\\")
def test_a_quoted_text_is_read_as_it_was(name):
    assert str(parsed(f"output_dir={quoted(name)}")) == name


def test_several_paths_are_still_a_sweep(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert understood(["start=a,b"]) == ["start.run=a,b"]
    Path("a,b").mkdir()
    assert understood(["start=a,b"]) == ["start.run='a,b'"]


@pytest.mark.long
@pytest.mark.parametrize("name", ["ä#b, c'd", "中文", "12"])
def test_runs_live_in_folders_of_any_name(name, tmp_path):
    run = trained(tmp_path / name)
    outcome = run_sample(f"run={run}", "n=1")
    assert (outcome.code, outcome.err) == (0, "")
    assert Path(outcome.out.strip()).parent == run / "sampled"
    assert run_train(*smoke(tmp_path / name, f"resume={run}")).code == 0


ODD = {
    "logger.wandb.project=a#b": "for its #: 'logger.wandb.project=\"a#b\"'",
    "data.name=ü": "for its ü: 'data.name=\"ü\"'",
    'data.name=a"b#': "for its \": 'data.name='\"'\"'a\"b#'\"'\"''",
    "=3": "'=3': expected key=value",
    "seed": "'seed': expected key=value",
}


@pytest.mark.parametrize("word", ODD)
def test_a_letter_that_needs_quotes_is_named(word, tmp_path):
    outcome = run_train(*smoke(tmp_path, word))
    assert outcome.code == 2
    assert ODD[word] in outcome.err


SAME = {
    "iterations=1e1": "iterations=10",
    "resume=true": "resume=auto",
    "augment=null": "augment=none",
    "metrics=null": "metrics=none",
    "+augment=diffaugment": "augment=diffaugment",
    "+experiment=null": "experiment=null",
    "trainer.devices=1.0": "trainer.devices=1",
}


@pytest.mark.long
@pytest.mark.parametrize("word", SAME)
def test_other_spellings_are_the_same_run(word, tmp_path):
    assert run_train(*smoke(tmp_path, SAME[word])).code == 0
    outcome = run_train(*smoke(tmp_path, word))
    assert outcome.out.startswith("finished already")
    assert len(runs_in(tmp_path)) == 1


REFUSED = {
    "~augment": "'~augment': a choice cannot be taken away; set augment=none",
    "~data": "'~data': a choice cannot be taken away; set data=...",
    "hydra.job.chdir=true": "hydra.job.chdir: ganlab makes the folders of runs; leave it out",
    "seed=${hydra:job.num}": "${hydra:...}: only Hydra's own part of the config may refer to it",
    "--resolve": "--resolve: it goes with --cfg or --help",
    "--config-name=nothing": "--config-name: there is no 'nothing.yaml'; set --config-dir",
    "iterations=1.5": "iterations: expected int, got 1.5",
    "iterations=-1e3": "iterations must be at least 1, got -1000",
}


@pytest.mark.parametrize("word", REFUSED)
def test_what_has_no_meaning_here_gets_a_sentence(word, tmp_path):
    outcome = run_train(*smoke(tmp_path / "o", word))
    assert outcome.code == 2
    assert REFUSED[word] in outcome.err
    assert not (tmp_path / "o").exists()


@pytest.mark.long
def test_an_optional_choice_is_taken_away(tmp_path):
    narrow = trained(tmp_path / "a", "iterations=1")
    wide = trained(tmp_path / "b", "iterations=1", "~scale")
    assert narrow.name == wide.name  # `smoke` sets the widths itself
    assert run_train("trainer=smoke", "~scale", f"output_dir={tmp_path / 'c'}").code == 0


def test_now_is_one_moment(tmp_path):
    assert run_train(*smoke(tmp_path / "${now:%Y-%m}")).code == 0
    assert [folder.name for folder in tmp_path.iterdir()] == [time.strftime("%Y-%m")]


@pytest.mark.long
def test_a_config_of_ones_own_is_what_is_checked_and_what_runs(tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    (own / "mine.yaml").write_text("defaults: [train, _self_]\nseed: 7\n")
    words = ["--config-dir", str(own), "--config-name", "mine"]
    outcome = run_train(*words, "-m", *smoke(tmp_path / "o", "d_steps=1,2"))
    assert outcome.code == 0
    assert "2 finished" in outcome.out
    assert all("seed: 7" in (run / "config.yaml").read_text() for run in runs_in(tmp_path / "o"))
    (own / "mine.yaml").write_text("defaults: [train, _self_]\nsed: 7\n")
    refused = run_train(*words, *smoke(tmp_path / "p"))
    assert refused.code == 2
    assert "sed: unknown; did you mean 'seed'?" in refused.err


def test_help_and_the_config_are_shown_with_parameters_in_no_yaml(tmp_path):
    for flags in (["--cfg", "job"], ["--help"]):
        done = shell("-m", "ganlab.train", *flags, "loss.smoothing=0.25", cwd=str(tmp_path))
        assert (done.returncode, done.stderr) == (0, "")
        assert "smoothing: 0.25" in done.stdout or flags == ["--help"]
    assert list(tmp_path.iterdir()) == []


def test_the_version_is_told():
    done = shell("-m", "ganlab", "--version")
    assert done.stdout == "ganlab 0.1.0\n"


def test_a_run_is_resumed_by_its_newest_checkpoint_alone(tmp_path):
    run = trained(tmp_path, "iterations=4", "checkpoint_every=2")
    older, newest = sorted((run / "checkpoints").iterdir())
    words = smoke(tmp_path, "iterations=4", "checkpoint_every=2")
    assert run_train(*words, f"resume={newest}").out.startswith("finished already")
    refused = run_train(*words, f"resume={older}")
    assert refused.code == 2
    assert f"to start a new run from '{older}': start={older}" in refused.err


def test_a_pattern_means_the_newest_run(tmp_path):
    first = trained(tmp_path / "a")
    second = trained(tmp_path / "b", "seed=1")
    outcome = run_sample(f"run={tmp_path}/*/*/*", "n=1")
    assert outcome.code == 0
    assert str(second) in outcome.out
    assert str(first) not in outcome.out
