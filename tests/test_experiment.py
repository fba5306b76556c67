"""A run's folder may come from a stranger: what its config names is built only if it is known."""

import sys

import pytest

import ganlab
from commands import completed, run_sample, run_train, runs_in
from ganlab.errors import ConfigError
from ganlab.experiments.restore import require_known

POPEN = "torch.distributed.elastic.multiprocessing.subprocess_handler.SubprocessHandler"
HOSTILE = {
    "a function": ({"_target_": "os.system"}, "os.system"),
    "a function of torch": ({"_target_": "torch.load"}, "torch.load"),
    "a class of torch that starts processes": ({"_target_": POPEN}, POPEN),
    "another's class by ganlab's name": (
        {"_target_": "ganlab.runs.folder.Path"},
        "ganlab.runs.folder.Path",
    ),
    "a list": ({"a": [3, {"_target_": "os.system"}]}, "os.system"),
    "a list in a list": ({"a": [[{"_target_": "os.system"}]]}, "os.system"),
    "positional arguments": (
        {"_target_": "ganlab.losses.Hinge", "_args_": [{"_target_": "my_nets.Linear"}]},
        "my_nets.Linear",
    ),
    "an interpolation that makes a target": (
        {"a": "${oc.create:{_target_: os.system}}"},
        "${oc.create:{_target_: os.system}}",
    ),
    "an interpolation that reads a secret": (
        {"a": ["${oc.env:WANDB_API_KEY}"]},
        "${oc.env:WANDB_API_KEY}",
    ),
}


@pytest.mark.parametrize("where", HOSTILE)
def test_what_is_not_known_is_refused_wherever_it_stands(where):
    node, name = HOSTILE[where]
    for config in ({"loss": node}, {"model": {"generator": {"hidden": node}}}):
        with pytest.raises(ConfigError) as caught:
            require_known(config)
        sentence = f"the run's config names {name}; set trust=true if you trust the folder"
        assert caught.value.problems == [sentence]


def test_everything_that_is_not_known_is_named_at_once():
    config = {"loss": {"_target_": "os.system"}, "latent": {"_target_": "my_latents.Mine"}}
    with pytest.raises(ConfigError, match=r"names os\.system, my_latents\.Mine; set trust"):
        require_known(config)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["model=vanilla", "loss=hinge", "latent=uniform", "regularizer=[r1,weight_clip]"],
        ["optim@g_optimizer=sgd", "optim@d_optimizer=rmsprop", "schedule@g_schedule=cosine"],
        ["trainer=ddp", "logger=[csv,tensorboard,wandb]", "data=folder", "data.root=my/pictures"],
    ],
    ids=["default", "vanilla", "optimizers", "ddp"],
)
def test_what_ganlab_ships_is_known(overrides):
    require_known(completed(*overrides))


MY_NETS = """
from torch import nn


class Linear(nn.Module):
    def __init__(self, spec, bias: bool = True) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(spec.channels * spec.size**2, 1, bias))

    def forward(self, x):
        return self.layers(x).flatten()
"""


def test_a_run_with_a_network_of_the_users_own_is_loaded_where_it_is_trusted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")  # as `python -m` does
    (tmp_path / "my_nets.py").write_text(MY_NETS)
    mine = ["model.discriminator._target_=my_nets.Linear", "model.discriminator.bias=false"]
    mine += ["~model.discriminator.width", "~model.discriminator.norm"]
    try:
        outcome = run_train("trainer=smoke", "logger=csv", "model.generator.width=8", *mine)
        assert (outcome.code, outcome.err) == (0, "")
        (run,) = runs_in(tmp_path / "outputs")
        refusal = "the run's config names my_nets.Linear; set trust=true if you trust the folder"
        with pytest.raises(ConfigError) as caught:
            ganlab.load(run)
        assert caught.value.problems == [refusal]
        refused = f"ganlab: 1 mistake, nothing was started\n  {refusal}\n"
        assert run_sample(f"run={run}", "n=1") == (2, "", refused)
        assert ganlab.load(run, trust=True).sample(2, seed=0).shape == (2, 1, 16, 16)
        assert run_sample(f"run={run}", "n=1", "trust=true").code == 0
    finally:
        sys.modules.pop("my_nets", None)
