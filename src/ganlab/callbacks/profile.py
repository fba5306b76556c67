"""Where an iteration's time goes: a table, and a trace to look into."""

import functools
import os
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, Trainer
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile, record_function
from tqdm import tqdm

from ganlab.callbacks import breakdown
from ganlab.callbacks.base import ModelCallback
from ganlab.callbacks.breakdown import Operator, Span
from ganlab.devices.graphs import Captured
from ganlab.generative import Generative
from ganlab.storage import files

PREFIX = "ganlab/"  # of the labels, among torch's own
TRACE_BYTES = 2**24  # a trace that is larger is not kept
METHODS = {  # of the GAN -> label
    "d_step": "D step",
    "g_step": "G step",
    "latents": "noise",
    "discriminate": "D forward",
    "discriminate_both": "D forward",
    "d_loss": "losses",
    "g_loss": "losses",
    "manual_backward": "backward",
    "update": "optimizer",
    "begin_iteration": "noise",
    "average": "bookkeeping/EMA",
}


class Profile(ModelCallback):
    """Profiles some iterations and writes profile.txt and trace.json.gz; training is the same.

    The first of the callbacks, so that what the others do falls into the iteration that it is of.
    Methods are wrapped, by labels for torch's profiler, only while it looks: the GAN knows nothing
    of it, and before and after it costs nothing.

    Args:
        folder: the run's.
        iterations: that are profiled, or as many as there are.
        warm_up: iterations before them.
    """

    def __init__(self, folder: Path, iterations: int = 20, warm_up: int = 10) -> None:
        self.folder, self.iterations, self.warm_up = folder, iterations, warm_up
        self.middle = self.first = self.last = -1  # iterations; the profile is of (first, last]
        self.usual = 0.0  # seconds of an iteration that is not profiled: of (middle, first]
        self._since = 0.0
        self._profile: profile | None = None
        self._whole = record_function(PREFIX)
        self._wrapped: list[tuple[Any, str]] = []

    def on_train_start(self, trainer: Trainer, model: Generative) -> None:
        left = model.total_iterations - model.iterations
        warm_up = min(self.warm_up, left // 3)
        if trainer.is_global_zero and warm_up:
            self.middle = model.iterations + warm_up // 2
            self.first = model.iterations + warm_up
            self.last = min(self.first + self.iterations, model.total_iterations)
            self._since = now(model)
        elif trainer.is_global_zero:
            print(f"no profile: it takes 3 iterations, and {left} are left", flush=True)

    def on_train_batch_end(self, trainer: Trainer, model: Generative, *_: Any) -> None:
        if model.iterations == self.middle:
            self._since = now(model)
        if model.iterations == self.first:
            self.usual = (now(model) - self._since) / (self.first - self.middle)
            self._start(trainer, model)
        elif model.iterations == self.last:
            self._finish(model)

    def on_train_end(self, trainer: Trainer, model: Generative) -> None:
        self._stop()  # a signal came meanwhile

    def on_exception(self, trainer: Trainer, model: Generative, exception: BaseException) -> None:
        self._stop()

    def _start(self, trainer: Trainer, model: Generative) -> None:
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # it would say that there is no GPU
        gpu = [ProfilerActivity.CUDA] if model.device.type == "cuda" else []
        made = profile(activities=[ProfilerActivity.CPU, *gpu])
        with warnings.catch_warnings():  # torch 2.11 warns of schedules, which are not used here
            warnings.simplefilter("ignore", UserWarning)
            made.start()
        self._profile = made
        self._whole.__enter__()
        for owner, name, label in labelled(trainer, model, besides=self):
            if name not in vars(owner):  # what somebody has replaced stays as it is
                setattr(owner, name, under(PREFIX + label, getattr(owner, name)))
                self._wrapped.append((owner, name))

    def _stop(self) -> profile | None:
        """Ends the profile, if it runs, and takes the labels off again."""
        if (done := self._profile) is not None:
            self._whole.__exit__(None, None, None)
            done.stop()
            for owner, name in self._wrapped:
                delattr(owner, name)
            self._profile, self._wrapped = None, []
        return done

    def _finish(self, model: Generative) -> None:
        """Writes and prints what was found."""
        now(model)  # waits for the device
        if (done := self._stop()) is None:
            return
        text = self.report(list(done.events() or []), done.key_averages())
        files.write(self.folder / "profile.txt", text)
        trace = self.folder / "trace.json.gz"
        done.export_chrome_trace(str(trace))
        if trace.stat().st_size > TRACE_BYTES:
            trace.unlink()
        where = f"{trace} (chrome://tracing, ui.perfetto.dev)" if trace.exists() else ""
        tqdm.write(f"\n{text}{where}\n")

    def report(self, events: list[FunctionEvent], averages: Any) -> str:
        """The tables, and advice."""
        n = self.last - self.first
        found = breakdown.costs(spans(events), work(events))
        each = breakdown.sum_of(found.values()).clock / n / 1000
        title = f"profile of iterations {self.first + 1} to {self.last}: {each:.3f} ms each"
        usual = f"(without the profiler {1000 * self.usual:.3f} ms; it slows small operators most)"
        advice = breakdown.advice(found)
        return "\n\n".join(
            [
                f"{title}\n{usual}",
                breakdown.table(found, n),
                *(["\n".join(["what takes most, and what helps:", *advice])] if advice else []),
                breakdown.operators(operators(averages), n) + "\n",
            ]
        )


def now(model: Generative) -> float:
    """Seconds, when all that was asked of the device is done."""
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
    return time.perf_counter()


def labelled(
    trainer: Trainer, model: Generative, besides: Callback
) -> Iterator[tuple[Any, str, str]]:
    """(owner, name, label) of each method that is timed."""
    yield from ((model, name, label) for name, label in METHODS.items())
    if isinstance(model.play, Captured):
        yield model.play, "replay", "graph of both updates"
    yield model.generator, "forward", "G forward"
    for name, regularizer in model.regularizers.items():
        for method in ("d_term", "g_term", "project"):
            yield regularizer, method, f"regularizer.{name}"
    for name in ("transfer_batch_to_device", "_gather"):
        yield trainer.datamodule, name, "data"  # type: ignore[attr-defined]
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        for hook in ("on_train_batch_start", "on_train_batch_end"):
            if callback is not besides and hook in vars(type(callback)):
                yield callback, hook, f"bookkeeping/{type(callback).__name__}"


def under(label: str, function: Any) -> Any:
    """The same function, with a label while it runs."""

    @functools.wraps(function)
    def timed(*args: Any, **kwargs: Any) -> Any:
        with record_function(label):
            return function(*args, **kwargs)

    return timed


def spans(events: list[FunctionEvent]) -> list[Span]:
    """The labels among what the profiler has seen; not their shadows on the GPU."""
    return [
        Span(e.name.removeprefix(PREFIX), e.time_range.start, e.time_range.end)
        for e in events
        if e.device_type.name == "CPU" and e.name.startswith(PREFIX)
    ]


def work(events: list[FunctionEvent]) -> list[tuple[float, float]]:
    """(when it was asked for, microseconds on the GPU) of each operator."""
    return [
        (e.time_range.start, e.self_device_time_total)
        for e in events
        if e.device_type.name == "CPU"
        and e.self_device_time_total
        and not e.name.startswith(PREFIX)
    ]


def operators(averages: Any) -> list[Operator]:
    """torch's own operators."""
    return [
        Operator(one.key, one.self_cpu_time_total, one.self_device_time_total, one.count)
        for one in averages
        if one.device_type.name == "CPU" and not one.is_user_annotation
    ]
