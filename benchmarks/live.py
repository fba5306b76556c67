"""The live laboratory's speed: iterations and frames, beside the same training without them.

    python benchmarks/live.py [iterations=200] [repeats=5] [fps=10] [layers=real,...] [setup=QUERY]

Three ways to do the same iterations take turns, on one thread:

    bare    torch alone: the same networks, optimizer and minibatches in a loop of a dozen lines
    play    the GAN's iteration as `ganlab train` does it, without its loop
    live    LiveTraining: with readings, verdicts and history

and then the frames of `layers`, as a page asks for them.  All times are the process's own, without
waiting for a core, the median over the repeats.  The second table is what one core does in a second
in which it draws `fps` frames.
"""

import functools
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import softplus

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))  # the checkout that this is part of

from ganlab.lab.live import Layers, LiveTraining, Setup
from ganlab.lab.live.stage import Stage
from options import asked

OPTIONS = {
    "iterations": "200",
    "repeats": "5",
    "fps": "10",
    "layers": "real,generated,heat,optimal,gradients",
    "setup": "",
}


Way = Callable[[], object]  # does one iteration, or one frame


def main() -> None:
    options = asked(OPTIONS, __doc__)
    n, repeats, fps = (int(options[name]) for name in ("iterations", "repeats", "fps"))
    torch.set_num_threads(1)
    setup = Setup.from_query(options["setup"])
    training = LiveTraining(setup)
    frame = functools.partial(Layers(training).frame, options["layers"].split(","))
    ways = {
        "bare": bare(Stage.of(setup)),
        "play": played(Stage.of(setup)),
        "live": functools.partial(training.iterate, 1),
        "frame": frame,
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():  # the first ones allocate
        timed(way, 20)
    for _ in range(repeats):
        for name, way in ways.items():
            found[name].append(timed(way, n if name != "frame" else max(1, n // 10)))
    cost = {name: statistics.median(times) for name, times in found.items()}
    print("| | CPU ms | times bare |")
    print("|---|---|---|")
    for name, milliseconds in cost.items():
        print(f"| {name} | {milliseconds:.2f} | {milliseconds / cost['bare']:.2f} |")
    rate = (1000 - fps * cost["frame"]) / cost["live"]
    print("\n| a second of one core | iterations | frames |")
    print("|---|---|---|")
    print(f"| live | {rate:.0f} | {fps} |")


def timed(way: Way, n: int) -> float:
    """CPU milliseconds of one, over n of them."""
    before = time.process_time()
    for _ in range(n):
        way()
    return 1000 * (time.process_time() - before) / n


def bare(stage: Stage) -> Way:
    """As a tutorial writes it: the non-saturating loss, whatever the setup's."""
    g, d = (plain(network) for network in (stage.gan.generator, stage.gan.discriminator))
    rates = [optimizer.param_groups[0]["lr"] for optimizer in stage.optimizers]
    g_optimizer, d_optimizer = (
        torch.optim.Adam(network.parameters(), rate, (0.0, 0.999), fused=True)
        for network, rate in zip((g, d), rates, strict=True)
    )
    points, m, dim = stage.points, stage.data.batch_size, stage.gan.latent.dim

    def iteration() -> None:
        for _ in range(stage.gan.d_steps):
            real = points[torch.randint(len(points), (m,))]
            with torch.no_grad():
                fake = g(torch.randn(m, dim))
            of_real, of_fake = d(torch.cat([real, fake])).chunk(2)
            d_optimizer.zero_grad()
            (softplus(-of_real).mean() + softplus(of_fake).mean()).backward()
            d_optimizer.step()
        g_optimizer.zero_grad()
        softplus(-d(g(torch.randn(m, dim)))).mean().backward()
        g_optimizer.step()

    return iteration


def plain(network: nn.Module) -> nn.Sequential:
    """New layers as the network has them, without ganlab's classes around them."""
    known = (nn.Linear, nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.ELU, nn.Softplus)
    return nn.Sequential(*(module for module in network.modules() if isinstance(module, known)))


def played(stage: Stage) -> Way:
    """The GAN's own iteration; its readings are read now and then, so that they do not grow."""

    def iteration() -> None:
        stage.gan.training_step(stage.batch(stage.order, stage.gan.iterations), 0)
        if stage.gan.iterations % 50 == 0:
            stage.gan.observations.read()

    return iteration


if __name__ == "__main__":
    main()
