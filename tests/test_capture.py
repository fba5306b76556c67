"""Iterations replayed as a graph end where Python's end.

No GPU is needed: `tape` records every operation below autograd with the memory it reads and writes,
and computes them again in that memory, as a CUDA graph does.  What Python would decide anew, it
repeats: that is what the tests look for.
"""

import functools

import pytest
import torch
from pytorch_lightning import Callback
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from commands import run_train
from conftest import adam, fit, same, small_gan, weights
from ganlab import callbacks, capture, conditioning, losses
from ganlab.augment import DiffAugment, InstanceNoise
from ganlab.capture import Captured, cuda_graph, reason_in_parts
from ganlab.conditioning import ACGAN, InfoGAN
from ganlab.losses import BEGAN
from ganlab.networks import (
    AutoencoderDiscriminator,
    DCGANDiscriminator,
    DCGANGenerator,
    VanillaDiscriminator,
    VanillaGenerator,
)
from ganlab.optim import UpdateRule
from ganlab.regularizers import R1, GradientPenalty, LeCam, WeightClip
from ganlab.schedules import Linear

SPEC = small_gan().spec
TINY = ("data=digits", "trainer=smoke", "logger=csv")


class Tape(TorchDispatchMode):
    """Notes operations as they are made."""

    def __init__(self):
        super().__init__()
        self.made = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if operation is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("operation not permitted when stream is capturing")
        result = operation(*args, **(kwargs or {}))
        self.made.append((operation, args, kwargs or {}, result))
        return result

    @torch.no_grad()
    def replay(self):
        for operation, args, kwargs, result in self.made:
            again = operation(*args, **kwargs)
            for old, new in zip(tree_leaves(result), tree_leaves(again), strict=True):
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)  # neither written in place nor a view


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


def outcome(iterations=9, callbacks=(), **options):
    """A GAN after its training, and what it observed."""
    torch.manual_seed(1)
    made = {name: make() if callable(make) else make for name, make in options.items()}
    gan = small_gan(iterations, ema=0.9, **made)
    trainer = fit(gan, callbacks=callbacks)
    assert trainer.global_step == gan.iterations == iterations
    return gan


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
    "spectral": {"discriminator": lambda: DCGANDiscriminator(SPEC, width=8, norm="spectral")},
    "schedule": {"g_rule": lambda: UpdateRule(adam(), Linear(start=0.1))},
    "clip": {"d_rule": lambda: UpdateRule(adam(), clip=0.01)},
    "accumulate": {"d_rule": lambda: UpdateRule(adam(), accumulate=2)},
    "relativistic": {"loss": losses.Relativistic},
    "acgan": told(ACGAN),
    "infogan": told(InfoGAN),
    "wgan": {"loss": losses.Wasserstein, "regularizers": lambda: {"clip": WeightClip()}},
    "lazy r1 and lecam": {
        "discriminator": lambda: DCGANDiscriminator(SPEC, width=8, norm="none"),
        "regularizers": lambda: {"r1": R1(every=4), "lecam": LeCam()},
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


@pytest.fixture
def one_hot_of_a_gpu(monkeypatch):
    """There it does not look at the labels, whose range a CPU checks."""
    compare = lambda labels, n: (labels[..., None] == torch.arange(n)).long()
    monkeypatch.setattr(conditioning, "one_hot", compare)


@pytest.mark.usefixtures("one_hot_of_a_gpu")
@pytest.mark.parametrize("options", EACH.values(), ids=EACH)
def test_graphs_end_where_python_ends(options):
    """Weights, running statistics and observations."""
    capturing = Capturing()
    expected = outcome(callbacks=[Norms()], **options)
    got = outcome(callbacks=[capturing], **options)
    assert capturing.refused == []
    assert len(capturing.captured.graphs) >= 2, "with norms and without"
    mine, theirs = weights(got), weights(expected)
    for name, value in theirs.items():
        torch.testing.assert_close(mine[name], value, rtol=1e-5, atol=1e-6, msg=name)
    assert got.d_updates == expected.d_updates
    assert got.observations.read() == pytest.approx(expected.observations.read(), rel=1e-4)


def test_the_tape_repeats_what_python_decided():
    """So the tests can fail: what has no address of its own stays as it was."""
    x, rate = torch.zeros(()), {"now": 1.0}
    _, replay = tape(lambda: x.add_(rate["now"]), None)
    rate["now"] = 100.0
    replay()
    assert x == 2


def test_a_graph_that_computes_something_else_is_not_trusted():
    """Python goes on as if nothing had been tried."""

    def half(work, noise):
        result, replay = tape(work, noise)
        recorder = replay.__self__
        recorder.made = recorder.made[: len(recorder.made) // 2]
        return result, replay

    capturing = Capturing(half)
    got, expected = outcome(callbacks=[capturing]), outcome(callbacks=[Norms()])
    (reason,) = capturing.refused
    assert reason.startswith("the graph makes another update: ")
    assert same(weights(got), weights(expected))


def test_what_waits_for_the_device_cannot_be_captured():
    class Asking(losses.NonSaturating):
        def d_loss(self, real, fake):
            assert real.mean().item() < 1e9
            return super().d_loss(real, fake)

    capturing = Capturing()
    got, expected = outcome(loss=Asking, callbacks=[capturing]), outcome(callbacks=[Norms()])
    assert capturing.refused == ["operation not permitted when stream is capturing"]
    assert same(weights(got), weights(expected))
    assert isinstance(got.optimizer(0).param_groups[0]["lr"], float)


def test_too_many_forms_are_left_to_python(monkeypatch):
    monkeypatch.setattr(capture, "CASES", 1)
    capturing = Capturing()
    outcome(callbacks=[capturing])
    assert capturing.refused == ["iterations come in more than 1 forms"]


class Mine(losses.NonSaturating):
    pass


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, None),
        (
            {"g_rule": UpdateRule(functools.partial(torch.optim.SGD, lr=1.0))},
            "g_optimizer is none of",
        ),
        ({"augment": InstanceNoise()}, "augment: InstanceNoise changes as the run goes on"),
        ({"loss": Mine()}, "Mine is neither torch's nor ganlab's and may do anything"),
    ],
)
def test_reasons_in_the_parts(options, reason):
    found = reason_in_parts(small_gan(**options))
    assert found is None if reason is None else found.startswith(reason)


def test_graphs_that_must_be_are_refused_before_any_work(tmp_path):
    outcome = run_train(*TINY, "compile=graph", f"output_dir={tmp_path}/outputs")
    assert outcome.code == 2
    assert "compile=graph: there are no CUDA graphs on cpu" in outcome.err
    assert not list(tmp_path.rglob("metrics.csv"))


def test_a_checkpoint_is_the_same_with_graphs_and_without(tmp_path):
    """So that a run may go on elsewhere."""

    class Played(Capturing, callbacks.Capturing):
        def on_train_end(self, trainer, gan):
            trainer.save_checkpoint(tmp_path / "it.ckpt")

    outcome(callbacks=[Played()])
    saved = torch.load(tmp_path / "it.ckpt", weights_only=True)
    for optimizer in saved["optimizer_states"]:
        (group,) = optimizer["param_groups"]
        assert (group["lr"], group["capturable"]) == (pytest.approx(2e-4), False)


RMSPROP = functools.partial(torch.optim.RMSprop, lr=1e-3)  # has no such form on a CPU
ON_CUDA = EACH | {"rmsprop": {"g_rule": lambda: UpdateRule(RMSPROP)}}


@pytest.mark.cuda
@pytest.mark.parametrize("options", ON_CUDA.values(), ids=ON_CUDA)
def test_cuda_graphs_end_where_python_ends(options):
    gpu = {"accelerator": "gpu", "devices": 1}
    capturing = Capturing(cuda_graph)
    torch.manual_seed(1)
    make = lambda: small_gan(9, **{n: m() if callable(m) else m for n, m in options.items()})
    expected, got = make(), make()
    fit(expected, callbacks=[Norms()], **gpu)
    fit(got, callbacks=[capturing], **gpu)
    assert capturing.refused == []
    for name, value in weights(expected).items():
        torch.testing.assert_close(weights(got)[name], value, rtol=1e-2, atol=1e-3, msg=name)
