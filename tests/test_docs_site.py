"""The docs site builds, its links lead somewhere, it opens from the disk and asks for nothing."""

import contextlib
import io
import os
import pkgutil
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import ganlab
from browsers import PHONE
from commands import run_train
from conftest import ROOT
from test_readme import blocks, commands

DOCS = ROOT / "docs"
LOADED = {"script": "src", "img": "src", "source": "src", "link": "href", "iframe": "src"}
TUTORIAL = (DOCS / "tutorial.md").read_text()
SHORT = ("trainer=smoke", "logger=csv", "data=digits")


class Page(HTMLParser):
    """The links, the loaded files and the anchors of a page."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.links, self.loads, self.anchors = [], [], set[str]()
        self.feed(file.read_text())

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.anchors.add(given.get("id"))
        if tag == "a":
            self.links.append(given.get("href", ""))
        if tag in LOADED and LOADED[tag] in given:
            self.loads.append(given[LOADED[tag]])


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The folder of the site, built as `make docs` builds it: a warning is an error."""
    pytest.importorskip("furo", reason="Sphinx is not installed: pip install --group docs")
    if not (DOCS / "conf.py").exists():
        pytest.skip("no docs/conf.py: the source archive has the pages alone")
    folder = tmp_path_factory.mktemp("site")
    options = ["--quiet", "--fail-on-warning", "--keep-going", "--jobs", "2"]
    command = [sys.executable, "-m", "sphinx", *options, str(DOCS), str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(Path(ganlab.__file__).parents[1])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return folder


@pytest.fixture(scope="module")
def pages(site) -> dict[Path, Page]:
    return {file: Page(file) for file in sorted(site.rglob("*.html"))}


def broken(pages: dict[Path, Page]) -> list[str]:
    """Links and files of pages that lead nowhere on this disk; the rest of the web is not asked."""
    found = []
    for file, page in pages.items():
        for link in [*page.links, *page.loads]:
            parts = urlsplit(link)
            if parts.scheme in ("http", "https", "data"):
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            known = pages[target].anchors if target in pages else {""}
            if not target.is_file() or (parts.fragment and unquote(parts.fragment) not in known):
                found.append(f"{file.name}: {link}")
    return found


@pytest.mark.long
def test_every_link_and_picture_is_there(pages):
    assert broken(pages) == []


def test_a_broken_link_is_found(tmp_path):
    text = '<p id="a"><a href="#a"></a><a href="#b"></a><a href="c.html"></a><img src="d.png">'
    (tmp_path / "page.html").write_text(text)
    found = broken({tmp_path / "page.html": Page(tmp_path / "page.html")})
    assert found == ["page.html: #b", "page.html: c.html", "page.html: d.png"]


def test_pages_load_nothing_from_elsewhere(pages):
    elsewhere = {load for page in pages.values() for load in page.loads if urlsplit(load).netloc}
    assert elsewhere == set()


def test_every_page_of_docs_is_in_the_site_and_in_its_menu(site, pages):
    menu = {urlsplit(link).path for link in pages[site / "index.html"].links}
    assert {f"{file.stem}.html" for file in DOCS.glob("*.md")} - menu == {"index.html"}


def public(package) -> list[str]:
    """Full names of all modules, recursively."""
    found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    return [each.name for each in found if not each.name.rpartition(".")[2].startswith("_")]


def test_the_reference_has_every_module_and_what_packages_export(site, pages):
    anchors = set().union(*(page.anchors for page in pages.values()))
    assert {f"module-{name}" for name in public(ganlab)} <= anchors
    exported = {
        f"{name}.{each}"
        for name in public(ganlab)
        for each in getattr(sys.modules.get(name), "__all__", ())
        if isinstance(getattr(sys.modules[name], each), type)
    }
    assert len(exported) > 50
    assert exported <= anchors
    listed = {urlsplit(link).path for link in pages[site / "api.html"].links}
    top = [each.name for each in pkgutil.iter_modules(ganlab.__path__) if each.name[0] != "_"]
    assert {f"api/ganlab.{name}.html" for name in top} <= listed


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_open_from_the_disk_and_fit_a_phone(site, opened, scheme):
    for name in ("index", "tutorial", "manual", "design", "api", "api/ganlab.networks"):
        page = opened(site / f"{name}.html", viewport=PHONE, color_scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], name
        lightness = page.evaluate("getComputedStyle(document.body).backgroundColor").count("255")
        assert (lightness == 3) == (scheme == "light"), name


def test_the_search_finds_pages_and_classes_from_the_disk(site, opened):
    page = opened(site / "tutorial.html", viewport={"width": 1280, "height": 900})
    page.fill("input[name=q]", "extragradient")
    page.press("input[name=q]", "Enter")
    page.wait_for_selector("#search-results .search a")
    page.wait_for_function("document.body.innerText.includes('Search finished')")
    found = page.locator("#search-results .search a")
    assert "The laboratory" in found.all_inner_texts()
    found.first.click()
    page.wait_for_load_state()
    assert "extragradient" in page.inner_text("article").lower()


def test_code_is_copied_without_its_prompt(site, opened):
    page = opened(site / "scores.html", permissions=["clipboard-read", "clipboard-write"])
    block = page.locator("div.highlight", has_text="$ python -m ganlab.evaluate run=last").first
    block.hover()
    block.locator("button.copybtn").click()
    page.wait_for_selector("button.copybtn.success")
    assert page.evaluate("navigator.clipboard.readText()").startswith("python -m ganlab.evaluate")


def trainings(text: str) -> list[str]:
    """The commands of a page that train one run, without recipes and scores, which take longer."""
    single = (shlex.split(command) for command in commands(text))
    return [
        shlex.join(word for word in words[3:] if not word.startswith("iterations="))
        for words in single
        if words[:3] == ["python", "-m", "ganlab.train"]
        and not any(word.startswith(("-", "experiment=", "metrics=")) for word in words[3:])
    ]


@pytest.mark.long
@pytest.mark.parametrize("command", trainings(TUTORIAL))
def test_each_training_of_the_tutorial_trains(tmp_path, monkeypatch, command):
    """Three iterations of it, on the digits."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (own,) = (body for body in blocks(TUTORIAL, "python") if body.startswith("# my_course.py"))
    (tmp_path / "my_course.py").write_text(own)
    outcome = run_train(*shlex.split(command), *SHORT)
    assert (outcome.code, outcome.err) == (0, "")


def test_the_python_of_the_tutorial_runs_and_says_what_its_comments_say(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_train(*SHORT).code == 0
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        for body in blocks(TUTORIAL, "python"):
            exec(compile(body, "tutorial.md", "exec"), names := {})
            if "images" in names:
                assert names["images"].shape == (64, 1, 16, 16)
    numbers = [line.split()[-1] for line in said.getvalue().splitlines()]
    rounded = [f"{float(number):.3f}" for number in numbers]
    assert rounded == ["-1.386", "-0.122", "-1.163", "-1.386"]
