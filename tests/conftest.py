"""What every test may rely on: one thread, no GPU, no account, no network, a small GAN."""

import collections
import gc
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import settings

from browsers import chromium, firefox, opened
from ganlab.plots import figures
from small import adam, fit, small_gan

os.environ.setdefault("WANDB_MODE", "offline")
os.environ["WANDB_ERROR_REPORTING"] = "false"
if "PYTEST_XDIST_WORKER" not in os.environ:  # the workers share what the first has set
    KEPT = tempfile.TemporaryDirectory(prefix="ganlab-tests-")
    os.environ["GANLAB_CACHE"] = KEPT.name
torch.set_num_threads(1)
settings.register_profile("random", deadline=None)
settings.register_profile("same", settings.get_profile("random"), derandomize=True, database=None)
settings.load_profile("random" if "GANLAB_CASES" in os.environ else "same")

__all__ = ["adam", "chromium", "firefox", "fit", "opened", "small_gan"]  # tests have them from here

ROOT = Path(__file__).parents[1]
NO_GPU = {"CUDA_VISIBLE_DEVICES": "", "DISABLE_MPS": "1"}  # as torch and Lightning read it
sys.path.append(str(ROOT / "benchmarks"))  # inception_weights.py, and what is tested there
SLOW = [  # the first two wait for minutes, the others start many runs or processes
    *("test_slurm.py", "test_soak.py", "test_sweeps.py", "test_resume.py", "test_wandb.py"),
    *("test_wandb_account.py", "test_ddp.py", "test_dashboard.py", "test_package.py"),
    "test_docs_site.py",
]


def pytest_configure(config: pytest.Config) -> None:
    """Tests and all processes that they start see the CPU alone, except by `pytest -m cuda`.

    So `trainer=auto` is the same everywhere, and so are the results.  Nothing before this asks
    torch for a GPU, and torch looks when it is asked.
    """
    if config.option.markexpr != "cuda":
        os.environ.update(NO_GPU)
        sys.addaudithook(require_no_gpu)


def require_no_gpu(event: str, args: tuple) -> None:
    """Raises RuntimeError if a process would be started that sees a GPU."""
    if event == "subprocess.Popen":
        _, words, _, environment = args
        if environment is not None and not NO_GPU.items() <= environment.items():
            raise RuntimeError(f"{words} would see a GPU: begin its environment with os.environ")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("cuda") and not torch.cuda.is_available():
        pytest.skip("needs a CUDA GPU, which `pytest -m cuda` shows to the tests")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files are handed out in this order: the slow ones go first, then those of many tests.

    Tests that take five seconds and more are for `make check`.
    """
    tests = collections.Counter(item.path for item in items)
    rank = {name: place for place, name in enumerate(SLOW)}
    items.sort(key=lambda item: (rank.get(item.path.name, len(SLOW)), -tests[item.path]))
    if "GANLAB_LONG" not in os.environ:
        skipped = pytest.mark.skip(reason="takes long: GANLAB_LONG=1 make test")
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(skipped)


def pytest_collection_finish() -> None:
    gc.freeze()  # each job of a sweep collects garbage: it need not look through all of torch


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


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    """What takes most of the time of so short runs; who tests just that overrides this fixture.

    curves.png is a white page, and classifiers are trained for 20 updates in place of 500.
    """

    def white(figure) -> np.ndarray:
        width, height = figure.canvas.get_width_height()
        return np.full((height, width, 3), 255, np.uint8)

    drawn = SimpleNamespace(read=figures.read, curves=figures.curves, to_pixels=white)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ganlab.callbacks.curves.figures", drawn)
        patch.setattr("ganlab.metrics.classifier.USUAL", dict.fromkeys((True, False), (20, 16)))
        yield


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
