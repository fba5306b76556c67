"""Several small runs on one machine: one after another, processes at once, or stacked in one.

    python benchmarks/many.py [models=tiny,vanilla] [n=4] [at_once=2] [iterations=100] [repeats=3]
        [threads=1] [batch=64] [device=cpu]

`n` runs of ganlab that differ by their seeds train one after another in this process; then as many
in `at_once` processes, as `hydra/launcher=joblib hydra.launcher.n_jobs=2` starts them; then n
replicas of the networks stacked along a new first dimension, in a bare loop under torch.func.vmap:
the same maths, each replica by its own noise and its own minibatches.  The stacked loop has no
Lightning and writes nothing, so it is the most that stacking could bring.

Iterations per second are those of all runs together, in training: the processes have started and
imported before the clock does.  The tiny model is the vanilla one with hidden layers of 32.
"""

import contextlib
import functools
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.pool import Pool
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))  # the checkout that this is part of

from ganlab.data.images import normalised
from ganlab.experiments.session import quiet_lightning
from loops import GAMES, Work, ganlab, noisy
from options import asked

OPTIONS = {
    "models": "tiny,vanilla",
    "n": "4",
    "at_once": "2",
    "iterations": "100",
    "repeats": "3",
    "threads": "1",
    "batch": "64",
    "device": "cpu",
}
VANILLA = GAMES["vanilla"]
NARROW = {
    "generator": functools.partial(VANILLA.generator, hidden=(32, 32)),
    "discriminator": functools.partial(VANILLA.discriminator, hidden=(32, 32)),
}
MODELS = {"tiny": replace(VANILLA, **NARROW), "vanilla": VANILLA, "dcgan": GAMES["dcgan"]}
N = 10_000  # images in the data set

Players = tuple[dict[str, Tensor], dict[str, Tensor]]


def train(model: str, options: dict[str, str]) -> None:
    """One run of ganlab."""
    game = MODELS[model]
    sizes = {name: int(options[name]) for name in ("iterations", "batch")}
    work = Work(game, noisy(game, N), device=options["device"], **sizes)
    ganlab(work, *work.networks())


def in_turn(model: str, options: dict[str, str], _: Pool) -> None:
    for _ in range(int(options["n"])):
        train(model, options)


def at_once(model: str, options: dict[str, str], pool: Pool) -> None:
    n = int(options["n"])
    pool.starmap(train, [(model, options)] * n, chunksize=1)


def stacked(model: str, options: dict[str, str], _: Pool) -> None:
    """n replicas in one bare loop."""
    game, n, batch = MODELS[model], int(options["n"]), int(options["batch"])
    work = Work(game, noisy(game, N), int(options["iterations"]), batch, options["device"])
    real = normalised(work.images.images.to(work.device))
    replicas = [work.networks() for _ in range(n)]
    (g, d), players = replicas[0], [list(player) for player in zip(*replicas, strict=True)]
    g_weights, d_weights = (stack_module_state(player)[0] for player in players)
    g_optimizer, d_optimizer = (
        torch.optim.Adam(w.values(), lr=2e-4, betas=game.betas, fused=True)
        for w in (g_weights, d_weights)
    )
    update = functools.partial(vmap, randomness="different")
    of_d, of_g = (update(grad(loss)) for loss in losses(g, d, game.bare))
    for _ in range(work.iterations):
        chosen = torch.randint(N, (n, batch), device=work.device)
        noise = torch.randn(2, n, batch, game.z, device=work.device)
        step(d_optimizer, d_weights, of_d(d_weights, g_weights, real[chosen], noise[0]))
        step(g_optimizer, g_weights, of_g(g_weights, d_weights, noise[1]))


def losses(g: nn.Module, d: nn.Module, of: tuple[Callable, ...]) -> tuple[Callable, Callable]:
    """The players' losses as functions of their weights, first the one's that learns."""
    real_loss, fake_loss, g_loss = of

    def of_d(mine: dict[str, Tensor], theirs: dict[str, Tensor], x: Tensor, z: Tensor) -> Tensor:
        fake = functional_call(g, theirs, z).detach()
        on_real, on_fake = functional_call(d, mine, torch.cat([x, fake])).chunk(2)
        return real_loss(on_real) + fake_loss(on_fake)

    def of_g(mine: dict[str, Tensor], theirs: dict[str, Tensor], z: Tensor) -> Tensor:
        return g_loss(functional_call(d, theirs, functional_call(g, mine, z)))

    return of_d, of_g


@torch.no_grad()
def step(optimizer: torch.optim.Optimizer, weights: dict[str, Tensor], gradient: dict) -> None:
    for name, weight in weights.items():
        weight.grad = gradient[name]
    optimizer.step()


WAYS = {"one after another": in_turn, "processes at once": at_once, "stacked": stacked}


def compare(options: dict[str, str], pool: Pool) -> None:
    """Prints one Markdown table."""
    print("| model | runs | iterations/s | ratio | least - most |\n|---|---|---|---|---|")
    total = int(options["n"]) * int(options["iterations"])
    for model in options["models"].split(","):
        seconds: dict[str, list[float]] = {name: [] for name in WAYS}
        for _ in range(int(options["repeats"])):
            for name, way in WAYS.items():
                began = time.perf_counter()
                way(model, options, pool)
                seconds[name].append(time.perf_counter() - began)
        first = seconds["one after another"]
        for name, taken in seconds.items():
            ratios = [a / b for a, b in zip(first, taken, strict=True)]
            least, most, speed = min(ratios), max(ratios), total / statistics.median(taken)
            cells = f"{speed:.3g} | {statistics.median(ratios):.2f} | {least:.2f} - {most:.2f}"
            print(f"| {model} | {name} | {cells} |", flush=True)


@contextlib.contextmanager
def workers(n: int, threads: int, device: str = "cpu") -> Iterator[Pool]:
    """Processes that have imported everything and trained once."""
    way = multiprocessing.get_context("spawn")
    warm = OPTIONS | {"iterations": "1", "device": device}
    with way.Pool(n, quiet, (threads,)) as pool:
        pool.starmap(train, [("tiny", warm)] * n, chunksize=1)
        yield pool


def together(pool: Pool, model: str, n: int, iterations: int, device: str) -> float:
    """Iterations per second of n runs at once, all of them counted."""
    options = OPTIONS | {"n": str(n), "iterations": str(iterations), "device": device}
    began = time.perf_counter()
    at_once(model, options, pool)
    return n * iterations / (time.perf_counter() - began)


def quiet(threads: int) -> None:
    torch.set_num_threads(threads)
    quiet_lightning()


def main() -> None:
    options = asked(OPTIONS, __doc__)
    threads = int(options["threads"])
    quiet(threads)
    with workers(int(options["at_once"]), threads, options["device"]) as pool:
        compare(options, pool)


if __name__ == "__main__":
    main()
