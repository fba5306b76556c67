"""Bokeh's plots inside of pages: its scripts in the file, its colours those of the page."""

import functools
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from ganlab.pages.document import data

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


def deferred(plots: Mapping[str, Any]) -> dict[str, Markup]:
    """The element of each plot, by name, for `lazy.js`, which draws it when it comes into view.

    So a page with many plots opens as fast as one without.  The page runs `plots.js` and `lazy.js`
    and has `library` in a `<script type="text/plain" id="library">`, which runs before the first
    plot.  When a plot is there, the event "plot" has its model.
    """
    from bokeh.embed import json_item

    # A grid, so that the box is as large with its plot as before, and as narrow as the page.
    box = Markup(
        '<div data-plot="{}" style="display:grid;grid:auto/minmax(0,1fr);min-height:{}px">{}</div>'
    )
    return {
        name: box.format(f"plot-{plot.id}", plot.height, data(f"plot-{plot.id}", json_item(plot)))
        for name, plot in plots.items()
    }
