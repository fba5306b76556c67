"""How long ganlab takes to answer, and until the first training step.

    python benchmarks/startup.py [repeats=5] [data=digits] [model=dcgan]

Seconds of CPU (user and system) and of the clock, each the median of so many processes: of help,
completion and mistakes, which need no torch; of the imports that training cannot do without; and
of training from the start of the process to the end of its first iteration, the run's folder and
the first grid of samples included.  The ratio is CPU time against the imports alone; these two end
at once, without the time that Python needs to take torch apart.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from options import asked

HERE = Path(__file__).parent
SOURCE = HERE.parent / "src"  # of the checkout that this is part of
sys.path.insert(0, str(SOURCE))

OPTIONS = {"repeats": "5", "data": "digits", "model": "dcgan"}
IMPORTS = "import os, torch, torchvision, pytorch_lightning, hydra"
HYDRA = "import hydra"
GANLAB, CODE = ("-m", "ganlab"), "-c"
QUICK = {  # what is answered without torch -> the words after `ganlab`
    "ganlab --help": ["--help"],
    "ganlab train --help": ["train", "--help"],
    "ganlab train --cfg job": ["train", "--cfg", "job"],
    "ganlab sample --help": ["sample", "--help"],
    "ganlab sweep status nowhere": ["sweep", "status", "nowhere"],
    "completion of `ganlab train model=`": ["-sc", "query=bash"],
    "no such choice: loss=hing": ["train", "loss=hing"],
    "no such key: batchsize=3": ["train", "batchsize=3"],
    "no such parameter: model.generator.widht=3": ["train", "model.generator.widht=3"],
    "a value of a wrong type: seed=abc": ["train", "seed=abc"],
    "a count out of range: iterations=0": ["train", "iterations=0"],
}
LINE = "ganlab train model="


def first_gan() -> type:
    """ganlab's GAN, at the end of whose first iteration the process ends."""
    from ganlab.gan import GAN

    class First(GAN):
        def on_train_batch_end(self, *_: object) -> None:
            os._exit(0)

    return First


def __getattr__(name: str) -> type:
    if name != "First":
        raise AttributeError(name)
    return first_gan()


def seconds(words: list[str], repeats: int) -> tuple[float, float]:
    """(CPU, clock) of a Python with these arguments: medians."""
    paths = [str(SOURCE), str(HERE), os.environ.get("PYTHONPATH", "")]
    completing = {"COMP_LINE": LINE, "COMP_POINT": str(len(LINE))}
    env = {**os.environ, **completing, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    taken = []
    for _ in range(repeats):
        started = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, *words],
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in (0, 2):
            raise SystemExit(f"{' '.join(words)} has failed: exit code {process.returncode}")
        taken.append((usage.ru_utime + usage.ru_stime, time.monotonic() - started))
    cpu, clock = zip(*taken, strict=True)
    return statistics.median(cpu), statistics.median(clock)


def training(folder: str, data: str, model: str) -> list[str]:
    """The words of a run that ends after its first iteration."""
    parts = ["gan._target_=startup.First", f"data={data}", f"model={model}", "logger=csv"]
    return [*GANLAB, "train", *parts, "trainer=cpu", f"output_dir={folder}"]


def row(name: str, taken: tuple[float, float], alone: float) -> None:
    """Prints a row of a Markdown table."""
    cpu, clock = taken
    print(f"| {name} | {cpu:.2f} | {clock:.2f} | {cpu / alone:.2f} |", flush=True)


def main() -> None:
    options = asked(OPTIONS, __doc__)
    repeats = int(options["repeats"])
    alone = seconds([CODE, f"{IMPORTS}; os._exit(0)"], repeats)
    print("| | CPU, s | clock, s | ratio |\n|---|---|---|---|")
    row(f"`{IMPORTS}`", alone, alone[0])
    row(f"`{HYDRA}`", seconds([CODE, HYDRA], repeats), alone[0])
    for name, words in QUICK.items():
        row(name, seconds([*GANLAB, *words], repeats), alone[0])
    with tempfile.TemporaryDirectory() as folder:
        words = training(folder, options["data"], options["model"])
        row("the first training step", seconds(words, repeats), alone[0])


if __name__ == "__main__":
    main()
