"""A stand-in for the W&B server on 127.0.0.1, its users, and the official reader of offline runs.

The server answers what a client asks and keeps what it sends.
Written against wandb 0.31.  Keep it up until the client's process has exited: the client's core
outlives Python and waits for its server.
"""

import contextlib
import functools
import gzip
import json
import os
import re
import subprocess
import sysconfig
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import pytest

ENTITY = "tester"


@dataclass
class Received:
    """What one run has sent."""

    name: str
    about: dict[str, Any] = field(default_factory=dict)  # project, groupName, displayName, tags
    config: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, dict[int, str]] = field(default_factory=lambda: defaultdict(dict))
    files: dict[str, bytes] = field(default_factory=dict)
    exit_code: int | None = None
    preempting: bool = False

    @property
    def history(self) -> list[dict[str, Any]]:
        return [json.loads(text) for _, text in sorted(self._file("history.jsonl").items())]

    @property
    def summary(self) -> dict[str, Any]:
        return json.loads(max(self._file("summary.json").items())[1])

    def _file(self, name: str) -> dict[int, str]:
        return self.lines[f"wandb-{name}"]

    def tail(self) -> dict[str, Any]:
        """Where a client that goes on with the run finds its end: `_step` counts on from there."""
        history, summary = self._file("history.jsonl"), self._file("summary.json")
        return {
            "summaryMetrics": summary[max(summary)] if summary else "{}",
            "historyTail": json.dumps([history[max(history)]] if history else []),
            "historyLineCount": len(history),
            "eventsTail": "[]",
            "eventsLineCount": len(self._file("events.jsonl")),
            "logLineCount": len(self.lines["output.log"]),
            "config": json.dumps({k: {"value": v} for k, v in self.config.items()}),
            "tags": self.about.get("tags") or [],
            "wandbConfig": json.dumps({"t": {}}),
        }

    def bucket(self) -> dict[str, Any]:
        """The run as GraphQL tells it."""
        project = {"id": "p", "name": self.about.get("project"), "entity": {"id": "e"}}
        project["entity"]["name"] = self.about.get("entity", ENTITY)
        return {
            "id": f"id-{self.name}",
            "name": self.name,
            "displayName": self.about.get("displayName", self.name),
            "config": "{}",
            "historyLineCount": len(self._file("history.jsonl")),
            "project": project,
        }


class Server:
    """`with Server() as server:` listens at `server.url`; `server.runs` has what arrived."""

    def __init__(self) -> None:
        self.runs: dict[str, Received] = {}
        self.views: list[dict[str, Any]] = []  # workspaces
        self.unknown: list[str] = []  # requests that it had no answer for
        self.lock = threading.Lock()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler(self))
        self.http.daemon_threads = True
        self.http.handle_error = lambda *_: None  # the core cuts idle connections when it ends
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self.http.server_close()

    def answer(self, method: str, path: str, body: bytes) -> Any:
        """The JSON to send back; None: there is no such thing."""
        if path == "/graphql":
            asked = json.loads(body)
            operation = re.search(r"(?:query|mutation)\s+(\w+)", asked["query"])[1]
            data = self.graphql(operation, asked.get("variables") or {})
            if data is None:
                self.unknown.append(operation)
            return {"data": data or {}}
        if stream := re.fullmatch(r"/files/[^/]+/[^/]+/([^/]+)/file_stream", path):
            self.stream(self.run(stream[1]), json.loads(body))
            return {}
        if method == "PUT" and (upload := re.fullmatch(r"/upload/([^/]+)/(.+)", path)):
            self.run(upload[1]).files[upload[2]] = body
            return {}
        if not path.startswith("/sdk/otel/"):  # telemetry, which WANDB_ERROR_REPORTING turns off
            self.unknown.append(f"{method} {path}")
            return None
        return {}

    def run(self, name: str) -> Received:
        return self.runs.setdefault(name, Received(name))

    def graphql(self, operation: str, given: dict[str, Any]) -> dict[str, Any] | None:
        if operation in ("Viewer", "GetDefaultEntity"):
            teams = {"edges": [{"node": {"name": ENTITY}}]}
            who = {"id": "u", "entity": ENTITY, "username": ENTITY, "flags": "{}", "teams": teams}
            return {"viewer": who}
        if operation == "ServerFeaturesQuery":
            return {"serverInfo": {"features": []}}
        if operation == "OrganizationCoreWeaveOrganizationID":
            return {"entity": {"organization": None}}
        if operation == "RunResumeStatus":
            run = self.runs.get(given["name"])
            if run is None or not run.about:  # nobody has such a run: start one
                return {"model": None}
            return {"model": {**run.bucket()["project"], "bucket": run.bucket() | run.tail()}}
        if operation == "UpsertView2":
            self.views.append({**given, "spec": json.loads(given["spec"])})
            view = {"id": f"view-{len(self.views)}", "name": given["name"]}
            return {"upsertView": {"view": view, "inserted": True}}
        if operation == "RunStoppedStatus":
            return {"project": {"run": {"stopped": False}}}
        if operation == "CreateRunFiles":  # an empty answer would panic the core
            names = [(name, f"{self.url}/upload/{given['run']}/{name}") for name in given["files"]]
            files = [{"name": name, "uploadUrl": url} for name, url in names]
            run = {"runID": given["run"], "uploadHeaders": [], "files": files}
            return {"createRunFiles": run}
        if operation == "UpsertBucket":
            run = self.run(given.get("name") or given["id"].removeprefix("id-"))
            new = not run.about
            run.about |= {k: v for k, v in given.items() if v is not None and k != "config"}
            if given.get("config"):
                run.config = {k: v["value"] for k, v in json.loads(given["config"]).items()}
            return {"upsertBucket": {"bucket": run.bucket(), "inserted": new}}
        return None

    @staticmethod
    def stream(run: Received, sent: dict[str, Any]) -> None:
        """Lines of history, summary and terminal, each with its place in its file."""
        for name, chunk in (sent.get("files") or {}).items():
            for i, line in enumerate(chunk["content"]):
                run.lines[name][chunk["offset"] + i] = line
        run.preempting |= bool(sent.get("preempting"))
        if sent.get("exitcode") is not None:
            run.exit_code = sent["exitcode"]


def handler(server: Server) -> type[BaseHTTPRequestHandler]:
    """The class that speaks HTTP for a server."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Says nothing."""

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                body = b"".join(self.chunks())
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            with server.lock:
                answer = server.answer(self.command, self.path, body)
            text = json.dumps(answer).encode()
            self.send_response(200 if answer is not None else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = handle_any  # noqa: N815 - http.server's names

        def chunks(self):
            while size := int(self.rfile.readline().partition(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()

    return Handler


def account(server: Server) -> dict[str, str]:
    """The environment of somebody who has logged in."""
    return {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": "a" * 40}


@contextlib.contextmanager
def environment_of(home: Path, **variables: str) -> Iterator[None]:
    """Of a user who lives in a folder and has no account unless the variables say so."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("WANDB")]:
            patch.delenv(name)
        for name, value in {"WANDB_ERROR_REPORTING": "false", **variables}.items():
            patch.setenv(name, value)
        patch.setenv("HOME", str(home))
        patch.chdir(home)
        yield


@contextlib.contextmanager
def anew(home: Path, **variables: str) -> Iterator[None]:
    """The same, for W&B in this process: its client reads the environment once, when it starts.

    The client before is ended first: it notes in the environment where the next one finds it.
    """
    import wandb

    wandb.teardown()
    with environment_of(home, **variables):
        yield
        wandb.teardown()


def logged_in(server: Server, home: Path) -> contextlib.AbstractContextManager[None]:
    """As somebody who has an account."""
    return anew(home, **account(server))


@functools.cache
def records(run: Path) -> list[dict[str, Any]]:
    """What W&B's own reader finds in an offline run."""
    (log,) = run.glob("wandb/offline-run-*/*.wandb")
    program = Path(sysconfig.get_path("scripts")) / "wandb"
    command = [str(program), "leet", "inspect", "--json", str(log)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        pytest.skip(f"this W&B cannot inspect its own files: {done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()]
