"""All loggers hear the same readings, counted in iterations; pictures arrive as they were drawn."""

import csv
import functools
import io
import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from commands import run_train, runs_in, smoke
from ganlab.loggers import AXES, MetricsFile, WandbRun, wandb_mode
from ganlab.runs import Run
from wandb_server import Server

READINGS = {"loss/d", "loss/g", "D(x)", "D(G(z))", "grad_norm/d", "grad_norm/g"}
WANDB = Path(sysconfig.get_path("scripts")) / "wandb"
# With the discriminator's rate 1 these explode within a few iterations, with 0.001 they do not.
FRAGILE = [
    *("loss=least_squares", "optim@g_optimizer=sgd", "optim@d_optimizer=sgd", "g_optimizer.lr=1.0"),
    *("iterations=12", "sample_every=12", "checkpoint_every=12"),
]


def table(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def pixels(png: Path | bytes) -> np.ndarray:
    """What a PNG shows; it must be one of bytes, as every viewer takes it."""
    with Image.open(io.BytesIO(png) if isinstance(png, bytes) else png) as picture:
        assert (picture.format, picture.mode) == ("PNG", "RGB")
        return np.asarray(picture)


# metrics.csv ------------------------------------------------------------------------------------


def test_a_metric_that_comes_later_adds_a_column_and_loses_no_row(tmp_path):
    file = MetricsFile(tmp_path / "metrics.csv")
    file.log_metrics({"iterations": 1, "a": 0.5})
    file.log_metrics({"iterations": 2, "a": 0.25})
    file.log_metrics({"iterations": 3, "b": 4.0})
    file.log_metrics({"iterations": 4, "a": 0.125, "b": 8.0})
    assert (tmp_path / "metrics.csv").read_text().splitlines() == [
        "iterations,a,b",
        "1,0.5,",
        "2,0.25,",
        "3,,4.0",
        "4,0.125,8.0",
    ]


def test_each_reading_is_in_the_file_at_once(tmp_path):
    """A run that dies leaves all that it has read."""
    file = MetricsFile(tmp_path / "metrics.csv")
    for i in range(1, 4):
        file.log_metrics({"iterations": i, "a": i / 8})
        assert len(table(tmp_path / "metrics.csv")) == i


# TensorBoard ------------------------------------------------------------------------------------


def test_tensorboard_shows_the_readings_and_pictures_at_their_iterations(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    outcome = run_train(*smoke(tmp_path, "logger=[csv,tensorboard]", "d_steps=2"))
    assert (outcome.code, outcome.err) == (0, "")
    (run,) = runs_in(tmp_path)
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    readings = table(run / "metrics.csv")
    assert READINGS | set(AXES) <= set(events.Tags()["scalars"])
    for name in READINGS:
        shown = [(event.step, event.value) for event in events.Scalars(name)]
        written = [(int(row["iterations"]), float(row[name])) for row in readings]
        assert shown == [(step, pytest.approx(value, rel=1e-6)) for step, value in written]
    pictures = {e.step: e.encoded_image_string for e in events.Images("samples")}
    assert sorted(pictures) == [0, 3]
    for step, png in pictures.items():
        assert (pixels(png) == pixels(run / "samples" / f"iteration-{step:07d}.png")).all()


# Weights & Biases -------------------------------------------------------------------------------


def train(folder: Path, *words: str) -> subprocess.CompletedProcess:
    """`python -m ganlab.train WORDS` by a user without a W&B account, in `folder`."""
    (folder / "home").mkdir(exist_ok=True)
    env = {key: value for key, value in os.environ.items() if not key.startswith("WANDB")}
    env |= {"HOME": str(folder / "home"), "WANDB_ERROR_REPORTING": "false", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "ganlab.train", *words]
    return subprocess.run(
        command,
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def narrow(*words: str) -> list[str]:
    """A smoke run with the default logger and output_dir."""
    return [w for w in smoke(Path("outputs"), *words) if not w.startswith(("logger", "output_dir"))]


@pytest.fixture(scope="module")
def offline(tmp_path_factory):
    """(process, run folder) of a first run by somebody who has never heard of W&B."""
    folder = tmp_path_factory.mktemp("offline")
    process = train(folder, *narrow())
    (run,) = runs_in(folder / "outputs")
    return process, run


@functools.cache
def records(run: Path) -> list[dict]:
    """What W&B's own reader finds in an offline run."""
    (log,) = run.glob("wandb/offline-run-*/*.wandb")
    command = [str(WANDB), "leet", "inspect", "--json", str(log)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        pytest.skip(f"this W&B cannot inspect its own files: {done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_without_an_account_a_run_is_offline_asks_nothing_and_says_how_to_upload(offline):
    process, run = offline
    assert (process.returncode, process.stderr) == (0, "")
    (folder,) = run.glob("wandb/offline-run-*")
    relative = folder.relative_to(run.parents[2])
    assert f"to upload this run: wandb sync {relative}\n" in process.stdout


def test_the_official_reader_finds_config_readings_axes_and_exit_code(offline):
    _, run = offline
    read = records(run)
    (about,) = (r["run"] for r in read if r["type"] == "run")
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert about["config"]["update"]["g_optimizer"] == config["g_optimizer"]
    assert about["run_id"] == (run / "wandb-id").read_text()
    history = [r["history"]["item"] for r in read if r["type"] == "history"]
    rows = [item for item in history if "loss/d" in item]
    written = table(run / "metrics.csv")
    assert len(rows) == len(written) == 3
    for row, expected in zip(rows, written, strict=True):
        assert READINGS | set(AXES) <= row.keys()
        assert {name: row[name] for name in expected} == {n: float(v) for n, v in expected.items()}
    (every,) = (r["metric"] for r in read if r.get("metric", {}).get("glob_name") == "*")
    assert every["step_metric"] == "iterations"
    assert read[-1]["exit"]["exit_code"] == 0


def test_offline_pictures_are_real_and_equal_the_grids_in_the_run_folder(offline):
    _, run = offline
    history = [r["history"]["item"] for r in records(run) if r["type"] == "history"]
    shown = {item["iterations"]: item["samples.path"] for item in history if "samples.path" in item}
    (folder,) = run.glob("wandb/offline-run-*/files")
    assert sorted(shown) == [0, 3]
    for step, path in shown.items():
        logged = pixels(folder / path)
        assert logged.std() > 1, "an empty picture"
        assert (logged == pixels(run / "samples" / f"iteration-{step:07d}.png")).all()


@pytest.fixture(scope="module")
def online(tmp_path_factory):
    """(outcome, output_dir, server) of a sweep of four online runs, two of which fail.

    In this process, with a W&B of its own: its client reads the environment once, when it starts.
    """
    import wandb

    folder = tmp_path_factory.mktemp("online")
    try:
        server = Server()
    except OSError as error:
        pytest.skip(f"no port of 127.0.0.1 can be opened: {error}")
    with server, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("WANDB")]:
            patch.delenv(name)
        key = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": "a" * 40, "HOME": str(folder)}
        for name, value in {**key, "WANDB_ERROR_REPORTING": "false"}.items():
            patch.setenv(name, value)
        patch.chdir(folder)
        wandb.teardown()
        outcome = run_train("-m", *narrow(*FRAGILE, "seed=0,1", "d_optimizer.lr=0.001,1.0"))
        wandb.teardown()
    return outcome, folder / "outputs", server


def received(online) -> list[tuple[Path, object]]:
    """(run folder, what the server has of it) for each run."""
    _, outputs, server = online
    return [(run, server.runs[(run / "wandb-id").read_text()]) for run in runs_in(outputs)]


def test_with_a_key_the_runs_of_a_sweep_arrive_as_runs_of_one_group(online):
    outcome, outputs, server = online
    assert "Traceback" not in outcome.err
    assert server.unknown == []
    assert len(server.runs) == len(received(online)) == 4
    about = [run.about for run in server.runs.values()]
    (sweep,) = (outputs / "sweeps").iterdir()
    assert {run["groupName"] for run in about} == {sweep.name}
    assert {run["project"] for run in about} == {"ganlab"}
    assert len({run["displayName"] for run in about}) == 4


def test_a_run_is_named_by_what_distinguishes_it_from_others(tmp_path, monkeypatch):
    import ganlab.train

    titles = []

    class Done:
        def summary(self):
            return {}

    def noted(config, name, title, group):
        titles.append(title)
        return Done()

    monkeypatch.setattr(ganlab.train, "train", noted)
    elsewhere = ["data=mnist", f"data.root={tmp_path}", "resume=never", "trainer=smoke"]
    words = ["seed=3", f"output_dir={tmp_path}", "logger=csv", "d_steps=2", *elsewhere]
    assert run_train(*words).code == 0
    assert titles == ["d_steps=2,data=mnist,seed=3"]


def test_a_run_that_fails_is_failed_online_and_the_others_are_finished(online):
    outcome, _, _ = online
    assert outcome.code == 1
    ends = {}
    for run, arrived in received(online):
        status = json.loads((run / "summary.json").read_text())["status"]
        ends.setdefault(status, []).append(arrived.exit_code)
    assert ends == {"finished": [0, 0], "failed": [1, 1]}


def test_config_readings_and_summary_arrive_with_their_axes(online):
    for run, arrived in received(online):
        config = yaml.safe_load((run / "config.yaml").read_text())
        assert {k: arrived.config[k] for k in ("seed", "d_optimizer", "trainer")} == {
            k: config[k] for k in ("seed", "d_optimizer", "trainer")
        }
        rows = [row for row in arrived.history if "loss/d" in row]
        written = table(run / "metrics.csv") if (run / "metrics.csv").exists() else []
        assert len(rows) == len(written) > 0
        for row, expected in zip(rows, written, strict=True):
            assert {n: row[n] for n in expected} == {n: float(v) for n, v in expected.items()}
        last = written[-1]
        assert {n: arrived.summary[n] for n in last} == {n: float(v) for n, v in last.items()}


def test_pictures_are_uploaded_as_they_were_drawn(online):
    for run, arrived in received(online):
        shown = {row["iterations"]: row["samples"] for row in arrived.history if "samples" in row}
        drawn = sorted(int(p.stem.rpartition("-")[2]) for p in run.glob("samples/*.png"))
        assert sorted(shown) == drawn != []
        for step, picture in shown.items():
            logged = pixels(arrived.files[picture["path"]])
            assert logged.std() > 1, "an empty picture"
            assert (logged == pixels(run / "samples" / f"iteration-{step:07d}.png")).all()


def test_a_run_that_goes_on_is_the_same_run_in_the_dashboard(tmp_path):
    ids = [
        WandbRun(Run(tmp_path), name="a", group=None, mode="offline")._kept_id() for _ in range(2)
    ]
    assert ids[0] == ids[1]
    assert len(ids[0]) == 8
    (tmp_path / "another").mkdir()
    another = WandbRun(Run(tmp_path / "another"), name="a", group=None, mode="offline")
    assert another._kept_id() != ids[0]


@pytest.mark.parametrize("mode", ["online", "offline", "disabled"])
def test_the_environment_decides_the_mode_and_the_config_overrides_it(tmp_path, monkeypatch, mode):
    monkeypatch.setenv("WANDB_MODE", mode)
    assert wandb_mode() == mode
    run = Run(tmp_path)
    assert WandbRun(run, name="a", group=None).mode == mode
    assert WandbRun(run, name="a", group=None, mode="offline").mode == "offline"
