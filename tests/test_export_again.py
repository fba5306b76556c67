"""A second export into the same folder: what users and commands have put there stays."""

import os
import shutil

import pytest

import ganlab
from commands import run_evaluate, run_main, run_sample
from exports import SMALL, run_of
from ganlab.commands import command_line
from ganlab.export import export
from ganlab.exporting.folder import BESIDE, FILES, keep
from ganlab.storage import files

pytest.importorskip("safetensors", reason="no safetensors: pip install 'ganlab[export]'")


@pytest.fixture
def run(tmp_path):
    return run_of(tmp_path / "run", *SMALL, "model=dcgan", "model.generator.width=8")


@pytest.fixture
def given(run, tmp_path):
    """An export of the run, with all that ganlab may write beside it."""
    to = tmp_path / "given"
    export(run=str(run), to=str(to), onnx=False)
    for name in BESIDE:
        if "." in name:
            (to / name).write_text(f"my {name}")
        else:
            (to / name / "deep").mkdir(parents=True)
            (to / name / "deep" / "a.png").write_text(f"my {name}")
    (to / "sampled" / "link.png").symlink_to("deep/a.png")
    return to


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def beside(folder):
    return {
        name: content
        for name, content in contents(folder).items()
        if name.partition("/")[0] in BESIDE
    }


def test_what_ganlab_wrote_beside_an_export_stays(run, given):
    before = beside(given)
    (given / "README.md").write_text("old")
    export(run=str(run), to=str(given), onnx=False)
    assert len(before) == len(BESIDE) + 1
    assert beside(given) == before
    assert (given / "sampled" / "link.png").is_symlink()
    assert (given / "README.md").read_text() != "old"
    assert sorted(path.name for path in given.parent.iterdir()) == ["given", "run"]


def test_nothing_is_lost_when_the_second_export_fails(run, given, monkeypatch):
    before = contents(given)

    def full(path):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(files, "flush_folder", full)
    with pytest.raises(OSError, match="No space"):
        export(run=str(run), to=str(given), onnx=False)
    assert contents(given) == before


def test_where_files_have_no_second_names_they_are_copied(given, tmp_path, monkeypatch):
    def refused(*_, **__):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    keep(given / "sampled", tmp_path / "kept")
    assert contents(tmp_path / "kept") == contents(given / "sampled")
    assert (tmp_path / "kept" / "link.png").is_symlink()
    keep(given / "missing", tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


@pytest.mark.long
def test_what_the_card_proposes_does_not_forbid_the_next_export(run, tmp_path):
    to = tmp_path / "given"
    export(run=str(run), to=str(to), onnx=False)
    assert run_sample(f"run={to}", "n=4").code == 0
    words = ["n=100", "real=100", "kept=100", "baselines=false"]
    assert run_evaluate(f"run={to}", *words).code == 0
    export(run=str(run), to=str(to), onnx=False)
    assert {path.name for path in to.iterdir()} - {*FILES} == {"sampled", "summary.json"}
    assert ganlab.load(to).iterations == 3


def test_other_files_are_named_with_the_way_out(run, given):
    (given / "notes.txt").write_text("mine")
    before = contents(given)
    words = [f"run={run}", f"to={given}", "onnx=false"]
    outcome = run_main(lambda: command_line.call(export), *words)
    assert outcome.code == 2
    said = "has 'notes.txt', which ganlab did not write; move it away, or name a new folder"
    assert said in outcome.err
    assert contents(given) == before


def test_samples_alone_make_no_export(run, given, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(given / "sampled", other / "sampled")
    words = [f"run={run}", f"to={other}", "onnx=false"]
    outcome = run_main(lambda: command_line.call(export), *words)
    assert outcome.code == 2
    assert "is no earlier export of this run" in outcome.err
