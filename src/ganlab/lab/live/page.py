"""A page's document on the server: pictures and curves that follow a desk, frame by frame."""

import json
import secrets
import time
from collections.abc import Callable
from typing import Any, TypedDict

from bokeh.core.properties import Any as Anything
from bokeh.core.properties import Dict, Int, String
from bokeh.document import Document
from bokeh.model import DataModel

from ganlab.errors import ConfigError
from ganlab.lab.live.charts import SIDES, Charts, titles
from ganlab.lab.live.desk import FRAME, Desk
from ganlab.lab.live.link import Link
from ganlab.lab.live.picture import Picture
from ganlab.lab.live.screen import Change, Screen
from ganlab.lab.live.setup import Setup
from ganlab.lab.live.words import relabelled
from ganlab.pages.document import finite

MOST = 8  # desks that are kept, the oldest is dropped
AHEAD = 1  # frames that are sent before the page has drawn the one before
MEASURED_EVERY = 0.5  # seconds, as long as it plays
# What a page adds to the desk's view.
OWN = ("frame", "key", "answered", "problems", "refused", "misread")
MISREAD = "The address is not understood, so the usual choices are shown."
ELSEWHERE = ("tour", "beside", "draw")  # wishes after which all fields show other choices


class Refusal(TypedDict):
    """A choice that is not in force: what was chosen, and why it cannot be."""

    text: str
    sentences: list[str]


class Room(DataModel):
    """What a page and the server tell each other.

    `wish` is what the page asks for, as JSON; `seen` the last frame that it has drawn.  `frame` is
    what it is to show: `changes`, values of the models' properties by the model's id, and `view`,
    all the rest, as JSON.
    """

    wish = String()
    seen = Int()
    frame = Dict(String, Anything)


class Desks:
    """The desks of all pages, by a key that each page keeps; so a page that reloads goes on.

    Args:
        alive: whether a page still has a connection.
    """

    def __init__(self, alive: Callable[["Page"], bool]) -> None:
        self.alive = alive
        self._desks = dict[str, Desk]()  # the oldest first
        self._pages = dict[str, Page]()

    def take(self, page: "Page", key: object, query: str) -> tuple[str, Desk, list[str]]:
        """The desk of a page, with its key and what is wrong with the query, if anything.

        Args:
            page: that takes it.
            key: which it had before; a copied page has that of one that is still open, and gets a
                desk of its own.
            query: what to show if it had none.
        """
        found = self._desks.pop(key, None) if isinstance(key, str) and self._free(key) else None
        mistakes = list[str]()
        if found is None:
            key = secrets.token_hex(8)
            found, mistakes = desk_of(query)
        self._desks[str(key)], self._pages[str(key)] = found, page
        while len(self._desks) > MOST:
            oldest = min(self._desks, key=lambda one: not self._free(one))
            del self._desks[oldest], self._pages[oldest]
        return str(key), found, mistakes

    def kept(self, key: str) -> Desk | None:
        """The desk of a key, if it is still kept."""
        return self._desks.get(key)

    def _free(self, key: str) -> bool:
        return key not in self._pages or not self.alive(self._pages[key])


def desk_of(query: str) -> tuple[Desk, list[str]]:
    """The desk of a query; if it is wrong, the usual one, and what is wrong."""
    try:
        return Desk(Link.from_query(query)), []
    except ConfigError as error:
        return Desk(Link(Setup())), [MISREAD, *error.problems]


class Page:
    """Connects a document to a desk: does what the page asks for, trains, draws.

    It trains only as long as the page draws: the next frame is made when the page has seen the one
    before the last.  So a hidden or closed page, or one without a connection, costs nothing.

    Args:
        document: of a session.
        desks: to take one from.
    """

    def __init__(self, document: Document, desks: Desks) -> None:
        self.document, self.desks = document, desks
        self.session = document.session_context.id
        self.key = ""
        self.desk: Desk | None = None
        self.room, self.screen = Room(), Screen()
        self.pictures, self.charts = [Picture(side) for side in SIDES], Charts()
        self.frame, self.scheduled = 0, False
        self.drawing, self.measured = 0.0, 0.0  # seconds that a frame takes; when it was measured
        self.titles = list[str]()  # of the charts that are shown
        self.answered = 0  # the number of the last wish
        self.problems = list[str]()  # of the last wish
        self.misread = False  # whether the address says something else than what is shown
        self.refused = dict[str, Refusal]()  # by the field that the choice was made in
        self._fill()

    def _fill(self) -> None:
        """The roots, in the order in which the page's template has places for them."""
        document = self.document
        document.config.reconnect_session = False  # the page reloads itself
        document.config.notify_connection_status = False
        document.config.notifications = None
        for picture in self.pictures:
            document.add_root(picture.plot)
            document.add_root(picture.best)
        for plot in self.charts.plots.values():
            document.add_root(plot)
        document.add_root(self.room)
        self.room.on_change("wish", self._wished)
        self.room.on_change("seen", self._seen)

    def _wished(self, _name: str, _old: str, new: str) -> None:
        wish = json.loads(new)
        self.answered = wish.pop("number", 0)
        if wish.get("do") == "open":
            key, query = wish.get("key"), wish["query"]
            self.key, self.desk, self.problems = self.desks.take(self, key, query)
            self.misread = bool(self.problems)
        elif self.desk is not None:
            self.misread = False
            self._grant(self.desk, wish, wish.pop("field", None))
        self._draw(whole=True)
        self._schedule()

    def _grant(self, desk: Desk, wish: dict[str, Any], field: str | None) -> None:
        """Does what is wished; what is wrong with a field's choice stays with the field."""
        mistakes = list[str]()
        try:
            desk.act(wish)
        except ConfigError as error:
            mistakes = [relabelled(sentence) for sentence in error.problems]
        if wish.get("do") in ELSEWHERE:
            self.refused.clear()
        if field is None:
            self.problems = mistakes
        elif mistakes:
            self.refused[field] = {"text": str(wish.get("text")), "sentences": mistakes}
        else:
            self.refused.pop(field, None)

    def _seen(self, _name: str, _old: int, _new: int) -> None:
        self._schedule()

    def _schedule(self, seconds: float = 0.0) -> None:
        """Trains on, after so many seconds, unless that is already planned."""
        if self.desk is not None and self.desk.playing and not self.scheduled:
            self.scheduled = True
            self.document.add_timeout_callback(self._on, round(1000 * seconds))

    def _on(self) -> None:
        self.scheduled = False
        if self.desk is None or not self.desk.playing or self.frame - self.room.seen > AHEAD:
            return
        wait = self.desk.slice(FRAME - self.drawing)
        started = time.perf_counter()
        self._draw()
        self.drawing = min(time.perf_counter() - started, FRAME / 2)
        self._schedule(max(0.0, wait - self.drawing))

    def _draw(self, *, whole: bool = False) -> None:
        """Sends a frame; a whole one has new measures and curves, too."""
        desk = self.desk
        if desk is None:
            return
        now = time.monotonic()
        whole = whole or not desk.playing or now - self.measured > MEASURED_EVERY
        changes = list[Change]()
        for picture, frame in zip(self.pictures, desk.frames(measure=whole), strict=False):
            changes += picture.show(*frame)
        if whole:
            curves = [side.curves() for side in desk.sides]
            changes += self.charts.show(curves, desk.iterations)
            self.titles, self.measured = titles(curves[0]), now
        self.frame += 1
        own = {name: getattr(self, name) for name in OWN}
        view = {**own, "charts": self.titles, **desk.view()}
        self.room.frame = {
            "changes": self.screen.differences(changes),
            "view": json.dumps(finite(view), allow_nan=False),
        }
