"""What the report of a large sweep takes: seconds to make it and to open it, and its size.

    python benchmarks/report.py [runs=100] [from=DIR] [keep=DIR] [repeats=3]
    python benchmarks/report.py defaults=true

The sweep is made of four real, short runs (two models, two losses): their folders are copied, with
other seeds and learning rates in config.yaml, other numbers in summary.json, and readings and
pictures repeated to 200 rows and 21 pictures, as those of a run of ordinary length.
`from` is the folder of a real sweep in place of one that is trained first, and `keep` a folder
that the sweep and its report stay in.  Opening ends when Chromium has drawn what is in view; plots
further down are drawn when the reader comes to them.  `defaults` writes the config of the default
run, with which reports compare others, anew.
"""

import csv
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from options import asked

SOURCE = Path(__file__).parents[1] / "src"  # of the checkout that this is part of
sys.path[:0] = [str(SOURCE), str(SOURCE.parent / "tests")]

OPTIONS = {"runs": "100", "from": "", "keep": "", "repeats": "3", "defaults": ""}
REAL = (
    *("-m", "model=vanilla,dcgan", "loss=nonsaturating,hinge", "logger=csv", "iterations=150"),
    *("sample_every=50", "metrics=classifier", "metrics.every=50", "health.patience=250"),
)
ROWS, PICTURES, EVERY = 200, 21, 50  # of a run; iterations between two of them
RATES = (1e-4, 2e-4, 5e-4, 1e-3, 2e-3)
OPENED = """
() => new Promise((done) => {
  const look = () => {
    const idle = (window.Bokeh?.documents ?? []).every((one) => one.is_idle);
    const complete = document.readyState === "complete";
    if (idle && complete) requestAnimationFrame(() => done(performance.now()));
    else setTimeout(look, 10);
  };
  look();
})
"""


def trained(folder: Path) -> Path:
    """A real sweep."""
    words = [sys.executable, "-m", "ganlab.train", *REAL, f"output_dir={folder}"]
    subprocess.run(words, check=True, capture_output=True, env=environment())
    (sweep,) = (folder / "sweeps").iterdir()
    return sweep


def fabricated(sweep: Path, folder: Path, n: int) -> Path:
    """A sweep of n runs, copies of a real one's with other settings and numbers."""
    numbers = random.Random(0)
    jobs = json.loads((sweep / "sweep.json").read_text())["jobs"]
    listed = []
    for i in range(n):
        job, rate, seed = jobs[i % len(jobs)], RATES[i // len(jobs) % len(RATES)], i // 20
        real = (sweep / job["run"]).resolve()
        run = folder / real.parent.name / f"{i:08x}"
        shutil.copytree(real, run, ignore=shutil.ignore_patterns("*.ckpt", "*.gif", "curves.png"))
        factor = numbers.gauss(1, 0.1)
        change_config(run / "config.yaml", rate, seed)
        change_readings(run / "metrics.csv", factor)
        change_summary(run / "summary.json", factor)
        repeat_pictures(run / "samples")
        chosen = [f"g_optimizer.lr={rate}", f"seed={seed}"]
        where = os.path.relpath(run, folder / "sweep")
        listed.append({"run": where, "overrides": [*job["overrides"], *chosen]})
    (folder / "sweep").mkdir()
    (folder / "sweep" / "sweep.json").write_text(json.dumps({"jobs": listed}, indent=1))
    return folder / "sweep"


def change_config(file: Path, rate: float, seed: int) -> None:
    """Writes another seed and learning rate of G."""
    before, name, after = file.read_text().partition("g_optimizer:\n")
    text = before.replace("seed: 0\n", f"seed: {seed}\n", 1) + name
    file.write_text(text + after.replace("lr: 0.0002", f"lr: {rate:.4f}", 1))


def change_readings(file: Path, factor: float) -> None:
    """Repeats the readings, times a factor."""
    with file.open(newline="") as opened:
        names, *rows = csv.reader(opened)
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(names)
        for i in range(ROWS):
            row = rows[i % len(rows)]
            rest = [repr(float(cell) * factor) if cell else "" for cell in row[3:]]
            writer.writerow([EVERY * (i + 1), 64 * EVERY * (i + 1), 2.5 * (i + 1), *rest])


def repeat_pictures(folder: Path) -> None:
    """Repeats the pictures under the names of later ones."""
    pictures = sorted(folder.glob("iteration-*.png"))
    for i in range(len(pictures), PICTURES):
        copy = folder / f"iteration-{10 * EVERY * i:07d}.png"
        shutil.copy(pictures[i % len(pictures)], copy)


def change_summary(file: Path, factor: float) -> None:
    """Multiplies all scores."""
    summary: dict[str, Any] = json.loads(file.read_text())
    for card in summary["scores"]:
        for score in card["scores"].values():
            score["value"] *= factor
    file.write_text(json.dumps(summary))


def environment() -> dict[str, str]:
    paths = [str(SOURCE), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def made(sweep: Path) -> tuple[float, float]:
    """(seconds of the clock, of the processors) that making the report takes."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    words = [sys.executable, "-m", "ganlab.report", str(sweep)]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, env=environment())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - began, cpu


def opened(file: Path, repeats: int) -> list[tuple[float, float, float]]:
    """(seconds to load, until what is in view is drawn, of all processors) of each opening."""
    from playwright.sync_api import sync_playwright

    from browsers import CHROMIUM, FLAGS

    found = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        asked = browser.new_browser_cdp_session()

        def cpu() -> float:
            processes = asked.send("SystemInfo.getProcessInfo")["processInfo"]
            return sum(process["cpuTime"] for process in processes)

        for _ in range(repeats):
            page, before = browser.new_page(), cpu()
            page.goto(file.absolute().as_uri())
            drawn = page.evaluate(OPENED)
            timing = "performance.getEntriesByType('navigation')[0].loadEventEnd"
            found.append((page.evaluate(timing) / 1000, drawn / 1000, cpu() - before))
            page.close()
        browser.close()
    return found


def write_defaults() -> None:
    """Writes the completed config of `python -m ganlab.train`."""
    from commands import completed
    from ganlab.config.completion import flattened
    from ganlab.reporting.settings import DEFAULTS

    text = json.dumps(dict(flattened(completed())), indent=1)
    (SOURCE / "ganlab" / "reporting" / DEFAULTS).write_text(f"{text}\n")


def main() -> None:
    options = asked(OPTIONS, __doc__)
    if options["defaults"]:
        write_defaults()
        return
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(options["keep"] or temporary)
        real = Path(options["from"]) if options["from"] else trained(home / "real")
        sweep = fabricated(real, home / "fabricated", int(options["runs"]))
        repeats = int(options["repeats"])
        clock, cpu = zip(*(made(sweep) for _ in range(repeats)), strict=True)
        file = sweep / "report.html"
        loaded, drawn, browser = zip(*opened(file, repeats), strict=True)
        told = {
            "made in, s": clock,
            "made in, s of CPU": cpu,
            "loaded in, s": loaded,
            "drawn in, s": drawn,
            "drawn in, s of CPU": browser,
        }
        print(f"{options['runs']} runs, {file.stat().st_size / 1e6:.1f} MB\n")
        print("| | median | least | greatest |\n|---|---|---|---|")
        for name, values in told.items():
            middle = statistics.median(values)
            print(f"| {name} | {middle:.2f} | {min(values):.2f} | {max(values):.2f} |")


if __name__ == "__main__":
    main()
