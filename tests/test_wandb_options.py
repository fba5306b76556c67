"""What W&B's environment and the config say of a run, and who is heard first."""

from pathlib import Path

import pytest

from commands import run_train, smoke
from ganlab.commands import command_line
from ganlab.loggers import WandbRun
from ganlab.runs.folder import Run
from ganlab.wandb import parts
from test_wandb import sync
from test_wandb_account import Recorder
from wandb_server import account, anew

SAID = {
    "WANDB_PROJECT": "theirs",
    "WANDB_ENTITY": "team",
    "WANDB_NAME": "nightly",
    "WANDB_RUN_GROUP": "autumn",
    "WANDB_NOTES": "from the environment",
    "WANDB_TAGS": "one,two",
    "WANDB_RUN_ID": "chosen1",
}


def begun(folder: Path) -> Run:
    """A run that has just begun."""
    made = Run(folder / "digits-dcgan-hinge" / "1a2b3c4d")
    made.checkpoints.mkdir(parents=True)
    made.config_file.write_text("seed: 0\n")
    return made


def logged(run: Run, **options) -> str:
    """One row of a run; returns the run's W&B id."""
    logger = WandbRun(run, title="seed=0", sweep="s1", **options)
    logger.log_metrics({"iterations": 1, "fid": 2.0})
    logger.finish("finished")
    return (run.path / "wandb-id").read_text()


def test_the_environment_is_heard_where_the_config_says_nothing(tmp_path, server):
    run = begun(tmp_path)
    with anew(tmp_path, **account(server), **SAID):
        assert logged(run) == "chosen1"
    about = server.runs["chosen1"].about
    assert (about["project"], about["entity"]) == ("theirs", "team")
    assert (about["displayName"], about["groupName"]) == ("nightly", "autumn")
    assert about["notes"] == "from the environment"
    assert {"one", "two", "digits", "dcgan", "hinge"} == set(about["tags"])


def test_the_config_is_heard_first(tmp_path, server):
    names = {"project": "mine", "entity": "me", "name": "a", "group": "b", "notes": "c"}
    with anew(tmp_path, **account(server), **SAID | {"WANDB_RUN_ID": "chosen2"}):
        logged(begun(tmp_path), **names, tags=("three",))
    about = server.runs["chosen2"].about
    told = [about[key] for key in ("project", "entity", "displayName", "groupName", "notes")]
    assert told == list(names.values())
    assert "three" in about["tags"]


def test_without_either_a_run_is_named_by_ganlab(tmp_path, server):
    with anew(tmp_path, **account(server)):
        about = server.runs[logged(begun(tmp_path))].about
    named = (about["project"], about["displayName"], about["groupName"])
    assert named == ("ganlab", "seed=0", "s1")


def test_files_in_another_folder_are_found_and_uploaded(tmp_path, server):
    run, elsewhere = begun(tmp_path), tmp_path / "scratch" / "deep"
    with anew(tmp_path, WANDB_DIR=str(elsewhere)):
        name = logged(run, mode="offline")
        (file,) = parts(run)
    assert file.is_relative_to(elsewhere)
    assert parts(run) == []
    done = sync(run.path, **account(server), WANDB_DIR=str(elsewhere))
    assert done.out.endswith("1 uploaded, 0 were already\n")
    assert [row["fid"] for row in server.runs[name].history] == [2.0]


def test_a_sync_with_a_key_that_is_refused_says_what_to_do(tmp_path):
    run = begun(tmp_path)
    with anew(tmp_path):
        logged(run, mode="offline")
    with Recorder(401) as server:
        code, out, err = sync(run.path, WANDB_API_KEY="a" * 40, WANDB_BASE_URL=server.url)
    assert (code, out) == (1, f"{run.path}: not uploaded\n0 uploaded, 0 were already\n")
    said = "some uploads failed, but nothing is lost: W&B's server refuses the API key"
    assert err == f"ganlab: {said}; run `wandb login`\n"


def words(*more: str) -> list[str]:
    return [w for w in smoke(Path("outputs"), *more) if not w.startswith("logger=")]


@pytest.mark.parametrize(
    ("more", "variables", "sentence"),
    [
        (["-m", "seed=0,1"], {"WANDB_RUN_ID": "abc"}, "WANDB_RUN_ID: all jobs of the sweep would"),
        (["logger.wandb.project=a/b"], {}, "logger.wandb: Invalid project name 'a/b'"),
        (["logger.wandb.tags=['']"], {}, "logger.wandb: run_tags: Value error, Tag at index 0"),
        ([], {"WANDB_RUN_ID": "a/b"}, "logger.wandb: Run ID cannot contain the characters"),
        ([], {"WANDB_BASE_URL": "foo"}, "logger.wandb: base_url: Input should be a valid URL"),
    ],
)
def test_names_that_wandb_cannot_take_are_mistakes(tmp_path, more, variables, sentence):
    with anew(tmp_path, **variables):
        code, out, err = run_train(*words(*more))
    assert (code, out) == (2, "")
    assert err.startswith(f"ganlab: 1 mistake, nothing was started\n  {sentence}")
    assert len(err.splitlines()) == 2


def test_the_words_of_a_wandb_agent_are_overrides_and_hydras_flags_stay(tmp_path):
    """An agent of a W&B sweep writes --key=value."""
    output = f"--output_dir={tmp_path}"
    plain = [word for word in smoke(tmp_path) if not word.startswith("output_dir")]
    printed = run_train(*plain, output, "--seed=7", "--g_optimizer.lr=0.5", "--cfg=job")
    assert printed.code == 0
    assert "seed: 7\n" in printed.out
    assert f"output_dir: {tmp_path}\n" in printed.out
    refused = run_train(*plain, "--sead=7")
    assert refused.err.endswith("  sead: unknown; did you mean 'seed'?\n")
    refused = run_train(*plain, f"--config-dir={tmp_path / 'none'}")
    assert "--config-dir: there is no folder" in refused.err


def test_the_other_commands_take_dashes_too():
    def function(n: int, name: str = "") -> tuple[int, str]:
        return n, name

    assert command_line.called(function, ["--n=4", "--name=--a=b"]) == (4, "--a=b")
    with pytest.raises(command_line.ConfigError, match="'--n': expected name=value"):
        command_line.called(function, ["--n"])
