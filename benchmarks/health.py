"""How often a run's health is judged rightly: induced failures by name, and healthy runs.

    python benchmarks/health.py [seeds=5] [first=0] [iterations=2000] [output=outputs/health]
        [root=~/.cache/ganlab/data] [data=mnist] [threads=1]
        [only=failures,ring,stacked,memorisation,vanilla,dcgan]

Trains one run after another, seed by seed from `first`, and prints the table, in Markdown, at the
end.  A run that is there already is not trained again, so the command may be interrupted and given
again.

Failures are conf/experiment/failure/*.yaml, on the images of `data`, on a ring of Gaussians
(`ring`) and on three digits a picture (`stacked`), and a GAN that is shown ten images again and
again; each has to be called by its name.  Healthy are all losses that need no energies, on `data`:
with a vanilla GAN of two small hidden layers and with a narrow DCGAN, each with what it takes to be
well (ganlab.sweeps.needs); none of them may be called anything.

The bounds of the verdicts were set with seeds 0 to 4 in view, on MNIST.  The hold-out was not:

    python benchmarks/health.py first=100 data=fashion_mnist \
        only=failures,unseen,ring,memorisation,vanilla

`unseen` are failures by other means (UNSEEN), written down before any of them was trained.
"""

import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))  # the checkout that this is part of

import torch
from scipy.stats import binomtest

from ganlab.commands.composition import Composer
from ganlab.data import MNIST, FashionMNIST
from ganlab.lab.failures import Data, words
from ganlab.lab.training import planned, trained
from ganlab.plots.pictures import save
from ganlab.runs.folder import Run
from ganlab.sweeps.needs import needed
from options import asked

OPTIONS = {
    "seeds": "5",
    "first": "0",
    "iterations": "2000",
    "output": "outputs/health",
    "root": "~/.cache/ganlab/data",
    "only": "failures,ring,stacked,memorisation,vanilla,dcgan",
    "data": "mnist",
    "threads": "1",
}


class Row(NamedTuple):
    """What trains, and the name by which it is to be called: "", where nothing ails it."""

    what: str
    ailment: str


Rows = dict[Row, list[str]]  # with the overrides

SETS = {"mnist": MNIST, "fashion_mnist": FashionMNIST}
FAILURES = {  # laboratory -> the name by which what fails there is to be called
    "overpowered_discriminator": "discriminator-won",
    "mode_collapse": "mode-collapse",
    "one_image": "one-image",
    "oscillation": "oscillation",
}
LOSSES = (
    *("nonsaturating", "minimax", "least_squares", "hinge", "wasserstein"),
    *("relativistic", "relativistic_average"),
)
MODELS = {
    "vanilla": [
        *("model=vanilla", "model.generator.hidden=[128,256]"),
        "model.discriminator.hidden=[256,128]",
    ],
    "dcgan": ["model=dcgan", "model.generator.width=16", "model.discriminator.width=16"],
}
PLAIN = [*MODELS["dcgan"], "model.discriminator.norm=none", "ema=null"]
UNSEEN = {  # failures by other means than those of conf/experiment/failure
    Row("wasserstein without a constraint, rates of 0.01", "divergence"): [
        *(*MODELS["vanilla"], "loss=wasserstein", "ema=null"),
        *("g_optimizer.lr=0.01", "d_optimizer.lr=0.01"),
    ],
    Row("overpowered_discriminator by k = 5 in place of its rate", "discriminator-won"): [
        "experiment=failure/overpowered_discriminator",
        *("d_optimizer.lr=2e-4", "d_steps=5"),
    ],
    Row("mode_collapse, twice as wide", "mode-collapse"): [
        *("experiment=failure/mode_collapse", "model.generator.hidden=[256,512]"),
        "model.discriminator.hidden=[512,256]",
    ],
    Row("one_image, a DCGAN without norm in D", "one-image"): [
        *(*PLAIN, "loss=nonsaturating", "g_optimizer.lr=1e-3", "d_optimizer.lr=1e-7"),
    ],
    Row("oscillation, a DCGAN without norm in D", "oscillation"): [
        *(*PLAIN, "loss=nonsaturating", "g_optimizer.lr=1e-3", "d_optimizer.lr=2e-5"),
    ],
}


def rows(options: dict[str, str]) -> Rows:
    """All that is to be trained."""
    root, only = Path(options["root"]).expanduser(), options["only"].split(",")
    made: Rows = {}
    if "failures" in only:
        made |= failing(options["data"], root)
    if "unseen" in only:
        length = f"iterations={options['iterations']}"
        where = [f"data={options['data']}", f"data.root={root}", length]
        made |= {row: [*words, *where] for row, words in UNSEEN.items()}
    if "ring" in only:
        made |= failing("ring_2d")
    if "stacked" in only:
        made |= failing("stacked_mnist", root)
    if "memorisation" in only:
        made |= memorising(ten_images(options["data"], root, Path(options["output"])))
    for model in (model for model in MODELS if model in only):
        made |= healthy(model, [f"data={options['data']}", f"data.root={root}"], options)
    return made


def failing(on: Data, root: Path | None = None) -> Rows:
    """What fails on purpose, and takes its own time; points are drawn, images lie somewhere."""
    where = [f"data.root={root}"] if root is not None else []
    names = [name for name in FAILURES if root is not None or name != "one_image"]
    return {Row(f"{name}, {on}", FAILURES[name]): [*words(name, on), *where] for name in names}


def memorising(folder: Path) -> Rows:
    """A GAN that sees the same few images again and again."""
    shown = ["data=folder", f"data.root={folder}", "data.size=28", "iterations=3000"]
    return {Row("vanilla, ten images", "memorisation"): [*shown, *MODELS["vanilla"]]}


def healthy(model: str, data: list[str], options: dict[str, str]) -> Rows:
    """A model with every loss, and with what that needs."""
    made: Rows = {}
    for loss in LOSSES:
        needs, length = needed(loss, model), f"iterations={options['iterations']}"
        row = Row(", ".join([model, loss, *needs]), "")
        made[row] = [*data, *MODELS[model], f"loss={loss}", *needs, length]
    return made


def ten_images(data: str, root: Path, output: Path) -> Path:
    """A folder with the first image of each class."""
    folder = output / ("ten" if data == "mnist" else f"ten-{data}")
    images, labels = SETS[data](root, download=False).read()
    folder.mkdir(parents=True, exist_ok=True)
    for label in range(10):
        first = images[labels == label][0]
        save(folder / f"{label}.png", first.permute(1, 2, 0).numpy())
    return folder


def table(found: Mapping[Row, list[Run]]) -> str:
    """Markdown: how many runs of a row were judged rightly, and all that was said of them."""
    lines = [
        "| run | seeds | ought to be called | rightly | 95% interval | verdicts, at iteration |",
        "|---" * 6 + "|",
    ]
    for (what, ailment), runs in found.items():
        said = [run.summary()["health"] for run in runs]
        names = [{verdict["ailment"] for verdict in verdicts} for verdicts in said]
        right = sum(ailment in one if ailment else not one for one in names)
        when: dict[str, list[int]] = defaultdict(list)
        for verdict in (verdict for verdicts in said for verdict in verdicts):
            when[verdict["ailment"]].append(verdict["iteration"])
        listed = "; ".join(f"{n} {', '.join(map(str, sorted(at)))}" for n, at in when.items())
        count = f"{right} of {len(runs)} | {exact(right, len(runs))}"
        lines.append(f"| {what} | {len(runs)} | {ailment} | {count} | {listed} |")
    return "\n".join(lines)


def exact(right: int, n: int) -> str:
    """'48 - 100%' of 5 of 5: the exact 95% interval of a share (Clopper & Pearson 1934)."""
    low, high = binomtest(right, n).proportion_ci(method="exact")
    return f"{100 * low:.0f} - {100 * high:.0f}%"


def main() -> None:
    """Trains what is missing, and prints the table."""
    options = asked(OPTIONS, __doc__)
    torch.set_num_threads(int(options["threads"]))
    shared = ["logger=csv", "trainer=cpu", f"output_dir={options['output']}"]
    composer = Composer()
    found: dict[Row, list[Run]] = defaultdict(list)
    wanted = rows(options)
    first = int(options["first"])
    for seed in range(first, first + int(options["seeds"])):
        for row, overrides in wanted.items():
            plan = planned([*overrides, *shared, f"seed={seed}"], composer)
            found[row].append(trained(plan))
    print(table(found))


if __name__ == "__main__":
    main()
