"""What a classifier's features see: known faults of images, by how far they move the scores.

python benchmarks/extractors.py data=mnist root=data seeds=5 n=10000 picture=scores.png

Prints Markdown.  Generated images are played by held-out ones with one fault at a time.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch.nn.functional import conv2d

from ganlab.data import MNIST, Digits, FashionMNIST
from ganlab.metrics import (
    Moments,
    frechet_distance,
    inception_score,
    kernel_distance,
    neighbourhood,
)
from ganlab.metrics.classifier import Classifier, ClassifierNetwork, accuracy, train_classifier
from ganlab.plots.figures import DPI, FAINT, INCHES, INK, D, G
from ganlab.spec import ImageSpec, at_least
from ganlab.training.streams import stream

SOURCES = {"mnist": MNIST, "fashion_mnist": FashionMNIST}
HELD_OUT = "held-out images"


@dataclass
class Options:
    data: str = "mnist"
    root: str = "data"
    seeds: int = 5
    n: int = 10_000
    picture: str = ""


def main():
    options = Options(**dict(argument.split("=", 1) for argument in sys.argv[1:]))
    at_least(2, seeds=int(options.seeds))  # a spread needs two
    seeds, n = range(int(options.seeds)), int(options.n)
    train, test = (read(options, split) for split in ("train", "test"))
    real = train.images[drawn(len(train.images), n)]
    chosen = drawn(len(test.images), n)
    sets = faulty(test.images[chosen], test.labels[chosen])
    print(f"{options.data}: {len(real)} training images against {len(chosen)} held-out\n")
    trained, right = [], []
    for seed in seeds:
        start = time.process_time()
        trained.append(Classifier(name(options), train_classifier(*train, 10, seed=seed)))
        seconds = time.process_time() - start
        right.append(accuracy(trained[-1], *test))
        print(f"- seed {seed}: {right[-1]:.2%} right, {seconds:.0f} s, {trained[-1].weights[:8]}")
    found = [distances(extractor, real, sets) for extractor in trained]
    blind = [distances(untrained(name(options), train, seed), real, sets) for seed in seeds]
    print("\n" + spread_table(found, blind) + "\n")
    print(score_table(trained[0], real, sets))
    if options.picture:
        chart(found, blind, options.data).savefig(options.picture)


def name(options):
    return f"classifier-{options.data}"


def read(options, split):
    if options.data == "digits":
        return Digits(split=split).read()
    return SOURCES[options.data](Path(options.root), split=split).read()


def drawn(count, n):
    """Indices of n of `count` images at random: the halves of MNIST's test set are not alike."""
    return torch.randperm(count, generator=stream("cpu", 1))[:n].sort().values


def faulty(images, labels):
    """Name -> held-out images with one fault."""
    n, noise = len(images), stream("cpu", 2)
    first = torch.stack([images[labels == c][0] for c in range(10)])  # one of each class
    return {
        HELD_OUT: images,
        "shifted by 1 pixel": images.roll(1, dims=3),
        "shifted by 2 pixels": images.roll(2, dims=3),
        "noise .05": noisy(images, 0.05, noise),
        "noise .1": noisy(images, 0.1, noise),
        "blur, 1 pixel": blurred(images),
        "a class dropped": images[labels != 5],
        "half of the classes dropped": images[labels < 5],
        "ten images repeated": noisy(first[torch.arange(n) % 10], 0.01, noise),
        "one image repeated": noisy(first[:1].expand_as(images), 0.01, noise),
        "nothing but noise": torch.randint(256, images.shape, generator=noise, dtype=torch.uint8),
    }


def noisy(images, std, generator):
    """With Gaussian noise; std 1 is the range from black to white."""
    added = torch.randn(images.shape, generator=generator) * 255 * std
    return (images + added).round().clamp(0, 255).to(torch.uint8)


def blurred(images):
    """By a Gaussian of one pixel."""
    line = torch.exp(-(torch.arange(-3.0, 4) ** 2) / 2)
    kernel = torch.outer(line, line) / line.sum() ** 2
    return conv2d(images.float(), kernel[None, None], padding=3).round().to(torch.uint8)


def untrained(title, train, seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        spec = ImageSpec(*train.images.shape[1:3], classes=10)
        return Classifier(title, ClassifierNetwork(spec, 16))


def features(extractor, images):
    parts = [extractor(part) for part in images.split(500)]
    return torch.cat([part.vectors for part in parts]), torch.cat([part.logits for part in parts])


def distances(extractor, real, sets):
    """Name of a set -> Frechet distance to real images."""
    known = Moments.of(features(extractor, real)[0])
    return {
        title: frechet_distance(known, Moments.of(features(extractor, images)[0]))
        for title, images in sets.items()
    }


def column(runs, title, *, relative=False):
    return torch.tensor([run[title] / (run[HELD_OUT] if relative else 1) for run in runs])


def spread_table(found, blind):
    lines = [
        "| generated images | Frechet distance | sd | spread | times held-out | untrained: times |",
        "|---|---|---|---|---|---|",
    ]
    for title in found[0]:
        got, times = column(found, title), column(found, title, relative=True).mean()
        lines.append(
            f"| {title} | {got.mean():.3g} | {got.std():.2g} | {got.std() / got.mean():.0%} "
            f"| {times:,.3g} | {column(blind, title, relative=True).mean():,.3g} |"
        )
    return "\n".join(lines)


def score_table(extractor, real, sets, n=5000):
    """All scores by one extractor."""
    lines = [
        "| generated images | KID x 1000 | precision | recall | density | coverage | IS |",
        "|---|---|---|---|---|---|---|",
    ]
    known = features(extractor, real[drawn(len(real), n)])[0]
    for title, images in sets.items():
        vectors, logits = features(extractor, images[drawn(len(images), n)])
        apart, _ = kernel_distance(known, vectors, size=min(1000, len(known), len(vectors)))
        near = " | ".join(f"{share:.3f}" for share in neighbourhood(known, vectors))
        score, _ = inception_score(logits, splits=1)
        lines.append(f"| {title} | {1000 * apart:.3g} | {near} | {score:.2f} |")
    return "\n".join(lines)


def chart(found, blind, data):
    """A row for each set, a dot for each extractor: how many times further than held-out images."""
    order = sorted(found[0], key=lambda title: column(found, title).mean())
    figure = Figure((INCHES, 0.9 + 0.32 * len(order)), DPI, layout="constrained")
    figure.suptitle(
        f"{data}: Frechet distance to training images, in multiples of held-out images' own",
        x=0.01,
        ha="left",
        fontsize=10,
        color=INK,
    )
    axes = figure.subplots()
    for runs, color, label, lift in ((found, D, "trained", 0.14), (blind, G, "untrained", -0.14)):
        for row, title in enumerate(order):
            times = column(runs, title, relative=True)
            axes.plot(times, [row + lift] * len(times), "o", color=color, ms=4, alpha=0.6, mew=0)
        axes.plot([], [], "o", color=color, ms=4, label=f"{label}, a dot for each seed")
    axes.set_xscale("log")
    axes.set_yticks(range(len(order)), order)
    axes.set_xlabel("times the distance of held-out images", color=INK, fontsize=9)
    axes.grid(color=FAINT, lw=0.6)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.tick_params(which="both", length=0, labelsize=8, labelcolor=INK)
    axes.legend(
        loc="lower right", frameon=False, fontsize=8, labelcolor="linecolor", handlelength=1
    )
    return figure


if __name__ == "__main__":
    main()
