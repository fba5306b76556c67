"""metrics.csv and TensorBoard hear the same readings, counted in iterations; W&B: test_wandb.py."""

import csv
import io
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from commands import run_train, runs_in, smoke
from conftest import small_gan
from ganlab.callbacks import Journal, Progress
from ganlab.callbacks.progress import spoken
from ganlab.loggers import MetricsFile
from ganlab.runs.readings import AXES

READINGS = {"loss/d", "loss/g", "D(x)", "D(G(z))", "grad_norm/d", "grad_norm/g"}


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


# progress ---------------------------------------------------------------------------------------


class Log(io.StringIO):
    """A file that knows what a reader would see of it."""

    on_disk = ""

    def flush(self):
        self.on_disk = self.getvalue()


def progress_of(
    monkeypatch, seconds: list[float], start: int = 0, total: int = 2000, **latest
) -> Log:
    """What is said in a stretch of training from iteration `start`, by when each one is done."""
    log = Log()
    monkeypatch.setattr(sys, "stdout", log)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    journal, gan = Journal(50), small_gan(iterations=total)
    journal.latest, gan.iterations = latest, start
    clock, progress = iter([0.0, *seconds]), Progress(journal)
    monkeypatch.setattr("ganlab.callbacks.progress.time.monotonic", lambda: next(clock))
    progress.on_train_start(SimpleNamespace(is_global_zero=True), gan)
    for _ in seconds:
        gan.iterations += 1
        progress.on_train_batch_end(None, gan)
    progress.on_train_end(None, gan)
    return log


def test_a_log_file_has_each_line_at_once(monkeypatch):
    """Whoever reads it while the run goes on must not wait for 8 KiB."""
    log = progress_of(monkeypatch, [1.0, 6.0], total=3)
    assert log.on_disk == log.getvalue() == "iteration 2 of 3, about 5 s left\n"


def test_a_log_file_has_a_line_soon_and_then_every_half_minute(monkeypatch):
    """At half a second an iteration; the first one takes three, and sets no pace."""
    latest = {"images_per_second": 128.4, "loss/d": 1.25, "loss/g": 0.75}
    log = progress_of(monkeypatch, [3.0 + i / 2 for i in range(140)], total=240, **latest)
    readings = "128 images/s, D 1.250, G 0.750"
    assert log.getvalue().splitlines() == [
        f"iteration 6 of 240, about 117 s left, {readings}",
        f"iteration 67 of 240, about 86 s left, {readings}",
        f"iteration 128 of 240, about 56 s left, {readings}",
    ]


def test_the_time_left_of_a_run_that_goes_on_is_by_its_pace_now(monkeypatch):
    """1,000 iterations were done before; counted with these they would leave next to nothing."""
    log = progress_of(monkeypatch, [1.0 + i for i in range(7)], start=1000)
    assert log.getvalue() == "iteration 1006 of 2000, about 17 min left\n"


def test_the_last_iteration_leaves_no_time(monkeypatch):
    log = progress_of(monkeypatch, [10.0, 20.0], total=2)
    assert log.getvalue() == "iteration 2 of 2\n"


def test_a_run_of_few_seconds_says_nothing(monkeypatch):
    log = progress_of(monkeypatch, [1.0, 2.0, 4.9], total=3)
    assert log.getvalue() == ""


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (119.4, "119 s"), (1500, "25 min"), (25_000, "7 h"), (864_000, "10 days")],
)
def test_lengths_of_time_are_said_as_people_say_them(seconds, said):
    assert spoken(seconds) == said
