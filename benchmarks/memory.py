"""Whether the memory of training stays flat, and whether accumulation saves it.

    python benchmarks/memory.py [iterations=10000] [every=1000] [model=dcgan] [batch=2048] [part=64]
        [threads=1] [device=cpu]

First a vanilla GAN trains through Lightning, its observations read every 50 iterations as in a run:
the memory of its process at intervals, and how much it grew from the first of them to the last.
What grows before that are the allocators' and optimizers' own stores.

Then minibatches of `part` images, of `batch` images passed through the networks in parts of `part`,
and of `batch` images at once, a process of its own each: the peak of two iterations above what the
process held before them.  The weights, their gradients and Adam's moments are in all three; so are
the `batch` real images, which are gathered at once.

Memory is what the process has resident, of Linux; with device=cuda, the tensors on the GPU as well.
"""

import multiprocessing
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from pytorch_lightning import Callback

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))  # the checkout that this is part of

from ganlab.experiments.session import quiet_lightning
from loops import GAMES, Work, ganlab, noisy
from options import asked

OPTIONS = {
    "iterations": "10000",
    "every": "1000",
    "model": "dcgan",
    "batch": "2048",
    "part": "64",
    "threads": "1",
    "device": "cpu",
}
N = 10_000  # images in the data set, which is on the GPU where there is one
Reading = dict[str, float]  # what -> MiB


def resident(field: str) -> float:
    """MiB: VmRSS is what the process holds now, VmHWM the most that it has held.

    Not getrusage's peak, which a process inherits from the one that started it.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 2**10 for line in lines if line.startswith(f"{field}:"))


def now() -> Reading:
    reading = {"resident": resident("VmRSS")}
    if torch.cuda.is_initialized():
        reading["GPU's peak"] = torch.cuda.max_memory_allocated() / 2**20
    return reading


class Readings(Callback):
    """The process's memory every so many iterations."""

    def __init__(self, every: int) -> None:
        self.every, self.read = every, {}

    def on_train_batch_end(self, trainer, gan, *_) -> None:
        if gan.iterations % self.every == 0:
            self.read[gan.iterations] = now()


def over_time(iterations: int, every: int, device: str) -> dict[int, Reading]:
    """Iteration -> memory."""
    game, readings = GAMES["vanilla"], Readings(every)
    work = Work(game, noisy(game, N), iterations, device=device)
    ganlab(work, *work.networks(), callbacks=[readings])
    return readings.read


def peak(model: str, batch: int, parts: int, device: str) -> Reading:
    """Of two iterations: the second has the optimizers' moments from its start."""
    game = GAMES[model]
    work = Work(game, noisy(game, N), iterations=2, batch=batch, device=device)
    networks = work.networks()
    before = now()
    ganlab(work, *networks, accumulate=parts)
    after = now() | {"resident": resident("VmHWM")}
    return {name: value - before.get(name, 0.0) for name, value in after.items()}


def in_a_process(threads: int, measure: Callable[..., dict], *arguments: object) -> dict:
    """What the measure finds in a process of its own, in which nothing else has trained."""
    with multiprocessing.get_context("fork").Pool(1, torch.set_num_threads, (threads,)) as pool:
        return pool.apply(measure, arguments)


def table(titles: list[str], rows: list[tuple[list[object], Reading]]) -> None:
    """Prints a Markdown table."""
    titles = titles + [f"{name}, MiB" for name in rows[0][1]]
    print("| " + " | ".join(titles) + " |\n|" + "---|" * len(titles))
    for cells, reading in rows:
        words = [*map(str, cells), *(f"{value:.1f}" for value in reading.values())]
        print("| " + " | ".join(words) + " |", flush=True)


def main() -> None:
    options = asked(OPTIONS, __doc__)
    quiet_lightning()
    model, device = options["model"], options["device"]
    names = ("iterations", "every", "batch", "part", "threads")
    iterations, every, batch, part, threads = (int(options[name]) for name in names)
    flat = in_a_process(threads, over_time, iterations, every, device)
    first, *_, last = flat.values()
    growth = {name: last[name] - first[name] for name in first}
    table(["iteration"], [*(([i], reading) for i, reading in flat.items()), (["growth"], growth)])
    print()
    ways = [(part, 1), (batch, batch // part), (batch, 1)]
    peaks = [(list(way), in_a_process(threads, peak, model, *way, device)) for way in ways]
    table([f"{model}: images", "in parts"], peaks)


if __name__ == "__main__":
    main()
