"""What the README and docs/ tell people to type works; examples are taken at their word."""

import ast
import importlib
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hydra._internal.utils import get_args_parser
from omegaconf import OmegaConf

from commands import run_train, runs_in
from conftest import ROOT
from ganlab import lab, sweep, wandb
from ganlab.__main__ import COMMANDS
from ganlab.commands import command_line
from ganlab.commands.composition import asks_only
from ganlab.commands.preflight import preflight
from ganlab.config.checks import conf_dir, problems
from ganlab.data import Folder
from ganlab.errors import ConfigError
from ganlab.evaluate import evaluate
from ganlab.explore import explore
from ganlab.export import export
from ganlab.fetch_weights import fetch_weights
from ganlab.invert import invert
from ganlab.quiz import quiz
from ganlab.report import report
from ganlab.sample import sample
from ganlab.scoring.protocol import PROTOCOLS
from ganlab.spec import ImageSpec

VERBS = {"sweep": sweep.VERBS, "wandb": wandb.VERBS}
CALLED = {
    "sample": sample,
    "invert": invert,
    "quiz": quiz,
    "evaluate": evaluate,
    "explore": explore,
    "export": export,
    "fetch-weights": fetch_weights,
}
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCED = re.compile(r"^```([^\s`]*).*\n((?s:.*?))^```", re.MULTILINE)
IMPORT = ast.Import | ast.ImportFrom
NAMED_YAML = re.compile(r"`([\w/]+\.yaml)`:\s+```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(text: str, *languages: str) -> list[str]:
    return [body for language, body in FENCED.findall(text) if language in languages]


def commands(text: str) -> list[str]:
    """Commands of a page: in its shell blocks and at its prompts, joined, without comments."""
    joined = "".join(blocks(text, "bash", "sh")).replace("\\\n", " ")
    words = (shlex.split(line, comments=True) for line in [*joined.splitlines(), *prompts(text)])
    return [shlex.join(line) for line in words if line]


def sessions(text: str) -> str:
    """What a page shows of terminals."""
    return "\n".join(blocks(text, "", "console", "text"))


def prompts(text: str) -> list[str]:
    """What is typed after `$`, except where the page shows that it is refused."""
    return re.findall(r"^\$ (.*)\n(?!ganlab: \d+ mistake)", sessions(text), re.MULTILINE)


def wrong(command: str) -> list[str]:
    """What is wrong with a command; empty for commands that are not ganlab's."""
    words = shlex.split(command)
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):  # VARIABLE=value before the command
        words.pop(0)
    if words[0] == "make":
        targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        return [f"make {w}" for w in words[1:] if "=" not in w and w not in targets]
    if words[:2] == ["python", "-m"] and words[2].partition(".")[0] == "ganlab":
        _, _, name = words[2].partition(".")
        words = ["ganlab", *([name.replace("_", "-")] if name else []), *words[3:]]
    if words[0] != "ganlab" or words[1].startswith("-"):
        return []
    if words[1] not in COMMANDS:
        return [f"there is no command {words[1]}"]
    if words[1] == "train":
        return wrong_training(words[2:])
    if words[1] in VERBS:
        return wrong_verb(VERBS[words[1]], words[2:])
    if words[1] == "lab":
        return wrong_laboratory(words[2:])
    if words[1] == "report":
        return wrong_call(report, command_line.gathered(words[2:], "runs"))
    return wrong_call(CALLED[words[1]], words[2:])


def wrong_laboratory(words: list[str]) -> list[str]:
    if not words or words[0] in command_line.HELP:
        return []
    try:
        name, rest = lab.named(words)
        function = lab.located(name)
    except ConfigError as error:
        return error.problems
    own, others = lab.split(function, [word for word in rest if word not in command_line.HELP])
    return wrong_call(function, own) + wrong_training(others)


def wrong_training(words: list[str]) -> list[str]:
    arguments = get_args_parser().parse_args(words)
    if asks_only(arguments):
        return []
    try:
        preflight(arguments)
    except ConfigError as error:
        return error.problems
    return []


def wrong_verb(functions: dict[str, Callable], words: list[str]) -> list[str]:
    if not words or words[0] in command_line.HELP:
        return []
    try:
        return wrong_call(*command_line.chosen(functions, words))
    except ConfigError as error:
        return error.problems


def wrong_call(function: Callable, words: list[str]) -> list[str]:
    if command_line.HELP & set(words):
        return []
    return problems(OmegaConf.to_container(OmegaConf.from_dotlist(words)), function)


ALL = sorted({command for page in PAGES for command in commands(page.read_text())})


@pytest.fixture
def workplace(tmp_path, monkeypatch) -> Iterator[Path]:
    """A folder with the files that the pages show, where folders of images need not exist."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("ganlab.scoring.ByInception.check", lambda plan, source: None)
    monkeypatch.setattr(Folder, "check", lambda source: None)
    monkeypatch.setattr(Folder, "spec", ImageSpec(3, 32, classes=2))
    write_examples("\n".join(page.read_text() for page in PAGES), tmp_path)
    yield tmp_path
    for file in tmp_path.glob("*.py"):
        sys.modules.pop(file.stem, None)


def write_examples(text: str, folder: Path) -> None:
    """Python blocks that begin with `# name.py`, and YAML blocks below a line with their path."""
    for body in blocks(text, "python"):
        if name := re.match(r"# (\w+\.py)\n", body):
            (folder / name[1]).write_text(body)
    for name, body in NAMED_YAML.findall(text):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(body)


@pytest.mark.long
@pytest.mark.parametrize("command", ALL)
def test_every_command_of_the_pages_is_right(workplace, command):
    assert wrong(command) == []


PAGE = """
```bash
python -m ganlab.train loss=hing   # a comment
WANDB_MODE=offline ganlab train -m seed=0,1 \\
    batchsize=3
python -m ganlab train seed=0,1
ganlab sample run=a m=3
ganlab evaluate run=a protocol=fid50k
python -m ganlab.fetch_weights dir=b
ganlab wandb snyc a
ganlab wandb sync a n=3
ganlab wandb sync a
ganlab smaple run=a
ganlab lab figure_1
ganlab lab figure-1 frames=x sede=1
ganlab sweep tabel outputs
ganlab sweep table outputs seeds=none
make dmeo PYTHON=python3.12
python -m ganlab.train data=folder data.root=nowhere && true
pip install .
```

```python
python -m ganlab.train loss=in_another_language
```

```console
$ ganlab sample run=b m=3
3 images
$ ganlab sample run=c m=3
ganlab: 1 mistake, nothing was started
```
"""


def test_a_wrong_command_is_found(workplace):
    found = {command: wrong(command) for command in commands(PAGE)}
    several = "'seed=0,1': several values are a sweep; add -m"
    losses = ", ".join(sorted(file.stem for file in (conf_dir() / "loss").glob("*.yaml")))
    unknown = "batchsize: unknown; did you mean 'batch_size'?"
    assert found.pop("python -m ganlab.train data=folder data.root=nowhere '&&' true") != []
    assert found == {
        "python -m ganlab.train loss=hing": [
            f"loss: there is no 'hing'; did you mean 'hinge'? ({losses})"
        ],
        "WANDB_MODE=offline ganlab train -m seed=0,1 batchsize=3": [f"{unknown} (in 2 of 2 jobs)"],
        "python -m ganlab train seed=0,1": [several],
        "ganlab sample run=a m=3": ["m: unknown"],
        "ganlab evaluate run=a protocol=fid50k": [
            "protocol: expected "
            + " or ".join(f"'{p}'" for p in PROTOCOLS)
            + " or null, got 'fid50k'"
        ],
        "python -m ganlab.fetch_weights dir=b": ["dir: unknown"],
        "ganlab sample run=b m=3": ["m: unknown"],
        "ganlab wandb snyc a": ["there is no 'snyc'; did you mean 'sync'? (sync, dashboard)"],
        "ganlab wandb sync a n=3": ["n: unknown"],
        "ganlab wandb sync a": [],
        "ganlab smaple run=a": ["there is no command smaple"],
        "ganlab lab figure_1": [
            f"there is no 'figure_1'; did you mean 'figure-1'? ({', '.join(lab.LABS)})"
        ],
        "ganlab lab figure-1 frames=x sede=1": [
            "frames: expected int, got 'x'",
            "sede: unknown; did you mean 'seed'?",
        ],
        "ganlab sweep tabel outputs": [
            "there is no 'tabel'; did you mean 'table'? (status, table, best, plot)"
        ],
        "ganlab sweep table outputs seeds=none": [
            "seeds: expected 'together' or 'apart', got 'none'"
        ],
        "make dmeo PYTHON=python3.12": ["make dmeo"],
        "pip install .": [],
    }


def test_the_pages_have_commands_to_check():
    assert any("ganlab.train" in command for command in ALL)
    assert any(command.startswith("make ") for command in ALL)


def shown(text: str) -> list[tuple[str, str]]:
    """(words, output) of each block that shows a training command refused."""
    refused = r"^\$ python -m ganlab\.train (.*)\n((?:ganlab:|  ).*\n(?:  .*\n)*)"
    return re.findall(refused, sessions(text), re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_mistakes_are_answered_as_the_pages_show(workplace, page):
    for command, output in shown(page.read_text()):
        assert run_train(*shlex.split(command)) == (2, "", output)


def test_a_session_in_a_page_is_found():
    text = "```\n$ python -m ganlab.train seed=-1\nganlab: 1 mistake\n  seed: no\n```\n"
    assert shown(text) == [("seed=-1", "ganlab: 1 mistake\n  seed: no\n")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_in_the_pages_is_python_and_imports_what_exists(workplace, page):
    for body in blocks(page.read_text(), "python"):
        imports = [node for node in ast.parse(body).body if isinstance(node, IMPORT)]
        exec(compile(ast.Module(imports, []), page.name, "exec"), {})


def test_the_loss_network_data_set_and_score_of_the_pages_train_together(workplace):
    mine = {"loss": "my_losses.Softplus", "data": "my_data.Noise"}
    mine |= {"metrics": "my_scores.ByThumbnails"}
    words = [f"{node}._target_={name}" for node, name in mine.items()]
    words += ["model.discriminator={_target_:my_nets.Shallow}", "~model.discriminator.norm"]
    outcome = run_train(
        "trainer=smoke", "logger=csv", "model=infogan", "loss.t=0.9", "metrics.n=20", *words
    )
    assert (outcome.code, outcome.err) == (0, "")
    (run,) = runs_in(workplace / "outputs")
    assert "frechet/thumbnails/20" in (run / "metrics.csv").read_text()
    best = r"best \1, at iteration 3, which has \S+ on fresh noise"
    assert re.search(rf"\nfrechet/thumbnails/20: (\S+); {best}\n$", outcome.out)


def test_the_examples_of_the_pages_import(workplace):
    """Each file that a page shows is complete: nothing in it is missing or misspelt."""
    for file in sorted(workplace.glob("*.py")):
        importlib.import_module(file.stem)
