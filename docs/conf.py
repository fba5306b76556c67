"""The docs site, for Sphinx: `make docs`.  It reads the same Markdown as people do on GitHub."""

import importlib
import pkgutil
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from docutils.nodes import document
from pygments.lexers.special import TextLexer
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx

import ganlab

project = "ganlab"
html_title = "ganlab"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
extensions += ["sphinx_copybutton"]
myst_heading_anchors = 4  # a link to page.md#some-heading works as on GitHub
highlight_language = "text"  # of blocks that name none
smartquotes_action = "D"  # dashes alone

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = html_show_copyright = False
html_show_search_summary = False  # it would read other pages, which browsers forbid to file://
copybutton_prompt_text = "$ "

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False  # torch documents `forward` of every module
autodoc_typehints_format = "short"
autosummary_generate = False
add_module_names = False
toc_object_entries_show_parents = "hide"
python_maximum_signature_line_length = 80
napoleon_numpy_docstring = False

API = Path(__file__).parent / "api"
CODE = re.compile(r"(`+[^`]+`+)")
SPECIAL = re.compile(r"([*|\\@]|_\b)")
ATTRIBUTE = re.compile(r"^``(\w+)``: ")


def reference(_app: Sphinx) -> None:
    """Writes a page for each public module and package of ganlab's top level."""
    pages = {
        f"{name}.rst": page(name) for name in ("ganlab", *public(ganlab, pkgutil.iter_modules))
    }
    API.mkdir(exist_ok=True)
    for old in API.iterdir():
        if old.name not in pages:
            old.unlink()
    for name, text in pages.items():
        file = API / name
        if not file.exists() or file.read_text() != text:
            file.write_text(text)


def public(package: ModuleType, find: Callable = pkgutil.walk_packages) -> list[str]:
    """Full names of the modules below a package that do not begin with an underscore."""
    found = find(package.__path__, f"{package.__name__}.")
    return [each.name for each in found if not each.name.rpartition(".")[2].startswith("_")]


def page(name: str) -> str:
    """A module; or what a package exports under its own name, and then the rest by modules."""
    module = importlib.import_module(name)
    lines = [name, "=" * len(name), "", f".. automodule:: {name}"]
    if module is ganlab or not hasattr(module, "__path__"):
        return "\n".join([*lines, ""])
    exported = ", ".join(getattr(module, "__all__", ()))
    lines += ["   :imported-members:"] * bool(exported)
    for part in public(module):
        lines += ["", part, "-" * len(part), "", f".. automodule:: {part}"]
        lines += [f"   :exclude-members: {exported}"] * bool(exported)
    return "\n".join([*lines, ""])


def plain(app: Sphinx, what: str, name: str, it: object, options: object, lines: list[str]) -> None:
    """Docstrings are plain text, `code` in backticks; a line `name`: ... describes an attribute."""
    del app, what, name, it, options
    listed = False  # until the next blank line
    for i, text in enumerate(map(restructured, lines)):
        begins = ATTRIBUTE.match(text)
        listed = bool(begins or (listed and text))
        indented = f"    {text}" if listed else text
        lines[i] = ATTRIBUTE.sub(r":ivar \1: ", text) if begins else indented


def restructured(line: str) -> str:
    """A line of plain text as reStructuredText."""
    pieces = CODE.split(line)
    pieces[::2] = [SPECIAL.sub(r"\\\1", text) for text in pieces[::2]]
    for i in range(1, len(pieces), 2):
        joined = "\\ " if pieces[i + 1][:1].isalnum() else ""  # `Name`s
        pieces[i] = f"``{pieces[i].strip('`')}``{joined}"
    return "".join(pieces)


def unlinked(_app: Sphinx, tree: document) -> None:
    """Makes text of types that are not ganlab's, which Sphinx would seek among all of ganlab's."""
    for link in list(tree.findall(pending_xref)):
        if link["refdomain"] == "py" and not link["reftarget"].startswith("ganlab"):
            link.replace_self(link.children)


def setup(app: Sphinx) -> None:
    """What Sphinx calls."""
    app.connect("builder-inited", reference)
    app.connect("autodoc-process-docstring", plain, priority=100)  # before napoleon
    app.connect("doctree-read", unlinked)
    app.add_lexer("mermaid", TextLexer)  # GitHub draws these diagrams; here they are text
