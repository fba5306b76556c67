"""Training by ganlab beside a bare PyTorch loop of the same maths, a tutorial's loop and Lightning.

    python benchmarks/training.py [models=vanilla,dcgan,sngan] [loops=a,b,c,d] [iterations=N]
        [repeats=5] [threads=1] [workers=0] [precision=32] [device=cpu] [batch=64] [images=60000]

(a) is a bare PyTorch loop as people write it: eager, Adam by its defaults, images indexed at
random; (b) a tutorial's, with torchvision's transforms and a DataLoader; (c) Lightning by its
documentation, with a DataLoader and a bar; (d) ganlab; (e), where it is named and there is a GPU,
(a) captured by hand as a CUDA graph, as (d) is.  `workers` read for (b) and (c).  With
precision=bf16 (d) trains in bf16-mixed; the others are always float32.  device=cuda waits for the
GPU whenever it reads the clock.  No loggers, pictures, averages or checkpoints in any.

First the same work is proven for (a) and (d), on the CPU: from the same weights, images and noise
both end with the same weights of both networks, in float64. Three things are no part of this. In
(a), as usual, D's updates move the running statistics of G's BatchNorm; training never reads them.
And in (a), as usual, G's update is one more power iteration of D's spectral norm after the 2 k of
D's own, which training does read: in the proof, and only there, it is left out. So is dropout:
where D judges each image by itself, (d) has it judge real and generated ones in one pass, which
draws the same masks in another order. (b) and (c) minimise the same losses with the same
optimizers, but judge G by noise that D has just seen.

Then each is timed, one after the other again and again, in this process: iterations per second are
the median over repeats, a ratio is the seconds of the first loop named over this one's, the median,
least and most over repeats; CPU seconds, workers' too, count where other programs use the machine.
"""

import functools
import statistics
import sys
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import _SpectralNorm

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))  # the checkout that this is part of

from ganlab.data.module import MinibatchOrder
from ganlab.experiments.session import quiet_lightning
from ganlab.training.streams import Stream, stream
from loops import GAMES, LOOPS, Game, Loop, Seconds, Work, bare, ganlab, noisy
from options import asked

OPTIONS = {
    "models": "vanilla,dcgan,sngan",
    "loops": "a,b,c,d",
    "iterations": "",  # the game's
    "repeats": "5",
    "threads": "1",
    "workers": "0",
    "precision": "32",
    "device": "cpu",
    "batch": "64",
    "images": "60000",  # as many as MNIST has: b and c pay for the start of every epoch
}
NAMES = {
    "a": "bare PyTorch",
    "b": "tutorial",
    "c": "Lightning's documentation",
    "d": "ganlab",
    "e": "bare PyTorch, captured",
}


@functools.cache
def order(n: int, k: int, batch: int) -> MinibatchOrder:
    return MinibatchOrder(n, (k, batch), seed=0)


def ours(work: Work, iteration: int) -> tuple[Iterable[Tensor], list[Tensor]]:
    """What ganlab draws."""
    n, k = len(work.images.labels), work.game.k
    noise = stream("cpu", 0, Stream.NOISE, iteration)
    shape = work.batch, work.game.z
    z = [torch.randn(shape, generator=noise, dtype=work.dtype) for _ in range(k + 1)]
    return order(n, k, work.batch)(iteration), z


def hold_for_g(d: nn.Module) -> None:
    """Lets D's power iterations stand still in G's update, which alone wants D's gradient there."""
    spectral = [module for module in d.modules() if isinstance(module, _SpectralNorm)]

    def hold(_: nn.Module, given: tuple[Tensor]) -> None:
        for module in spectral:
            module.train(not given[0].requires_grad)

    d.register_forward_pre_hook(hold)


twin = functools.partial(bare, draw=ours)  # the bare loop by ganlab's random numbers


def flat(network: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def apart(a: nn.Module, b: nn.Module) -> float:
    """The largest difference of parameters, relative to the largest parameter."""
    return ((flat(a) - flat(b)).abs().max() / flat(a).abs().max()).item()


def require_same(game: Game, loop: Loop = twin) -> None:
    """Ends the program unless the loop does the same work as ganlab."""
    # Not by Adam, whose first steps make much of rounding errors.
    sgd = functools.partial(torch.optim.SGD, lr=game.rate)
    work = Work(game, noisy(game, 100), iterations=3, batch=4, precision="64", rule=sgd)
    start, theirs, mine = (nn.ModuleList(work.networks()) for _ in range(3))
    hold_for_g(theirs[1])
    for module in (*theirs.modules(), *mine.modules()):
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    loop(work, *theirs)
    ganlab(work, *mine)
    for player, before, a, b in zip("GD", start, theirs, mine, strict=True):
        difference, moved = apart(a, b), apart(a, before)
        if not difference < 1e-6 * moved:
            raise SystemExit(f"{player}: not the same work: {difference:.1e} of {moved:.1e}")


def timed(work: Work, loops: list[str], repeats: int) -> dict[str, list[Seconds]]:
    """Interleaved, each from the same weights."""
    times: dict[str, list[Seconds]] = {name: [] for name in loops}
    for _ in range(repeats):
        for name, taken in times.items():
            taken.append(LOOPS[name](work, *work.networks()))
    return times


def ratios(first: list[Seconds], other: list[Seconds], clock: str) -> str:
    """Median and range, as two cells."""
    found = [getattr(a, clock) / getattr(b, clock) for a, b in zip(first, other, strict=True)]
    return f"{statistics.median(found):.2f} | {min(found):.2f} - {max(found):.2f}"


def report(model: str, iterations: int, times: dict[str, list[Seconds]]) -> None:
    """Prints a model's rows."""
    first = next(iter(times.values()))
    for name, taken in times.items():
        speed = iterations / statistics.median(seconds.wall for seconds in taken)
        cells = [model, f"({name}) {NAMES[name]}", f"{speed:.3g}"]
        cells += [ratios(first, taken, clock) for clock in Seconds._fields]
        print("| " + " | ".join(cells) + " |", flush=True)


def compare(options: dict[str, str]) -> None:
    """Prints one Markdown table."""
    loops = options["loops"].split(",")
    print("| model | loop | iterations/s | ratio | least - most | CPU ratio | least - most |")
    print("|---|---|---|---|---|---|---|")
    for model in options["models"].split(","):
        game = GAMES[model]
        require_same(game)
        work = Work(
            game,
            noisy(game, int(options["images"])),
            iterations=int(options["iterations"] or game.iterations),
            batch=int(options["batch"]),
            workers=int(options["workers"]),
            device=options["device"],
            precision=options["precision"],
        )
        report(model, work.iterations, timed(work, loops, int(options["repeats"])))


def main() -> None:
    options = asked(OPTIONS, __doc__)
    if "e" in options["loops"] and options["device"] != "cuda":
        raise SystemExit("loop e replays CUDA graphs: set device=cuda")
    torch.set_num_threads(int(options["threads"]))
    quiet_lightning()
    compare(options)


if __name__ == "__main__":
    main()
