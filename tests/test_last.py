"""`last` in place of a folder: the newest run, or the newest sweep, in every command."""

import os
import shutil
from pathlib import Path

import pytest

import ganlab
from commands import Outcome, run_evaluate, run_main, run_sample, run_sweep, run_train, smoke
from ganlab.commands import command_line
from ganlab.errors import ConfigError
from ganlab.runs.folder import Run, folder_named, worked_on
from ganlab.sweeps.record import Sweep
from ganlab.wandb import VERBS

SCORED = ("metrics=classifier", "metrics.n=50", "metrics.every=3")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with outputs/ of two sweeps: two seeds of hinge, then one of nonsaturating."""
    folder = tmp_path_factory.mktemp("place")
    for loss, seeds in (("hinge", "0,1"), ("nonsaturating", "0")):
        words = smoke(folder / "outputs", *SCORED, f"loss={loss}", f"seed={seeds}")
        assert run_train("-m", *words).code == 0
    return folder


@pytest.fixture
def place(made, tmp_path, monkeypatch) -> Path:
    """A copy of it, with the times of its files, as the working directory."""
    copy = Path(shutil.copytree(made, tmp_path / "place"))
    monkeypatch.chdir(copy)
    return copy


@pytest.fixture
def newest(place) -> Path:
    """The newest run, which is not the one that was trained last."""
    return later(min(Path("outputs/digits-dcgan-hinge").iterdir()))


def later(run: Path) -> Path:
    """The run, once it is the newest."""
    when = max(worked_on(file.parent) for file in Path("outputs").rglob("summary.json"))
    os.utime(run / "summary.json", ns=(when + 10**9, when + 10**9))
    return run


def run_wandb(*words: str) -> Outcome:
    return run_main(lambda: command_line.call_one_of(VERBS), *words)


def refused(sentence: str) -> tuple[int, str, str]:
    return 2, "", f"ganlab: 1 mistake, nothing was started\n  {sentence}\n"


NO_RUN = "'last' is the newest run below 'outputs', and there is none; a folder of that name is "
NO_RUN += "'./last'"
NO_SWEEP = NO_RUN.replace("newest run below 'outputs'", "newest sweep below 'outputs/sweeps'")


# Which is the newest ------------------------------------------------------------------------------


@pytest.mark.long
def test_the_newest_run_is_the_one_that_was_worked_on_last(newest):
    assert folder_named("last") == newest
    others = {file.parent for file in Path("outputs").rglob("summary.json")} - {newest}
    for other in sorted(others):
        config = other / "config.yaml"
        os.utime(config, ns=(worked_on(newest) + 1, worked_on(newest) + 1))
        assert folder_named("last") == other, "what it is told counts as much as what it says"
        newest = other


def test_the_newest_sweep_is_the_one_whose_jobs_began_last(place):
    first, second = sorted(Path("outputs/sweeps").iterdir(), key=worked_on)
    assert len(Sweep(second).jobs()) == 1
    assert folder_named("last", "sweep") == second
    words = smoke(Path("outputs"), *SCORED, "loss=hinge", "seed=0,1")
    assert run_train("-m", *words).out.count("finished already") == 2
    assert folder_named("last", "sweep") == first


def test_other_names_are_paths(place):
    for name in ("./last", "a/last", "LAST", Path("last"), "outputs"):
        assert folder_named(name) == Path(name)


def test_what_wandb_and_hydra_keep_is_no_run(newest):
    for folder in (newest / "wandb" / "files", Path("outputs/.hydra")):
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text("a: 1")
    assert folder_named("last") == newest


def test_without_any_the_sentence_says_where_was_looked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for kind, sentence in (("run", NO_RUN), ("sweep", NO_SWEEP)):
        with pytest.raises(ConfigError) as refusal:
            folder_named("last", kind)
        assert refusal.value.problems == [sentence]


# Who understands it -------------------------------------------------------------------------------


def test_it_is_loaded(newest):
    assert ganlab.load("last").iterations == ganlab.load(newest).iterations
    with pytest.raises(ConfigError, match="'last' is no run"):
        ganlab.load(Path("last"))


def test_it_is_evaluated(newest):
    outcome = run_evaluate("run=last", "n=40")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(f"{newest}, iteration 3\n")


def second(newest: Path) -> Path:
    """Another run."""
    return next(run for run in newest.parent.iterdir() if run != newest)


def test_it_is_one_of_several_that_are_evaluated(newest):
    outcome = run_evaluate(f"run=[{second(newest)},last]", "n=40")
    assert "\n| digits-dcgan-hinge | 2 | 3 |" in outcome.out


def test_it_is_sampled(newest):
    outcome = run_sample("run=last", "n=4")
    assert (outcome.code, outcome.err) == (0, "")
    assert Path(outcome.out.strip()).is_relative_to(newest / "sampled")


def test_training_goes_on_with_it(newest):
    seed = Run(newest).config()["seed"]
    words = smoke(Path("outputs"), *SCORED, "loss=hinge", f"seed={seed}", "resume=last")
    assert run_train(*words) == (0, f"finished already: {newest}\n", "")
    other = run_train(*smoke(Path("outputs"), "resume=last", "loss=minimax", f"seed={seed}"))
    assert other.code == 2
    assert f"resume: '{newest}' is another experiment:\n" in other.err


def test_training_looks_below_its_own_output_dir(newest):
    outcome = run_train(*smoke(Path("elsewhere"), "resume=last"))
    assert outcome == refused(NO_RUN.replace("'outputs'", "'elsewhere'"))


def test_slurm_may_not_requeue_it(newest):
    seed = Run(newest).config()["seed"]
    words = smoke(Path("outputs"), *SCORED, "loss=hinge", f"seed={seed}", "resume=last")
    outcome = run_train("-m", *words, "hydra/launcher=slurm")
    sentence = "resume: last may name another run each time that Slurm requeues a job"
    assert outcome == refused(sentence)


def test_a_sweep_is_looked_at(place):
    newest = folder_named("last", "sweep")
    for verb in ("status", "table"):
        said, plain = run_sweep(verb, "last"), run_sweep(verb, str(newest))
        assert said == (0, f"{newest}\n\n{plain.out}", "")
    for words in (["table", "last", "format=csv"], ["best", "last"]):
        assert run_sweep(*words) == run_sweep(words[0], str(newest), *words[2:])
    assert run_sweep("plot", "last").out == f"{newest / 'frechet.png'}\n"


def test_its_dashboard_is_made_and_what_was_logged_offline_looked_for(newest):
    assert run_wandb("sync", "last") == refused(
        f"nothing to upload below '{newest}': no run there was logged offline"
    )
    outcome = run_wandb("dashboard", "last", "file=a.json")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.endswith(f"ganlab wandb dashboard {newest}\n")


@pytest.mark.parametrize(
    ("command", "words", "sentence"),
    [
        (run_evaluate, ["run=last"], NO_RUN),
        (run_sample, ["run=last"], NO_RUN),
        (run_train, ["resume=last"], NO_RUN),
        (run_sweep, ["status", "last"], NO_SWEEP),
        (run_sweep, ["table", "last"], NO_SWEEP),
        (run_sweep, ["best", "last"], NO_SWEEP),
        (run_sweep, ["plot", "last"], NO_SWEEP),
        (run_wandb, ["sync", "last"], NO_RUN),
        (run_wandb, ["dashboard", "last"], NO_RUN),
    ],
)
def test_every_command_says_that_there_is_none(tmp_path, monkeypatch, command, words, sentence):
    monkeypatch.chdir(tmp_path)
    assert command(*words) == refused(sentence)
    assert list(tmp_path.iterdir()) == []
