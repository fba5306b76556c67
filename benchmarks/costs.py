"""What training costs: FLOPs of the recipes for images, and minutes on an H100.

    python benchmarks/costs.py [recipes=sngan,biggan,...] [tflops=150] [overrides=key=value,...]

A recipe is a name of conf/experiment, and "default" the run without any.  It is counted on the meta
device, by the formulas of torch's FlopCounterMode: nothing is computed, no data is read.  One
iteration of each control flow is counted as the GAN plays it, with penalties and their second
derivatives, and lazy terms are averaged over their interval.  A multiplication and an addition are
two FLOPs; only convolutions and products of matrices count.

    FLOPs an image   of an iteration, by the real images that D sees in it
    FLOPs            of the whole recipe; of one that the clock ends, in its minutes
    minutes          of the whole recipe at the rate `tflops`: 10^12 FLOPs a second that are
                     reached.  No rate has been measured on an H100 for networks of this size.  By
                     default it is assumed to be 15% of the dense peak: 148 where most is in bf16
                     (of 989) and 74 else (of 494 in TF32).
"""

import contextlib
import math
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))  # the checkout that this is part of

from ganlab.commands.composition import Composer, without_hydra
from ganlab.commands.preflight import checked
from ganlab.experiments.experiment import Experiment
from ganlab.gan import GAN
from ganlab.training.batch import Batch
from options import asked

RECIPES = (
    "dcgan,wgan_gp,sngan,sngan_projection,sagan,biggan,biggan_diffaug,"
    "stylegan2_f,stylegan2_ada,r3gan,speedrun"
)
OPTIONS = {"recipes": RECIPES, "tflops": "", "overrides": ""}
PEAK = {"bf16": 989.0, "tf32": 494.0}  # 10^12 FLOPs a second, dense, of an H100 SXM
SHARE = 0.15  # of the peak; an assumption


def gradients_of_convolution(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    _bias: Any,
    _stride: Any,
    _padding: Any,
    _dilation: Any,
    transposed: bool,
    _output_padding: Any,
    _groups: int,
    wanted: list[bool],
) -> int:
    """FLOPs of a convolution's gradients: each costs what the convolution does.

    torch's own formula counts that of a grouped one's weight as if it had no groups.
    """
    places = (x if transposed else grad).shape[2:]
    return sum(wanted[:2]) * 2 * len(grad) * math.prod(places) * weight.numel()


class Flops(TorchDispatchMode):
    """Sums the FLOPs of all operators; FlopCounterMode itself fails at gradients of gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        made, operator = func(*args, **(kwargs or {})), func._overloadpacket
        if operator is torch.ops.aten.convolution_backward:
            self.total += gradients_of_convolution(*args)
        elif operator in flop_registry:
            self.total += flop_registry[operator](*args, **(kwargs or {}), out_val=made)
        return made


def flops(gan: GAN, m: int) -> float:
    """FLOPs of a mean iteration on minibatches of m images; the GAN is on the meta device."""
    with torch.device("meta"), mock.patch("torch.autocast", no_autocast):
        return mean_of_cases(gan, m)


def mean_of_cases(gan: GAN, m: int) -> float:
    """FLOPs of an iteration in the mean over its control flows."""
    images = torch.empty(gan.minibatches, m, *gan.spec.shape)
    batch = Batch(images, torch.zeros(gan.minibatches, m, dtype=torch.long))
    without_trainer(gan)
    every = [regularizer.every for regularizer in gan.regularizers.values()]
    period, seen, cost = math.lcm(*every), Counter[tuple[bool, ...]](), {}
    for _ in range(period):
        case = gan.control_flow()
        seen[case] += 1
        if case in cost:
            gan.updates = {"d": gan.updates["d"] + gan.d_steps, "g": gan.updates["g"] + 1}
            continue
        with Flops() as counter:
            gan.play(batch)
        cost[case] = counter.total
    return sum(cost[case] * n for case, n in seen.items()) / period


def no_autocast(*_: Any, **__: Any) -> contextlib.AbstractContextManager[None]:
    """In place of torch's, which has none for the meta device."""
    return contextlib.nullcontext()


def without_trainer(gan: GAN) -> None:
    """Makes the GAN play without a Trainer: nothing is drawn and no weight moves."""
    optimizers = {name: p.rule.build(p.parameters, fused=False) for name, p in gan.players.items()}
    width = gan.latent.dim + gan.conditioning.code_dim

    def update(player: str, *, extrapolate: bool = False) -> None:
        gan.updates[player] += not extrapolate

    replaced = {
        "optimizer": optimizers.__getitem__,
        "update": update,
        "manual_backward": Tensor.backward,
        "latents": lambda labels: torch.empty(len(labels), width),
        "begin_iteration": lambda: None,
        "average": lambda: None,
    }
    for name, method in replaced.items():
        setattr(gan, name, method)


def in_bf16(experiment: Experiment) -> bool:
    """Whether most of a recipe's FLOPs are in bfloat16: by the trainer, or by its networks."""
    networks = (experiment.model["generator"], experiment.model["discriminator"])
    return experiment.trainer.get("precision") == "bf16-mixed" or all(
        network.get("bf16_stages", 0) for network in networks
    )


def cost_of(recipe: str, overrides: list[str], tflops: float | None) -> list[str]:
    """The row of a recipe."""
    chosen = [] if recipe == "default" else [f"experiment={recipe}"]
    cfg, mistakes = Composer().compose([*chosen, *overrides])
    if mistakes:
        raise SystemExit("\n".join(mistakes))
    experiment = Experiment(**checked(without_hydra(cfg)))
    with torch.device("meta"):
        gan = experiment.build()
    iteration = flops(gan, experiment.batch_size)
    images = experiment.d_steps * experiment.batch_size
    rate = 1e12 * (tflops or SHARE * PEAK["bf16" if in_bf16(experiment) else "tf32"])
    seconds = iteration * experiment.iterations / rate
    if experiment.minutes is not None:
        seconds = 60 * experiment.minutes
    sizes = [sum(w.numel() for w in player.parameters) / 1e6 for player in gan.players.values()]
    return [
        recipe,
        *(f"{size:.2f}M" for size in sizes),
        f"{iteration / images / 1e9:.2f}G",
        f"{seconds * rate / iteration * images / 1e6:,.2f}M",
        f"{seconds * rate / 1e15:,.1f}P",
        f"{rate / 1e12:.0f}",
        f"{seconds / 60:,.1f}",
    ]


def main() -> None:
    chosen = asked(OPTIONS, __doc__)
    tflops = float(chosen["tflops"]) if chosen["tflops"] else None
    overrides = [word for word in chosen["overrides"].split(",") if word]
    heads = ["recipe", "G", "D", "FLOPs an image", "images", "FLOPs", "TFLOPs/s", "minutes"]
    rule = ["---"] + ["---:"] * (len(heads) - 1)
    for row in (heads, rule):
        print(f"| {' | '.join(row)} |")
    for recipe in chosen["recipes"].split(","):
        print(f"| {' | '.join(cost_of(recipe, overrides, tflops))} |", flush=True)
    said = "as given" if tflops else f"assumed, {SHARE:.0%} of the peak, never measured"
    print(f"\nThe rate is {said}; minutes and images of a speedrun follow from it.")


if __name__ == "__main__":
    main()
