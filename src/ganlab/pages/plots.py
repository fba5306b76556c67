"""Bokeh's plots inside of pages: its scripts in the file, its colours those of the page."""

import functools
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

# Okabe and Ito 2008: told apart by colour-blind readers, and on white and on black.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#f0e442")


@functools.cache
def library() -> Markup:
    """BokehJS with its widgets, 1.7 MB."""
    from bokeh.resources import Resources

    parts = Resources(mode="inline", components=["bokeh", "bokeh-widgets"]).js_raw
    return Markup("\n".join(parts))  # noqa: S704 - the library's


def embedded(plots: Mapping[str, Any]) -> tuple[Markup, dict[str, Markup]]:
    """The script that draws plots, and the element of each, by name.

    The page runs `library` before, and `plots.js` after that script, which gives the plots the
    colours of the page.
    """
    from bokeh.embed import components

    script, elements = components(dict(plots), wrap_script=False)
    return Markup(script), {name: Markup(text) for name, text in elements.items()}  # noqa: S704 - Bokeh escapes
