"""What all pages share: one file, no requests, hostile texts, themes, servers on loopback."""

import json
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.httpserver import HTTPServer
from tornado.web import Application

import ganlab
from browsers import PHONE
from event_loops import Loop
from ganlab.errors import ConfigError
from ganlab.pages import document, images, loopback, plots

SOURCE = Path(ganlab.__file__).parent
HOSTILE = "</script><script>document.title = 'taken'</script><img src=x onerror=alert(1)>\u2028'\"&"
TEMPLATE = """{% extends "base.html" %}
{% block content %}<p id="said">{{ said }}</p>{{ data("given", given) }}{{ raw }}
<div id="plot">{{ plot }}</div>{% endblock %}
{% block scripts %}<script nonce="{{ nonce }}">
const given = JSON.parse(document.getElementById("given").textContent);
document.getElementById("said").dataset.read = given.text;
</script>
{% for text in scripts %}<script nonce="{{ nonce }}">{{ text }}</script>{% endfor %}{% endblock %}
"""


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Renders TEMPLATE into a file."""
    package = tmp_path / "pages_of_a_test"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "page.html").write_text(TEMPLATE)
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "page.html"

    def write(title="A page", said="", raw="", scripts=(), plot="", needs=()):
        given = {"title": title, "said": said, "given": {"text": said}, "raw": raw}
        given |= {"scripts": scripts, "plot": plot}
        file.write_text(document.page(package.name, "page.html", needs=needs, **given))
        return file

    yield write
    document.environment.cache_clear()


@pytest.mark.parametrize("title", ["digits-dcgan-nonsaturating/0b34ac31", "0" * 300])
def test_a_long_title_leaves_the_buttons_in_sight(made, opened, title):
    page = opened(made(title=title), viewport=PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    button = page.locator("#theme").bounding_box()
    assert button["x"] + button["width"] <= PHONE["width"]


def test_texts_are_shown_and_run_nothing(made, opened):
    page = opened(made(title=HOSTILE, said=HOSTILE))
    assert (
        page.title().strip() == " ".join(HOSTILE.split("\u2028")).strip() or HOSTILE in page.title()
    )
    assert page.text_content("#said") == HOSTILE
    assert page.get_attribute("#said", "data-read") == HOSTILE


def test_a_script_that_gets_into_the_file_does_not_run(made, chromium):
    """The policy holds where escaping would have failed: `raw` is put in as it is."""
    from markupsafe import Markup

    page = chromium.new_page()
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(made(raw=Markup("<script>document.title = 'taken'</script>")).as_uri())
    assert page.title() == "A page"
    assert any("Content Security Policy" in text for text in said)
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_theme_is_the_systems_until_the_reader_chooses(made, opened, scheme):
    page = opened(made(), color_scheme=scheme)
    other = {"light": "dark", "dark": "light"}[scheme]
    theme = "document.documentElement.dataset.theme"
    assert page.evaluate(theme) == scheme
    page.click("#theme")
    assert page.evaluate(theme) == other
    page.reload()
    assert page.evaluate(theme) == other


@pytest.mark.long
def test_plots_draw_from_the_file_alone_in_the_pages_colours(made, opened):
    from bokeh.plotting import figure

    plot = figure(width=300, height=200, title=HOSTILE)
    plot.line([1, 2, 3], [1, 4, 9])
    script, elements = plots.embedded({"squares": plot})
    scripts = [plots.library(), script, document.asset("ganlab.pages", "plots.js")]
    file = made(scripts=scripts, plot=elements["squares"], needs=["eval"])
    assert file.stat().st_size < 2_500_000
    page = opened(file, color_scheme="dark")
    page.wait_for_function("window.Bokeh.documents.length")
    models = "[...Bokeh.documents[0]._all_models.values()]"
    colour = f"{models}.find(model => model.type === 'Figure').background_fill_color"
    page.wait_for_function(f"{colour} === '#14171b'")
    page.click("#theme")
    page.wait_for_function(f"{colour} === '#ffffff'")


@pytest.mark.long
def test_firefox_opens_the_same_file(made, firefox):
    firefox.open(made(said=HOSTILE))
    assert firefox.value("document.getElementById('said').textContent") == HOSTILE


def test_data_survives_the_way_into_the_page():
    text = str(document.data("x", {"a": [1, 2.5, float("nan"), float("inf")], "b": HOSTILE}))
    inside = text.partition(">")[2].rpartition("</script>")[0]
    assert "<" not in inside
    assert json.loads(inside) == {"a": [1, 2.5, None, None], "b": HOSTILE}


def test_pictures_keep_every_pixel():
    from base64 import b64decode
    from io import BytesIO

    from PIL import Image

    for shape in [(4, 5, 3), (4, 5, 1), (4, 5)]:
        pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        url = images.data_url(pixels)
        read = np.asarray(Image.open(BytesIO(b64decode(url.partition(",")[2]))))
        assert np.array_equal(read, pixels.squeeze())


class Here(loopback.Handler):
    def get(self):
        self.write("here")

    post = get


@pytest.fixture
def served():
    """(port, ask): a guarded server, and a function that asks it with headers of one's choice."""
    listening = loopback.opened(0)
    port = listening.getsockname()[1]

    async def start():
        server = HTTPServer(loopback.Guard(Application([("/", Here)]), port))
        server.add_socket(listening)
        return server

    async def end():
        server.stop()
        await server.close_all_connections()

    async def asked(path, method, headers):
        body = "" if method == "POST" else None
        request = HTTPRequest(f"http://127.0.0.1:{port}{path}", method, headers, body)
        return await AsyncHTTPClient().fetch(request, raise_error=False)

    with Loop() as loop:

        def ask(path="/", method="GET", host=None, **headers):
            headers = {name.replace("_", "-"): value for name, value in headers.items()}
            headers["Host"] = host or f"127.0.0.1:{port}"
            return loop.run(asked(path, method, headers))

        server = loop.run(start())
        yield port, ask
        loop.run(end())


def test_a_server_answers_its_own_pages(served):
    port, ask = served
    own = f"http://127.0.0.1:{port}"
    assert ask().body == b"here"
    assert ask(host=f"localhost:{port}").code == 200
    assert ask(method="POST", Origin=own).code == 200
    assert ask(Sec_Fetch_Site="cross-site", Sec_Fetch_Dest="document").code == 200  # a link
    assert ask().headers["Content-Security-Policy"] == "frame-ancestors 'none'"


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "evil.example:80"},
        {"host": "127.0.0.1"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Dest": "image"},
        {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Dest": "iframe"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Dest": "document", "method": "POST"},
    ],
    ids=str,
)
def test_a_server_refuses_everybody_else(served, headers):
    answer = served[1](**headers)
    assert answer.code == 403
    assert b"here" not in answer.body


@pytest.mark.parametrize("path", ["/../", "/..%2f..%2fetc/passwd", "//etc/passwd", "/%00"])
def test_a_server_has_no_other_paths(served, path):
    assert served[1](path).code in (400, 404)


def test_a_server_listens_on_loopback_alone():
    one = loopback.opened(0)
    assert one.getsockname()[0] == "127.0.0.1"
    port = one.getsockname()[1]
    with pytest.raises(ConfigError, match=f"port {port} of 127.0.0.1: .*set port=0"):
        loopback.opened(port)
    one.close()
    with pytest.raises(ConfigError, match="port must be from 0"):
        loopback.opened(70_000)


SERVING = """
import asyncio
from tornado.web import Application
from ganlab.pages import loopback
asyncio.run(loopback.serve(Application([]), show=False))
print("ended")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serving_ends_with_a_signal(number):
    words = [sys.executable, "-c", SERVING]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        url = process.stdout.readline().split()[0]
        port = int(url.rstrip("/").rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)):
            process.send_signal(number)
            assert process.stdout.read() == "ended\n"
    assert process.returncode == 0


def test_serving_ends_by_itself_when_its_work_is_done():
    words = [sys.executable, "-c", SERVING.replace("show=False", "show=False, stop=done")]
    words[2] = words[2].replace("asyncio.run", "done = asyncio.Event()\ndone.set()\nasyncio.run")
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=60)
    assert done.stdout.endswith("ended\n")
    assert (done.returncode, done.stderr) == (0, "")


SCRIPTS = sorted(SOURCE.rglob("*.js"))


@pytest.mark.long
def test_scripts_are_typed():
    """TypeScript checks the JSDoc types of all scripts."""
    if (tsc := shutil.which("tsc")) is None:
        pytest.skip("no TypeScript compiler: apt-get install node-typescript")
    words = [
        tsc,
        "--noEmit",
        "--allowJs",
        "--checkJs",
        "--strict",
        "--target",
        "es2020",
        "--module",
        "es2020",
    ]
    words += ["--lib", "es2021,dom,dom.iterable", *map(str, SCRIPTS)]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda file: file.name)
def test_scripts_put_no_text_in_as_html(script):
    text = script.read_text()
    assert text.startswith("// @ts-check")
    assert not {"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write"} & set(
        text.replace("(", " ").replace(".", " ").split()
    )
