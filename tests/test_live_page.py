"""The page of the live laboratory in a real browser: every control, reloads, tabs, lost sockets."""

import json
import math
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from urllib.parse import quote, urlsplit

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.httpserver import HTTPServer
from tornado.websocket import websocket_connect

from browsers import PHONE
from commands import run_main
from event_loops import Loop
from ganlab.errors import ConfigError
from ganlab.health.verdicts import Verdict
from ganlab.lab.__main__ import main
from ganlab.lab.live import TOUR, WHILE_IT_RUNS, Setup
from ganlab.lab.live.desk import EIGHT, STOPS, Desk
from ganlab.lab.live.form import GROUPS, LEGEND
from ganlab.lab.live.link import SWITCHED, Link
from ganlab.lab.live.picture import SOURCES, Picture
from ganlab.lab.live.screen import apply
from ganlab.lab.live.server import PATH, Laboratory
from ganlab.lab.live.words import LABELS, MEASURES
from ganlab.pages import loopback

PATIENCE = 60_000  # milliseconds
SMALL = "g_width=8&d_width=8&batch=16"  # quick
HOSTILE = "<img src=x onerror=\"document.title='taken'\">"


class Served:
    """A laboratory that serves in a thread, and what the tests look at inside of it."""

    def __init__(self, loop: Loop) -> None:
        self.loop, self.laboratory = loop, Laboratory()
        loop.run(self._start())

    async def _start(self) -> None:
        listening = loopback.opened(0)
        self.port = listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        self.running = self.laboratory.running()
        self.server = HTTPServer(loopback.Guard(self.running.__enter__(), self.port))
        self.server.add_socket(listening)

    async def _end(self) -> None:
        self.running.__exit__(None, None, None)
        self.server.stop()
        await self.server.close_all_connections()

    def end(self) -> None:
        self.loop.run(self._end())

    def desk(self, page) -> Desk:
        """What a page plays with."""
        return self.laboratory.desks.kept(page.evaluate("history.state.key"))

    def do(self, function, *values):
        """Calls a function where the laboratory runs, between two of its frames."""

        async def call():
            return function(*values)

        return self.loop.run(call())


@pytest.fixture(scope="module")
def served():
    with Loop() as loop:
        served = Served(loop)
        yield served
        served.end()


def ready(page):
    """Waits for the first frame."""
    page.locator("#command:not(:empty)").wait_for(timeout=PATIENCE)
    return page


@pytest.fixture
def live(served, opened):
    """Opens the page with a query, and waits for its first frame."""

    def open_(query: str = SMALL, **options):
        return ready(opened(f"{served.url}?{query}", **options))

    return open_


def shown(page, iterations: int) -> None:
    """Waits until an iteration is shown."""
    from playwright.sync_api import expect

    expect(page.locator("#iterations")).to_have_text(str(iterations), timeout=PATIENCE)


def says(page, where: str, text) -> None:
    """Waits until an element says a text, or one that matches."""
    from playwright.sync_api import expect

    expect(page.locator(where)).to_contain_text(text, timeout=PATIENCE)


def number(page) -> int:
    return int(page.inner_text("#iterations").split()[0])


def until(page, condition) -> None:
    """Waits until a condition holds."""
    end = time.monotonic() + PATIENCE / 1000
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        page.wait_for_timeout(20)


def reaches(page, iterations: int) -> None:
    """Waits until at least so many iterations are shown."""
    until(page, lambda: number(page) >= iterations)


def address(page, part: str) -> None:
    """Waits until the address has a part."""
    until(page, lambda: part in page.url)


def drawn(page, source: str, side: str = "left") -> int:
    """How many values a plot's source holds in the browser."""
    name = json.dumps(f"{side} {source}")
    return page.evaluate(
        f"""() => {{
          const models = [...Bokeh.documents[0]._all_models.values()];
          const data = models.find((model) => model.name === {name}).data;
          return (data instanceof Map ? [...data.values()] : Object.values(data))[0].length;
        }}"""
    )


# The desk, without a browser ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "link",
    [
        Link(Setup()),
        Link(Setup(loss="hinge", k=3), layers=("real", "warp"), iterations=70),
        Link(Setup(regularizers=(("r1", 0.5),)), beside=Setup(loss="wasserstein")),
        Link(Setup(seed=7, data="swiss_roll"), beside=Setup(seed=7, data="swiss_roll"), layers=()),
        Link(Setup(data="drawn", strokes=EIGHT)),
    ],
    ids=lambda link: link.query()[:40] or "-",
)
def test_a_link_is_read_as_it_was_written(link):
    assert Link.from_query("?" + link.query()) == link


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("lose=hinge", "lose: unknown; did you mean 'loss'"),
        ("beside=k%3D99", "beside: k: expected a whole number from 1 to 20, got 99"),
        ("beside=seed%3D3", "beside: seed is the same on both sides"),
        ("layers=real,heet", "layers: expected some of .*, got 'heet'; did you mean 'heat'"),
        ("iterations=-1", "iterations: expected a whole number from 0 to 1000000, got '-1'"),
        ("iterations=1e3", "iterations: expected"),
        (f"{HOSTILE}=1", "unknown"),
        ("k=1e999&seed=-1", "seed: expected a whole number"),
        (f"regularizers={quote(HOSTILE)}:1", "regularizers: expected"),
        ("g_width=99999999999999999999", "g_width: expected"),
        ("iterations=" + "9" * 5000, "iterations: expected"),
    ],
)
def test_a_wrong_link_is_refused(query, said):
    with pytest.raises(ConfigError, match=said):
        Link.from_query(query)


def test_the_form_says_what_applies_while_it_runs():
    for runs, group in GROUPS.values():
        assert all((choice.name in WHILE_IT_RUNS) == runs for choice in group)
    named = {choice.name for _, group in GROUPS.values() for choice in group}
    assert Setup.__dataclass_fields__.keys() - named == {"strokes", "regularizers", "health"}
    assert LEGEND.keys() == set(SWITCHED)
    assert LABELS.keys() == Setup.__dataclass_fields__.keys()
    assert {stop.number for stop in TOUR} <= MEASURES.keys()


@pytest.mark.parametrize("setup", [Setup(), Setup(data="gaussian_1d", latent_dim=1)])
def test_a_picture_has_a_place_for_every_layer(setup):
    desk = Desk(Link(replace(setup, g_width=8, d_width=8), layers=SWITCHED))
    desk.line()
    desk.line()
    (frame,) = desk.frames()
    picture = Picture("left")
    columns = picture.take(*frame)
    for name, one in columns.items():
        assert one.keys() == set(SOURCES[name])
    apply(picture.show(*frame))
    plane = {"real", "generated", "heat", "optimal", "warp", "arrows", "heads"}
    line = plane - {"heat", "optimal"} | {"d", "best", "p_data", "p_g"}
    found = columns.keys() - {"drawn_real", "drawn_generated"}
    assert found == (plane if setup.data == "ring_2d" else line)
    apply(picture.show({}, *frame[1:]))
    assert all(not len(next(iter(source.data.values()))) for source in picture.sources.values())


@pytest.mark.parametrize(
    "wish",
    [
        {},
        {"do": "train"},
        {"do": "__init__"},
        {"do": ["play"]},
        {"do": "play", "until": 1, "further": 2},
        {"do": "go_to", "at": "there"},
        {"do": "choose", "side": 5, "name": "k", "text": "2"},
        {"do": "choose", "side": 0, "name": "strokes_", "text": ""},
        {"do": "choose", "side": 0, "name": "k", "text": "two"},
        {"do": "draw", "points": [["a", "b"]]},
        {"do": "draw", "points": [[math.nan, 0]]},
        {"do": "speed", "value": "fast"},
    ],
    ids=str,
)
def test_a_wish_that_cannot_be_granted_is_refused_and_changes_nothing(wish):
    desk = Desk(Link(Setup(g_width=4, d_width=4)))
    before = desk.view()
    with pytest.raises(ConfigError):
        desk.act(wish)
    assert desk.view() == before


# Playing ------------------------------------------------------------------------------------------


@pytest.mark.long
def test_play_pause_single_steps_and_reset(live, served):
    page = live()
    shown(page, 0)
    page.click("text=1 iteration")
    shown(page, 1)
    page.click("#play")
    says(page, "#play", "Pause")
    reaches(page, 30)
    page.click("#play")
    says(page, "#play", "Play")
    desk = served.desk(page)
    shown(page, desk.iterations)
    assert f"iterations={desk.iterations}" in page.url
    gan = desk.sides[0].training.gan
    before = dict(gan.updates)
    page.click("text=1 update of D")
    says(page, "#repeats", "You have intervened")
    page.click("text=1 update of G")
    page.click("text=1 update of G")
    page.click("text=Reset")
    shown(page, 0)
    assert {player: gan.updates[player] - n for player, n in before.items()} == {"d": 1, "g": 2}
    says(page, "#repeats", "the same weights, bit for bit")


@pytest.mark.long
def test_the_pictures_move(live):
    page = live(f"{SMALL}&layers=real,generated,heat,optimal,warp,gradients")
    look = page.locator("[data-plot='left picture']")
    before = look.screenshot()
    page.click("text=1 iteration")
    shown(page, 1)
    for source, values in {"real": 400, "generated": 400, "heat": 1, "optimal": 1}.items():
        assert drawn(page, source) == values
    assert drawn(page, "warp") > 400
    page.click("#play")
    reaches(page, 20)
    page.click("#play")
    says(page, "#play", "Play")
    assert look.screenshot() != before
    for layer, source in {"real": "real", "heat": "heat", "warp": "warp"}.items():
        page.uncheck(f"[data-layer={layer}]")
        until(page, lambda source=source: not drawn(page, source))
    address(page, "layers=generated,optimal,gradients")
    assert page.is_visible("[data-plot='left picture of D*']")
    page.uncheck("[data-layer=optimal]")
    page.locator("[data-plot='left picture of D*']").wait_for(state="hidden")


@pytest.mark.long
def test_on_the_line_there_are_densities(live):
    page = live(f"{SMALL}&data=gaussian_1d&latent_dim=1&layers=densities,heat,optimal,warp")
    for source in ("p_data", "p_g", "d", "best", "warp"):
        assert drawn(page, source) > 100
    assert drawn(page, "heat") == 0
    says(page, "#left .numbers", re.compile("JSD.*nats"))
    assert page.is_visible("text=The densities of the data (blue) and of G (orange).")
    page.click("text=1 iteration")
    shown(page, 1)
    assert page.is_visible("[data-chart=Value]") == ("V(D, G)" in page.inner_text("#left .numbers"))


@pytest.mark.long
def test_slow_motion_goes_through_the_lines_of_algorithm_1(live):
    page = live(f"{SMALL}&k=2")
    says(page, "#step", "for k = 2 steps:")
    lit = [""]
    for _ in range(8):
        page.click("text=Next line")
        says(page, "#lines .lit", re.compile(f"^(?!{re.escape(lit[-1])}$)" if lit[-1] else "."))
        lit.append(page.inner_text("#lines .lit"))
        done = len(lit) - 1
        says(page, "#step", "for k = 2 steps" + (f", now {(done + 2) // 3}" * (done < 7)))
    del lit[0]
    starts = [line.split("from")[0].split("by")[0] for line in lit]
    assert starts[:3] == starts[3:6]
    assert starts[6] == starts[0]
    assert "noise samples" in lit[0]
    assert "examples" in lit[1]
    assert lit[2].startswith("Update the discriminator by ascending")
    assert lit[7].startswith("Update the generator by ascending")
    shown(page, 1)
    page.click("text=Next line")
    until(page, lambda: drawn(page, "drawn_generated"))
    page.fill("#pace", "0.2")
    says(page, "#pace-shown", "0.2")
    place = page.locator("#slow").bounding_box()
    page.click("#slow")
    says(page, "#play", "Pause")  # one state, whatever is played
    assert page.get_attribute("#slow", "aria-pressed") == "true"
    assert page.locator("#slow").bounding_box() == place
    reaches(page, 2)
    page.click("#play")
    says(page, "#play", "Play")
    assert page.get_attribute("#slow", "aria-pressed") == "false"
    page.click("text=1 iteration")
    until(page, lambda: page.locator("#lines .lit").count() == 0)


@pytest.mark.long
def test_the_slider_goes_back_and_one_continues_from_there(live):
    page = live(f"{SMALL}&iterations=60")
    shown(page, 60)
    says(page, "#play", "Play")
    page.focus("#history")
    page.keyboard.press("Home")
    shown(page, "0 of 60")
    assert page.is_visible("#past")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    says(page, "#iterations", "20 of 60")
    page.click("text=1 iteration")
    shown(page, 21)
    assert page.is_hidden("#past")


@pytest.mark.long
def test_the_speed_is_a_choice(live, served):
    page = live()
    page.select_option("#speed", "3")
    page.click("#play")
    reaches(page, 2)
    assert served.desk(page).speed == 3
    page.select_option("#speed", "0")
    reaches(page, 20)


# Choices ------------------------------------------------------------------------------------------

MADE = {
    "loss": "hinge",
    "k": "3",
    "batch": "32",
    "d_optimizer": "rmsprop",
    "d_rate": "0.01",
    "g_optimizer": "sgd",
    "g_rate": "0.02",
    "momentum": "0.25",
    "data": "swiss_roll",
    "latent": "uniform",
    "latent_dim": "1",
    "seed": "5",
    "g_width": "16",
    "g_depth": "1",
    "d_width": "12",
    "d_depth": "3",
    "activation": "tanh",
    "ema": "0.9",
}


@pytest.mark.long
def test_every_choice_is_made_and_kept(live, served):
    page = live()
    page.click("text=1 iteration")
    shown(page, 1)
    assert {choice.name for _, group in GROUPS.values() for choice in group} == MADE.keys()
    for name, value in MADE.items():
        control = page.locator(f"[data-choice={name}]")
        if control.evaluate("control => control.tagName") == "SELECT":
            control.select_option(value)
        else:
            control.fill(value)
            control.press("Tab")
        address(page, f"{name}={value}")
        shown(page, 1 if name in WHILE_IT_RUNS else 0)
    (setup,) = served.desk(page).setups
    assert setup == Setup.from_query("&".join(f"{n}={v}" for n, v in MADE.items()))
    assert f"data={MADE['data']}" in page.inner_text("#command")
    ready(page.reload() and page)
    for name, value in MADE.items():
        assert page.input_value(f"[data-choice={name}]") == value
    assert page.is_hidden("#problems")


@pytest.mark.long
def test_regularizers_are_chosen_with_their_strength(live, served):
    page = live()
    page.click("#regularizers summary")
    page.check("[data-regularizer=gradient_penalty]")
    says(page, "#regularizers-shown", "gradient_penalty 10")
    page.fill("[data-strength=gradient_penalty]", "0.5")
    page.keyboard.press("Tab")
    says(page, "#regularizers-shown", "gradient_penalty 0.5")
    assert served.desk(page).setups[0].regularizers == (("gradient_penalty", 0.5),)
    page.fill("[data-strength=gradient_penalty]", "-1")
    page.keyboard.press("Tab")
    says(page, "#wrong-regularizers", "gradient_penalty expected a number from 0")
    assert page.get_attribute("[data-strength=gradient_penalty]", "aria-invalid") == "true"
    page.click("[data-restore=regularizers]")
    page.locator("#wrong-regularizers").wait_for(state="hidden")
    assert page.input_value("[data-strength=gradient_penalty]") == "0.5"
    page.uncheck("[data-regularizer=gradient_penalty]")
    says(page, "#regularizers-shown", "none")


@pytest.mark.long
@pytest.mark.parametrize("pause", [20, 150])
def test_regularizers_ticked_while_older_answers_arrive_are_all_in_force(live, served, pause):
    page = live()
    page.click("#regularizers summary")
    page.click("#play")
    ticked = ("gradient_penalty", "r1", "r2", "lecam")
    page.evaluate(
        """async ([names, pause]) => {
            for (const name of names) {
                document.querySelector(`[data-regularizer=${name}]`).click();
                await new Promise((resolve) => setTimeout(resolve, pause));
            }
        }""",
        [ticked, pause],
    )
    desk = served.desk(page)
    until(page, lambda: {name for name, _ in desk.setups[0].regularizers} == {*ticked})
    page.wait_for_timeout(300)
    assert page.locator("[data-regularizer]:checked").count() == len(ticked)
    assert page.locator("[data-regularizer=consistency]").count() == 0, "it is for images"


def test_a_point_is_an_iteration_after_a_click_too(live):
    page = live()
    page.click("[data-do='iterate']")
    shown(page, 1)
    page.keyboard.press(".")
    shown(page, 2)
    page.focus("[data-choice=k]")
    page.keyboard.press(".")
    page.click("[data-do='iterate']")
    shown(page, 3)


def test_the_algorithm_is_that_of_the_chosen_side(live):
    page = live(f"{SMALL}&beside=loss%3Dwasserstein%26k%3D3")
    says(page, "#algorithm-title", "left side")
    says(page, "#lines", "log")
    page.click("#which input >> nth=1")
    says(page, "#algorithm-title", "right side")
    says(page, "#step", "for k = 3 steps")
    assert "log" not in page.inner_text("#lines")


@pytest.mark.long
def test_a_wrong_value_is_explained_and_the_page_goes_on(live, served):
    page = live()
    page.click("#play")
    page.fill("[data-choice=k]", "99")
    page.keyboard.press("Tab")
    says(page, "#wrong-k", "Steps of D: expected a whole number from 1 to 20, got 99. In force: 1.")
    assert page.get_attribute("[data-choice=k]", "aria-invalid") == "true"
    assert page.get_attribute("[data-choice=k]", "aria-describedby") == "wrong-k"
    assert served.desk(page).setups[0].k == 1
    page.fill("[data-choice=batch]", "8")
    page.keyboard.press("Tab")
    until(page, lambda: served.desk(page).setups[0].batch == 8)
    reaches(page, number(page) + 10)
    assert page.input_value("[data-choice=k]") == "99"  # what was typed stays, with its message
    assert page.is_visible("#wrong-k")
    page.fill("[data-choice=k]", "")
    page.keyboard.press("Tab")
    says(page, "#wrong-k", "got nothing")
    page.fill("[data-choice=k]", "2")
    page.keyboard.press("Tab")
    page.locator("#wrong-k").wait_for(state="hidden")
    assert page.get_attribute("[data-choice=k]", "aria-invalid") is None
    for way in ("key", "button"):
        page.fill("[data-choice=g_rate]", "11")
        page.keyboard.press("Enter")
        says(page, "#wrong-g_rate", "Learning rate of G: expected a number from 0 to 10")
        page.keyboard.press("Escape") if way == "key" else page.click("[data-restore=g_rate]")
        page.locator("#wrong-g_rate").wait_for(state="hidden")
        assert page.input_value("[data-choice=g_rate]") == "0.001"
    assert served.desk(page).setups[0].k == 2


@pytest.mark.long
def test_what_cannot_be_combined_is_explained(live, served):
    page = live()
    page.click("#regularizers summary")
    page.fill("[data-strength=weight_clip]", "0")
    page.check("[data-regularizer=weight_clip]")
    says(page, "#wrong-regularizers", "limit must be greater than 0")
    assert served.desk(page).setups[0].regularizers == ()
    page.click("text=1 iteration")
    shown(page, 1)
    assert page.is_checked("[data-regularizer=weight_clip]")
    page.uncheck("[data-regularizer=weight_clip]")
    page.locator("#wrong-regularizers").wait_for(state="hidden")


@pytest.mark.long
def test_a_critic_without_a_bound_is_doubted(live):
    page = live()
    assert page.is_hidden("#doubts")
    page.select_option("[data-choice=loss]", "wasserstein")
    says(page, "#doubts", "nothing bounds it here: choose the regularizer gradient_penalty")
    page.click("#regularizers summary")
    page.check("[data-regularizer=gradient_penalty]")
    page.locator("#doubts").wait_for(state="hidden")


@pytest.mark.long
@pytest.mark.parametrize("button", ["play", "slow"])
def test_two_clicks_before_the_server_has_answered_the_first_pause(live, served, button):
    page = live()
    page.evaluate("id => { for (const _ of [1, 2]) document.getElementById(id).click() }", button)
    page.select_option("[data-choice=loss]", "hinge")  # which the server hears after them
    address(page, "loss=hinge")
    assert not served.desk(page).playing


@pytest.mark.long
@pytest.mark.parametrize("way", ["mouse", "touch"])
def test_data_is_drawn_by_hand(live, served, way):
    page = live(**({"has_touch": True, "viewport": PHONE} if way == "touch" else {}))
    picture = page.locator("[data-plot='left picture']").bounding_box()
    page.click("#draw")
    box = page.locator("#pad").bounding_box()
    scrolled = page.evaluate("scrollY")
    place = {**box, "y": box["y"] + scrolled}  # the pad lies in the picture's place
    assert [place[name] for name in picture] == pytest.approx([*picture.values()], abs=4)
    places = [
        (box["x"] + box["width"] * x, box["y"] + box["height"] * 0.25) for x in (0.2, 0.5, 0.8)
    ]
    if way == "mouse":
        page.mouse.move(*places[0])
        page.mouse.down()
        for place in places[1:]:
            page.mouse.move(*place)
        page.mouse.up()
    else:
        touch(page, places)
    address(page, "data=drawn")
    points = served.desk(page).sides[0].training.stage.points
    assert points[:, 0].min() == pytest.approx(-0.6, abs=0.1)
    assert points[:, 0].max() == pytest.approx(0.6, abs=0.1)
    assert points[:, 1].mean() == pytest.approx(0.5, abs=0.02)
    assert page.input_value("[data-choice=data]") == "drawn"
    page.click("#play")
    page.locator("#drawing").wait_for(state="hidden")
    page.click("#play")
    says(page, "#play", "Play")
    setup = Link.from_query(urlsplit(page.url).query).setup
    assert setup == served.desk(page).setups[0]


@pytest.mark.long
def test_a_touch_that_is_over_before_the_page_hears_of_it_draws(live, served):
    """As on a page that is busy: the browser no longer knows the finger."""
    page = live()
    page.click("#draw")
    page.evaluate(
        """() => {
          const pad = document.getElementById("pad");
          const { left, top, width, height } = pad.getBoundingClientRect();
          const send = (kind, share) => pad.dispatchEvent(new PointerEvent(kind, {
            pointerId: 77, clientX: left + share * width, clientY: top + height / 2 }));
          send("pointerdown", 0.2);
          send("pointermove", 0.8);
          send("pointerup", 0.8);
        }"""
    )
    address(page, "data=drawn")
    points = served.desk(page).sides[0].training.stage.points
    assert points[:, 0].max() == pytest.approx(0.6, abs=0.1)


def touch(page, places) -> None:
    """A finger that goes from place to place."""
    finger = page.context.new_cdp_session(page)
    for kind, (x, y) in zip(("touchStart", "touchMove", "touchMove"), places, strict=True):
        point = {"x": x, "y": y}
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


@pytest.mark.long
def test_the_menu_draws_something_until_somebody_draws(live, served):
    page = live()
    page.select_option("[data-choice=data]", "drawn")
    address(page, "data=drawn")
    assert served.desk(page).setups[0].strokes == EIGHT


@pytest.mark.long
def test_two_side_by_side_from_the_same_seed(live, served):
    page = live(f"{SMALL}&seed=3")
    assert "starts anew" in page.inner_text("label:has(#beside)")
    page.locator("#beside").scroll_into_view_if_needed()
    height = page.locator("#beside").bounding_box()["y"]
    page.check("#beside")
    page.locator("#right .plot >> nth=0").wait_for()
    boxes = [page.locator(f"#{side} .plot >> nth=0").bounding_box() for side in ("left", "right")]
    assert boxes[0]["y"] == boxes[1]["y"]
    assert page.is_visible("#left .heading")
    assert page.locator("#beside").bounding_box()["y"] == pytest.approx(height, abs=2)
    page.click("text=Choices of the right")
    assert page.is_checked("[name=which][value='1']")
    says(page, ".group >> nth=0", "right side")
    page.select_option("[data-choice=loss]", "wasserstein")
    says(page, "#right .title", "Loss = wasserstein")
    says(page, "#left .title", "Loss = nonsaturating")
    assert page.is_visible("#legend [data-scale=critic] .plane")  # what a critic's colours say
    assert page.is_visible("#legend [data-scale=probability] .plane")
    page.fill("[data-choice=seed]", "4")
    page.keyboard.press("Tab")
    address(page, "seed=4")
    left, right = served.desk(page).setups
    assert (left.loss, right.loss) == ("nonsaturating", "wasserstein")
    assert left.seed == right.seed == 4
    page.click("text=1 iteration")
    shown(page, 1)
    assert [side.training.iterations for side in served.desk(page).sides] == [1, 1]
    assert drawn(page, "generated", "right") == 400
    page.click("#draw")
    pad, pictures = (page.locator(one).bounding_box() for one in ("#pad", "#pictures"))
    assert pad["width"] > 0.7 * pictures["width"], "it covers both pictures"
    page.click("#draw")
    page.check("[name=which][value='0']")
    assert page.input_value("[data-choice=loss]") == "nonsaturating"
    page.reload()
    says(ready(page), "#right .title", "wasserstein")
    page.uncheck("#beside")
    page.locator("#right").wait_for(state="hidden")


# The tour -----------------------------------------------------------------------------------------


@pytest.mark.long
def test_the_tour_leads_from_stop_to_stop(live, served):
    page = live(f"{SMALL}&layers=real,warp")
    page.click("text=1 iteration")
    shown(page, 1)
    before = served.desk(page).sides
    for stop in TOUR[:2]:
        page.click(f"[data-tour={stop.name}]")
        says(page, "#stop-title", stop.title)
        says(page, "#stop-text", stop.sentences[0])
        says(page, "#stop-why", " ".join([*stop.sentences[1:], stop.advice]))
        says(page, "#stop-number", MEASURES[stop.number].label)
        says(page, "#play", "Pause")
        desk = served.desk(page)
        assert (desk.setups[0], desk.until) == (stop.setup, stop.iterations)
        assert {box for box in SWITCHED if page.is_checked(f"#layer-{box}")} == set(stop.layers)
    page.click("#before")
    says(page, "#stop-title", TOUR[0].title)
    assert page.is_disabled("#before")
    page.click("#after")
    says(page, "#stop-title", TOUR[1].title)
    page.click("#leave")
    page.locator("#stop").wait_for(state="hidden")
    shown(page, 1)  # what was there before
    assert served.desk(page).sides is before
    assert {box for box in SWITCHED if page.is_checked(f"#layer-{box}")} == {"real", "warp"}


def test_drawing_in_the_tour_trains_with_the_settings_from_before():
    desk = Desk(Link(Setup(g_width=8, d_width=8, seed=3)))
    for act in (lambda: desk.draw([(0.0, 0.5)]), lambda: desk.choose(0, "data", "drawn")):
        desk.tour("mode-collapse")
        act()
        assert desk.stop is None
        assert replace(desk.setups[0], data="ring_2d", strokes="") == Setup(
            g_width=8, d_width=8, seed=3
        )


@pytest.mark.long
@pytest.mark.parametrize("window", [{"width": 1280, "height": 900}, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("name", STOPS)
def test_a_stop_is_seen_without_scrolling(live, window, name):
    page = live(SMALL, viewport=window)
    page.click(f"[data-tour={name}]")
    says(page, "#stop-title", STOPS[name].title)
    says(page, "#stop-number", re.compile(r"\d"))
    last = "#cure" if STOPS[name].change else "#stop-number"
    boxes = {
        part: page.locator(part).bounding_box()
        for part in ("#stop-number", last, "[data-plot='left picture']")
    }
    for box in boxes.values():
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= window["height"]
    if window is PHONE:
        gap = boxes["[data-plot='left picture']"]["y"] - boxes[last]["y"] - boxes[last]["height"]
        assert gap < (40 if STOPS[name].beside is None else 170)  # titles tell two pictures apart


@pytest.mark.long
def test_the_tour_pauses_where_there_is_something_to_see_and_has_a_cure(live, served):
    page = live()
    name = "mode-collapse"
    stop = STOPS[name]
    page.click(f"[data-tour={name}]")
    says(page, "#stop-title", stop.title)
    desk = served.desk(page)
    served.do(setattr, desk, "until", desk.iterations + 20)  # sooner than the stop says
    says(page, "#play", "Play")
    page.click("#cure")
    says(page, "#cure", "Cured: Learning rate of D = 0.005, Momentum = 0")
    says(page, "#stop-text", stop.after)
    (setup,) = desk.setups
    assert {key: getattr(setup, key) for key in stop.change} == dict(stop.change)
    assert desk.until > stop.then
    says(page, "#play", "Pause")
    page.focus("#history")
    page.keyboard.press("Home")  # before the cure
    says(page, "#cure", "Cure:")
    page.click("#play")
    says(page, "#play", "Pause")
    assert page.is_enabled("#cure")
    says(page, "#cure", "Cure:")
    says(page, "#stop-text", stop.sentences[0])


# State, tabs, connections -------------------------------------------------------------------------


@pytest.mark.long
def test_the_page_says_what_its_address_does_not_hold(live):
    page = live(f"{SMALL}&iterations=3")
    says(page, "#holds", "The address of this page holds its state.")
    page.select_option("[data-choice=loss]", "hinge")
    says(page, "#holds", "but not what you did while it ran")


@pytest.mark.long
def test_nothing_plays_behind_the_pad(live, served):
    page = live()
    page.click("#play")
    says(page, "#play", "Pause")
    page.click("#draw")
    says(page, "#play", "Play")


@pytest.mark.long
def test_the_address_holds_the_state(live, served):
    page = live(f"{SMALL}&loss=hinge&seed=5&layers=real,warp&iterations=30")
    shown(page, 30)
    says(page, "#play", "Play")
    assert page.input_value("[data-choice=loss]") == "hinge"
    assert page.is_checked("#layer-warp")
    assert not page.is_checked("#layer-heat")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.click("#copy")
    says(page, "#copied", "copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == page.url
    assert Link.from_query(urlsplit(copied).query) == served.desk(page).link()


@pytest.mark.long
def test_a_reload_goes_on_and_a_new_address_starts_anew(live, served):
    page = live()
    page.click("text=1 iteration")
    page.click("text=1 update of D")
    says(page, "#repeats", "intervened")
    desk = served.desk(page)
    page.reload()
    shown(ready(page), 1)
    assert served.desk(page) is desk
    page.click("#play")
    reaches(page, 20)
    page.reload()
    reaches(ready(page), 40)  # it still plays
    assert served.desk(page) is desk
    page.goto(f"{served.url}?{SMALL}&k=2")
    shown(ready(page), 0)
    assert served.desk(page) is not desk
    page.go_back()
    reaches(ready(page), 20)
    assert served.desk(page) is desk


@pytest.mark.long
def test_each_tab_has_a_training_of_its_own(live, served, opened):
    one = live(f"{SMALL}&k=2")
    other = ready(opened(f"{served.url}?{SMALL}", context=one.context))
    one.click("text=1 iteration")
    shown(one, 1)
    shown(other, 0)
    assert served.desk(one) is not served.desk(other)
    # A tab that is duplicated brings the other one's key along.
    key = one.evaluate("history.state.key")
    other.evaluate("key => history.replaceState({key}, '')", key)
    other.reload()
    ready(other)
    assert served.desk(other) is not served.desk(one)
    assert other.evaluate("history.state.key") != key


@pytest.mark.long
def test_a_page_without_a_connection_comes_back_by_itself(served, chromium):
    context = chromium.new_context()
    context.add_init_script(
        "const Socket = WebSocket; window.WebSocket = class extends Socket {"
        "constructor(...given) { super(...given); window.line = this; } };"
    )
    page = context.new_page()
    page.goto(f"{served.url}?{SMALL}")
    ready(page).click("text=1 iteration")
    shown(page, 1)
    desk = served.desk(page)
    context.set_offline(True)
    page.evaluate("window.line.close()")
    says(page, "#state", "The connection is lost")
    assert page.is_disabled("#play")
    context.set_offline(False)
    page.locator("#state").wait_for(state="hidden")
    shown(ready(page), 1)
    assert served.desk(page) is desk
    page.click("text=1 iteration")
    shown(page, 2)
    context.close()


@pytest.mark.long
def test_nothing_is_shown_or_played_before_the_state_is_there(served, chromium):
    context = chromium.new_context()
    context.add_init_script(
        "const Socket = WebSocket; window.WebSocket = class extends Socket {"
        "set onmessage(act) { super.onmessage = (event) => { window.held ? window.held.then("
        "() => act(event)) : act(event); }; } };"
        "window.held = new Promise((done) => { window.release = done; });"
    )
    page = context.new_page()
    page.goto(f"{served.url}?{SMALL}&k=3")
    says(page, "#state", "Preparing")
    assert page.is_disabled("#play")
    assert page.is_disabled("[data-choice=k]")
    for value in ("#iterations", "[data-choice=loss]", "#speed", "#layer-real"):
        assert not page.is_visible(value)
    page.keyboard.press("Space")
    page.evaluate("window.release()")
    page.locator("#state").wait_for(state="hidden")
    assert page.input_value("[data-choice=k]") == "3"
    says(page, "#play", "Play")
    context.close()


@pytest.mark.long
def test_a_page_that_is_closed_trains_no_more(live, served, opened):
    one = live()
    one.click("#play")
    reaches(one, 20)
    desk = served.desk(one)
    one.close()
    other = ready(opened(f"{served.url}?{SMALL}"))
    other.click("#play")
    reaches(other, 5)  # all that the closed page had asked for has been done by now
    before = desk.iterations
    reaches(other, 60)
    assert desk.iterations == before
    assert desk.playing


@pytest.mark.long
def test_a_page_that_does_not_draw_does_not_train(live, served):
    """As a hidden one, in which no animation frame comes."""
    page = live()
    page.evaluate("window.requestAnimationFrame = () => 0")
    page.click("#play")
    says(page, "#play", "Pause")
    desk, other = served.desk(page), live()
    other.click("#play")
    reaches(other, 20)
    before = desk.iterations
    reaches(other, 60)
    assert desk.iterations == before


def test_desks_are_bounded_and_the_oldest_without_a_page_goes_first(served):
    from ganlab.lab.live import page as module

    open_pages = {"a"}
    desks = module.Desks(lambda page: page in open_pages)
    first, _, _ = desks.take("a", None, SMALL)
    second, _, _ = desks.take("b", None, SMALL)
    keys = [desks.take(str(i), None, SMALL)[0] for i in range(module.MOST - 1)]
    assert desks.kept(first) is not None
    assert desks.kept(second) is None
    assert all(desks.kept(key) is not None for key in keys)


@pytest.mark.long
@pytest.mark.parametrize(
    ("query", "said"),
    [
        (f"loss={quote(HOSTILE)}&{quote(HOSTILE)}=1&k=1e999", "loss: expected"),
        (f"beside={quote('loss=' + HOSTILE)}&strokes=../../etc/passwd", "beside: loss: expected"),
        ("data=%00%ff&bokeh-session-id=1", "data: expected"),
        ("loss=began", "loss: expected hinge or"),
    ],
)
def test_a_hostile_address_is_explained_and_harms_nothing(served, chromium, query, said):
    page = chromium.new_page()
    page.goto(f"{served.url}?{query}")
    says(ready(page), "#problems", said)
    assert page.title() == "GAN laboratory"
    assert page.locator("#problems img").count() == 0
    assert urlsplit(page.url).query == urlsplit(f"{served.url}?{query}").query  # to be mended
    page.click("text=1 iteration")
    shown(page, 1)
    until(page, lambda: urlsplit(page.url).query == "iterations=1")
    page.close()


def test_verdicts_appear_as_texts_in_a_live_region(live, served):
    page = live()
    training = served.desk(page).sides[0].training
    verdict = Verdict("mode collapse", 300, 1, HOSTILE, HOSTILE)
    served.do(training.doctor.verdicts.append, verdict)
    page.click("text=1 iteration")
    says(page, "#left .verdicts", "mode collapse, at iteration 300")
    says(page, "#left .verdicts", HOSTILE)
    assert page.get_attribute("#left .verdicts", "aria-live") == "polite"
    assert page.title() == "GAN laboratory"


# Keyboard, phone, themes --------------------------------------------------------------------------


@pytest.mark.long
def test_the_page_is_played_by_keyboard(live):
    page = live()
    page.keyboard.press(".")
    shown(page, 1)
    page.keyboard.press("Space")
    reaches(page, 10)
    page.keyboard.press("Space")
    says(page, "#play", "Play")
    reached = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate("document.activeElement.id || document.activeElement.dataset.choice")
        )
    assert {"play", "speed", "history", "slow", "pace", "layer-real", "beside", "copy"} <= reached
    assert {choice.name for _, group in GROUPS.values() for choice in group} <= reached
    page.focus("#layer-real")
    page.keyboard.press("Space")
    until(page, lambda: not drawn(page, "real"))
    unnamed = page.evaluate(
        "[...document.querySelectorAll('input, select')]"
        ".filter((one) => !one.labels.length && !one.ariaLabel).map((one) => one.outerHTML)"
    )
    assert unnamed == []


@pytest.mark.long
@pytest.mark.parametrize(("scheme", "sides"), [("light", ""), ("dark", "&beside=")])
def test_a_phone_shows_it_without_scrolling_sideways(live, scheme, sides):
    page = live(SMALL + sides, viewport=PHONE, color_scheme=scheme)
    assert page.is_visible("#about")
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    page.click(f"[data-tour={TOUR[0].name}]")
    says(page, "#stop-title", TOUR[0].title)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


GROUND = """() => [...Bokeh.documents[0]._all_models.values()]
  .filter((model) => model.type === "Figure").map((model) => model.background_fill_color)"""


@pytest.mark.long
def test_plots_have_the_colours_of_the_theme(live):
    page = live(color_scheme="dark")
    (dark,) = set(page.evaluate(GROUND))
    page.click("#theme")
    assert dark not in page.evaluate(GROUND)
    page.reload(wait_until="commit")
    page.locator("#theme:not([hidden])").click()  # maybe before there are plots
    ready(page)
    assert set(page.evaluate(GROUND)) == {dark}


def test_numbers_are_in_words_and_explained(live):
    page = live()
    says(page, "#left .numbers", re.compile("Modes reached.*of 8"))
    says(page, "#left .numbers", re.compile("Generated points near a mode.*%"))
    page.click("text=What these numbers mean")
    assert page.is_visible(f"text={MEASURES['sliced W1'].meaning}")
    assert not page.is_visible(f"text={MEASURES['V(D,G)'].meaning}")


# Strangers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"}],
    ids=str,
)
def test_page_and_socket_are_refused_to_strangers(served, headers):
    async def page():
        request = HTTPRequest(served.url, headers=headers)
        return (await AsyncHTTPClient().fetch(request, raise_error=False)).code

    async def socket():
        url = served.url.replace("http", "ws", 1) + PATH.strip("/") + "/ws"
        with pytest.raises(HTTPClientError) as refused:
            await websocket_connect(HTTPRequest(url, headers=headers))
        return refused.value.code

    assert served.loop.run(page()) == 403
    assert served.loop.run(socket()) == 403


@pytest.mark.parametrize(
    "path", ["live", "live/autoload.js", "live/metadata", "static/js/bokeh.js", "../", "%2e%2e/"]
)
def test_of_bokeh_s_own_pages_none_is_served(served, path):
    async def asked():
        return (await AsyncHTTPClient().fetch(served.url + path, raise_error=False)).code

    assert served.loop.run(asked()) == 404


# The command and the recorded page ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["live", "state=loss=hinges"], "did you mean 'hinge'"),
        (["live", "export", "state=k=0", "to=x.html"], "k: expected"),
        (["live", "export", "to=x.html", "frames=1"], "frames must be at least 2, got 1"),
        (["live", "export", "to=x.html", "frames=999"], "frames must be at most 300"),
        (["live", "export", "to=x.html", "iterations=0"], "iterations must be from 1"),
        (["live", "export", "to=none/x.html"], "expected a file in a folder that exists"),
        (["live", "export", "to=x.txt"], "to: 'x.txt' must end in .html"),
        (["live", "export"], "to"),
        (["live", "exports"], "expected name=value"),
    ],
)
def test_mistakes_are_said_before_anything_is_started(words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = run_main(main, *words)
    assert outcome.code == 2
    assert said in outcome.err
    assert not list(tmp_path.iterdir())


def command(words) -> subprocess.Popen:
    """`ganlab lab` in a process of its own."""
    words = [sys.executable, "-m", "ganlab.lab", *words]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


@pytest.mark.long
def test_the_command_says_where_the_page_is_until_ctrl_c():
    with command(["live", "state=k=2&loss=hinge", "show=false"]) as process:
        url = process.stdout.readline().split()[0]
        assert url.startswith("http://127.0.0.1:")
        assert url.endswith("/?loss=hinge&k=2")
        process.send_signal(signal.SIGINT)
    assert process.returncode == 0


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Files: of one run in the plane, and of two on the line."""
    folder = tmp_path_factory.mktemp("recorded")
    states = {
        "plane": f"{SMALL}&layers=real,generated,heat",
        "line": f"{SMALL}&data=gaussian_1d&latent_dim=1&beside=loss%3Dwasserstein",
    }
    for name, state in states.items():
        words = ["live", "export", f"state={state}", "iterations=40", "frames=9"]
        with command([*words, f"to={folder / name}.html"]) as process:
            assert process.wait() == 0
    return {name: folder / f"{name}.html" for name in states}


@pytest.mark.long
def test_a_recorded_run_opens_from_disk(recorded, opened):
    file = recorded["plane"]
    assert file.stat().st_size < 3e6
    page = opened(file)
    page.locator(".numbers div").first.wait_for()
    pictures, legend, command_ = (
        page.locator(one).bounding_box() for one in ("#pictures", "#legend", "#share")
    )
    assert legend["x"] == command_["x"] > pictures["x"] + pictures["width"] - 1, "two columns"
    assert legend["width"] == command_["width"]
    assert page.inner_text("#iterations") == "0 of 40"
    first = page.locator(".plot").first.screenshot()
    page.focus("#history")
    page.keyboard.press("End")
    assert page.inner_text("#iterations") == "40 of 40"
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#iterations") == "35 of 40"
    assert page.locator(".plot").first.screenshot() != first
    assert drawn(page, "real") == 400
    page.uncheck("#layer-real")
    assert drawn(page, "real") == 0
    assert drawn(page, "warp") == 0
    page.check("#layer-warp")
    assert drawn(page, "warp") > 400
    page.click("text=Next")
    page.click("#play")  # from the start
    says(page, "#iterations", "40 of 40")
    says(page, "#play", "Play")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Space")
    says(page, "#play", "Pause")
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    play, picture, share = (
        page.locator(one).bounding_box()["y"] for one in ("#play", "#pictures", "#share")
    )
    assert play < picture < share


def test_a_recorded_run_shows_what_the_training_was(recorded, opened):
    page = opened(recorded["plane"])
    page.locator(".numbers div").first.wait_for()
    page.focus("#history")
    page.keyboard.press("End")
    desk = Desk(Link(Setup.from_query(SMALL), layers=("generated",)))
    for _ in range(40):
        desk.iterate()
    (frame,) = desk.frames()
    wanted = Picture("left").take(*frame)["generated"]["x"]
    found = page.evaluate(
        "Array.from([...Bokeh.documents[0]._all_models.values()]"
        ".find((model) => model.name === 'left generated').get_column('x'))"
    )
    assert found == pytest.approx(wanted.tolist(), abs=1e-6)


def test_two_recorded_runs_are_side_by_side(recorded, opened):
    page = opened(recorded["line"])
    page.locator("#right .numbers div").first.wait_for()
    assert page.inner_text("#right .title") == "Loss = wasserstein"
    assert drawn(page, "p_g", "left") == drawn(page, "p_g", "right") == 160


@pytest.mark.long
def test_firefox_plays_the_same_file(recorded, firefox):
    firefox.open(recorded["plane"])
    ready_ = """new Promise((done) => { const look = () =>
      document.querySelector('.numbers div') ? done(true) : setTimeout(look, 20); look(); })"""
    assert firefox.value(ready_)
    length = """[...Bokeh.documents[0]._all_models.values()]
      .find((model) => model.name === 'left NAME').get_column('x').length"""
    assert firefox.value(length.replace("NAME", "real")) == 400
    firefox.value("document.getElementById('layer-real').click()")
    assert firefox.value(length.replace("NAME", "real")) == 0
    firefox.value(
        "(() => { const slider = document.getElementById('history'); slider.value = '8';"
        "slider.dispatchEvent(new Event('input')); })()"
    )
    assert firefox.value("document.getElementById('iterations').textContent") == "40 of 40"
