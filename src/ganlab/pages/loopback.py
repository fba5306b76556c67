"""Servers for one person on one machine, on loopback, that answer only their own pages."""

import asyncio
import contextlib
import signal
import socket
import webbrowser
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPMessageDelegate, HTTPServerRequest
from tornado.routing import Router
from tornado.web import Application, RequestHandler

from ganlab.errors import ConfigError

ADDRESS = "127.0.0.1"
NAMES = (ADDRESS, "localhost")  # by which browsers reach it


def opened(port: int) -> socket.socket:
    """A socket that listens on loopback.

    Args:
        port: 0: one that is free.

    Raises:
        ConfigError: the port is taken, or not allowed.
    """
    if not 0 <= port < 2**16:
        raise ConfigError([f"port must be from 0 (any that is free) to 65535, got {port}"])
    try:
        listening = socket.create_server((ADDRESS, port))
    except OSError as error:
        raise ConfigError(
            [f"port {port} of {ADDRESS}: {error.strerror}; set port=0 for one that is free"]
        ) from error
    listening.setblocking(False)
    return listening


class Guard(Router):
    """Passes on the requests of pages that this server has sent, and refuses all others.

    A page elsewhere can make a browser send requests to loopback (cross-site requests), and can
    give its own name this address (DNS rebinding).  The first have a foreign Origin or say that
    they are cross-site, the second have a foreign Host.

    Args:
        application: that answers.
        port: at which it listens.
    """

    def __init__(self, application: Application, port: int) -> None:
        self.application = application
        self.hosts = {f"{name}:{port}" for name in NAMES}
        self.origins = {f"http://{host}" for host in self.hosts}

    def find_handler(self, request: HTTPServerRequest, **_: Any) -> HTTPMessageDelegate | None:
        """What answers a request."""
        if (reason := self.refusal(request)) is not None:
            return self.application.get_handler_delegate(request, Refused, {"reason": reason})
        return self.application.find_handler(request)

    def refusal(self, request: HTTPServerRequest) -> str | None:
        """Why a request is refused; None: it is not."""
        headers = request.headers
        if request.host not in self.hosts:
            return "this server answers for loopback alone"
        if (origin := headers.get("Origin")) is not None and origin not in self.origins:
            return "this server answers its own pages alone"
        # A link on another page may lead here; it may not load anything from here into itself.
        link = headers.get("Sec-Fetch-Dest") == "document" and request.method == "GET"
        if headers.get("Sec-Fetch-Site") in ("cross-site", "same-site") and not link:
            return "this server answers its own pages alone"
        return None


class Handler(RequestHandler):
    """Answers that other pages can neither read nor frame, and that no cache keeps."""

    def set_default_headers(self) -> None:
        """Adds the headers that confine an answer to this server's pages."""
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")
        self.set_header("Content-Security-Policy", "frame-ancestors 'none'")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Cache-Control", "no-store")

    def write_error(self, status_code: int, **_: Any) -> None:
        """The status alone: an error may quote what it was sent."""
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(f"{status_code} {HTTPStatus(status_code).phrase}\n")


class Refused(Handler):
    """Answers 403, with the reason."""

    def initialize(self, reason: str) -> None:
        """Keeps the reason."""
        self.reason = reason

    def prepare(self) -> None:
        """Ends the request, whatever its method."""
        self.set_status(HTTPStatus.FORBIDDEN)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(f"403: {self.reason}\n")


async def serve(application: Application, port: int = 0, *, show: bool = True) -> None:
    """Serves until Ctrl-C, and says where.

    Args:
        application: whose handlers are `Handler`s.
        port: on loopback; 0: one that is free.
        show: opens the page in the default browser.

    Raises:
        ConfigError: the port is taken.
    """
    listening = opened(port)
    port = listening.getsockname()[1]
    server = HTTPServer(Guard(application, port), max_body_size=2**20)
    server.add_socket(listening)
    url = f"http://{ADDRESS}:{port}/"
    with interrupted() as stop:
        print(f"{url}   (Ctrl-C ends it)", flush=True)
        if show:
            webbrowser.open(url)
        await stop.wait()
    server.stop()
    await server.close_all_connections()


@contextlib.contextmanager
def interrupted() -> Iterator[asyncio.Event]:
    """Yields what Ctrl-C, or an end by the system, sets."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)
    for one in signals:
        loop.add_signal_handler(one, stop.set)
    try:
        yield stop
    finally:
        for one in signals:
            loop.remove_signal_handler(one)
