"""Who may import whom: each package declares it in its docstring, top-level modules stand here."""

import ast
import re
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import ganlab

SOURCE = Path(ganlab.__file__).parent
TOP_LEVEL_FILES = 25  # at most: what a config or a shell names
# The libraries that top-level modules may import: those of science, the model, the commands.
SCIENCE = {"torch", "numpy"}
MODEL = SCIENCE | {"pytorch_lightning", "lightning_fabric"}
COMMAND = {"hydra", "omegaconf", "yaml", "pytorch_lightning"}
TOP = {
    **dict.fromkeys(("errors", "spec", "schedules", "__init__"), frozenset[str]()),
    **dict.fromkeys(("losses", "regularizers", "conditioning", "latent"), SCIENCE),
    **dict.fromkeys(("optimizers", "compatibility"), SCIENCE),
    "sampler": SCIENCE,
    "generative": MODEL,
    "gan": MODEL,
    **dict.fromkeys(("train", "evaluate", "sample", "invert", "export", "sweep"), COMMAND),
    **dict.fromkeys(("explore", "wandb", "fetch_weights"), COMMAND),
    "__main__": COMMAND,
}
COMMANDS = {name for name, libraries in TOP.items() if libraries is COMMAND}
# The model and the data meet only in the spec and the minibatch.
APART = {("gan", "data"), ("generative", "data"), ("training", "data"), ("devices", "data")}
ONLY_IN = {
    "wandb": {"loggers"},
    "wandb_workspaces": {"loggers"},  # an extra
    "matplotlib": {"plots", "sweeps", "lab"},
    "av": {"plots"},  # an extra
    "safetensors": {"exporting"},  # an extra, with the three below
    "onnx_ir": {"exporting"},
    "onnxruntime": {"exporting"},
    "huggingface_hub": {"exporting"},
    "hydra._internal": {"commands"},
}
LAZY = {"wandb", "wandb_workspaces", "matplotlib", "av"}  # slow to import
LAZY |= {"safetensors", "onnx_ir", "onnxruntime", "huggingface_hub"}  # and may be missing


def modules() -> dict[str, Path]:
    """Dotted name below ganlab -> file."""
    names = {}
    for file in sorted(SOURCE.rglob("*.py")):
        parts = file.relative_to(SOURCE).with_suffix("").parts
        names[".".join(parts).removesuffix(".__init__")] = file
    return names


def packages() -> list[str]:
    return sorted(file.parent.name for file in SOURCE.glob("*/__init__.py"))


def declared(package: str, heading: str) -> set[str]:
    """The names after 'May import:' or 'Libraries:' in a package's docstring."""
    tree = ast.parse((SOURCE / package / "__init__.py").read_text())
    found = re.search(rf"{heading}: (.*?)\.(?:\s|$)", ast.get_docstring(tree) or "", re.DOTALL)
    assert found, f"{package}/__init__.py does not say '{heading}: ...'"
    return set() if found[1] == "none" else set(re.split(r",\s+", found[1]))


def imported(tree: ast.AST) -> Iterator[tuple[ast.stmt, str]]:
    """(statement, dotted name) of each import, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports hide the package"
            yield from ((node, f"{node.module}.{alias.name}") for alias in node.names)


def unit(name: str) -> str:
    """The package or top-level module that a dotted name of ganlab's belongs to."""
    part = name.partition(".")[2].partition(".")[0]
    return part if (SOURCE / f"{part}.py").exists() or (SOURCE / part).is_dir() else "__init__"


def units_of(module: str, source: str) -> set[str]:
    """The other units that a module imports."""
    own = module.partition(".")[0]
    ours = {name for _, name in imported(ast.parse(source)) if name.split(".")[0] == "ganlab"}
    return {unit(name) for name in ours} - {own}


def forbidden(module: str, source: str) -> list[str]:
    """What a module imports that it must not."""
    tree, part = ast.parse(source), module.partition(".")[0]
    is_package = part in packages()
    libraries = declared(part, "Libraries") if is_package else TOP[part]
    found = []
    for statement, name in imported(tree):
        top = name.partition(".")[0]
        if top == "ganlab":
            other = unit(name)
            wrong = is_package and other not in declared(part, "May import") | {part}
            wrong |= (part, other) in APART
            wrong |= other in COMMANDS and part not in COMMANDS | {"lab"}
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
def test_each_module_imports_only_what_its_package_declares(module):
    assert forbidden(module, modules()[module].read_text()) == []


@pytest.mark.parametrize("package", packages())
def test_each_declared_import_is_needed(package):
    """A docstring that permits more than the package uses does not describe it."""
    own = {m: file for m, file in modules().items() if m.partition(".")[0] == package}
    used = set().union(*(units_of(module, file.read_text()) for module, file in own.items()))
    assert declared(package, "May import") == used


def test_no_two_packages_import_each_other():
    graph: dict[str, set[str]] = {}
    for module, file in modules().items():
        graph.setdefault(module.partition(".")[0], set()).update(units_of(module, file.read_text()))
    graph["__init__"] = set()  # `ganlab.load` looks at all, lazily
    TopologicalSorter(graph).prepare()


def test_the_top_level_holds_only_what_a_config_or_a_shell_names():
    top = {file.stem for file in SOURCE.glob("*.py")}
    assert top == TOP.keys()
    assert len(top) <= TOP_LEVEL_FILES


@pytest.mark.parametrize(
    ("module", "source", "name"),
    [
        ("spec", "import torch", "torch"),
        ("losses", "from pytorch_lightning import Callback", "pytorch_lightning.Callback"),
        ("networks.dcgan", "def f():\n    import hydra", "hydra"),
        ("networks.dcgan", "from ganlab.gan import GAN", "ganlab.gan.GAN"),
        ("training.ema", "from ganlab import load", "ganlab.load"),
        ("training.ema", "from ganlab import config", "ganlab.config"),
        ("gan", "from ganlab.data.images import Images", "ganlab.data.images.Images"),
        ("gan", "from ganlab.train import main", "ganlab.train.main"),
        ("data.module", "from ganlab.gan import GAN", "ganlab.gan.GAN"),
        ("data", "import wandb", "wandb"),
        ("runs.folder", "import wandb.sdk", "wandb.sdk"),
        ("loggers.wandb", "import wandb", "wandb"),
        ("plots.figures", "import matplotlib.figure", "matplotlib.figure"),
        ("callbacks.curves", "def f():\n    import matplotlib", "matplotlib"),
        ("callbacks.samples", "def f():\n    import wandb", "wandb"),
        ("wandb", "def f():\n    import wandb", "wandb"),
        ("loggers.workspace", "import wandb_workspaces", "wandb_workspaces"),
        ("experiments.experiment", "from ganlab.sample import main", "ganlab.sample.main"),
        ("experiments.experiment", "from hydra._internal import a", "hydra._internal.a"),
        ("train", "import pandas", "pandas"),
    ],
)
def test_the_check_sees_an_import_that_is_forbidden(module, source, name):
    assert forbidden(module, source) == [name]


def test_the_check_lets_pass_what_is_allowed():
    lazy = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import wandb\n"
    assert forbidden("loggers.wandb", f"{lazy}def f():\n    import wandb\n") == []
    assert forbidden("gan", "import torch\nfrom ganlab.training.batch import Batch\n") == []


def test_importing_the_package_loads_nothing_heavy():
    """So a notebook with torch alone can use losses, penalties, networks and pictures."""
    allowed = sys.stdlib_module_names | {"ganlab"}
    for name in ("__init__", "devices/__init__", "devices/threads"):
        tree = ast.parse((SOURCE / f"{name}.py").read_text())
        at_once = [module for statement, module in imported(tree) if not is_lazy(tree, statement)]
        assert {module.partition(".")[0] for module in at_once} <= allowed
        ours = {module for module in at_once if module.startswith("ganlab")}
        assert ours <= {"ganlab.devices.threads.wait_briefly"}
