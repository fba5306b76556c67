"""Everything that needs a GPU, as one table: does it work there, and how fast is it?

    python benchmarks/gpu.py [parts=graphs,default,resume,speed,scoring,many] [device=cuda]
        [scale=1.0]

graphs   iterations replayed as CUDA graphs end where Python's end, in float64: a control, two equal
         runs by Python, says how far apart rounding alone takes them
default  the default run, some hundred iterations with health, pictures, checkpoints and W&B offline
resume   a run that is stopped by SIGTERM and goes on ends where an undisturbed one ends
speed    milliseconds an iteration, batch 64, after capturing: (a) a bare PyTorch loop; ganlab by
         Python; ganlab by graphs; (e) the bare loop captured by hand; `python -m ganlab.train` as
         it is used, all defaults on, over 1,000 iterations of images in a folder; its peak memory
scoring  images/s of generation and of Inception's features, and the agreement with float64
many     1, 2, 4 and 8 runs at once, as hydra/launcher=joblib starts them

All data is embedded or made.  Exit code 1 if a check fails.  It takes under three minutes on an
H100.  device=cpu runs what can run there: a tape takes the place of CUDA graphs, loop (e) is left
out.  `scale` multiplies the lengths of what is timed, 0.02 for a look on a CPU.
"""

import contextlib
import datetime as dt
import functools
import io
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))  # the checkout that this file is part of
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import torch
from PIL import Image
from pytorch_lightning import Callback

import loops
import many
import scoring
from commands import completed, rows, run_train, runs_in, summary
from ganlab.experiments.session import quiet_lightning
from ganlab.storage import checkpoint
from ganlab.train import train
from graphs import EACH, ON_CUDA, apart
from options import asked

ROOT = Path(__file__).parents[1]
PARTS = ("graphs", "default", "resume", "speed", "scoring", "many")
OPTIONS = {"parts": ",".join(PARTS), "device": "cuda", "scale": "1.0"}
USED = {  # the models of loops.GAMES as a user trains them
    "vanilla": ("model=vanilla",),
    "dcgan": ("model=dcgan", "model.generator.width=64", "model.discriminator.width=64"),
    "sngan": ("experiment=sngan",),
}
LENGTH = {"vanilla": 1000, "dcgan": 1000, "sngan": 100}  # iterations that are timed
BY_PYTHON = {"vanilla": 200, "dcgan": 200, "sngan": 10}  # of slow loops
FEWEST_SCORED = (
    2500  # images/s of Inception on an H100, whose float32 peak is 5,900 (docs/scores.md)
)


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Args:
        part, what: of the benchmark, and what was looked at there.
        value: what was found, in words.
        needed: what it should be; empty where nothing is asked.
        good: whether it is.
    """

    part: str
    what: str
    value: str
    needed: str = ""
    good: bool = True


@dataclass(frozen=True)
class Bench:
    """Where everything runs.

    Args:
        scale: of the lengths of what is timed.
    """

    device: str
    scale: float
    folder: Path

    def trainer(self) -> tuple[str, ...]:
        """Words of a command line."""
        return (f"trainer={'gpu' if self.device == 'cuda' else 'cpu'}",)

    def length(self, iterations: int) -> int:
        return max(4, round(iterations * self.scale))

    @property
    def is_gpu(self) -> bool:
        return self.device == "cuda"


Rows = Iterator[Row]


# Does it work? ------------------------------------------------------------------------------------


def graphs(bench: Bench) -> Rows:
    for name, options in (ON_CUDA if bench.is_gpu else EACH).items():
        try:
            found = apart(options, bench.device)
        except RuntimeError as error:
            yield Row("graphs", name, f"not captured: {error}", "captured", good=False)
            continue
        value = f"{found.graph:.1e} off; two runs by Python {found.eager:.1e}"
        yield Row("graphs", name, value, "1e-6 + 100 x Python's", found.is_close)


def default(bench: Bench) -> Rows:
    """`python -m ganlab.train`, shorter."""
    out, n = bench.folder / "default", bench.length(500)
    began = time.perf_counter()
    with wandb_offline():
        done = run_train(*bench.trainer(), f"iterations={n}", f"output_dir={out}")
    seconds = time.perf_counter() - began
    yield Row("default", "exit code", f"{done.code} {done.err[-200:]}", "0", done.code == 0)
    (run,) = runs_in(out)
    status = summary(run)["status"]
    yield Row("default", "status", status, "finished", status == "finished")
    health = [name for name in rows(run)[-1] if name.startswith("health/")]
    yield Row("default", "readings of health", str(len(health)), "6 or more", len(health) >= 6)
    refused = "not captured" in done.out
    yield Row("default", "captured", "no" if refused else "yes", "yes", not refused)
    yield Row("default", f"{n} iterations, with start and end", f"{seconds:.1f} s")


class Stopping(Callback):
    """Sends this process a signal, as Slurm does."""

    def __init__(self, at: int) -> None:
        self.at = at

    def on_train_batch_end(self, trainer: object, gan: object, *_: object) -> None:
        if gan.iterations == self.at:
            os.kill(os.getpid(), signal.SIGTERM)


def resume(bench: Bench) -> Rows:
    """Stopped between two readings, a checkpoint and a picture."""
    words = [*bench.trainer(), "trainer.precision=64-true", "logger=csv", "iterations=120"]
    words += [f"model.{player}.width=16" for player in ("generator", "discriminator")]
    words += ["log_every=25", "sample_every=30", "checkpoint_every=40", "health.every=20"]
    words += ["health.patience=100"]

    def trained(name: str, *callbacks: Callback) -> dict[str, torch.Tensor]:
        config = completed(*words, f"output_dir={bench.folder / name}")
        with contextlib.redirect_stdout(io.StringIO()):
            run = train(config, "it", callbacks=callbacks)
        return checkpoint.read(run.last_checkpoint())["state_dict"]

    whole, again = trained("whole"), trained("again")
    stopped = trained("stopped", Stopping(at=60))
    resumed = trained("stopped")
    control, off, moved = (far(whole, other) for other in (again, resumed, stopped))
    value = f"{off / moved:.1e} off; two undisturbed runs {control / moved:.1e}"
    good = off <= 100 * control + 1e-9 * moved and moved > 0
    yield Row("resume", "float64, stopped at 60 of 120", value, "100 x theirs", good)


def far(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    """Euclidean, of all floating-point tensors as one vector."""
    gaps = [
        (a[name].double() - b[name].double()).norm() for name in a if a[name].is_floating_point()
    ]
    return torch.stack(gaps).norm().item()


# How fast is it? ----------------------------------------------------------------------------------


def speed(bench: Bench) -> Rows:
    for model in USED:
        pictures = made_pictures(bench.folder / model, model)
        bare = milliseconds(bench, model, loops.bare, BY_PYTHON)
        yield Row("speed", f"{model}, (a) bare loop", f"{bare:.2f} ms")
        eager = milliseconds(bench, model, functools.partial(loops.ganlab, how="off"), BY_PYTHON)
        better = f"at most {bare:.2f} ms" if bench.is_gpu else ""
        good = not better or eager <= 1.05 * bare
        yield Row("speed", f"{model}, by Python", f"{eager:.2f} ms", better, good)
        for precision in ("32", "bf16"):
            yield from replayed(bench, model, precision, pictures)
        if bench.is_gpu:
            by_hand = milliseconds(bench, model, loops.graphed, LENGTH)
            yield Row("speed", f"{model}, (e) captured by hand", f"{by_hand:.2f} ms")


def replayed(bench: Bench, model: str, precision: str, pictures: Path) -> Rows:
    """By graphs, in the benchmark's loop and as it is used."""
    name = f"{model}, {precision}"
    lengths = LENGTH if bench.is_gpu else BY_PYTHON
    graph = milliseconds(bench, model, loops.ganlab, lengths, precision)
    yield Row("speed", f"{name}, by graphs", f"{graph:.2f} ms")
    used, memory = as_used(bench, model, precision, pictures, lengths)
    share = graph / used
    value = f"{used:.2f} ms, {share:.2f} of the loop's speed; {memory}"
    needed = "0.90" if bench.is_gpu and model != "sngan" else ""
    yield Row("speed", f"{name}, as used", value, needed, not needed or share >= 0.9)


def milliseconds(
    bench: Bench, model: str, loop: loops.Loop, lengths: dict[str, int], precision: str = "32"
) -> float:
    """Of an iteration, after the first ones."""
    game, n = loops.GAMES[model], bench.length(lengths[model])
    images, warm = loops.noisy(game, 2000), min(100, 2 * n) if bench.is_gpu else 2
    work = loops.Work(game, images, n, device=bench.device, precision=precision, warm=warm)
    return 1000 * loop(work, *work.networks()).wall / n


def as_used(
    bench: Bench, model: str, precision: str, pictures: Path, lengths: dict[str, int]
) -> tuple[float, str]:
    """Milliseconds of an iteration of `python -m ganlab.train`, W&B offline, and peak memory."""
    n, warm = bench.length(lengths[model]), 200 if bench.is_gpu else 2
    kept = "bf16-mixed" if precision == "bf16" else "32-true"
    config = completed(
        *(*USED[model], *bench.trainer(), "data=folder", f"data.root={pictures}", "metrics=none"),
        *(f"iterations={warm + n}", f"trainer.precision={kept}"),
        f"output_dir={bench.folder / f'{model}-{precision}'}",
    )
    clock = loops.Clock(warm)
    if bench.is_gpu:
        torch.cuda.reset_peak_memory_stats()
    with wandb_offline(), contextlib.redirect_stdout(io.StringIO()):
        train(config, "used", callbacks=[clock])
    peak = torch.cuda.max_memory_allocated() / 2**20 if bench.is_gpu else 0
    return 1000 * clock.seconds().wall / n, f"{peak:.0f} MiB" if peak else "memory not measured"


def made_pictures(folder: Path, model: str) -> Path:
    """2,000 PNG files of noise, of the model's size."""
    folder.mkdir()
    images = loops.noisy(loops.GAMES[model], 2000).images.permute(0, 2, 3, 1).squeeze(-1).numpy()
    for i, pixels in enumerate(images):
        Image.fromarray(pixels).save(folder / f"{i:04d}.png")
    return folder


@contextlib.contextmanager
def wandb_offline() -> Iterator[None]:
    before = os.environ.get("WANDB_MODE")
    os.environ["WANDB_MODE"] = "offline"
    try:
        yield
    finally:
        os.environ.pop("WANDB_MODE")
        os.environ.update({"WANDB_MODE": before} if before is not None else {})


def scored(bench: Bench) -> Rows:
    n = max(16, round(10_000 * bench.scale))
    found = scoring.throughput(bench.device, n)
    for name in ("real", "generation", "extraction", "sums", "scoring"):
        needed = f"{FEWEST_SCORED:,}" if name == "extraction" and bench.is_gpu else ""
        good = not needed or found[name] >= FEWEST_SCORED
        yield Row("scoring", name, f"{found[name]:,.0f} images/s", needed, good)
    yield Row("scoring", "peak memory", f"{found['memory']:.0f} MiB")
    seen = scoring.agreement(bench.device, n=64 if bench.is_gpu else 12, dims=128)
    off = seen["difference"]
    yield Row("scoring", "FID beside float64's", f"{off:.1e} relative", "1e-4", off < 1e-4)


def many_at_once(bench: Bench) -> Rows:
    """Iterations per second of all runs together, over those of one."""
    counts, n = (1, 2, 4, 8) if bench.is_gpu else (1, 2), bench.length(1000)
    began = time.perf_counter()
    with many.workers(max(counts), threads=1, device=bench.device) as pool:
        for model in ("vanilla", "dcgan"):
            speeds = {k: many.together(pool, model, k, n, bench.device) for k in counts}
            for k, speed in speeds.items():
                value = f"{speed:,.0f} iterations/s together, {speed / speeds[1]:.2f} of one"
                yield Row("many", f"{model}, {k} at once", value)
    yield Row("many", "with the start of the processes", f"{time.perf_counter() - began:.0f} s")
    command = [sys.executable, "-m", "ganlab.train", *bench.trainer(), "iterations=1"]
    begun = time.perf_counter()
    environment = {**os.environ, "WANDB_MODE": "offline", "PYTHONPATH": str(ROOT / "src")}
    subprocess.run(
        [*command, f"output_dir={bench.folder / 'one'}"],
        check=True,
        capture_output=True,
        env=environment,
    )
    start = time.perf_counter() - begun
    yield Row("many", "a job of one iteration: imports, W&B, end", f"{start:.1f} s")


RUN: dict[str, Callable[[Bench], Rows]] = {
    "graphs": graphs,
    "default": default,
    "resume": resume,
    "speed": speed,
    "scoring": scored,
    "many": many_at_once,
}


# The table ----------------------------------------------------------------------------------------


def machine(device: str) -> str:
    """Card, driver, versions, date."""
    about = [f"torch {torch.__version__}", f"Python {platform.python_version()}"]
    if device == "cuda":
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            said = subprocess.run(query, capture_output=True, text=True, check=True).stdout
            about.insert(0, f"driver {said.split()[0]}")
        about = [torch.cuda.get_device_name(), f"CUDA {torch.version.cuda}", *about]
    about += [f"{os.cpu_count()} processors", f"{dt.datetime.now(dt.UTC):%Y-%m-%d}"]
    return ", ".join(about)


def table(found: list[Row]) -> str:
    """Markdown."""
    lines = ["| part | what | found | needed | |", "|---|---|---|---|---|"]
    for row in found:
        verdict = ("ok" if row.good else "**no**") if row.needed else ""
        lines.append(f"| {row.part} | {row.what} | {row.value} | {row.needed} | {verdict} |")
    return "\n".join(lines)


def collected(name: str, bench: Bench) -> Iterator[Row]:
    """A part's rows; a part that breaks has one more, and the others go on."""
    began = time.perf_counter()
    try:
        yield from RUN[name](bench)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
        traceback.print_exc()
        reason = (str(error).splitlines() or [""])[0]
        yield Row(name, "broke", f"{type(error).__name__}: {reason}", "to end", good=False)
    yield Row(name, "seconds of this part", f"{time.perf_counter() - began:.0f}")


def main() -> None:
    options = asked(OPTIONS, __doc__)
    names, device = options["parts"].split(","), options["device"]
    if unknown := [name for name in names if name not in RUN]:
        raise SystemExit(f"parts: there is no {unknown[0]!r}; there are {', '.join(RUN)}")
    if device == "cuda" and not torch.cuda.is_available():
        sys.stderr.write("no CUDA GPU is at hand; device=cpu scale=0.02 runs what a CPU can do\n")
        raise SystemExit(2)
    quiet_lightning()
    began = time.perf_counter()
    found: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="ganlab-gpu-") as folder:
        os.environ.setdefault("GANLAB_CACHE", f"{folder}/cache")
        bench = Bench(device, float(options["scale"]), Path(folder))
        for name in names:
            for row in collected(name, bench):
                found.append(row)
                print(table([row]).splitlines()[-1], flush=True)
    bad = [row for row in found if not row.good]
    seconds = time.perf_counter() - began
    print(f"\n{machine(device)}; {seconds:.0f} s\n\n{table(found)}\n")
    print(f"{len(bad)} of {sum(bool(row.needed) for row in found)} checks failed")
    raise SystemExit(1 if bad else 0)


if __name__ == "__main__":
    main()
