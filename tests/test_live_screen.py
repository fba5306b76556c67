"""What the live page is sent: only what is new, in one message a frame."""

from types import SimpleNamespace

import numpy as np
from bokeh.document import Document
from bokeh.models import ColumnDataSource, Range1d

from ganlab.lab.live import Setup
from ganlab.lab.live.desk import Desk
from ganlab.lab.live.link import Link
from ganlab.lab.live.page import Desks, Page
from ganlab.lab.live.screen import Screen


def test_a_screen_says_only_what_is_new():
    source, axis, screen = ColumnDataSource(), Range1d(), Screen()
    points = np.array([0.0, np.nan])
    picture = {"image": [np.eye(3)], "low": [-1.0]}
    first = [(source, {"data": {"x": points}}), (axis, {"start": 0, "end": 1})]
    found = screen.differences(first)
    assert found == {source.id: first[0][1], axis.id: first[1][1]}
    assert screen.differences([(source, {"data": {"x": points.copy()}})]) == {}
    assert screen.differences([(axis, {"start": 0, "end": 2})]) == {axis.id: {"end": 2}}
    assert list(screen.differences([(source, {"data": picture})])) == [source.id]
    assert screen.differences([(source, {"data": {**picture, "image": [np.eye(3)]}})]) == {}
    assert screen.differences([(source, {"data": {**picture, "image": [np.ones((3, 3))]}})])
    assert source.data == {}  # the models themselves stay


def test_a_frame_is_one_message(monkeypatch):
    """And what Bokeh sends for every property that is set would be dozens."""
    sent, document = [], Document()
    session = SimpleNamespace(id="a session")
    monkeypatch.setattr(Document, "session_context", session)
    page = Page(document, Desks(lambda _: True))
    page.desk = Desk(Link(Setup(g_width=8, d_width=8)))
    document.on_change(sent.append)
    page._draw(whole=True)
    page.desk.iterate()
    page._draw(whole=True)
    first, second = (event for event in sent if event.attr == "frame")
    changed = [event for event in sent if event.attr != "frame"]
    assert [event.attr for event in changed] == ["ticker"]  # the first one, of the plane
    assert len(first.new["changes"]) > len(second.new["changes"]) > 5
    real = page.pictures[0].sources["real"].id
    assert real in first.new["changes"]
    assert real not in second.new["changes"]
