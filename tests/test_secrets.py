"""Secrets reach the object that wants them, and no file, no upload and no printed config."""

from pathlib import Path

import pytest
import yaml
from pytorch_lightning import Callback

from commands import completed, run_train, runs_in, smoke
from ganlab.config.secrets import hidden, is_secret, redacted, redacted_words
from ganlab.runs.folder import identity
from wandb_server import account, anew

TYPED, KEPT = "typed-5ecret", "kept-in-the-environment"
SAID = [
    "callback.keeper._target_=test_secrets.Keeper",
    f"callback.keeper.token={TYPED}",
    "callback.keeper.address='https://me:${oc.env:HIS_SECRET}@example.org'",
    "logger.wandb.notes='${oc.env:HIS_SECRET}'",
]
given = list[tuple[str, str]]()


class Keeper(Callback):
    """Has secrets."""

    def __init__(self, token: str, address: str, image_key: str = "jpg") -> None:
        given.append((token, address))


def holding(folder: Path, *secrets: str) -> list[Path]:
    """The files below a folder that hold one of the secrets."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if any(one.encode() in path.read_bytes() for one in secrets)]


def words(*more: str) -> list[str]:
    return [w for w in smoke(Path("outputs"), *SAID, *more) if not w.startswith("logger=")]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, server):
    """(folder, what the server has) of a sweep that was given secrets."""
    folder = tmp_path_factory.mktemp("secrets")
    given.clear()
    with anew(folder, **account(server), HIS_SECRET=KEPT):
        outcome = run_train("-m", *words("seed=0,1"))
    assert (outcome.code, outcome.err) == (0, "")
    assert TYPED not in outcome.out
    return folder, server


@pytest.mark.long
def test_the_object_gets_the_true_values(trained):
    assert given
    assert set(given) == {(TYPED, f"https://me:{KEPT}@example.org")}


def test_no_file_of_the_runs_or_of_the_sweep_holds_a_secret(trained):
    folder, _ = trained
    assert len(runs_in(folder / "outputs")) == 2
    assert holding(folder, TYPED, KEPT) == []
    (hydras,) = folder.rglob("multirun.yaml")
    assert "- +" in hydras.read_text()
    yaml.safe_load(hydras.read_text())
    assert holding(folder, "image_key"), "the comparison would pass on anything"
    (run, _) = runs_in(folder / "outputs")
    node = yaml.safe_load((run / "config.yaml").read_text())["callback"]["keeper"]
    assert node["token"] == "<redacted>"
    assert node["address"] == "https://me:<redacted>@example.org"
    assert node["image_key"] == "jpg"


def test_nothing_that_is_uploaded_holds_a_secret(trained):
    folder, server = trained
    for run in runs_in(folder / "outputs"):
        received = server.runs[(run / "wandb-id").read_text()]
        sent = [str(received.about), str(received.config), str(received.lines)]
        sent += [content.decode(errors="replace") for content in received.files.values()]
        assert "image_key" in "".join(sent)
        assert not [text for text in sent if TYPED in text or KEPT in text]


def test_another_secret_is_the_same_experiment_and_another_place_another(monkeypatch):
    monkeypatch.setenv("HIS_SECRET", KEPT)
    mine = identity(completed(*SAID[:3]))
    assert identity(completed(SAID[0], "callback.keeper.token=another-one", SAID[2])) == mine
    assert identity(completed(*SAID[:3], "callback.keeper.image_key=png")) != mine


def test_a_run_with_secrets_goes_on_and_is_known_to_be_finished(trained):
    folder, server = trained
    with anew(folder, **account(server), HIS_SECRET="renewed-since-then"):
        outcome = run_train(*words("seed=0"))
    assert outcome.out.startswith("finished already: ")


@pytest.mark.parametrize("resolve", [[], ["--resolve"]])
def test_a_printed_config_has_no_secret(monkeypatch, resolve):
    monkeypatch.setenv("HIS_SECRET", KEPT)
    added = [f"+{word}" if word.startswith("callback") else word for word in words()]
    code, out, _ = run_train(*added, "--cfg=job", *resolve)
    assert code == 0
    assert "token: <redacted>\n" in out
    assert TYPED not in out
    assert KEPT not in out
    assert ("${oc.env:HIS_SECRET}" in out) == (not resolve)
    yaml.safe_load(out)


@pytest.mark.parametrize(
    "name",
    ["token", "hf_token", "api_key", "apiKey", "API_KEY", "key", "db-password", "credentials"],
)
def test_names_of_secrets(name):
    assert is_secret(name)


@pytest.mark.parametrize("name", ["keypoints", "image_key", "n_tokens", "token_dim", "monkey", ""])
def test_names_of_no_secrets(name):
    assert not is_secret(name)


def test_what_is_no_text_or_number_stays_and_groups_are_looked_into():
    config = {
        "token": None,
        "api_key": "a",
        "password": 1234,
        "list": [{"secret": "b"}],
        "credentials": {"_target_": "my.Login", "user": "me"},
    }
    assert redacted(config) == {
        "token": None,
        "api_key": "<redacted>",
        "password": "<redacted>",
        "list": [{"secret": "<redacted>"}],
        "credentials": {"_target_": "my.Login", "user": "<redacted>"},
    }
    assert redacted(redacted(config)) == redacted(config)
    assert config["api_key"] == "a", "the run itself has the true value"


def test_short_values_of_the_environment_may_be_words_of_the_config(monkeypatch):
    monkeypatch.setenv("MY_KEY", "auto")
    monkeypatch.setenv("MY_TOKEN", "abcdef")
    assert hidden("compile=auto abcdef") == "compile=auto <redacted>"


def test_a_word_that_refers_to_a_secret_is_kept():
    said = ["a.token=${oc.env:X}", "+a.b.token=x", "~a.token", "seed=1"]
    assert redacted_words(said) == ["a.token=${oc.env:X}", "+a.b.token=<redacted>", *said[2:]]
