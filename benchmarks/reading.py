"""How long it takes until the images of a folder are there, the first time and again.

    python benchmarks/reading.py [n=20000] [size=32] [repeats=3] [root=FOLDER]

Seconds by the clock and of CPU (all processes together), each the median of so many, from the name
of the folder to one array: found, looked at, decoded and kept by one processor, by threads on all
of them, by processes on all of them as ganlab does, and found, looked at and mapped by a second
start.  Each is a process of its own, interleaved over the repeats; imports do not count.  The
files, JPEGs in ten classes unless a root is given, are in the system's memory, as after a download.
A ratio is the seconds of a first start by one processor over those of this row.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from options import asked

SOURCE = Path(__file__).parents[1] / "src"  # of the checkout that this is part of
sys.path.insert(0, str(SOURCE))

OPTIONS = {"n": "20000", "size": "32", "repeats": "3", "root": ""}
CODE = "import sys, reading; reading.measure(*sys.argv[1:])"
STEP = 500  # images that a thread decodes at a time
ONE, AGAIN = "first start, one processor", "second start"
WAYS = (ONE, "first start, threads", "first start, processes", AGAIN)


def write(folder: Path, n: int, size: int) -> None:
    """Smooth random patterns as JPEGs, about as large as photographs of that size."""
    random = np.random.default_rng(0)
    for i in range(n):
        path = folder / str(i % 10) / f"{i:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = random.integers(0, 256, (size // 4, size // 4, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC).save(path)


def by_threads(decoder, names, spec, _) -> Iterator:
    """What `workers.decoded` does, without other processes."""
    from ganlab.data.workers import Part, processors

    def batch(start: int) -> Part:
        return Part(start, decoder.batch(names[start : start + STEP], spec))

    with ThreadPoolExecutor(processors()) as pool:
        yield from pool.map(batch, range(0, len(names), STEP))


def cpu() -> float:
    """Seconds of this process and of those that it has waited for."""
    return sum(os.times()[:4])


def measure(way: str, root: str) -> None:
    """Reads a folder and prints [seconds by the clock, seconds of CPU, images]."""
    import torch  # noqa: F401 - is loaded anyway

    from ganlab.data import Folder, folder, workers

    folder.SHORT = 0.0  # however few there are
    if way == ONE:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    if "threads" in way:
        workers.decoded = by_threads
    clock, used = time.perf_counter(), cpu()
    images, _ = Folder(Path(root)).read()
    print(json.dumps([time.perf_counter() - clock, cpu() - used, len(images)]))


def measured(way: str, root: Path, cache: Path) -> list[float]:
    """What `measure` says in a process of its own."""
    path = os.pathsep.join([str(SOURCE), str(Path(__file__).parent)])
    done = subprocess.run(
        [sys.executable, "-c", CODE, way, str(root)],
        env={**os.environ, "PYTHONPATH": path, "GANLAB_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def compare(root: Path, repeats: int) -> None:
    """Prints the table."""
    taken: dict[str, list[list[float]]] = {way: [] for way in WAYS}
    measured(WAYS[2], root, Path(os.devnull))  # has the system read the files; nothing is kept
    for _ in range(repeats):
        with tempfile.TemporaryDirectory(prefix="ganlab-reading-") as folder:
            for way in WAYS:
                cache = Path(folder) / (WAYS[2] if way == AGAIN else way)
                taken[way] += [measured(way, root, cache)]
    n, count = int(taken[ONE][0][2]), len(os.sched_getaffinity(0))
    print(f"| {n:,} images, {count} processors | clock, s | CPU, s | ratio |\n|---|---|---|---|")
    medians = {
        way: [statistics.median(part) for part in zip(*taken[way], strict=True)] for way in WAYS
    }
    for way, (clock, used, _) in medians.items():
        print(f"| {way} | {clock:.2f} | {used:.2f} | {medians[ONE][0] / clock:.2f} |")


def main() -> None:
    options = asked(OPTIONS, __doc__)
    with tempfile.TemporaryDirectory(prefix="ganlab-images-") as folder:
        if not options["root"]:
            write(Path(folder), int(options["n"]), int(options["size"]))
        compare(Path(options["root"] or folder), int(options["repeats"]))


if __name__ == "__main__":
    main()
