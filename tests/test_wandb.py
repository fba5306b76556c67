"""Weights & Biases: offline files read by its own reader, and what arrives at a server.

The client is the real one.  Where a server is needed, one of wandb_server.py stands in.
"""

import contextlib
import functools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from filelock import FileLock
from PIL import Image
from pytorch_lightning.utilities import rank_zero_only

from commands import Outcome, run_main, run_train, runs_in, smoke
from conftest import ROOT
from ganlab.commands import command_line
from ganlab.loggers import MetricsFile, WandbRun
from ganlab.loggers.account import wandb_mode
from ganlab.runs.folder import Run
from ganlab.runs.readings import AXES
from ganlab.wandb import VERBS
from test_loggers import READINGS, pixels, table
from test_readme import write_examples
from wandb_server import Received, account, anew, environment_of, logged_in, records

SCORE = "frechet/thumbnails/20"
SCORED = ["metrics._target_=my_scores.ByThumbnails", "metrics.n=20", "metrics.every=1"]
# With the discriminator's rate 1 these explode within a few iterations, with 0.001 they do not.
FRAGILE = [
    *("loss=least_squares", "optim@g_optimizer=sgd", "optim@d_optimizer=sgd", "g_optimizer.lr=1.0"),
    *("iterations=12", "sample_every=12", "checkpoint_every=12"),
]


def user(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess:
    """`python COMMAND` by a user who has no W&B account unless the environment says so."""
    (folder / "home").mkdir(exist_ok=True)
    env = {key: value for key, value in os.environ.items() if not key.startswith("WANDB")}
    env |= {"HOME": str(folder / "home"), "WANDB_ERROR_REPORTING": "false", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=env | environment,
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def narrow(*words: str) -> list[str]:
    """A smoke run with the default logger and output_dir."""
    return [w for w in smoke(Path("outputs"), *words) if not w.startswith(("logger", "output_dir"))]


def shown_alike(run: Path, arrived: Received) -> bool:
    """Whether the pictures of the server are those of the run's folder, pixel by pixel."""
    shown = {row["iterations"]: row["samples"] for row in arrived.history if "samples" in row}
    drawn = {int(p.stem.rpartition("-")[2]): p for p in run.glob("samples/iteration-*.png")}
    assert shown.keys() == drawn.keys() != set()
    logged = {step: pixels(arrived.files[picture["path"]]) for step, picture in shown.items()}
    assert all(picture.std() > 1 for picture in logged.values()), "an empty picture"
    return all((logged[step] == pixels(drawn[step])).all() for step in drawn)


def configured_alike(run: Path, arrived: Received) -> bool:
    """Whether the server has the completed config and the environment; W&B drops empty groups."""
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["environment"] = json.loads((run / "environment.json").read_text())
    told = {key: value for key, value in arrived.config.items() if key != "_wandb"}
    return told == {key: value for key, value in config.items() if value != {}}


def told_alike(run: Path, arrived: Received) -> bool:
    """Whether the server has every row of metrics.csv, once and in order, and the last of each."""
    names = set(table(run / "metrics.csv")[0]) - set(AXES)
    rows = [row for row in arrived.history if names & row.keys()]
    written = [{n: float(v) for n, v in r.items() if v} for r in table(run / "metrics.csv")]
    last = {name: value for row in written for name, value in row.items()}
    told = [{n: row[n] for n in names | set(AXES) if n in row} for row in rows]
    return told == written and {n: arrived.summary[n] for n in last} == last


# Offline ----------------------------------------------------------------------------------------


def repository(folder: Path, whose: str) -> None:
    """Makes a folder a git repository with one change that is in no commit."""
    (folder / "notes").write_text("committed\n")
    by = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "--quiet"], ["add", "notes"], [*by, "commit", "--quiet", "-m", "a"]):
        subprocess.run(["git", *words], cwd=folder, check=True, timeout=60)
    (folder / "notes").write_text(f"{whose}\n")


@pytest.fixture(scope="module")
def offline(tmp_path_factory):
    """(process, run folders) of a first sweep by somebody who has never heard of W&B.

    In a repository with a change that is in no commit; the runs lie in another one.
    """
    folder = tmp_path_factory.mktemp("offline")
    write_examples((ROOT / "docs" / "extend.md").read_text(), folder)
    outputs = tmp_path_factory.mktemp("outputs")
    repository(folder, "mine")
    repository(outputs, "foreign")
    words = [*narrow(*SCORED), "seed=0,1", f"output_dir={outputs}", "logger.wandb.patch=true"]
    return user(folder, "-m", "ganlab.train", "-m", *words), runs_in(outputs)


@pytest.mark.long
def test_without_an_account_a_run_is_offline_asks_nothing_and_says_how_to_upload(offline):
    process, runs = offline
    assert (process.returncode, process.stderr) == (0, "")
    for run in runs:
        assert f"to upload this run: ganlab wandb sync {run}\n" in process.stdout


def test_the_official_reader_finds_config_readings_axes_and_exit_code(offline):
    _, (run, _) = offline
    read = records(run)
    about, tagged = (r["run"] for r in read if r["type"] == "run")
    found = about["config"]["update"]
    environment = json.loads((run / "environment.json").read_text())
    assert found.pop("environment") == environment
    assert environment["git_commit"] == about["git"]["commit"]
    found.pop("_wandb")
    assert found == yaml.safe_load((run / "config.yaml").read_text())
    assert about["run_id"] == (run / "wandb-id").read_text()
    assert tagged["tags"] == ["digits", "dcgan", "nonsaturating"]
    history = [r["history"]["item"] for r in read if r["type"] == "history"]
    rows = [item for item in history if "loss/d" in item]
    assert len(rows) == 3
    assert all(READINGS | set(AXES) <= row.keys() for row in rows)
    (every,) = (r["metric"] for r in read if r.get("metric", {}).get("glob_name") == "*")
    assert every["step_metric"] == "iterations"
    assert read[-1]["exit"]["exit_code"] == 0


def test_offline_pictures_are_real_and_equal_the_grids_in_the_run_folder(offline):
    _, (run, _) = offline
    history = [r["history"]["item"] for r in records(run) if r["type"] == "history"]
    shown = {item["iterations"]: item["samples.path"] for item in history if "samples.path" in item}
    (folder,) = run.glob("wandb/offline-run-*/files")
    assert sorted(shown) == [0, 3]
    for step, path in shown.items():
        logged = pixels(folder / path)
        assert logged.std() > 1, "an empty picture"
        assert (logged == pixels(run / "samples" / f"iteration-{step:07d}.png")).all()


def test_the_code_is_the_commit_and_the_difference_to_it(offline):
    """Of the repository where the command was given, wherever the runs lie."""
    _, runs = offline
    for run in runs:
        (patch,) = run.glob("wandb/offline-run-*/files/diff.patch")
        assert "-committed\n+mine\n" in patch.read_text()


# sync -------------------------------------------------------------------------------------------


def sync(folder: Path, **environment: str) -> Outcome:
    """`ganlab wandb sync FOLDER`, in the environment of somebody else."""
    home = folder.parent / "elsewhere"
    home.mkdir(exist_ok=True)
    with environment_of(home, **environment):
        return run_main(lambda: command_line.call_one_of(VERBS), "sync", str(folder))


def markers(runs: list[Path]) -> list[Path]:
    """What W&B leaves beside an offline run that it has uploaded."""
    return [file for run in runs for file in run.glob("wandb/offline-run-*/*.synced")]


@pytest.fixture(scope="module")
def refusals(offline):
    """What sync says, before anything is uploaded, without an account and without a server."""
    _, runs = offline
    nowhere = {"WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_X_GRAPHQL_RETRY_MAX": "1"}
    outputs = runs[0].parents[1]
    said = [sync(outputs), sync(outputs, **nowhere, WANDB_API_KEY="a" * 40)]
    assert markers(runs) == []
    return said


@pytest.fixture(scope="module")
def synced(offline, refusals, server):
    """(outcome, runs with what the server has of them) of sync on a cluster that says offline."""
    _, runs = offline
    done = sync(runs[0].parents[1], **account(server), WANDB_MODE="disabled")
    return done, [(run, server.runs[(run / "wandb-id").read_text()]) for run in runs]


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [(0, "No API key configured"), (1, "connection refused")],
    ids=["without an account", "without a server"],
)
def test_what_cannot_be_uploaded_is_kept_and_said_in_one_sentence(
    offline, refusals, kind, sentence
):
    _, runs = offline
    code, out, err = refusals[kind]
    lines = [f"{run}: not uploaded\n" for run in runs]
    assert (code, out) == (1, "".join(lines) + "0 uploaded, 0 were already\n")
    (line,) = err.splitlines()
    assert line.startswith("ganlab: some uploads failed, but nothing is lost: ")
    assert sentence in line


def test_an_offline_sweep_arrives_with_config_rows_summary_and_pictures(synced, server):
    done, arrived = synced
    lines = [f"{run}: uploaded\n" for run, _ in arrived]
    assert done == (0, "".join(lines) + "2 uploaded, 0 were already\n", "")
    assert server.unknown == []
    for run, received in arrived:
        assert configured_alike(run, received)
        assert told_alike(run, received)
        assert shown_alike(run, received)
        assert (received.exit_code, received.about["jobType"]) == (0, "train")
        assert b"-committed\n+mine\n" in received.files["diff.patch"]
    assert len({received.about["groupName"] for _, received in arrived}) == 1
    (one, first), (_, second) = arrived
    assert not told_alike(one, second), "the comparison would pass on anything"
    second.files, files = first.files, second.files
    with pytest.raises(KeyError):
        shown_alike(arrived[1][0], second)
    second.files = files


def test_the_best_checkpoints_scores_on_fresh_noise_are_in_the_summary(synced):
    _, arrived = synced
    for run, received in arrived:
        rows = [row for row in table(run / "metrics.csv") if row[SCORE]]
        low = min(rows, key=lambda row: float(row[SCORE]))
        summary = json.loads((run / "summary.json").read_text())
        best = summary["best"]
        assert best["iteration"] == int(low["iterations"])
        assert best["selected_by"] == float(low[SCORE]) != best["value"]
        (fresh,) = [c for c in summary["scores"] if c["protocol"]["seed"] == best["seed"]]
        for name in (SCORE, "is/thumbnails/20"):
            value = fresh["scores"][name.split("/")[0]]["value"]
            assert received.summary[f"best/{name}"] == value
            assert received.summary[f"best/{name}/iterations"] == best["iteration"]
            assert received.summary[name] == float(rows[-1][name]), "and the last one"
        assert not [name for name in received.summary if name.startswith("best/loss")]


def test_what_is_uploaded_is_not_uploaded_again(synced, server):
    _, arrived = synced
    before = {run: (len(received.history), dict(received.about)) for run, received in arrived}
    done = sync(arrived[0][0].parents[1], **account(server))
    assert done == (0, "0 uploaded, 2 were already\n", "")
    assert before == {r: (len(received.history), received.about) for r, received in arrived}


def test_a_run_at_work_is_left_for_later_and_a_folder_without_runs_refused(tmp_path, monkeypatch):
    """W&B would mark a part as uploaded whose end is still to be written."""
    sent = []
    monkeypatch.setattr("ganlab.wandb.upload", lambda files: sent.extend(files) or "Error: why")
    folder = tmp_path / "digits-dcgan-hinge" / "1a2b3c4d"
    (folder / "checkpoints").mkdir(parents=True)
    call = functools.partial(sync, tmp_path)
    assert call().err.endswith(f"  there is no run in or below '{tmp_path}'\n")
    (folder / "config.yaml").write_text("seed: 0\n")
    nothing = f"  nothing to upload below '{tmp_path}': no run there was logged offline\n"
    assert call() == (2, "", f"ganlab: 1 mistake, nothing was started\n{nothing}")
    for second in (2, 1):
        part = folder / "wandb" / f"offline-run-20261125_00000{second}-abc" / "run-abc.wandb"
        part.parent.mkdir(parents=True)
        part.touch()
    with FileLock(folder / ".lock"):
        expected = f"{folder}: still running; upload it later\n0 uploaded, 0 were already\n"
        assert call() == (0, expected, "")
        assert sent == []
    code, out, err = call()
    assert (code, out) == (1, f"{folder}: not uploaded\n0 uploaded, 0 were already\n")
    assert err == "ganlab: some uploads failed, but nothing is lost: why\n"
    assert [path.parent.name[:27] for path in sent] == [
        "offline-run-20261125_000001",
        "offline-run-20261125_000002",
    ]


# A run that goes on -----------------------------------------------------------------------------

PREEMPTED = """
import os, signal
from ganlab.gan import GAN
from ganlab.train import main
step = GAN.g_step
def g_step(gan, minibatch):
    if gan.iterations + 1 == 3:
        os.kill(os.getpid(), signal.SIGTERM)
    step(gan, minibatch)
GAN.g_step = g_step
main()
"""


@pytest.mark.long
def test_a_requeued_run_is_one_run_that_was_preempted_and_went_on(tmp_path, server):
    words = narrow("iterations=6", "checkpoint_every=100")
    first = user(tmp_path, "-c", PREEMPTED, *words, **account(server))
    assert first.returncode == 130
    (run,) = runs_in(tmp_path / "outputs")
    name = (run / "wandb-id").read_text()
    others = set(server.runs) - {name}
    received = server.runs[name]
    assert (received.preempting, received.exit_code) == (True, 1)
    assert told_alike(run, received)
    received.about["tags"].append("by hand")
    begun = len(received.history)

    second = user(tmp_path, "-m", "ganlab.train", *words, **account(server))
    assert (second.returncode, second.stderr) == (0, first.stderr)
    assert set(server.runs) == others | {name}
    assert received.exit_code == 0
    assert told_alike(run, received)
    assert shown_alike(run, received)
    assert [row["_step"] for row in received.history] == list(range(len(received.history)))
    assert len(received.history) > begun
    assert received.about["tags"] == ["digits", "dcgan", "nonsaturating", "by hand"]


@pytest.fixture
def run(tmp_path) -> Run:
    """The folder of a run that has just begun."""
    made = Run(tmp_path / "digits-dcgan-hinge" / "1a2b3c4d")
    made.checkpoints.mkdir(parents=True)
    made.config_file.write_text("seed: 0\n")
    return made


def part(run: Run, scores: dict[int, float], attempt: int = 0, **options: str) -> None:
    """One part of a run, with a score for each iteration; it fails.

    `own` is the same number, of which W&B itself keeps the minimum.
    """
    file = MetricsFile(run.path / "metrics.csv")
    file.go_on(min(scores) - 1)
    logger = WandbRun(run, title="a", sweep=None, **options)
    logger.experiment.define_metric("own", summary="min")
    logger.go_on(min(scores) - 1, attempt)
    for iteration, value in scores.items():
        row = {"iterations": iteration, "fid": value, "is": value, "own": value}
        row["nll/iwae-50"] = value
        file.log_metrics(row)
        logger.log_metrics(row)
    logger.finish("failed")


def told(received: Received) -> list[tuple[int, float]]:
    return [(row["iterations"], row["fid"]) for row in received.history]


def test_what_a_part_that_died_had_told_is_not_told_again_nor_its_best_forgotten(
    run, tmp_path, server
):
    """The checkpoint lies before the last rows that the dashboard has: they are made again."""
    with logged_in(server, tmp_path):
        part(run, {1: 2.0, 2: 5.0, 3: 3.0})
        part(run, {2: 4.0, 3: 3.5, 4: 3.0})
    received = server.runs[(run.path / "wandb-id").read_text()]
    assert told(received) == [(1, 2.0), (2, 5.0), (3, 3.0), (3, 3.5), (4, 3.0)]
    assert (received.exit_code, received.preempting) == (1, False)
    assert (received.summary["fid"], received.summary["best/fid"]) == (3.0, 2.0)
    assert received.summary["best/fid/iterations"] == 1
    assert received.summary["best/is"] == 4.0, "5 was made again"
    assert received.summary["best/nll/iwae-50"] == 2.0, "less is better"
    assert received.summary["own"]["min"] == 3.0, "W&B's own minimum has begun to remember"


def test_after_going_back_the_dashboard_has_the_new_attempt_and_not_the_old_ones_best(
    run, tmp_path, server
):
    with logged_in(server, tmp_path):
        part(run, {1: 4.0, 2: 1.0, 3: 5.0})
        part(run, {2: 3.0, 3: 3.5}, attempt=1)
        part(run, {3: 3.5, 4: 6.0}, attempt=1)  # killed and gone on: 3 is known
    received = server.runs[(run.path / "wandb-id").read_text()]
    assert told(received) == [(1, 4.0), (2, 1.0), (3, 5.0), (2, 3.0), (3, 3.5), (3, 3.5), (4, 6.0)]
    assert (received.summary["best/fid"], received.summary["best/fid/iterations"]) == (3.0, 2)


@pytest.mark.long
def test_two_offline_parts_are_uploaded_as_one_run(run, tmp_path, server):
    for scores in ({1: 2.0, 2: 5.0}, {3: 4.0, 4: 3.0}):
        part(run, scores, mode="offline")
        time.sleep(1.1)  # W&B names the parts by their second
    assert sync(run.path, **account(server)).out == (
        f"{run.path}: uploaded\n1 uploaded, 0 were already\n"
    )
    received = server.runs[(run.path / "wandb-id").read_text()]
    assert told(received) == [(1, 2.0), (2, 5.0), (3, 4.0), (4, 3.0)]
    assert [row["_step"] for row in received.history] == [0, 1, 2, 3]
    assert (received.summary["best/fid"], received.summary["best/is"]) == (2.0, 5.0)
    assert received.about["tags"] == ["digits", "dcgan", "hinge"]


def test_a_run_that_goes_on_is_the_same_run_in_the_dashboard(tmp_path):
    ids = [
        WandbRun(Run(tmp_path), title="a", sweep=None, mode="offline")._kept_id() for _ in range(2)
    ]
    assert ids[0] == ids[1]
    assert len(ids[0]) == 8
    (tmp_path / "another").mkdir()
    another = WandbRun(Run(tmp_path / "another"), title="a", sweep=None, mode="offline")
    assert another._kept_id() != ids[0]


# Online -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def online(tmp_path_factory, server):
    """(outcome, runs with what the server has of them) of a sweep of which half fails."""
    folder = tmp_path_factory.mktemp("online")
    with logged_in(server, folder):
        words = narrow(*FRAGILE, "+logger.wandb.tags=[mine]", "seed=0,1")
        outcome = run_train("-m", *words, "d_optimizer.lr=0.001,1.0")
    runs = runs_in(folder / "outputs")
    return outcome, [(run, server.runs[(run / "wandb-id").read_text()]) for run in runs]


@pytest.mark.long
def test_with_a_key_the_runs_of_a_sweep_arrive_as_runs_of_one_group(online, server):
    outcome, arrived = online
    assert "Traceback" not in outcome.err
    assert server.unknown == []
    assert len(arrived) == 4
    about = [received.about for _, received in arrived]
    (sweep,) = (arrived[0][0].parents[1] / "sweeps").iterdir()
    assert {run["groupName"] for run in about} == {sweep.name}
    assert {run["project"] for run in about} == {"ganlab"}
    assert len({run["displayName"] for run in about}) == 4
    assert all(run["tags"] == ["digits", "dcgan", "least_squares", "mine"] for run in about)


def test_a_run_that_fails_is_failed_online_and_the_others_are_finished(online):
    outcome, arrived = online
    assert outcome.code == 1
    ends = {}
    for run, received in arrived:
        status = json.loads((run / "summary.json").read_text())["status"]
        ends.setdefault(status, []).append((received.exit_code, received.preempting))
    assert ends == {"finished": [(0, False)] * 2, "failed": [(1, False)] * 2}


def test_config_readings_summary_and_pictures_arrive_with_their_axes(online):
    _, arrived = online
    for run, received in arrived:
        assert configured_alike(run, received)
        assert told_alike(run, received)
        assert shown_alike(run, received)


def test_all_that_is_sent_is_in_the_page_on_privacy(online):
    page = (ROOT / "docs" / "privacy.md").read_text()
    for _, received in online[1]:
        metadata = json.loads(received.files["wandb-metadata.json"])
        sent = {name.partition("/")[0] for name in received.files} | metadata.keys()
        sent |= {name for name in received.lines if not name.startswith("wandb-")}
        assert [name for name in sorted(sent) if f"`{name}`" not in page] == []
        assert "diff.patch" not in received.files


def test_a_run_is_named_by_what_distinguishes_it_from_others(tmp_path, monkeypatch):
    import ganlab.train

    titles = []

    class Done:
        def summary(self):
            return {}

        def config(self):
            return {}

    def noted(config, name, title, group, began):
        titles.append(title)
        return Done()

    monkeypatch.setattr(ganlab.train, "train", noted)
    elsewhere = ["data=mnist", f"data.root={tmp_path}", "resume=never", "trainer=smoke"]
    words = ["seed=3", f"output_dir={tmp_path}", "logger=csv", "d_steps=2", *elsewhere]
    assert run_train(*words).code == 0
    assert titles == ["d_steps=2,data=mnist,seed=3"]


@pytest.mark.parametrize("mode", ["online", "offline", "disabled"])
def test_the_environment_decides_the_mode_and_the_config_overrides_it(tmp_path, server, mode):
    with anew(tmp_path, **account(server), WANDB_MODE=mode):
        assert wandb_mode() == mode
        run = Run(tmp_path)
        assert WandbRun(run, title="a", sweep=None).mode == mode
        assert WandbRun(run, title="a", sweep=None, mode="offline").mode == "offline"


class StartedError(Exception):
    """W&B was asked to start a run."""


@pytest.mark.parametrize("rank", [0, 1])
def test_of_several_processes_only_the_first_has_a_run(tmp_path, monkeypatch, rank):
    import wandb

    def init(**_):
        raise StartedError

    (tmp_path / "config.yaml").write_text("seed: 0\n")
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    monkeypatch.setattr(wandb, "init", init)
    monkeypatch.setattr(rank_zero_only, "rank", rank)
    logger = WandbRun(Run(tmp_path), title="a", sweep=None, mode="offline")
    asks = [
        lambda: logger.log_metrics({"iterations": 1, "fid": 1.0}),
        lambda: logger.log_picture("samples", tmp_path / "a.png", 1),
        lambda: logger.experiment,
    ]
    for ask in asks:
        with pytest.raises(StartedError) if rank == 0 else contextlib.nullcontext():
            ask()
    assert logger.finish("failed") is None
    assert (tmp_path / "wandb-id").exists() == (rank == 0)
