"""What thousands of runs, jobs, rows and frames take: seconds of the clock and memory.

    python benchmarks/scale.py [runs=2000] [jobs=1000] [rows=1000000] [frames=2000] [only=all]

Each work is measured in a process of its own, with the size that is asked for and with a tenth of
it, one after the other; the ratios say how time and memory grow.  The runs are copies of one real
run with other seeds and learning rates; `read once` only parses the two files of each.  The jobs
differ in a learning rate and a seed, and are checked, not started.  `only` is one of runs, jobs,
rows and frames.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from options import asked

SOURCE = Path(__file__).parents[1] / "src"  # of the checkout that this is part of
sys.path.insert(0, str(SOURCE))

OPTIONS = {"runs": "2000", "jobs": "1000", "rows": "1000000", "frames": "2000", "only": "all"}
SMOKE = ("trainer=smoke", "logger=csv", "metrics=classifier", "metrics.n=100", "metrics.every=3")
TIMED = "import resource, sys, time; sys.path.insert(0, {source!r}); began = time.perf_counter()\n"
SAID = (
    "\nunits = 2**20 if sys.platform == 'darwin' else 2**10  # of ru_maxrss, in a MiB"
    "\nmost = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / units"
    "\nprint('took', time.perf_counter() - began, most)"
)
READ_ONCE = """
import json, yaml
from pathlib import Path
for file in Path({folder!r}).glob('*/*/config.yaml'):
    yaml.load(file.read_text(), getattr(yaml, 'CSafeLoader', yaml.SafeLoader))
    json.loads((file.parent / 'summary.json').read_text())
"""
VERB = "import ganlab.sweep\nganlab.sweep.{verb}({folder!r})"
CHECK = """
from ganlab.commands import composition, preflight
sys.argv[1:] = {words!r}
preflight.preflight(composition.arguments())
"""
GO_ON = """
from pathlib import Path
from ganlab.loggers.metrics_file import MetricsFile
MetricsFile(Path({path!r})).go_on(10**9)
"""
CURVES = "from pathlib import Path\nfrom ganlab.plots import figures\nfigures.read(Path({path!r}))"
FILM = """
from pathlib import Path
from ganlab.plots import pictures
folder = Path({folder!r})
pictures.animate(sorted(folder.glob('*.png')), folder / 'film.gif')
"""

Works = dict[str, str]  # name -> the script that does it


def runs(folder: Path, n: int) -> Works:
    """Tables and charts of n runs."""
    first = folder / "first"
    if not first.exists():
        words = [*SMOKE, f"output_dir={first}"]
        command = [sys.executable, "-m", "ganlab.train", *words]
        subprocess.run(command, check=True, capture_output=True, env=environment())
    (config,) = first.glob("*/*/config.yaml")
    text, home = config.read_text(), folder / f"runs-{n}"
    for i in range(n):
        run = home / config.parent.parent.name / f"{i:08x}"
        (run / "checkpoints").mkdir(parents=True)
        told = text.replace("seed: 0\n", f"seed: {i % 4}\n", 1)
        rate = f"lr: {1e-4 * (1 + i // 4):.4f}"
        (run / "config.yaml").write_text(told.replace("lr: 0.0002", rate))
        for name in ("summary.json", "metrics.csv"):
            shutil.copy(config.with_name(name), run / name)
        (run / "checkpoints" / "iteration-0000003.ckpt").touch()
    verbs = ("status", "table", "best", "plot")
    works = {f"sweep {verb}": VERB.format(verb=verb, folder=str(home)) for verb in verbs}
    return {"read once": READ_ONCE.format(folder=str(home)), **works}


def jobs(folder: Path, n: int) -> Works:
    """The pre-flight of a sweep of n jobs."""
    rates = ",".join(f"{1e-4 * (1 + i):.4f}" for i in range(n // 10))
    swept = [f"g_optimizer.lr={rates}", "seed=0,1,2,3,4,5,6,7,8,9"]
    return {"pre-flight": CHECK.format(words=["-m", *swept, f"output_dir={folder / 'none'}"])}


def rows(folder: Path, n: int) -> Works:
    """metrics.csv with n rows of 20 columns: a run goes on, and its curves are read."""
    path = folder / f"metrics-{n}.csv"
    names = ["iterations", "images_seen", "seconds", *(f"m{i}" for i in range(17))]
    with path.open("w") as file:
        file.write(",".join(names) + "\n")
        for i in range(n):
            values = ",".join(f"{(i * 7919 + j) % 1000 / 999:.12f}" for j in range(17))
            file.write(f"{i},{64 * i},{i / 8},{values}\n")
    return {"go on": GO_ON.format(path=str(path)), "curves": CURVES.format(path=str(path))}


def frames(folder: Path, n: int) -> Works:
    """A film of n pictures of 528 x 528 pixels."""
    from ganlab.plots import pictures

    home, numbers = folder / f"frames-{n}", np.random.default_rng(0)
    home.mkdir()
    for i in range(n):
        small = numbers.integers(0, 255, (66, 66, 3), dtype=np.uint8)
        pixels = small.repeat(8, axis=0).repeat(8, axis=1)
        pictures.save(home / f"iteration-{i:07d}.png", pixels)
    return {"film": FILM.format(folder=str(home))}


MADE: dict[str, Callable[[Path, int], Works]] = {
    "runs": runs,
    "jobs": jobs,
    "rows": rows,
    "frames": frames,
}


def environment() -> dict[str, str]:
    paths = [str(SOURCE), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def measured(script: str) -> tuple[float, float]:
    """(seconds, MiB at most) of a script in a Python of its own."""
    whole = TIMED.format(source=str(SOURCE)) + script + SAID
    command = [sys.executable, "-c", whole]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment())
    if done.returncode:
        raise SystemExit(done.stderr)
    _, seconds, most = done.stdout.splitlines()[-1].split()
    return float(seconds), float(most)


def main() -> None:
    options = asked(OPTIONS, __doc__)
    chosen = list(MADE) if options["only"] == "all" else options["only"].split(",")
    print("| of | work | s | s, a tenth | ratio | MiB | MiB, a tenth | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    for name in chosen:
        n = int(options[name])
        with tempfile.TemporaryDirectory() as folder:
            few = MADE[name](Path(folder), max(10, n // 10))
            many = MADE[name](Path(folder), n)
            for work, script in many.items():
                (less, small), (more, large) = measured(few[work]), measured(script)
                cells = f"{more:.2f} | {less:.2f} | {more / less:.1f}"
                cells += f" | {large:.0f} | {small:.0f} | {large / small:.2f}"
                print(f"| {n:,} {name} | {work} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
