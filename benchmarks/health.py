"""How often a run's health is judged rightly: induced failures by name, and healthy runs.

    python benchmarks/health.py [seeds=5] [iterations=2000] [output=outputs/health]
        [root=~/.cache/ganlab/data] [only=failures,vanilla,dcgan] [threads=1]

Trains one run after another, seed by seed, and prints the table, in Markdown, at the end.  A run
that is there already is not trained again, so the command may be interrupted and given again.

Failures are conf/experiment/failure/*.yaml, on MNIST and on a ring of Gaussians, each of which has
to be called by its name.  Healthy are all losses that need no energies, wasserstein with a gradient
penalty, on MNIST: with a vanilla GAN of two small hidden layers and with a narrow DCGAN; none of
them may be called anything.
"""

import sys
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))  # the checkout that this is part of

import torch
from options import asked

from ganlab.composer import Composer, without_hydra
from ganlab.preflight import checked
from ganlab.runs import Run, folder_name
from ganlab.train import train

OPTIONS = {
    "seeds": "5",
    "iterations": "2000",
    "output": "outputs/health",
    "root": "~/.cache/ganlab/data",
    "only": "failures,vanilla,dcgan",
    "threads": "1",
}
FAILURES = {  # experiment -> the name by which it is to be called
    "overpowered_discriminator": "discriminator-won",
    "mode_collapse": "mode-collapse",
    "one_image": "one-image",
    "oscillation": "oscillation",
    "ring/overpowered_discriminator": "discriminator-won",
    "ring/mode_collapse": "mode-collapse",
    "ring/oscillation": "oscillation",
}
LOSSES = {
    **{name: [f"loss={name}"] for name in ("nonsaturating", "minimax", "least_squares", "hinge")},
    "wasserstein + gradient penalty": ["loss=wasserstein", "regularizer=[gradient_penalty]"],
    **{name: [f"loss={name}"] for name in ("relativistic", "relativistic_average")},
}
NARROW = ["model.generator.width=16", "model.discriminator.width=16"]
MODELS = {
    "vanilla": [
        *("model=vanilla", "model.generator.hidden=[128,256]"),
        "model.discriminator.hidden=[256,128]",
    ],
    "dcgan": ["model=dcgan", *NARROW],
}
NEEDS = {("dcgan", "wasserstein + gradient penalty"): ["model.discriminator.norm=none"]}


def rows(options: dict[str, str]) -> dict[tuple[str, str], list[str]]:
    """(what trains, the name it is to have or '') -> overrides; failures take their own time."""
    made: dict[tuple[str, str], list[str]] = {}
    root, only = f"data.root={Path(options['root']).expanduser()}", options["only"].split(",")
    for experiment, name in FAILURES.items() if "failures" in only else ():
        there = [] if experiment.startswith("ring/") else [root]
        made[experiment, name] = [f"experiment=failure/{experiment}", *there]
    healthy = ["data=mnist", root, f"iterations={options['iterations']}"]
    for model in (model for model in MODELS if model in only):
        for loss, words in LOSSES.items():
            needs = NEEDS.get((model, loss), [])
            made[f"{model}, {loss}", ""] = [*healthy, *MODELS[model], *words, *needs]
    return made


def trained(composer: Composer, words: list[str]) -> Run:
    """The run of some overrides, finished now or before."""
    cfg, mistakes = composer.compose(words)
    if mistakes:
        raise SystemExit("\n".join(mistakes))
    config = checked(without_hydra(cfg))
    name = folder_name(cfg.hydra.runtime.choices, config.get("regularizer", {}))
    run = train(config, name)
    if not run.finished:
        raise SystemExit("interrupted; the same command goes on")
    return run


def table(found: dict[tuple[str, str], list[Run]]) -> str:
    """Markdown: of each row how many runs were judged rightly, and all that was said of them."""
    lines = [
        "| run | seeds | ought to be called | rightly | verdicts, at iteration |",
        "|---" * 5 + "|",
    ]
    for (what, name), runs in found.items():
        said = [run.summary()["health"] for run in runs]
        names = [{verdict["ailment"] for verdict in verdicts} for verdicts in said]
        right = sum(name in one if name else not one for one in names)
        when: dict[str, list[int]] = defaultdict(list)
        for verdict in (verdict for verdicts in said for verdict in verdicts):
            when[verdict["ailment"]].append(verdict["iteration"])
        listed = "; ".join(f"{n} {', '.join(map(str, sorted(at)))}" for n, at in when.items())
        lines.append(f"| {what} | {len(runs)} | {name} | {right} of {len(runs)} | {listed} |")
    return "\n".join(lines)


def main() -> None:
    """Trains what is missing, and prints the table."""
    options = asked(OPTIONS, __doc__)
    torch.set_num_threads(int(options["threads"]))
    shared = ["logger=csv", "trainer=cpu", f"output_dir={options['output']}"]
    composer, found = Composer(), defaultdict(list)
    for seed in range(int(options["seeds"])):
        for row, words in rows(options).items():
            found[row].append(trained(composer, [*words, *shared, f"seed={seed}"]))
    print(table(found))


if __name__ == "__main__":
    main()
