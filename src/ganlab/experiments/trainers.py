"""The Trainer's options: which of them mean something here, and which strategy several devices use.

Lightning takes every option of its Trainer in silence, though a GAN's iteration has no validation
batches, no epochs and no sampler of its own.
"""

import inspect
import os
from collections.abc import Mapping
from typing import Any

import torch
from pytorch_lightning import Trainer

SCORES = "ganlab scores by itself; set metrics=... and metrics.every"
LENGTH = "a run has as many iterations as it is told; set iterations=..."
IGNORED = {  # option -> why it would do nothing, or harm, and what to set instead
    **dict.fromkeys(("min_epochs", "min_steps", "max_time"), LENGTH),
    **dict.fromkeys(("limit_train_batches", "overfit_batches"), LENGTH),
    "fast_dev_run": "it would end before the first checkpoint; set trainer=smoke",
    **dict.fromkeys(("limit_val_batches", "limit_test_batches", "limit_predict_batches"), SCORES),
    **dict.fromkeys(("val_check_interval", "check_val_every_n_epoch"), SCORES),
    **dict.fromkeys(("num_sanity_val_steps", "inference_mode"), SCORES),
    "log_every_n_steps": "set log_every=...",
    "default_root_dir": "set output_dir=...",
    "use_distributed_sampler": "minibatches are shared among devices without a sampler",
    "reload_dataloaders_every_n_epochs": "the data is read once",
    "barebones": "it switches off what writes the run's folder",
    "enable_autolog_hparams": "config.yaml is the record of the config",
    "model_registry": "checkpoints are files in the run's folder",
}
OURS = "ganlab.devices.distributed.SynchronousDDP"
PLAIN_DDP = ("ddp", "ddp_find_unused_parameters_true", "ddp_find_unused_parameters_false")
ONE_PROCESS = ("auto", None)
# Variables that Slurm, torchrun, LSF, and people who start each node by hand set.
LAUNCHED = ("SLURM_NTASKS", "TORCHELASTIC_RUN_ID", "LSB_JOBID", "NODE_RANK", "GROUP_RANK")


def problems(node: Mapping[str, Any]) -> list[str]:
    """A sentence for each option of the node `trainer` that would do nothing here, or cannot start.

    What is Lightning's own default is no mistake.
    """
    if not is_lightnings(node):
        return []
    usual = inspect.signature(Trainer).parameters
    found = [
        f"trainer.{name}: {why}"
        for name, why in IGNORED.items()
        if name in node and node[name] != usual[name].default
    ]
    strategy = node.get("strategy", "auto")
    if isinstance(strategy, str) and strategy not in (*PLAIN_DDP, *ONE_PROCESS):
        one = "a GAN trains on one device, or on several as one"
        found.append(f"trainer.strategy: {one}; set trainer=ddp, got '{strategy}'")
    nodes = node.get("num_nodes", 1)
    if nodes > 1 and not is_launched():
        needs = f"{nodes} nodes need a launcher that starts a process on each, such as Slurm"
        found.append(f"trainer.num_nodes: {needs} or torchrun")
    return found


def prepared(node: Mapping[str, Any]) -> dict[str, Any]:
    """The node `trainer` with ganlab's own strategy where several devices work together."""
    strategy = node.get("strategy", "auto")
    several = strategy in ONE_PROCESS and (devices(node) > 1 or node.get("num_nodes", 1) > 1)
    if is_lightnings(node) and (several or strategy in PLAIN_DDP):
        return {**node, "strategy": {"_target_": OURS}}
    return dict(node)


def devices(node: Mapping[str, Any]) -> int:
    """The number of devices that a node `trainer` asks for."""
    asked = node.get("devices", "auto")
    if isinstance(asked, list):
        return len(asked)
    if isinstance(asked, str) and "," in asked:
        return len([part for part in asked.split(",") if part.strip()])
    if asked not in ("auto", -1, "-1"):
        return int(asked) if str(asked).isdecimal() else 1  # Lightning says what it is
    on_gpus = node.get("accelerator", "auto") in ("auto", "gpu", "cuda")
    return torch.cuda.device_count() if on_gpus else 1


def is_lightnings(node: Mapping[str, Any]) -> bool:
    """Whether the node builds Lightning's own Trainer."""
    return node.get("_target_") in ("pytorch_lightning.Trainer", "lightning.pytorch.Trainer")


def is_launched() -> bool:
    """Whether somebody starts a process for each device of each node."""
    return any(name in os.environ for name in LAUNCHED)
