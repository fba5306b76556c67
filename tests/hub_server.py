"""A stand-in for the Hugging Face Hub on 127.0.0.1: what huggingface_hub asks of it to upload.

It keeps models with their commits, and has users by their tokens.  Large files come by Git LFS.
Written against huggingface_hub 2.4, with HF_HUB_DISABLE_XET=1.
"""

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import unquote, urlsplit

USERS = {"hf_of_alice": "alice", "hf_of_bob": "bob"}
LARGE = (".safetensors", ".onnx", ".png")  # as in the Hub's .gitattributes
LICENSES = ("mit", "apache-2.0", "cc-by-4.0")


@dataclass
class Model:
    """A repository: its files, and the hash of its last commit."""

    private: bool
    files: dict[str, bytes] = field(default_factory=lambda: {".gitattributes": b""})
    commits: list[str] = field(default_factory=lambda: ["0" * 40])
    messages: list[str] = field(default_factory=list)


@dataclass
class Answer:
    """status: of HTTP.  body: JSON, or bytes."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class Server:
    """`with Server() as hub:` listens at `hub.url`; `hub.models` has what arrived."""

    def __init__(self) -> None:
        self.models: dict[str, Model] = {}
        self.large: dict[str, bytes] = {}  # by SHA-256
        self.asked: list[str] = []
        self.unknown: list[str] = []
        self.before_commit = lambda: None  # what else happens just then
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler(self))
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self.http.server_close()

    def answer(self, method: str, path: str, body: bytes, token: str) -> Answer:
        self.asked.append(f"{method} {path}")
        if method == "PUT" and (put := re.fullmatch(r"/large/(\w+)", path)):
            self.large[put[1]] = body
            return Answer(b"")
        user = USERS.get(token)
        if user is None:
            return Answer({"error": "Invalid credentials"}, 401)
        if path == "/api/whoami-v2":
            return Answer({"type": "user", "name": user, "auth": {}})
        if path == "/api/validate-yaml":
            return validated(json.loads(body)["content"])
        if path == "/api/repos/create":
            return self.created(user, json.loads(body))
        if re.fullmatch(r"/(\w+/[\w.-]+)\.git/info/lfs/objects/batch", path):
            return self.batch(json.loads(body))
        if file := re.fullmatch(r"/(\w+/[\w.-]+)/resolve/\w+/(.+)", path):
            return self.resolved(file[1], file[2], user)
        if about := re.fullmatch(r"/api/models/(\w+/[\w.-]+)(/.*)?", path):
            return self.about(method, about[1], about[2] or "", body, user)
        self.unknown.append(f"{method} {path}")
        return Answer({"error": "unknown"}, 404)

    def visible(self, name: str, user: str) -> Model | None:
        model = self.models.get(name)
        hidden = model is not None and model.private and not name.startswith(f"{user}/")
        return None if hidden else model

    def created(self, user: str, asked: dict[str, Any]) -> Answer:
        owner = asked["organization"] or user
        name = f"{owner}/{asked['name']}"
        if owner != user:
            return Answer({"error": f"You don't have the rights to create under {owner}"}, 403)
        if name in self.models:
            return Answer({"error": "You already created this model repo"}, 409)
        self.models[name] = Model(asked.get("visibility") == "private")
        return Answer({"url": f"{self.url}/{name}"})

    def about(self, method: str, name: str, rest: str, body: bytes, user: str) -> Answer:
        model = self.visible(name, user)
        if model is None:
            return Answer({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        if rest in ("", "/revision/main"):
            siblings = [{"rfilename": file} for file in model.files]
            found = {"id": name, "sha": model.commits[-1], "private": model.private}
            return Answer({**found, "siblings": siblings, "tags": []})
        if rest.startswith("/tree/"):
            files = model.files.items()
            return Answer(
                [{"type": "file", "path": f, "size": len(c), "oid": ""} for f, c in files]
            )
        if not name.startswith(f"{user}/"):
            return Answer({"error": "Forbidden: you may not write here"}, 403)
        if rest.startswith("/preupload/"):
            listed = json.loads(body)["files"]
            modes = {file["path"]: large(file["path"]) for file in listed}
            told = {p: {"uploadMode": m, "shouldIgnore": False} for p, m in modes.items()}
            return Answer({"files": [{"path": path, **one} for path, one in told.items()]})
        if rest.startswith("/commit/"):
            self.before_commit()
            return self.commit(name, model, [json.loads(x) for x in body.splitlines()])
        self.unknown.append(f"{method} {name}{rest}")
        return Answer({"error": "unknown"}, 404)

    def commit(self, name: str, model: Model, lines: list[dict[str, Any]]) -> Answer:
        header = next(one["value"] for one in lines if one["key"] == "header")
        if header.get("parentCommit", model.commits[-1]) != model.commits[-1]:
            return Answer({"error": "A commit has happened since. Please refresh"}, 412)
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                model.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                model.files[value["path"]] = self.large[value["oid"]]
            elif line["key"] == "deletedFile":
                del model.files[value["path"]]
        content = json.dumps(lines).encode() + model.commits[-1].encode()
        model.commits.append(hashlib.sha1(content).hexdigest())
        model.messages.append(header["summary"])
        oid = model.commits[-1]
        url = f"{self.url}/{name}/commit/{oid}"
        return Answer({"success": True, "commitOid": oid, "commitUrl": url, "hookOutput": ""})

    def batch(self, asked: dict[str, Any]) -> Answer:
        """Git LFS's batch API: where each object goes; those that are here go nowhere."""
        told = []
        for one in asked["objects"]:
            new = one["oid"] not in self.large
            upload = {"actions": {"upload": {"href": f"{self.url}/large/{one['oid']}"}}}
            told.append({**one, "authenticated": True, **(upload if new else {})})
        return Answer({"transfer": "basic", "objects": told, "hash_algo": "sha256"})

    def resolved(self, name: str, file: str, user: str) -> Answer:
        model = self.visible(name, user)
        if model is None or file not in model.files:
            return Answer({"error": "not found"}, 404, {"X-Error-Code": "EntryNotFound"})
        content = model.files[file]
        etag = hashlib.sha1(content).hexdigest()
        return Answer(content, headers={"ETag": f'"{etag}"', "X-Repo-Commit": model.commits[-1]})


def large(path: str) -> str:
    return "lfs" if path.endswith(LARGE) else "regular"


def validated(card: str) -> Answer:
    """What the Hub says of the metadata of a card."""
    license_ = re.search(r"^license: (.*)$", card, re.MULTILINE)
    if license_ is not None and license_[1] not in LICENSES:
        message = f'"license" must be one of {", ".join(LICENSES)}'
        return Answer({"errors": [{"message": message}], "warnings": []}, 400)
    return Answer({"errors": [], "warnings": []})


def handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            path = unquote(urlsplit(self.path).path)
            found = server.answer(self.command, path, body, token)
            content = (
                found.body if isinstance(found.body, bytes) else json.dumps(found.body).encode()
            )
            self.send_response(found.status)
            for name, value in found.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_HEAD = respond  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            pass

    return Handler
