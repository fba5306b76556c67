"""Training by ganlab beside a bare PyTorch loop of the same maths.

    python benchmarks/training.py [models=vanilla,dcgan] [iterations=300] [repeats=5] [threads=1]

First the same work is proven: from the same weights, images and noise both end with the same
weights.  Then each is timed, one after the other again and again, in this process: the bare loop
as people write it (eager, Adam by its defaults, images indexed at random, float32), ganlab through
Lightning with its data, noise and observations; no loggers, pictures, averages or checkpoints on
either side.  The ratio is the bare loop's seconds over ganlab's, the median over repeats.
"""

import functools
import logging
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))  # the checkout that this is part of

from pytorch_lightning import Callback, Trainer

from ganlab.data import ImageData, Images
from ganlab.data.images import normalised
from ganlab.data.module import MinibatchOrder
from ganlab.gan import GAN, LAYERS, NOISE
from ganlab.latent import Gaussian, mixed, stream
from ganlab.losses import NonSaturating
from ganlab.networks import (
    DCGANDiscriminator,
    DCGANGenerator,
    VanillaDiscriminator,
    VanillaGenerator,
)
from ganlab.optim import UpdateRule
from ganlab.spec import ImageSpec

M, Z, N = 64, 100, 10_000  # images per minibatch, numbers of noise, images in the data set
MODELS = {
    "vanilla": (ImageSpec(1, 28), VanillaGenerator, VanillaDiscriminator),
    "dcgan": (ImageSpec(3, 32), DCGANGenerator, DCGANDiscriminator),
}
adam = functools.partial(torch.optim.Adam, lr=2e-4, betas=(0.5, 0.999))
sgd = functools.partial(torch.optim.SGD, lr=0.05)  # Adam's first steps make much of rounding errors
Rule = Callable[..., torch.optim.Optimizer]
Draw = Callable[[int], tuple[Tensor, Tensor, Tensor]]  # iteration -> indices, noise for D, for G


class Random:
    """Images of noise: what they show costs nothing."""

    def __init__(self, spec: ImageSpec) -> None:
        self.spec = spec

    def prepare(self) -> None: ...

    def read(self) -> Images:
        generator = torch.Generator().manual_seed(0)
        shape = (N, *self.spec.shape)
        pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        return Images(pixels, torch.zeros(N, dtype=torch.long))


def networks(model: str) -> tuple[nn.Module, nn.Module]:
    spec, generator, discriminator = MODELS[model]
    torch.manual_seed(0)
    return generator(spec, Z), discriminator(spec)


def usual(_: int) -> tuple[Tensor, Tensor, Tensor]:
    """As loops usually draw."""
    return torch.randint(N, (M,)), torch.randn(M, Z), torch.randn(M, Z)


def ours() -> Draw:
    """What ganlab draws."""
    order = MinibatchOrder(N, (1, M), seed=0)

    def draw(iteration: int) -> tuple[Tensor, Tensor, Tensor]:
        torch.manual_seed(mixed(0, LAYERS, iteration, 0))  # of dropout
        noise = stream("cpu", 0, NOISE, iteration)
        z = [Gaussian(Z).sample(M, noise) for _ in range(2)]
        return order(iteration)[0], z[0], z[1]

    return draw


def bare(
    model: str, images: Images, iterations: int, draw: Draw = usual, optimizer: Rule = adam
) -> tuple[float, nn.Module]:
    """Seconds, and the generator."""
    g, d = networks(model)
    g_optimizer, d_optimizer = optimizer(g.parameters()), optimizer(d.parameters())
    real = normalised(images.images)
    start = time.perf_counter()
    for i in range(iterations):
        chosen, for_d, for_g = draw(i)
        with torch.no_grad():
            fake = g(for_d)
        d_optimizer.zero_grad()
        (softplus(-d(real[chosen])).mean() + softplus(d(fake)).mean()).backward()
        d_optimizer.step()
        g_optimizer.zero_grad()
        softplus(-d(g(for_g))).mean().backward()
        g_optimizer.step()
    return time.perf_counter() - start, g


class Clock(Callback):
    """From the first iteration to the last, as in the bare loop."""

    def on_train_start(self, *_: object) -> None:
        self.start = time.perf_counter()

    def on_train_end(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self.start


def ganlab(
    model: str, images: Images, iterations: int, optimizer: Rule = adam
) -> tuple[float, nn.Module]:
    """Seconds, and the generator."""
    (g, d), spec = networks(model), MODELS[model][0]
    rules = {"g_rule": UpdateRule(optimizer), "d_rule": UpdateRule(optimizer)}
    gan = GAN(g, d, NonSaturating(), spec=spec, latent=Gaussian(Z), iterations=iterations, **rules)
    data = ImageData(Random(spec), M, 1, iterations)
    data.images = images
    clock, off = Clock(), ("logger", "enable_checkpointing", "enable_progress_bar")
    switches = dict.fromkeys((*off, "enable_model_summary"), False)
    steps = {"max_steps": iterations, "max_epochs": -1, "accelerator": "cpu", "devices": 1}
    Trainer(callbacks=[clock], **steps, **switches).fit(gan, data)
    return clock.seconds, g


@torch.no_grad()
def apart(a: nn.Module, b: nn.Module) -> float:
    """The largest difference of parameters, relative to the largest parameter.

    BatchNorm's statistics are left out: in the bare loop, as usual, D's update moves G's, too.
    """
    pairs = list(zip(a.parameters(), b.parameters(), strict=True))
    difference = max((p - q).abs().max().item() for p, q in pairs)
    return difference / max(p.abs().max().item() for p, _ in pairs)


def require_same(model: str, images: Images, iterations: int = 5) -> None:
    """Ends the program unless both loops do the same work."""
    theirs = bare(model, images, iterations, ours(), sgd)[1]
    mine = ganlab(model, images, iterations, sgd)[1]
    moved = apart(theirs, networks(model)[0])
    if not apart(theirs, mine) < 1e-5 < moved:
        raise SystemExit(f"{model}: not the same work: {apart(theirs, mine):.1e} of {moved:.1e}")


def main() -> None:
    options = {"models": "vanilla,dcgan", "iterations": "300", "repeats": "5", "threads": "1"}
    given = dict(word.partition("=")[::2] for word in sys.argv[1:])
    if given.keys() - options.keys():
        raise SystemExit(__doc__)
    options |= given
    iterations, repeats = int(options["iterations"]), int(options["repeats"])
    torch.set_num_threads(int(options["threads"]))
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="(pytorch_lightning|lightning_fabric)")
    print("| model | bare loop, iterations/s | ganlab, iterations/s | ratio | least - most |")
    print("|---|---|---|---|---|")
    for model in options["models"].split(","):
        images = Random(MODELS[model][0]).read()
        require_same(model, images)
        times = [
            (bare(model, images, iterations)[0], ganlab(model, images, iterations)[0])
            for _ in range(repeats)
        ]
        speeds = [iterations / statistics.median(column) for column in zip(*times, strict=True)]
        ratios = sorted(theirs / ours for theirs, ours in times)
        shown = f"{speeds[0]:.3g} | {speeds[1]:.3g} | {statistics.median(ratios):.2f}"
        print(f"| {model} | {shown} | {ratios[0]:.2f} - {ratios[-1]:.2f} |", flush=True)


if __name__ == "__main__":
    main()
