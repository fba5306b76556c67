"""What needs no torch is answered without it, and training imports no more than it needs."""

import os
import sys

import pytest
from PIL import Image

from commands import shell

HEAVY = {"wandb", "sklearn", "pandas", "tensorboard", "optuna", "submitit"}
GAN = """\
import os, sys
from ganlab.gan import GAN

class First(GAN):
    def on_train_batch_end(self, *_):
        print("imported:", *sorted(sys.modules), flush=True)
        os._exit(0)
"""


def answered(*words: str, **environment: str) -> tuple[int, str, set[str]]:
    """(exit code, output, top-level packages that were imported) of `python -m ganlab WORDS`."""
    done = shell("-X", "importtime", "-m", "ganlab", *words, **environment)
    lines = done.stderr.splitlines()
    times = [line for line in lines if line.startswith("import time:")]
    assert times
    said = [line for line in lines if line not in times]
    packages = {line.rpartition("|")[2].strip().partition(".")[0] for line in times}
    return done.returncode, done.stdout + "\n".join(said), packages


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("train --help", "== Configuration groups =="),
        ("train --cfg job loss=hinge", "_target_: ganlab.losses.Hinge"),
        ("sample --help", "Generates images from a checkpoint of a run"),
        ("evaluate --help", "Scores runs and adds the scores"),
        ("report --help", "Writes a report, one HTML file"),
        ("sweep --help", "Prints the state and progress of every run"),
        ("wandb dashboard --help", "Makes a workspace with panels"),
        ("fetch-weights --help", "Downloads the weights"),
    ],
)
def test_help_needs_no_torch(words, said):
    code, out, packages = answered(*words.split())
    assert code == 0
    assert said in out
    assert "torch" not in packages


def test_completion_needs_no_torch():
    line = "ganlab train model=dc"
    point = {"COMP_LINE": line, "COMP_POINT": str(len(line))}
    code, out, packages = answered("-sc", "query=bash", **point)
    assert (code, out.strip()) == (0, "model=dcgan")
    assert "torch" not in packages


MISTAKES = {
    "train loss=hing batchsize=3 seed=abc d_optimizer=adan": 4,
    "train -m seed=0,1 iterations=0": 1,
    "sweep status nowhere": 1,
    "sample run=a n=many": 1,
    "evaluate": 1,
}


@pytest.mark.parametrize("words", MISTAKES)
def test_mistakes_are_told_without_torch(words):
    code, out, packages = answered(*words.split())
    count = MISTAKES[words]
    assert (code, out.count("\n  ")) == (2, count)
    assert out.startswith(f"ganlab: {count} mistake")
    assert "torch" not in packages


@pytest.mark.long
def test_a_run_imports_nothing_before_its_first_step_that_it_does_not_need(tmp_path):
    """Beside matplotlib and scipy, which torchmetrics takes and Lightning takes torchmetrics."""
    (tmp_path / "first.py").write_text(GAN)
    (tmp_path / "images").mkdir()
    for i in range(2):
        Image.new("L", (16, 16), i).save(tmp_path / "images" / f"{i}.png")
    words = ["gan._target_=first.First", "data=folder", f"data.root={tmp_path / 'images'}"]
    options = ["trainer=smoke", "logger=csv", f"output_dir={tmp_path / 'out'}"]
    path = os.pathsep.join(filter(None, [str(tmp_path), *sys.path]))
    done = shell("-m", "ganlab", "train", *words, *options, PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("imported:"))
    packages = {name.partition(".")[0] for name in line.split()[1:]}
    assert {"torch", "ganlab"} <= packages
    assert HEAVY & packages == set()
