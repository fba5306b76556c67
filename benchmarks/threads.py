"""What it costs a run on a CPU that other programs use its processors, too, by how threads wait.

    python benchmarks/threads.py [busy=0,1,2] [iterations=300] [repeats=3] [spins=2000]
        [model=dcgan] [data=digits]

The default run of ganlab, beside as many processes that do nothing but compute; a process of its
own each time, one way after the other again and again:

- libgomp's own: threads spin 300,000 times before they sleep, as they do where nobody says a word
- spins: GOMP_SPINCOUNT, which ganlab sets
- passive: OMP_WAIT_POLICY=PASSIVE, threads sleep at once
- one thread: OMP_NUM_THREADS=1, nobody waits

Seconds are the clock's, of training alone: the start of the process is not counted.  Ratios are to
the first row, libgomp's own with the least company: the median, least and most over repeats.  How
much there is to gain depends on the number of processors, which the table has in its title.
"""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from options import asked

SOURCE = Path(__file__).parents[1] / "src"  # of the checkout that this is part of

OPTIONS = {
    "busy": "0,1,2",
    "iterations": "300",
    "repeats": "3",
    "spins": "2000",
    "model": "dcgan",
    "data": "digits",
}
SAY = ("GOMP_", "OMP_", "KMP_")  # the variables of OpenMP
Times = dict[tuple[str, int], list[float]]  # (way, busy processes) -> seconds


def ways(spins: str) -> dict[str, dict[str, str]]:
    """Each way to wait -> what is said in the environment."""
    return {
        "libgomp's own": {"GOMP_SPINCOUNT": "300000"},
        f"GOMP_SPINCOUNT={spins}": {"GOMP_SPINCOUNT": spins},
        "OMP_WAIT_POLICY=PASSIVE": {"OMP_WAIT_POLICY": "PASSIVE"},
        "OMP_NUM_THREADS=1": {"OMP_NUM_THREADS": "1"},
    }


@contextlib.contextmanager
def company(n: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """So many busy processes."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n)]
    try:
        yield others
    finally:
        for other in others:
            other.kill()
            other.wait()


def seconds(said: dict[str, str], options: dict[str, str]) -> float:
    """Of training, by a run's own clock."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(SAY)}
    path = os.pathsep.join(filter(None, [str(SOURCE), os.environ.get("PYTHONPATH", "")]))
    chosen = [f"{name}={options[name]}" for name in ("iterations", "model", "data")]
    with tempfile.TemporaryDirectory() as folder:
        words = [*chosen, "trainer=cpu", "logger=csv", f"output_dir={folder}"]
        done = subprocess.run(
            [sys.executable, "-m", "ganlab.train", *words],
            env={**kept, **said, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
        (summary,) = Path(folder).glob("*/*/summary.json")
        return json.loads(summary.read_text())["seconds"]


def measured(options: dict[str, str]) -> Times:
    """All ways beside all company, interleaved."""
    crowds = [int(n) for n in options["busy"].split(",")]
    times: Times = {(way, n): [] for n in crowds for way in ways(options["spins"])}
    for _ in range(int(options["repeats"])):
        for (way, n), taken in times.items():
            with company(n):
                taken.append(seconds(ways(options["spins"])[way], options))
    return times


def report(times: Times) -> None:
    """Prints a Markdown table."""
    processors = len(os.sched_getaffinity(0))
    titles = (f"busy processes on {processors} processors", "threads", "s", "ratio", "least - most")
    print(f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}")
    first = next(iter(times.values()))
    for (way, n), taken in times.items():
        ratios = [mine / alone for mine, alone in zip(taken, first, strict=True)]
        middle, least, most = statistics.median(ratios), min(ratios), max(ratios)
        cells = [str(n), way, f"{statistics.median(taken):.1f}", f"{middle:.2f}"]
        print(f"| {' | '.join(cells)} | {least:.2f} - {most:.2f} |", flush=True)


def main() -> None:
    options = asked(OPTIONS, __doc__)
    report(measured(options))


if __name__ == "__main__":
    main()
