"""Iterations replayed as graphs beside Python's, for tests and benchmarks/gpu.py.

No GPU is needed: `tape` records every operation below autograd with the memory it reads and writes,
and computes them again in that memory, as a CUDA graph does.  What Python would decide at each
iteration, it repeats.
"""

import contextlib
import copy
import functools
from collections.abc import Iterator
from typing import NamedTuple

import torch
from pytorch_lightning import Callback
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from ganlab import conditioning, losses
from ganlab.augment import ADA, DiffAugment
from ganlab.conditioning import ACGAN, InfoGAN
from ganlab.devices.graphs import Captured, cuda_graph
from ganlab.gan import GAN
from ganlab.losses import BEGAN
from ganlab.networks import (
    AutoencoderDiscriminator,
    DCGANDiscriminator,
    DCGANGenerator,
    R3GANDiscriminator,
    R3GANGenerator,
    SalimansDiscriminator,
    VanillaDiscriminator,
    VanillaGenerator,
)
from ganlab.regularizers import R1, R2, GradientPenalty, LeCam, WeightClip
from ganlab.schedules import Cosine, Linear
from ganlab.training.updates import UpdateRule
from small import adam, fit, small_gan

SPEC = small_gan().spec


class Tape(TorchDispatchMode):
    """Notes operations as they are made."""

    def __init__(self):
        super().__init__()
        self.made = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if operation is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("operation not permitted when stream is capturing")
        # As they are now: operations in place may change shapes, too.
        given = aliases((args, kwargs or {}))
        result = operation(*args, **(kwargs or {}))
        self.made.append((operation, *given, aliases(result)))
        return result

    @torch.no_grad()
    def replay(self):
        for operation, args, kwargs, result in self.made:
            again = operation(*args, **kwargs)
            for old, new in zip(tree_leaves(result), tree_leaves(again), strict=True):
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)  # neither written in place nor a view


def aliases(found):
    """The same memory under tensors of their own."""
    return tree_map_only(torch.Tensor, torch.Tensor.detach, found)


def tape(work, noise):
    """`capture.cuda_graph` for the CPU."""
    recorder = Tape()
    with recorder:
        result = work()
    return result, recorder.replay


class Capturing(Callback):
    """Plays by graphs from the start, and keeps what was refused."""

    def __init__(self, record=tape):
        self.record, self.refused = record, []

    def on_train_start(self, trainer, gan):
        self.captured = Captured(gan, self.refused.append, self.record)

    def on_train_batch_start(self, trainer, gan, *_):
        gan.observations.norms = gan.iterations % 3 == 2


class Norms(Callback):
    def on_train_batch_start(self, trainer, gan, *_):
        gan.observations.norms = gan.iterations % 3 == 2


def told(kind):
    """G gets a code after its noise."""
    width = 8 + kind(SPEC).code_dim
    networks = {"generator": lambda: DCGANGenerator(SPEC, width, width=8)}
    return networks | {"conditioning": lambda: kind(SPEC)}


EACH = {
    "dcgan": {},
    "k=2": {"d_steps": 2},
    "vanilla with dropout": {
        "generator": lambda: VanillaGenerator(SPEC, 8, hidden=(16,)),
        "discriminator": lambda: VanillaDiscriminator(SPEC, hidden=(16,)),
    },
    "diffaugment": {"augment": DiffAugment},
    "ada": {"augment": lambda: ADA(images=200, target=0.0)},
    "spectral": {"discriminator": lambda: DCGANDiscriminator(SPEC, width=8, norm="spectral")},
    "schedule": {"g_rule": lambda: UpdateRule(adam(), Linear(start=0.1))},
    "clip": {"d_rule": lambda: UpdateRule(adam(), clip=0.01)},
    "averaged statistics": {"ema_statistics": "average"},
    "recomputed statistics": {"ema_statistics": "recompute"},
    "average of D": {"d_ema": 0.9},
    "fitted to data": {"discriminator": lambda: SalimansDiscriminator(SPEC, (16, 8))},
    "accumulate": {"d_rule": lambda: UpdateRule(adam(), accumulate=2)},
    "relativistic": {"loss": losses.Relativistic},
    "acgan": told(ACGAN),
    "infogan": told(InfoGAN),
    "wgan": {"loss": losses.Wasserstein, "regularizers": lambda: {"clip": WeightClip()}},
    "lazy r1 and lecam": {
        "discriminator": lambda: DCGANDiscriminator(SPEC, width=8, norm="none"),
        "regularizers": lambda: {"r1": R1(every=4), "lecam": LeCam()},
    },
    "r3gan": {
        "loss": losses.Relativistic,
        "generator": lambda: R3GANGenerator(SPEC, 8, width=8, bf16_stages=1),
        "discriminator": lambda: R3GANDiscriminator(SPEC, width=8, bf16_stages=1),
        "regularizers": lambda: {"r1": R1(Cosine(value=1.0, to=0.1)), "r2": R2(0.1)},
    },
    "wgan-gp": {
        "loss": losses.Wasserstein,
        "discriminator": lambda: DCGANDiscriminator(SPEC, width=8, norm="layer"),
        "regularizers": lambda: {"gp": GradientPenalty()},
    },
    "began": {
        "loss": BEGAN,
        "discriminator": lambda: AutoencoderDiscriminator(SPEC, width=4, code=8),
    },
}
RMSPROP = functools.partial(torch.optim.RMSprop, lr=2**-10)  # has no such form on a CPU
ON_CUDA = EACH | {"rmsprop": {"g_rule": lambda: UpdateRule(RMSPROP)}}


@contextlib.contextmanager
def one_hot_of_a_gpu() -> Iterator[None]:
    """There it does not look at the labels, whose range a CPU checks."""
    made = conditioning.one_hot
    conditioning.one_hot = lambda labels, n: (labels[..., None] == torch.arange(n)).long()
    try:
        yield
    finally:
        conditioning.one_hot = made


class Apart(NamedTuple):
    """Distances of all weights and running statistics, over how far training has moved them.

    eager: between two runs by Python; graph: between one of these and a run by graphs.
    """

    eager: float
    graph: float

    @property
    def is_close(self) -> bool:
        """In float64: whether the graphs do what Python does.

        Learning rates stand in float32 where graphs read them.  Two equal runs part ways on a GPU
        by sums in any order, which Adam makes much of where a gradient is near 0.
        """
        return self.graph <= 1e-6 + 100 * self.eager


def apart(options, device: str, precision: str = "64-true", iterations: int = 9) -> Apart:
    """Trains by Python twice and by graphs once, from the same weights.

    Raises:
        RuntimeError: an iteration could not be captured.
    """
    torch.manual_seed(1)
    made = {name: make() if callable(make) else make for name, make in options.items()}
    start = small_gan(iterations, ema=0.9, **made).to(torch.float64 if "64" in precision else None)
    capturing = Capturing(cuda_graph if device == "cuda" else tape)
    place = {"accelerator": "gpu" if device == "cuda" else "cpu", "precision": precision}

    def trained(*callbacks: Callback) -> GAN:
        gan = copy.deepcopy(start)
        fit(gan, callbacks=callbacks, **place)
        return gan

    one, other = trained(Norms()), trained(Norms())
    with one_hot_of_a_gpu() if device == "cpu" else contextlib.nullcontext():
        replayed = trained(capturing)
    if capturing.refused:
        raise RuntimeError(capturing.refused[0])
    moved = distance(one, start)
    return Apart(distance(one, other) / moved, distance(one, replayed) / moved)


def distance(a: GAN, b: GAN) -> float:
    """Euclidean, of all floating-point parameters and buffers as one vector, in float64."""
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    gaps = [(x.double().cpu() - y.double().cpu()).norm() for x, y in pairs if x.is_floating_point()]
    return torch.stack(gaps).norm().item()
