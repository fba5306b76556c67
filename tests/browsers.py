"""Real browsers for tests: a page that must neither complain nor ask for anything.

Chromium is driven by Playwright, Firefox by WebDriver BiDi, which it speaks itself.
"""

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from event_loops import Loop

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
FIREFOX = next(filter(None, map(shutil.which, ("firefox-esr", "firefox"))), None)
FLAGS = [
    *("--no-sandbox", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-quic"),
]
LOCAL = ("file:", "data:", "blob:", "about:")
PHONE = {"width": 390, "height": 844}


class Watched:
    """A Playwright page, and everything that it complained of or asked for.

    Args:
        page: to watch.
        server: the start of the addresses that it may ask for; None: none at all.
    """

    def __init__(self, page, server: str | None = None) -> None:
        self.page, self.complaints = page, []
        allowed = LOCAL if server is None else (*LOCAL, server, server.replace("http", "ws", 1))
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("console", self._heard)
        page.on("request", lambda r: self._asked(r.url, allowed))

    def _heard(self, message) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def _asked(self, url: str, allowed: tuple[str, ...]) -> None:
        if not url.startswith(allowed):
            self.complaints.append(f"asked for {url}")


@pytest.fixture(scope="session")
def chromium() -> Iterator:
    """A headless Chromium."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium: apt-get install chromium")
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium) -> Iterator:
    """Opens a file or an address: `opened(where, **options)` -> a Playwright page.

    The options are those of a browser context, such as viewport, color_scheme, has_touch.  At the
    end of the test no page may have complained in its console or asked for what is elsewhere.
    """
    contexts, watched = [], []

    def open_(where: Path | str, *, context=None, **options):
        if context is None:
            context = chromium.new_context(**options)
            contexts.append(context)
        context.set_default_timeout(60_000)
        page = context.new_page()
        url = where.absolute().as_uri() if isinstance(where, Path) else where
        server = "/".join(url.split("/")[:3]) if url.startswith("http") else None
        watched.append(Watched(page, server))
        page.goto(url)
        return page

    yield open_
    complaints = [complaint for one in watched for complaint in one.complaints]
    for context in contexts:
        context.close()
    assert complaints == []


class Firefox:
    """A headless Firefox that opens files and answers expressions.

    Args:
        loop: in which it is talked to.

    Raises:
        TimeoutError: it does not start.
    """

    def __init__(self, loop: Loop) -> None:
        self.profile = tempfile.TemporaryDirectory(prefix="ganlab-firefox-")
        words = [FIREFOX, "--headless", "--no-remote", "--profile", self.profile.name]
        self.process = subprocess.Popen(
            [*words, "--remote-debugging-port", "0"],
            env={**os.environ, "MOZ_DISABLE_AUTO_SAFE_MODE": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.loop, self.number, self.complaints = loop, 0, []
        self.socket = loop.run(connected(self._port()))
        self.call("session.new", capabilities={})
        self.call("session.subscribe", events=["log.entryAdded", "network.beforeRequestSent"])
        self.context = self.call("browsingContext.getTree")["contexts"][0]["context"]

    def _port(self, seconds: float = 60) -> int:
        file, end = Path(self.profile.name) / "WebDriverBiDiServer.json", time.monotonic() + seconds
        while time.monotonic() < end:
            if file.exists() and (text := file.read_text()):
                return json.loads(text)["ws_port"]
            time.sleep(0.05)
        raise TimeoutError("Firefox did not start")

    def call(self, method: str, **params):
        """One command of WebDriver BiDi."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        answer = self.loop.run(self._answered(message))
        if answer["type"] == "error":
            raise RuntimeError(f"{method}: {answer['message']}")
        return answer["result"]

    async def _answered(self, message: dict) -> dict:
        """The answer to a command, after the events that come before it."""
        await self.socket.write_message(json.dumps(message))
        while True:
            answer = json.loads(await self.socket.read_message())
            if answer.get("id") == message["id"]:
                return answer
            self._heard(answer["method"], answer["params"])

    def _heard(self, event: str, params: dict) -> None:
        if event == "log.entryAdded" and params["level"] in ("error", "warn"):
            self.complaints.append(f"{params['level']}: {params['text']}")
        if event == "network.beforeRequestSent":
            url = params["request"]["url"]
            if not url.startswith((*LOCAL, "http://127.0.0.1:")):
                self.complaints.append(f"asked for {url}")

    def open(self, where: Path | str) -> None:
        """Opens a file or an address and waits until it is loaded."""
        url = where.absolute().as_uri() if isinstance(where, Path) else where
        self.call("browsingContext.navigate", context=self.context, url=url, wait="complete")

    def value(self, expression: str):
        """The value of a JavaScript expression or of its promise: plain, no object."""
        result = self.call(
            "script.evaluate",
            expression=expression,
            target={"context": self.context},
            awaitPromise=True,
        )
        if result["type"] == "exception":
            raise RuntimeError(result["exceptionDetails"]["text"])
        return result["result"].get("value")

    def close(self) -> None:
        """Ends it."""
        try:
            self.loop.run(closed(self.socket))
        finally:
            self.process.terminate()
            self.process.wait(timeout=30)
            self.profile.cleanup()


async def connected(port: int):
    """A WebSocket to Firefox."""
    from tornado.websocket import websocket_connect

    return await websocket_connect(f"ws://127.0.0.1:{port}/session", max_message_size=2**28)


async def closed(socket) -> None:
    """Closes a WebSocket and waits until it is."""
    socket.close()
    while await socket.read_message() is not None:
        pass


@pytest.fixture(scope="module")
def firefox() -> Iterator[Firefox]:
    """A headless Firefox; at the end none of its pages may have complained."""
    if FIREFOX is None:
        pytest.skip("no Firefox: apt-get install firefox-esr")
    with Loop() as loop:
        browser = Firefox(loop)
        yield browser
        browser.close()
    assert browser.complaints == []
