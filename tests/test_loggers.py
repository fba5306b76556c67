"""metrics.csv and TensorBoard hear the same readings, counted in iterations; W&B: test_wandb.py."""

import csv
import io
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands import run_train, runs_in, smoke
from conftest import small_gan
from ganlab.callbacks import Journal, Progress
from ganlab.loggers import AXES, MetricsFile

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


def test_a_log_file_has_each_line_at_once(monkeypatch):
    """Whoever reads it while the run goes on must not wait for 8 KiB."""

    class Log(io.StringIO):
        on_disk = ""

        def flush(self):
            self.on_disk = self.getvalue()

    progress, log = Progress(Journal(1)), Log()
    monkeypatch.setattr(sys, "stdout", log)
    monkeypatch.setattr(progress, "_said_at", -math.inf)
    progress._say(small_gan())
    assert log.on_disk == log.getvalue() == "iteration 0 of 4, \n"
