"""Profiles iterations: tables of time by label and by operator, and a trace."""

import os
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Trainer
from torch.profiler import ProfilerActivity, profile
from tqdm import tqdm

from ganlab.callbacks.base import ModelCallback
from ganlab.generative import Generative
from ganlab.storage import files
from ganlab.training.labels import PREFIX

TRACE_BYTES = 2**24  # larger traces are deleted
OPERATORS = 12  # rows of the table of operators
ADVICE = {  # label -> how to make it faster
    "data": "images that fit a quarter of the GPU's free memory are kept there",
    "noise": "a smaller latent.dim",
    "G forward": "model.generator.width, batch_size, trainer.precision=bf16-mixed",
    "D forward": "model.discriminator.width, batch_size, trainer.precision=bf16-mixed",
    "backward": "smaller networks, trainer.precision=bf16-mixed; regularizers with every=16",
    "optimizer": "a larger batch_size needs fewer updates",
    "bookkeeping": "larger log_every, sample_every, checkpoint_every",
}


class Profile(ModelCallback):
    """Profiles some iterations and writes profile.txt and trace.json.gz; does not change training.

    It has to be the first callback, so that the work of the others counts towards the iteration
    they follow.

    Args:
        folder: the run's folder.
        iterations: number of iterations to profile, or fewer if the run is shorter.
        warm_up: iterations before the profiled ones.
    """

    def __init__(self, folder: Path, iterations: int = 20, warm_up: int = 10) -> None:
        self.folder, self.iterations, self.warm_up = folder, iterations, warm_up
        self.middle = self.first = self.last = -1  # iterations; (first, last] are profiled
        self.usual = 0.0  # seconds per iteration without the profiler, over (middle, first]
        self._since = 0.0
        self._profile: profile | None = None

    def on_train_start(self, trainer: Trainer, model: Generative) -> None:
        left = model.total_iterations - model.iterations
        warm_up = min(self.warm_up, left // 3)
        if trainer.is_global_zero and warm_up:
            self.middle = model.iterations + warm_up // 2
            self.first = model.iterations + warm_up
            self.last = min(self.first + self.iterations, model.total_iterations)
            self._since = now(model)
        elif trainer.is_global_zero:
            print(f"no profile: it needs 3 iterations, but {left} are left", flush=True)

    def on_train_batch_end(self, trainer: Trainer, model: Generative, *_: Any) -> None:
        if model.iterations == self.middle:
            self._since = now(model)
        if model.iterations == self.first:
            self.usual = (now(model) - self._since) / (self.first - self.middle)
            self._start(model)
        elif model.iterations == self.last:
            self._finish(model)

    def on_train_end(self, trainer: Trainer, model: Generative) -> None:
        self._stop()  # still running if training ended early

    def on_exception(self, trainer: Trainer, model: Generative, exception: BaseException) -> None:
        self._stop()

    def _start(self, model: Generative) -> None:
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # hides the warning that no GPU is found
        gpu = [ProfilerActivity.CUDA] if model.device.type == "cuda" else []
        made = profile(activities=[ProfilerActivity.CPU, *gpu])
        with warnings.catch_warnings():  # torch 2.11 warns about schedules, which are not used here
            warnings.simplefilter("ignore", UserWarning)
            made.start()
        self._profile, self._since = made, now(model)

    def _stop(self) -> profile | None:
        """Stops the profiler, if it is running."""
        done, self._profile = self._profile, None
        if done is not None:
            done.stop()
        return done

    def _finish(self, model: Generative) -> None:
        """Writes and prints the profile."""
        seconds = now(model) - self._since
        if (done := self._stop()) is None:
            return
        text = self.report(done.key_averages(), seconds)
        files.write(self.folder / "profile.txt", text)
        trace = self.folder / "trace.json.gz"
        done.export_chrome_trace(str(trace))
        if trace.stat().st_size > TRACE_BYTES:
            trace.unlink()
        where = f"{trace} (chrome://tracing, ui.perfetto.dev)" if trace.exists() else ""
        tqdm.write(f"\n{text}{where}\n")

    def report(self, averages: Any, seconds: float) -> str:
        """The tables, and advice on the largest part.

        Args:
            averages: torch's key averages, by operator or label.
            seconds: total time of all profiled iterations.
        """
        n = self.last - self.first
        each = 1000 * seconds / n
        parts = shares(averages, n)
        most = next((name for name in parts if name.split("/")[0] in ADVICE), None)
        by = "self_device_time_total" if any(gpu for _, gpu in parts.values()) else None
        operators = averages.table(by or "self_cpu_time_total", OPERATORS, max_name_column_width=40)
        lines = [
            f"profile of iterations {self.first + 1} to {self.last}: {each:.3f} ms each",
            f"({1000 * self.usual:.3f} ms without the profiler, which slows small operators most)",
            "",
            f"{'part, including all it calls':40}{'ms':>10}{'share':>8}{'GPU ms':>10}",
            *(f"{p:40}{ms:10.3f}{ms / each:8.0%}{gpu:10.3f}" for p, (ms, gpu) in parts.items()),
            *([f"\nto make {most} faster: {ADVICE[most.split('/')[0]]}"] if most else []),
        ]
        return "\n".join([*lines, "", operators])


def now(model: Generative) -> float:
    """Clock time in seconds, after all work on the device is done."""
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
    return time.perf_counter()


def shares(averages: Any, iterations: int) -> dict[str, tuple[float, float]]:
    """Label -> (wall, GPU) milliseconds per iteration, the largest first."""
    found = {
        one.key.removeprefix(PREFIX): (one.cpu_time_total, one.device_time_total)
        for one in averages
        if one.key.startswith(PREFIX) and one.device_type.name == "CPU"
    }
    scale = 1000 * iterations
    rows = sorted(found.items(), key=lambda row: -max(row[1]))
    return {name: (clock / scale, device / scale) for name, (clock, device) in rows}
