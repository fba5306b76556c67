"""Scores of G's average: which half-life, and which of BatchNorm's statistics.

    python benchmarks/averages.py [seeds=5] [models=mlp,default,dcgan] [averages=0.995,ramp=0.05]
                                  [n=10000] [data.root=data] [out=averages.jsonl]

Trains each model once per seed, with all averages beside each other, and scores G's own weights
and each average under each policy of `ema_statistics`: the Frechet distance of n images in
features of the data's classifier, the same noise for all.  An average is a decay, or ramp=SHARE:
a half-life that is a share of the images so far.  Scores are added to the file `out`, and what is
there is not trained again.  Then prints two tables in Markdown: the mean of each distance, and its
difference from the first average with copied statistics, both with Student's 95% interval.
"""

import json
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import get_args

from pytorch_lightning import Callback
from scipy.special import stdtrit

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))  # the checkout that this is part of

from ganlab.commands.composition import Composer, without_hydra
from ganlab.commands.preflight import checked
from ganlab.experiments.experiment import Experiment
from ganlab.experiments.session import quiet_lightning
from ganlab.gan import GAN
from ganlab.schedules import HalfLife
from ganlab.training.ema import EMA, Statistics
from options import asked

POLICIES = get_args(Statistics)
RAW = "no average"
OPTIONS = {
    "seeds": "5",
    "models": "mlp,default,dcgan",
    "averages": "0.995,ramp=0.05",
    "n": "10000",
    "data.root": "data",
    "out": "averages.jsonl",
}
MODELS = {
    "mlp": ("data=mnist", "model=vanilla", "model.generator.norm=batch", "iterations=1500"),
    "default": (),
    "dcgan": (
        *("data=mnist", "model=dcgan", "iterations=1000"),
        *("model.generator.width=32", "model.discriminator.width=32"),
    ),
}
Scores = dict[str, float]  # average and policy -> distance


def decay(words: str) -> float | HalfLife:
    """'0.995' or 'ramp=0.05' as EMA takes it."""
    share = words.removeprefix("ramp=")
    return float(words) if share == words else HalfLife(ramp=float(share))


class Averages(Callback):
    """Several averages of one training."""

    def __init__(self, names: list[str]) -> None:
        self.names = names

    def on_train_start(self, _: object, gan: GAN) -> None:
        self.made = {n: EMA(gan.generator, decay(n), "average") for n in self.names}

    def on_train_batch_start(self, _: object, gan: GAN, *__: object) -> None:
        for one in self.made.values():
            one.begin(gan.iterations + 1, gan.clock)

    def on_train_batch_end(self, _: object, gan: GAN, *__: object) -> None:
        for one in self.made.values():
            one.update(gan.generator)


def each_policy(gan: GAN, averages: Averages) -> Iterator[str]:
    """Gives the GAN each average under each policy, and no average first."""
    gan.ema = None
    yield RAW
    for name, one in averages.made.items():
        for policy in ("average", "copy", "recompute"):  # as these overwrite the averaged ones
            gan.ema, one.statistics, one.stale, one.share = one, policy, True, 0.0
            one.update(gan.generator)  # by nothing; copies what the policy copies
            yield f"{name}, {policy}"


def scored(words: Iterable[str], names: list[str], seed: int) -> Scores:
    """Trains once and scores all averages."""
    folder = tempfile.gettempdir()
    given = (*words, f"seed={seed}", "ema=null", "metrics=classifier", "trainer=cpu")
    cfg, found = Composer().compose([*given, "logger=csv", f"output_dir={folder}"])
    if found:
        raise SystemExit("\n".join(found))
    experiment = Experiment(**checked(without_hydra(cfg)))
    gan, averages = experiment.build(), Averages(names)
    data = experiment.image_data(gan)
    experiment.trainer_with([], [averages]).fit(gan, data)
    scorer = experiment.plan().scorer(data)
    return {one: scorer(gan).scores["frechet"].value for one in each_policy(gan, averages)}


def row(label: str, values: list[list[float]]) -> str:
    """A line of a table: mean and Student's 95% interval of each cell."""
    cells = [label]
    for each in values:
        mean, n = statistics.mean(each), len(each)
        reach = float(stdtrit(n - 1, 0.975)) * statistics.stdev(each) / n**0.5 if n > 1 else 0.0
        cells.append(f"{mean:.2f} ± {reach:.2f}")
    return f"| {' | '.join(cells)} |"


def tables(found: dict[str, list[Scores]], names: list[str]) -> Iterator[str]:
    """Both tables, line by line."""
    first = f"{names[0]}, copy"
    labels = [RAW, *(f"{name}, {policy}" for name in names for policy in POLICIES)]
    seeds = ", ".join(f"{model} ({len(each)} seeds)" for model, each in found.items())
    for title, less in (("distance", None), (f"difference from '{first}'", first)):
        yield f"\n{title}: {seeds}\n"
        yield f"| average, statistics | {' | '.join(found)} |"
        yield "|---" * (1 + len(found)) + "|"
        for label in labels:
            if label != less:
                each = [[s[label] - (s[less] if less else 0) for s in f] for f in found.values()]
                yield row(label, each)


def main() -> None:
    options = asked(OPTIONS, __doc__)
    names, out = options["averages"].split(","), Path(options["out"])
    models = {name: MODELS[name] for name in options["models"].split(",")}
    quiet_lightning()
    lines = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    done = {(model, seed) for model, seed, _ in lines}
    for seed in range(int(options["seeds"])):
        for model, words in models.items():
            if (model, seed) in done:
                continue
            given = [*words, f"metrics.n={options['n']}"]
            given += [f"data.root={options['data.root']}"] if "data=mnist" in words else []
            lines.append((model, seed, scored(given, names, seed)))
            with out.open("a") as file:
                file.write(json.dumps(lines[-1]) + "\n")
    found: dict[str, list[Scores]] = defaultdict(list)
    for model, _, scores in lines:
        if model in models:
            found[model].append(scores)
    print(*tables(found, names), sep="\n")


if __name__ == "__main__":
    main()
