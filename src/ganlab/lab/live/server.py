"""`ganlab lab live`: a page on loopback with a training that a person plays with."""

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

import torch
from bokeh.application import Application as Documents
from bokeh.application.handlers.function import FunctionHandler
from bokeh.document import Document
from bokeh.server.tornado import BokehTornado
from bokeh.util.token import generate_jwt_token, generate_session_id
from tornado.ioloop import IOLoop
from tornado.web import Application

from ganlab.lab.live import form
from ganlab.lab.live.desk import Desk
from ganlab.lab.live.link import Link
from ganlab.lab.live.page import Desks, Page
from ganlab.pages import document, loopback, plots

PATH = "/live"  # of Bokeh's application; only its socket is served


class Shell(loopback.Handler):
    """Answers with the page, which then opens a socket."""

    def get(self) -> None:
        """The page; what it shows comes through the socket."""
        self.finish(shell())


def shell() -> str:
    """The page as HTML, with a token for a session of its own."""
    token = generate_jwt_token(generate_session_id())
    return document.page(
        __package__,
        "page.html",
        needs=["server"],
        title="GAN laboratory",
        library=plots.library(),
        connection={"token": token, "path": f"{PATH}/ws"},
        **form.parts(),
    )


class Laboratory:
    """What answers requests: the page, and a socket for each page that is open."""

    def __init__(self) -> None:
        self.desks = Desks(self.connected)
        documents = Documents(FunctionHandler(self._open))
        # Which hosts and origins are answered is for the guard to say.
        self.bokeh = BokehTornado({PATH: documents}, extra_websocket_origins=["*"], use_index=False)
        # Of Bokeh's own pages and files none is served.
        self.application = Application([("/", Shell), (f"{PATH}/ws", self.bokeh)])

    def _open(self, opened: Document) -> None:
        Page(opened, self.desks)

    def connected(self, page: Page) -> bool:
        """Whether a page still has a connection."""
        sessions = {session.id: session for session in self.bokeh.get_sessions(PATH)}
        return page.session in sessions and sessions[page.session].connection_count > 0

    @contextlib.contextmanager
    def running(self) -> Iterator[Application]:
        """Yields what answers requests; sessions of closed pages are forgotten."""
        self.bokeh.initialize(IOLoop.current())
        self.bokeh.start()
        try:
            yield self.application
        finally:
            self.bokeh.stop()


async def serving(query: str, port: int, *, show: bool) -> None:
    """Serves until Ctrl-C."""
    with Laboratory().running() as application:
        await loopback.serve(application, port, show=show, query=query)


def live(state: str = "", port: int = 0, show: bool = True) -> list[Path]:
    """A page on this machine in which a training runs and you play with it.

    Play, pause, single updates, slow motion through Algorithm 1; any loss, regularizer and
    optimizer; data that you draw; a slider over the run's history; two runs side by side; a tour of
    what goes wrong with GANs, and of the cures.  Each tab of the browser has a training of its own.
    Ctrl-C ends it.

    Args:
        state: what to begin with, as in the page's address after the `?`, such as
            'data=swiss_roll&loss=hinge&k=2'.
        port: on 127.0.0.1; 0: one that is free.
        show: open the page in the browser.
    """
    link = Link.from_query(state)
    Desk(link)
    torch.set_num_threads(1)
    logging.getLogger("bokeh").setLevel(logging.ERROR)  # not that a page was closed while it played
    asyncio.run(serving(link.query(), port, show=show))
    return []
