"""A workspace has panels of what runs have logged: a panel of another name would stay empty."""

import json
import re
import sys
from pathlib import Path

import pytest

from commands import run_main, run_train, runs_in, smoke
from conftest import ROOT
from ganlab.commands import command_line
from ganlab.config.completion import flattened
from ganlab.loggers.workspace import Logged, as_json, grouping, workspace
from ganlab.runs.folder import Run
from ganlab.runs.readings import AXES
from ganlab.wandb import VERBS
from test_readme import write_examples
from wandb_server import anew, logged_in, records

SCORED = ["metrics._target_=my_scores.ByThumbnails", "metrics.n=20"]
TITLES = ["Scores", "Play", "Gradient norms", "Samples", "Sweep", "Other readings"]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> Path:
    """The folder of two offline runs that differ by their loss and seed, drawn with classes."""
    folder = tmp_path_factory.mktemp("sweep")
    write_examples((ROOT / "docs" / "extend.md").read_text(), folder)
    words = [w for w in smoke(folder / "outputs", *SCORED) if not w.startswith("logger")]
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        words += ["conditioning=acgan", "logger.wandb.project=gans", "logger.wandb.mode=offline"]
        for chosen in (["seed=0", "loss=hinge"], ["seed=1", "loss=minimax"]):
            assert run_train(*words, *chosen).code == 0
    sys.modules.pop("my_scores")
    return folder / "outputs"


def logged(runs: list[Path]) -> set[str]:
    """Every key that the official reader finds in what the runs logged; 'config:' before those."""
    keys = set()
    for run in runs:
        for record in records(run):
            keys |= record.get("history", {}).get("item", {}).keys()
            keys |= record.get("summary", {}).get("update", {}).keys()
        config = json.loads(json.dumps(Run(run).config()))
        keys |= {f"config:{key}" for key, _ in flattened(config)}
    return {key.removesuffix(".path") for key in keys}


def asked(spec: dict) -> set[str]:
    """Every key that the panels of a workspace ask for."""
    keys = set()
    for section in spec["section"]["panelBankConfig"]["sections"]:
        for panel in (panel["config"] for panel in section["panels"]):
            keys |= {*panel.get("metrics", []), *panel.get("mediaKeys", [])}
            keys |= {panel[name] for name in ("xAxis", "targetKey") if name in panel}
            keys |= {column["accessor"] for column in panel.get("columns", [])}
    keys = {key.removeprefix("summary:") for key in keys}
    return {re.sub(r"^(config:\w+)\.value", r"\1", key) for key in keys}


def titles(spec: dict) -> list[str]:
    return [section["name"] for section in spec["section"]["panelBankConfig"]["sections"]]


def dashboard(*words: str):
    return run_main(lambda: command_line.call_one_of(VERBS), "dashboard", *words)


@pytest.mark.long
def test_the_panels_show_what_the_runs_logged_and_nothing_else(sweep, tmp_path):
    assert dashboard(str(sweep), f"file={tmp_path / 'a.json'}") == (
        0,
        f"{tmp_path / 'a.json'}\nto create it, once logged in: ganlab wandb dashboard {sweep}\n",
        "",
    )
    spec = json.loads((tmp_path / "a.json").read_text())
    known = logged(runs_in(sweep))
    assert titles(spec) == TITLES
    assert asked(spec) <= known
    shown = {"loss/d", "D(G(z))", "grad_norm/g", "samples", "classes", "curves", "config:seed"}
    shown |= {"frechet/thumbnails/20", "best/frechet/thumbnails/20", "config:loss._target_"}
    assert shown <= asked(spec)
    found = Logged.by([Run(run) for run in runs_in(sweep)])
    made_up = Logged([*found.metrics, "fid"], [*found.pictures, "smaples"], [*found.varied, "lr"])
    spec = json.loads(as_json(workspace(made_up, name="a", project="b", entity="c")))
    assert asked(spec) - known == {"fid", "best/fid", "smaples", "config:lr"}


def test_each_score_is_shown_against_iterations_images_and_seconds(sweep):
    found = Logged.by([Run(run) for run in runs_in(sweep)])
    spec = json.loads(as_json(workspace(found, name="a", project="b", entity="c")))
    (scores, *_) = spec["section"]["panelBankConfig"]["sections"]
    lines = [(*panel["config"]["metrics"], panel["config"]["xAxis"]) for panel in scores["panels"]]
    assert lines == [(name, axis) for name in found.scores for axis in AXES]
    assert found.scores[0] == "frechet/thumbnails/20"


def test_a_single_run_without_scores_has_neither_scores_nor_a_sweep(tmp_path):
    words = [w for w in smoke(tmp_path) if not w.startswith("logger")]
    assert run_train(*words).code == 0
    (run,) = runs_in(tmp_path)
    spec = json.loads(as_json(workspace(Logged.by([Run(run)]), "a", "b", "c")))
    assert titles(spec) == [title for title in TITLES if title not in ("Scores", "Sweep")]
    assert asked(spec) <= logged([run])


@pytest.mark.parametrize(
    ("varied", "keys"),
    [
        (["loss._target_"], []),
        (["seed"], ["run:group"]),
        (["seed", "loss._target_", "d_steps"], ["config:loss.value._target_", "config:d_steps"]),
    ],
)
def test_runs_that_differ_by_their_seed_are_grouped_by_all_else_that_differs(varied, keys):
    spec = json.loads(as_json(workspace(Logged([], [], varied), "a", "b", "c")))
    (runset,) = spec["section"]["runSets"]
    found = [f"{key['section']}:{key['name'].removesuffix('.value')}" for key in runset["grouping"]]
    assert found == keys
    assert len(grouping(varied)) == len(keys)


def test_with_an_account_the_workspace_is_put_up_where_the_runs_are(sweep, server, tmp_path):
    with logged_in(server, tmp_path):
        code, out, err = dashboard(str(sweep))
    assert code == 0, err
    (view,) = server.views
    assert (view["entityName"], view["projectName"]) == ("tester", "gans")
    assert out.startswith(f"{server.url}/tester/gans?nw=")
    assert not (sweep / "workspace.json").exists()
    assert titles(view["spec"]) == TITLES
    assert asked(view["spec"]) <= logged(runs_in(sweep))
    assert server.unknown == []


def test_without_an_account_or_a_server_it_is_written(sweep, server, tmp_path, monkeypatch):
    import wandb

    written = f"{sweep / 'workspace.json'}\nto create it, once logged in: ganlab wandb dashboard"
    with anew(tmp_path):
        assert dashboard(str(sweep)) == (0, f"{written} {sweep}\n", "")
    (sweep / "workspace.json").unlink()

    def unreachable():
        raise wandb.errors.CommError("no network")

    monkeypatch.setattr(wandb, "Api", unreachable)
    with logged_in(server, tmp_path):
        code, out, _ = dashboard(str(sweep))
    assert (code, out) == (0, f"W&B cannot be reached (no network)\n{written} {sweep}\n")
    assert titles(json.loads((sweep / "workspace.json").read_text())) == TITLES
    (sweep / "workspace.json").unlink()


def test_without_its_package_it_says_what_to_install(sweep, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb_workspaces.workspaces", None)
    code, out, err = dashboard(str(sweep))
    assert (code, out) == (2, "")
    assert "pip install 'ganlab[dashboard]'" in err
