"""The file of the Inception weights: who names it, whose copy counts, how it is downloaded."""

import hashlib
import os
import subprocess
import sys

import pytest
import torch

from conftest import ROOT
from ganlab.commands import command_line
from ganlab.errors import ConfigError
from ganlab.fetch_weights import fetch_weights
from ganlab.storage import weights
from serving import Server

CONTENT = bytes(range(256)) * 20_000  # 5 MB: several blocks
HASH = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(monkeypatch, home):
    served = Server(CONTENT)
    monkeypatch.setattr(weights, "URL", f"{served.url}/{weights.NAME}")
    yield served
    served.close()


@pytest.fixture
def home(monkeypatch, tmp_path):
    """A machine where nothing is at hand: cache and torch.hub are empty folders below this one."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "GANLAB_INCEPTION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GANLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    monkeypatch.setattr(weights, "SHA256", HASH)
    return tmp_path


def put(file, content=CONTENT):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


def refused(call):
    with pytest.raises(ConfigError) as error:
        call()
    (sentence,) = error.value.problems
    return sentence


def left(home):
    """Files of the cache beside the lock."""
    return [file.name for file in (home / "cache").iterdir() if file.suffix != ".lock"]


def test_the_places_come_in_their_order(home, monkeypatch):
    """A named file, the environment's, the cache, torch-fidelity's copy, pytorch-fid's."""
    assert weights.find() is None
    checkpoints = home / "hub" / "checkpoints"
    for file in (
        checkpoints / "pt_inception-2015-12-05-6726825d.pth",
        checkpoints / "weights-inception-2015-12-05-6726825d.pth",
        home / "cache" / "weights-inception-2015-12-05-6726825d.pth",
    ):
        assert put(file) == weights.find()
    mine, other = put(home / "mine.pth", b"mine"), put(home / "other.pth", b"other")
    monkeypatch.setenv("GANLAB_INCEPTION", str(mine))
    assert weights.find() == weights.fetch() == mine
    assert weights.find(other) == weights.fetch(other) == other


def test_a_damaged_copy_is_passed_over_and_replaced(home, server):
    damaged = put(home / "cache" / weights.NAME, CONTENT[:-1])
    put(home / "hub" / "checkpoints" / weights.NAME, CONTENT[:-1] + b"x")
    assert weights.find() is None
    assert weights.fetch() == damaged
    assert damaged.read_bytes() == CONTENT


def test_a_named_file_that_is_not_there_is_refused(home, monkeypatch, server):
    put(home / "cache" / weights.NAME)
    missing = home / "no.pth"
    for call in (weights.find, weights.fetch):
        sentence = f"there is no file of Inception weights '{missing}'"
        assert refused(lambda call=call: call(missing)) == sentence
        monkeypatch.setenv("GANLAB_INCEPTION", str(missing))
        assert refused(call) == f"GANLAB_INCEPTION: {sentence}"
        monkeypatch.delenv("GANLAB_INCEPTION")
    assert not server.requests


def test_a_download_is_kept_whole_and_made_once(home, server):
    assert weights.fetch() == weights.fetch() == home / "cache" / weights.NAME
    assert weights.fetch().read_bytes() == CONTENT
    assert server.requests == 1
    assert left(home) == [weights.NAME]


def test_a_download_that_ends_early_is_not_kept(home, server):
    server.promised = len(CONTENT) + 1
    assert f"(it ended after {len(CONTENT)} of {len(CONTENT) + 1} bytes)" in refused(weights.fetch)
    assert left(home) == []


def test_a_download_of_something_else_is_not_kept(home, server):
    """A proxy's page in place of the file, say."""
    server.content = b"<html>please log in</html>"
    found = hashlib.sha256(server.content).hexdigest()
    assert f"(sha256 {found[:8]}... is not {HASH[:8]}...)" in refused(weights.fetch)
    assert left(home) == []


def test_without_a_network_the_sentence_says_what_to_do(home, server):
    server.close()
    server.close = lambda: None
    sentence = refused(weights.fetch)
    file = home / "cache" / weights.NAME
    assert sentence.startswith(f"cannot download the Inception weights from {weights.URL} (")
    assert sentence.endswith(
        f"; run `ganlab fetch-weights` where there is a network, or put the file at '{file}'"
    )
    assert left(home) == []


def test_a_folder_that_cannot_be_written_is_refused(home, server):
    put(home / "file", b"")
    assert "Not a directory" in refused(lambda: weights.download(home / "file" / "below"))
    assert not server.requests


FETCH = """
import sys
from ganlab.storage import weights
weights.URL, weights.SHA256 = sys.argv[1:]
print(weights.fetch())
"""


def test_processes_that_ask_at_once_download_once(home, server):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-c", FETCH, server.url, HASH]
    environment["TORCH_HOME"] = str(home / "hub")
    both = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    found = [process.communicate(timeout=120)[0].strip() for process in both]
    assert found == [str(home / "cache" / weights.NAME)] * 2
    assert server.requests == 1


def test_the_command_prepares_a_folder(home, server, monkeypatch):
    """Even where a copy is at hand elsewhere; without a folder, that copy will do."""
    put(home / "cache" / weights.NAME)
    assert fetch_weights() == home / "cache" / weights.NAME
    assert not server.requests
    for _ in range(2):
        made = fetch_weights(str(home / "shared"))
        assert made == home / "shared" / weights.NAME
        assert made.read_bytes() == CONTENT
        assert server.requests == 1


def test_the_command_prints_the_file(home):
    mine = put(home / "mine.pth", b"mine")
    environment = {**os.environ, "GANLAB_INCEPTION": str(mine), "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "ganlab", "fetch-weights"]
    out = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert out.stdout == f"{mine}\n"


def test_the_command_refuses_what_it_does_not_take(home, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ganlab", "foldr=a"])
    with pytest.raises(SystemExit, match=r"^2$"):
        command_line.call(fetch_weights)
    assert "foldr: unknown; did you mean 'folder'?" in capsys.readouterr().err
