"""Iterations replayed as a graph end where Python's end.

No GPU is needed: see graphs.py.
"""

import functools

import pytest
import torch

from commands import run_train
from conftest import fit, same, small_gan, weights
from ganlab import callbacks, losses
from ganlab.augment import InstanceNoise
from ganlab.devices import graphs
from ganlab.devices.graphs import reason_in_parts
from ganlab.regularizers import FeatureMatching, LeCam
from ganlab.schedules import Cosine
from ganlab.training.updates import UpdateRule
from graphs import EACH, ON_CUDA, Capturing, Norms, apart, one_hot_of_a_gpu, tape

TINY = ("data=digits", "trainer=smoke", "logger=csv")


def outcome(iterations=9, callbacks=(), **options):
    """A GAN after its training, and what it observed."""
    torch.manual_seed(1)
    made = {name: make() if callable(make) else make for name, make in options.items()}
    gan = small_gan(iterations, ema=0.9, **made)
    trainer = fit(gan, callbacks=callbacks)
    assert trainer.global_step == gan.iterations == iterations
    return gan


@pytest.mark.long
@pytest.mark.parametrize("options", EACH.values(), ids=EACH)
def test_graphs_end_where_python_ends(options):
    """Weights, running statistics and observations."""
    capturing = Capturing()
    expected = outcome(callbacks=[Norms()], **options)
    with one_hot_of_a_gpu():
        got = outcome(callbacks=[capturing], **options)
    assert capturing.refused == []
    assert len(capturing.captured.graphs) >= 2, "with norms and without"
    mine, theirs = weights(got), weights(expected)
    for name, value in theirs.items():
        torch.testing.assert_close(mine[name], value, rtol=1e-5, atol=1e-6, msg=name)
    assert got.updates["d"] == expected.updates["d"]
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
    assert reason.startswith("the graph's update differs by ")
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
    assert isinstance(got.optimizer("g").param_groups[0]["lr"], float)


def test_too_many_forms_are_left_to_python(monkeypatch):
    monkeypatch.setattr(graphs, "CASES", 1)
    capturing = Capturing()
    outcome(callbacks=[capturing])
    assert capturing.refused == ["iterations have more than 1 different control flows"]


class Mine(losses.NonSaturating):
    pass


class LazyLeCam(LeCam):
    def __init__(self, every):
        super().__init__()
        self.every = every


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, None),
        (
            {"g_rule": UpdateRule(functools.partial(torch.optim.SGD, lr=1.0))},
            "g_optimizer is not one",
        ),
        ({"augment": InstanceNoise()}, None),
        (
            {"d_rule": UpdateRule(functools.partial(torch.optim.Adam, betas=[0, Cosine()]))},
            "d_optimizer.betas has a schedule",
        ),
        ({"loss": Mine()}, "Mine is not from torch or ganlab and may not be capturable"),
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


def test_only_lazy_terms_that_a_player_has_make_more_forms():
    """Five updates of D with a penalty in every 16th come in 6 forms; G has no such term."""
    gan = small_gan(d_steps=5, regularizers={"lecam": LazyLeCam(every=16)})
    forms = set()
    for iteration in range(96):
        gan.updates = {"g": iteration, "d": 5 * iteration}
        forms.add(gan.control_flow())
    assert len(forms) == 6 <= graphs.CASES
    matched = small_gan(regularizers={"match": FeatureMatching()})
    assert matched.control_flow() == (False, True)


@pytest.mark.cuda
@pytest.mark.parametrize("options", ON_CUDA.values(), ids=ON_CUDA)
def test_cuda_graphs_end_where_python_ends(options):
    """As near as Python ends to itself."""
    found = apart(options, "cuda")
    assert found.is_close, found


@pytest.mark.parametrize("name", ["dcgan", "schedule", "acgan"])
def test_the_comparison_on_cuda_can_be_made(name):
    found = apart(EACH[name], "cpu")
    assert found.is_close
    assert found.eager == 0


def test_a_graph_whose_rates_stand_still_is_far_from_python(monkeypatch):
    """Its first iteration is right."""
    move = UpdateRule.begin

    def stuck(rule, optimizer, *progress):
        if not isinstance(optimizer.param_groups[0]["lr"], torch.Tensor):
            move(rule, optimizer, *progress)

    monkeypatch.setattr(UpdateRule, "begin", stuck)
    assert not apart(EACH["schedule"], "cpu").is_close
