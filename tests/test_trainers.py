"""The Trainer's options: several devices work together, and what would do nothing is refused."""

import pytest

from commands import completed, run_train, shell, smoke, summary
from ganlab.experiments import trainers
from ganlab.runs.folder import identity

LIGHTNINGS = {"_target_": "pytorch_lightning.Trainer"}


@pytest.mark.parametrize("name", trainers.IGNORED)
def test_an_option_without_an_effect_is_refused(name):
    other = {"fast_dev_run": True, "max_time": "00:00:10:00"}.get(name, 3)
    (said,) = trainers.problems({**LIGHTNINGS, name: other})
    assert said.startswith(f"trainer.{name}: ")


def test_the_command_refuses_it_before_any_work(tmp_path):
    outcome = run_train(*smoke(tmp_path, "trainer.fast_dev_run=true", "trainer.min_steps=3"))
    assert outcome.code == 2
    assert "trainer.fast_dev_run: it would end before the first checkpoint" in outcome.err
    assert "trainer.min_steps: a run has as many iterations as it is told" in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_lightnings_defaults_are_no_mistakes():
    assert trainers.problems({**LIGHTNINGS, "fast_dev_run": False, "max_time": None}) == []


@pytest.mark.parametrize(
    ("options", "ours"),
    [
        ({}, False),
        ({"devices": 1}, False),
        ({"devices": 2}, True),
        ({"devices": "2"}, True),
        ({"devices": [0, 1]}, True),
        ({"devices": "0,1"}, True),
        ({"devices": [0]}, False),
        ({"num_nodes": 2}, True),
        ({"strategy": "ddp"}, True),
        ({"strategy": "ddp_find_unused_parameters_true", "devices": 2}, True),
        ({"strategy": {"_target_": "a.Strategy"}, "devices": 2}, False),
        ({"_target_": "my.Trainer", "devices": 2}, False),
    ],
)
def test_several_devices_use_ganlabs_strategy(options, ours):
    node = trainers.prepared({**LIGHTNINGS, "accelerator": "cpu", **options})
    assert (node.get("strategy") == {"_target_": trainers.OURS}) == ours


@pytest.mark.parametrize("strategy", ["fsdp", "deepspeed", "ddp_spawn", "dp"])
def test_other_strategies_are_refused(strategy, tmp_path):
    outcome = run_train(*smoke(tmp_path, f"+trainer.strategy={strategy}"))
    assert outcome.code == 2
    assert f"set trainer=ddp, got '{strategy}'" in outcome.err


def test_two_nodes_need_a_launcher(monkeypatch):
    for name in trainers.LAUNCHED:
        monkeypatch.delenv(name, raising=False)
    node = {**LIGHTNINGS, "num_nodes": 2}
    assert "2 nodes need a launcher" in trainers.problems(node)[0]
    monkeypatch.setenv("NODE_RANK", "0")
    assert trainers.problems(node) == []


@pytest.mark.long
def test_two_devices_train_one_run(tmp_path):
    words = smoke(tmp_path, "trainer.devices=2", "model.discriminator.norm=layer")
    done = shell("-m", "ganlab.train", *words)
    assert done.returncode == 0, done.stderr
    assert "on 2 x cpu" in done.stdout
    (run,) = tmp_path.glob("*/*/summary.json")
    assert summary(run.parent)["status"] == "finished"


def test_a_precision_has_several_names():
    ids = {identity(completed(f"trainer.precision={p}")) for p in ("32", "32-true", "null")}
    assert ids == {identity(completed())}
    mixed = {identity(completed(f"trainer.precision={p}")) for p in ("bf16", "bf16-mixed")}
    assert len(mixed) == 1
    assert mixed != ids
