"""Who may import whom: the science knows nothing of Lightning, Hydra, W&B or the disk."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ganlab

SOURCE = Path(ganlab.__file__).parent
# A module imports its own layer and those before it, and the libraries of all these layers.
LAYERS = (
    ({"errors", "spec", "schedules", "files", "published", "threads"}, set()),
    (
        {"losses", "regularizers", "conditioning", "augment", "critique", "combinations"}
        | {"distributions", "theory"}
        | {"latent", "ema", "observations", "optim", "batch", "pictures", "networks", "metrics"}
        | {"checkpoint", "background", "game_optimizers", "breakdown", "diagnostics", "health"}
        | {"decoding"},
        {"torch", "torchvision", "numpy", "PIL"},
    ),
    (
        {"gan", "capture", "distributed", "data", "cache", "progress"},
        {"pytorch_lightning", "lightning_fabric", "sklearn", "filelock", "tqdm"},
    ),
    (
        {
            "config",
            "environment",
            "runs",
            "loggers",
            "figures",
            "callbacks",
            "experiment",
            "session",
        }
        | {"signatures", "settings"}
        | {"weights", "scoring", "jobs", "study", "results", "charts", "dashboard"},
        {"hydra", "omegaconf", "pydantic", "yaml", "matplotlib"} | {"wandb", "wandb_workspaces"},
    ),
    (
        {"cli", "composer", "preflight", "train", "sweep", "sample", "evaluate", "wandb"}
        | {"fetch_weights", "sampling", "rescoring", "lab", "__main__", "__init__"},
        set(),
    ),
)
# They meet only through the spec and the Batch.
APART = {"gan": {"data"}, "capture": {"data"}, "distributed": {"data"}} | {
    "data": {"gan", "capture", "distributed"}
}
ONLY_IN = {
    "wandb": {"loggers", "dashboard"},
    "wandb_workspaces": {"dashboard"},  # an extra
    "matplotlib": {"figures", "charts", "lab"},
    "hydra._internal": {"composer"},
}
LAZY = {"wandb", "wandb_workspaces", "matplotlib"}  # slow to import


def modules() -> dict[str, Path]:
    """Dotted name below ganlab -> file."""
    names = {}
    for file in sorted(SOURCE.rglob("*.py")):
        parts = file.relative_to(SOURCE).with_suffix("").parts
        names[".".join(parts).removesuffix(".__init__")] = file
    return names


def imported(tree: ast.AST) -> Iterator[tuple[ast.stmt, str]]:
    """(statement, dotted name) of each import, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports hide the layer"
            yield from ((node, f"{node.module}.{alias.name}") for alias in node.names)


def layer_of(part: str) -> int:
    (found,) = (i for i, (parts, _) in enumerate(LAYERS) if part in parts)
    return found


def forbidden(module: str, source: str) -> list[str]:
    """What a module imports that it must not."""
    tree, part = ast.parse(source), module.partition(".")[0]
    layer, found = layer_of(part), []
    own = set().union(*(parts for parts, _ in LAYERS[: layer + 1])) - APART.get(part, set())
    libraries = set().union(*(names for _, names in LAYERS[: layer + 1]))
    for statement, name in imported(tree):
        top, _, rest = name.partition(".")
        inner = rest.partition(".")[0]
        if top == "ganlab":
            inner = inner if (SOURCE / f"{inner}.py").exists() or (SOURCE / inner).is_dir() else ""
            wrong = (inner or "__init__") not in own
        else:
            wrong = top not in libraries | sys.stdlib_module_names
        wrong |= any(name.startswith(a) and part not in b for a, b in ONLY_IN.items())
        wrong |= top in LAZY and not is_lazy(tree, statement)
        found += [name] if wrong else []
    return found


def is_lazy(tree: ast.Module, statement: ast.stmt) -> bool:
    """Whether an import runs only when something is called."""
    functions = (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    for_types = (
        n for n in tree.body if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.dump(n.test)
    )
    return any(statement in ast.walk(node) for node in [*functions, *for_types])


@pytest.mark.parametrize("module", modules())
def test_each_module_imports_only_its_own_layer_and_those_below(module):
    assert forbidden(module, modules()[module].read_text()) == []


@pytest.mark.parametrize(
    ("module", "source", "name"),
    [
        ("spec", "import torch", "torch"),
        ("losses", "from pytorch_lightning import Callback", "pytorch_lightning.Callback"),
        ("networks.dcgan", "def f():\n    import hydra", "hydra"),
        ("networks.dcgan", "from ganlab.gan import GAN", "ganlab.gan.GAN"),
        ("optim", "from ganlab import load", "ganlab.load"),
        ("optim", "from ganlab import config", "ganlab.config"),
        ("gan", "from ganlab.data.images import Images", "ganlab.data.images.Images"),
        ("data.module", "from ganlab.gan import GAN", "ganlab.gan.GAN"),
        ("data", "import wandb", "wandb"),
        ("runs", "import wandb.sdk", "wandb.sdk"),
        ("loggers", "import wandb", "wandb"),
        ("figures", "import matplotlib.figure", "matplotlib.figure"),
        ("callbacks.curves", "def f():\n    import matplotlib", "matplotlib"),
        ("callbacks.samples", "def f():\n    import wandb", "wandb"),
        ("wandb", "def f():\n    import wandb", "wandb"),
        ("dashboard", "import wandb_workspaces", "wandb_workspaces"),
        ("loggers", "def f():\n    import wandb_workspaces", "wandb_workspaces"),
        ("experiment", "from ganlab.cli import main", "ganlab.cli.main"),
        ("experiment", "from hydra._internal import utils", "hydra._internal.utils"),
        ("train", "import pandas", "pandas"),
    ],
)
def test_the_check_sees_an_import_that_is_forbidden(module, source, name):
    assert forbidden(module, source) == [name]


def test_the_check_lets_pass_what_is_allowed():
    lazy = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import wandb\n"
    assert forbidden("loggers", f"{lazy}def f():\n    import wandb\n") == []
    assert forbidden("gan", "import torch\nfrom ganlab.batch import Batch\n") == []


def test_every_module_has_a_layer():
    parts = {name.partition(".")[0] for name in modules()}
    assert parts == set().union(*(names for names, _ in LAYERS))


def test_importing_the_package_loads_nothing_heavy():
    """So a notebook with torch alone can use losses, penalties, networks and pictures."""
    allowed = sys.stdlib_module_names | {"ganlab"}
    for name in ("__init__", "threads"):
        tree = ast.parse((SOURCE / f"{name}.py").read_text())
        at_once = [module for statement, module in imported(tree) if not is_lazy(tree, statement)]
        assert {module.partition(".")[0] for module in at_once} <= allowed
        ours = {module for module in at_once if module.startswith("ganlab")}
        assert ours <= {"ganlab.threads.wait_briefly"}
