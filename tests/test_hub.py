"""`ganlab export push=USER/NAME`: what the Hub gets, and all that it may refuse."""

import pytest
import torch

import ganlab
from commands import run_main, shell
from exports import SMALL, run_of
from ganlab.commands import command_line
from ganlab.export import export
from ganlab.exporting.folder import FILES
from ganlab.exporting.hub import Repository
from ganlab.runs.folder import Run
from hub_server import Model, Server

pytest.importorskip("huggingface_hub", reason="no huggingface_hub: pip install 'ganlab[export]'")
pytest.importorskip("safetensors", reason="no safetensors: pip install 'ganlab[export]'")
DCGAN = [*SMALL, "model=dcgan", "model.generator.width=8"]
NAME = "alice/digits"
WITHOUT_ONNX = {*FILES} - {"generator.onnx", "example.py"}


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A Hub of two users, of whom alice has logged in; the client's own cache is empty."""
    from huggingface_hub import constants

    monkeypatch.setenv("HF_TOKEN", "hf_of_alice")
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_STORED_TOKENS_PATH", str(tmp_path / "tokens"))
    with Server() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        files = f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", files)
        yield server
    assert server.unknown == []


@pytest.fixture
def run(tmp_path):
    return run_of(tmp_path / "run", *DCGAN)


def push(run, *words):
    given = {"run": run, "to": run.parent / "to", "onnx": "false", "push": NAME}
    given |= dict(word.split("=", 1) for word in words)
    main = lambda: command_line.call(export, lambda w: print(*w, sep="\n"))
    return run_main(main, *(f"{name}={value}" for name, value in given.items()))


def test_a_new_model_is_private_and_complete(hub, run):
    outcome = push(run)
    assert outcome == (0, f"{run.parent / 'to'}\n{hub.url}/{NAME}\n", "")
    model = hub.models[NAME]
    assert model.private
    assert {*model.files} == {*WITHOUT_ONNX, ".gitattributes"}
    for file in (run.parent / "to").iterdir():
        assert model.files[file.name] == file.read_bytes()


def test_it_can_be_public(hub, run):
    assert push(run, "private=false").code == 0
    assert not hub.models[NAME].private


def test_what_comes_back_draws_the_same(hub, run, tmp_path):
    from huggingface_hub import snapshot_download

    push(run)
    back = snapshot_download(NAME, local_dir=tmp_path / "back", endpoint=hub.url)
    assert torch.equal(ganlab.load(back).sample(3), ganlab.load(run).sample(3))


def test_an_export_of_the_same_run_follows_the_one_before(hub, run):
    push(run)
    hub.models[NAME].files["example.py"] = b"of an export with onnx=true"
    outcome = push(run, "license=mit")
    assert outcome.code == 0, outcome.err
    model = hub.models[NAME]
    assert b"license: mit" in model.files["README.md"]
    assert "example.py" not in model.files
    assert len(model.messages) == 2


def test_an_empty_model_is_filled(hub, run):
    hub.models[NAME] = Model(private=True)
    assert push(run).code == 0
    assert {*hub.models[NAME].files} == {*WITHOUT_ONNX, ".gitattributes"}


def refused(hub, run, *words, message):
    """Nothing is exported or sent, and the message is one line."""
    before = {name: dict(model.files) for name, model in hub.models.items()}
    outcome = push(run, *words)
    assert outcome.code == 2
    assert outcome.err.startswith("ganlab: 1 mistake, nothing was started\n  push: ")
    assert len(outcome.err.splitlines()) == 2
    assert message in outcome.err
    assert not (run.parent / "to").exists()
    assert before == {name: dict(model.files) for name, model in hub.models.items()}


@pytest.mark.parametrize(
    ("name", "content"),
    [("README.md", b"mine"), ("generator.json", b"{}"), ("generator.json", b"["), ("a.bin", b"")],
)
def test_what_is_not_ours_is_not_overwritten(name, content, hub, run):
    hub.models[NAME] = Model(private=True)
    hub.models[NAME].files[name] = content
    said = "which no export wrote" if name == "a.bin" else "no export of this run"
    refused(hub, run, message=f"'{NAME}' exists and ")
    refused(hub, run, message=said)


def test_the_export_of_another_run_is_not_overwritten(hub, run, tmp_path):
    other = run_of(tmp_path / "elsewhere" / "other", *DCGAN, "seed=1")
    push(other)
    refused(hub, run, message="is no export of this run; choose another name")


@pytest.mark.parametrize(("private", "seen"), [("true", "public"), ("false", "private")])
def test_who_sees_a_model_is_not_changed(private, seen, hub, run):
    hub.models[NAME] = Model(private=seen == "private")
    refused(hub, run, f"private={private}", message=f"exists and is {seen}; set private=")


def test_a_token_that_is_refused(hub, run, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_of_nobody")
    refused(hub, run, message="the Hub refuses your token (401); run `hf auth login`, or set HF_")


def test_nobody_has_logged_in(hub, run, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    refused(hub, run, message="you are not logged in to the Hugging Face Hub; run `hf auth login`")
    assert hub.asked == []


@pytest.mark.parametrize("name", ["alice", "a/b/c", "alice/..", "alice/a b", "/digits", "alice/"])
def test_a_name_that_cannot_be_one(name, hub, run):
    refused(hub, run, f"push={name}", message=f"expected USER/NAME, got '{name}'")
    assert hub.asked == []


def test_no_network(hub, run, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    refused(hub, run, message="the Hub does not answer: ")


def test_a_hub_that_is_switched_off(hub, run, monkeypatch):
    from huggingface_hub import close_session, constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    close_session()
    try:
        refused(hub, run, message="HF_HUB_OFFLINE is set; unset it")
    finally:
        monkeypatch.undo()
        close_session()


def not_uploaded(hub, run, *words, message):
    """The export is there, and the exit code says that the rest is not."""
    outcome = push(run, *words)
    assert outcome.code == 1
    assert f"'{run.parent / 'to'}' is written, but not uploaded: push: " in outcome.err
    assert message in outcome.err
    assert ganlab.load(run.parent / "to").iterations == 3


def test_a_model_of_somebody_else(hub, run):
    not_uploaded(hub, run, "push=bob/digits", message="may not write to 'bob/digits' (403)")
    assert hub.models == {}


def test_a_license_that_the_hub_does_not_know(hub, run):
    not_uploaded(hub, run, "license=mine", message="Invalid metadata in README.md.")
    assert {*hub.models[NAME].files} == {".gitattributes"}


def test_who_comes_between_is_not_overwritten(hub, run):
    push(run)
    hub.before_commit = lambda: hub.models[NAME].commits.append("1" * 40)
    not_uploaded(hub, run, "license=mit", message="answers 412")
    assert b"license: mit" not in hub.models[NAME].files["README.md"]


@pytest.mark.long
def test_the_command_finds_the_hub_by_its_variable(hub, run):
    """In a process of its own, with no more than the variables that people set."""
    push(run)
    there = {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(run.parent / "hf")}
    words = [f"run={run}", f"to={run.parent / 'to'}", "onnx=false", f"push={NAME}"]
    done = shell("-m", "ganlab.export", *words, **there)
    assert (done.returncode, done.stdout.splitlines()[1:]) == (0, [f"{hub.url}/{NAME}"]), (
        done.stderr
    )
    assert len(hub.models[NAME].messages) == 2


def test_checking_only_asks(hub, run):
    Repository(NAME, private=True).require_ours(Run(run))
    assert hub.asked == ["GET /api/whoami-v2", f"GET /api/models/{NAME}"]
