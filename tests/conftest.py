"""What every test may rely on: one thread, no account, no network, a small GAN."""

import collections
import os
import sys
import tempfile
from pathlib import Path

import pytest
import torch

from small import adam, fit, small_gan

os.environ.setdefault("WANDB_MODE", "offline")
os.environ["WANDB_ERROR_REPORTING"] = "false"
if "PYTEST_XDIST_WORKER" not in os.environ:  # the workers share what the first has set
    KEPT = tempfile.TemporaryDirectory(prefix="ganlab-tests-")
    os.environ["GANLAB_CACHE"] = KEPT.name
torch.set_num_threads(1)

__all__ = ["adam", "fit", "small_gan"]  # tests have them from here

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "benchmarks"))  # inception_weights.py, and what is tested there
SLOW = [  # the first two wait for minutes, the others start many runs or processes
    *("test_slurm.py", "test_soak.py", "test_sweeps.py", "test_resume.py", "test_wandb.py"),
    *("test_ddp.py", "test_dashboard.py", "test_package.py"),
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files are handed out in this order: the slow ones go first, then those of many tests."""
    tests = collections.Counter(item.path for item in items)
    rank = {name: place for place, name in enumerate(SLOW)}
    items.sort(key=lambda item: (rank.get(item.path.name, len(SLOW)), -tests[item.path]))


def weights(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A copy of all parameters and buffers."""
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


TIMED = {"seconds", "images_per_second"}  # what no two runs share


def differing(mine, theirs, where: str = "") -> list[str]:
    """Where two checkpoints, or parts of them, differ; tensors are compared bit for bit."""
    if isinstance(mine, dict) and isinstance(theirs, dict):
        keys = sorted((mine.keys() | theirs.keys()) - TIMED, key=str)
        pairs = {key: (mine.get(key), theirs.get(key)) for key in keys}
    elif isinstance(mine, list | tuple) and len(mine) == len(theirs):
        pairs = dict(enumerate(zip(mine, theirs, strict=True)))
    elif isinstance(mine, torch.Tensor):
        alike = isinstance(theirs, torch.Tensor) and mine.dtype == theirs.dtype
        return [] if alike and torch.equal(mine, theirs) else [where]
    else:
        return [] if mine == theirs else [where]
    return [name for key, pair in pairs.items() for name in differing(*pair, f"{where}/{key}")]


@pytest.fixture
def data_root() -> Path:
    """The folder with real data sets in torchvision's layout, where the machine has one."""
    root = os.environ.get("GANLAB_DATA_ROOT")
    if not root or not (Path(root) / "MNIST" / "raw").is_dir():
        pytest.skip("no real MNIST: GANLAB_DATA_ROOT names no folder with MNIST/raw")
    return Path(root)


@pytest.fixture(scope="module")
def server():
    """A stand-in for the W&B server, up until the clients of a module's tests have exited."""
    from wandb_server import Server

    try:
        made = Server()
    except OSError as error:
        pytest.skip(f"no port of 127.0.0.1 can be opened: {error}")
    with made:
        yield made
