"""A page as one HTML file: template, styles, scripts, data, and the policy that confines it."""

import functools
import json
import math
import secrets
from collections.abc import Collection, Mapping
from importlib.resources import files
from typing import Any, Literal

import jinja2
from markupsafe import Markup

from ganlab import __version__

SHARED = "ganlab.pages"
Need = Literal["eval", "wasm", "server"]
# What a page may do besides running its own scripts, by directive of its policy.
ALLOWED: Mapping[Need, tuple[tuple[str, str], ...]] = {
    "eval": (("script-src", "'unsafe-eval'"),),  # Bokeh compiles callbacks
    "wasm": (
        ("script-src", "'wasm-unsafe-eval'"),
        ("script-src", "blob:"),
        ("connect-src", "blob:"),
        ("connect-src", "data:"),
    ),
    "server": (("connect-src", "'self'"),),
}


def page(package: str, template: str, *, needs: Collection[Need] = (), **values: Any) -> str:
    """One HTML file that loads nothing.

    Args:
        package: dotted name of the package that the template, its styles and scripts lie in.
        template: file name; it extends `base.html` and sets its blocks.
        needs: what its scripts do that a page is otherwise forbidden: eval (Bokeh's callbacks),
            wasm (WebAssembly), server (asks the server that the page came from).
        values: for the template, which escapes them.
    """
    nonce = secrets.token_urlsafe(16)
    values |= {"nonce": nonce, "policy": policy(nonce, needs), "version": __version__}
    return environment(package).get_template(template).render(values)


@functools.cache
def environment(package: str) -> jinja2.Environment:
    """Templates of a package and the shared ones; values are escaped, missing ones an error."""
    here, shared = (jinja2.PackageLoader(name, ".") for name in (package, SHARED))
    made = jinja2.Environment(
        loader=jinja2.ChoiceLoader([here, shared]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {"asset": functools.partial(asset, package), "data": data}
    return made


def policy(nonce: str, needs: Collection[Need] = ()) -> str:
    """The content security policy of a page: its own scripts run, and nothing is requested."""
    directives = {
        "default-src": ["'none'"],
        "script-src": [f"'nonce-{nonce}'"],
        "worker-src": ["blob:"],
        "style-src": ["'unsafe-inline'"],
        "img-src": ["data:", "blob:"],
        "font-src": ["data:"],
        "connect-src": [],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
    }
    for need in sorted(needs):
        for directive, source in ALLOWED[need]:
            directives[directive].append(source)
    return "; ".join(" ".join([name, *(to or ["'none'"])]) for name, to in directives.items())


def asset(package: str, name: str) -> Markup:
    """A style sheet or a script of a package, or else a shared one, as it is."""
    found = files(package) / name
    return Markup((found if found.is_file() else files(SHARED) / name).read_text("utf-8"))  # noqa: S704 - it is ours


def data(name: str, value: Any) -> Markup:
    """Plain data for scripts, read by `JSON.parse(document.getElementById(name).textContent)`.

    Numbers that are not finite become null.
    """
    text = json.dumps(finite(value), allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":  # would end the element, or the line
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup('<script type="application/json" id="{}">{}</script>').format(name, Markup(text))  # noqa: S704 - no `<` is left


def finite(value: Any) -> Any:
    """Plain data with None in place of numbers that are not finite."""
    if isinstance(value, Mapping):
        return {str(key): finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
