"""W&B with and without a key, a server and a network: what a user sees, and what is sent."""

import os
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from commands import run_train, runs_in, smoke, summary
from ganlab.loggers import account
from wandb_server import Server, anew
from wandb_server import account as logged_in

KEY = "a" * 40
# What Python itself asks of the network; W&B's background process is seen by the proxy.
WITNESS = """
import os, sys
def note(event, args):
    if event in ("socket.connect", "socket.getaddrinfo"):
        where = args[1] if event == "socket.connect" else args[0]
        with open(os.environ["WITNESSED"], "a") as file:
            file.write(f"{event} {where}\\n")
sys.addaudithook(note)
"""
BARE = """
import wandb
run = wandb.init(mode="offline", settings=wandb.Settings(silent=True))
for i in range(5):
    run.log({"a": i})
run.finish()
"""


class Recorder:
    """A server, or a proxy, that answers every request with one status, and lists them."""

    def __init__(self, status: int) -> None:
        self.asked = asked = list[str]()

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                asked.append(f"{self.command} {self.path}")
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST = do_CONNECT = handle_any  # noqa: N815 - http.server's names

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def __enter__(self):
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()


def closed() -> str:
    """The address of a server that is not there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def words(*more: str) -> list[str]:
    """A smoke run with the default logger, in ./outputs."""
    return [w for w in smoke(Path("outputs"), *more) if not w.startswith("logger=")]


def watched(folder: Path, *command: str, **environment: str) -> SimpleNamespace:
    """Runs `python COMMAND`; `asked` lists every host outside of this machine that it asked for."""
    for name in ("home", "site"):
        (folder / name).mkdir(parents=True)
    (folder / "site" / "sitecustomize.py").write_text(WITNESS)
    noted = folder / "witnessed"
    noted.touch()
    env = {k: v for k, v in os.environ.items() if not k.startswith("WANDB")}
    env["PYTHONPATH"] = os.pathsep.join([str(folder / "site"), *sys.path])
    env |= {"HOME": str(folder / "home"), "WITNESSED": str(noted), "OMP_NUM_THREADS": "1"}
    with Recorder(502) as proxy:
        env |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "https_proxy"), proxy.url)
        done = subprocess.run(
            [sys.executable, *command],
            cwd=folder,
            env=env | {"NO_PROXY": ""} | environment,
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    own = ("127.0.0.1", "localhost", str(folder), "/tmp")
    asked = [line for line in noted.read_text().splitlines() if not any(o in line for o in own)]
    return SimpleNamespace(done=done, asked=proxy.asked + asked)


@pytest.mark.long
@pytest.mark.parametrize("mode", [[], ["logger.wandb.mode=offline"]], ids=["no key", "offline"])
def test_an_offline_run_asks_nothing_of_the_network(tmp_path, mode):
    key = {"WANDB_API_KEY": KEY} if mode else {}
    ran = watched(tmp_path, "-m", "ganlab.train", *words(*mode), **key)
    assert (ran.done.returncode, ran.done.stderr) == (0, "")
    (run,) = runs_in(tmp_path / "outputs")
    assert list(run.glob("wandb/offline-run-*/*.wandb")), "logged by W&B"
    assert ran.asked == []


@pytest.mark.long
def test_a_bare_offline_run_of_wandb_reports_to_its_makers(tmp_path):
    """So the test above sees what it says it sees; and this is the switch."""
    assert any("CONNECT api." in where for where in watched(tmp_path / "a", "-c", BARE).asked)
    off = {"WANDB_ERROR_REPORTING": "false"}
    assert watched(tmp_path / "b", "-c", BARE, **off).asked == []


@pytest.mark.long
def test_a_run_whose_server_is_not_there_is_logged_offline_and_finishes(tmp_path):
    with anew(tmp_path, WANDB_API_KEY=KEY, WANDB_BASE_URL=(url := closed())):
        code, out, err = run_train(*words())
    assert (code, err) == (0, "")
    said = f"W&B's server {url} does not answer; this run is logged offline\n"
    assert out.count(said) == 1
    (run,) = runs_in(tmp_path / "outputs")
    assert summary(run)["status"] == "finished"
    assert list(run.glob("wandb/offline-run-*/*.wandb"))


@pytest.mark.parametrize(
    ("status", "answer"), [(401, "refused"), (503, "silent"), (200, "welcome")]
)
def test_the_server_is_asked_once_and_its_answer_understood(status, answer):
    with Recorder(status) as server:
        assert account.ask(server.url, KEY, ()) == answer
    assert server.asked == ["POST /graphql"]


def test_what_lies_behind_a_proxy_is_asked_through_it():
    with Recorder(200) as proxy:
        asked = account.ask("http://wandb.example", KEY, (("http", proxy.url),))
    assert (asked, proxy.asked) == ("welcome", ["POST http://wandb.example/graphql"])


class Unwilling(Server):
    """Greets its users and starts no run."""

    def answer(self, method, path, body):
        return None if b"UpsertBucket" in body else super().answer(method, path, body)


def test_a_run_that_the_server_does_not_start_is_logged_offline(tmp_path):
    with Unwilling() as server, anew(tmp_path, **logged_in(server)):
        code, out, err = run_train(*words())
    assert (code, err) == (0, "")
    assert out.count("W&B cannot start the run") == 1
    (run,) = runs_in(tmp_path / "outputs")
    assert summary(run)["status"] == "finished"
    assert list(run.glob("wandb/offline-run-*/*.wandb"))


WAY_OUT = "; run `wandb login`, or set logger.wandb.mode=offline\n"


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"WANDB_MODE": "online"}, f"W&B has no API key, which mode online needs{WAY_OUT}"),
        ({"WANDB_API_KEY": "abc"}, f"API key must have 40+ characters, has 3{WAY_OUT}"),
        ({"WANDB_MODE": "ofline"}, "got 'ofline'; did you mean 'offline'?\n"),
    ],
    ids=["no key", "no key at all", "no mode"],
)
def test_an_account_that_cannot_work_is_a_mistake_before_anything_starts(
    tmp_path, variables, sentence
):
    with anew(tmp_path, **variables):
        code, out, err = run_train(*words())
    assert (code, out, list(tmp_path.glob("outputs"))) == (2, "", [])
    assert err.startswith("ganlab: 1 mistake, nothing was started\n  logger.wandb: ")
    assert err.endswith(sentence)


def test_a_key_that_the_server_refuses_is_one_mistake_of_all_jobs_and_asked_once(tmp_path):
    account.ask_once.cache_clear()
    with Recorder(401) as server, anew(tmp_path, WANDB_API_KEY=KEY, WANDB_BASE_URL=server.url):
        code, out, err = run_train("-m", *words("seed=0,1"))
    assert (code, out, list(tmp_path.glob("outputs"))) == (2, "", [])
    said = f"logger.wandb: W&B's server {server.url} refuses the API key"
    assert err.endswith(f"  {said}{WAY_OUT[:-1]} (in 2 of 2 jobs)\n")
    assert server.asked.count("POST /graphql") == 1
