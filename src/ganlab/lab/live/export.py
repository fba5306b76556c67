"""`ganlab lab live export`: a recorded run as one HTML file, with a slider and the layers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from bokeh.models import ColumnDataSource

from ganlab.errors import ConfigError
from ganlab.lab.live import form
from ganlab.lab.live.charts import SIDES, Charts
from ganlab.lab.live.charts import titles as titles_of
from ganlab.lab.live.desk import Desk, report, titles
from ganlab.lab.live.link import FAR, SWITCHED, Link
from ganlab.lab.live.picture import LAYERS_OF, Columns, Picture
from ganlab.lab.live.screen import apply, same
from ganlab.pages import document, plots
from ganlab.spec import at_least
from ganlab.storage import files

MOST = 300  # frames: of two runs side by side, about 12 MB
Frame = dict[str, Columns]


def export(to: str, state: str = "", iterations: int = 1000, frames: int = 120) -> list[Path]:
    """A run of the live laboratory as one HTML file, for a lecture's web site.

    The page opens from disk and needs no server.  It plays, has a slider over the history, and the
    layers of the picture can be switched.

    Args:
        to: the file.
        state: what is trained and shown, as in the live page's address after the `?`, such as
            'data=swiss_roll&loss=hinge&k=2'; two runs side by side if it says so.
        iterations: to train; an `iterations` in the state goes before.
        frames: pictures, evenly spread over the iterations, in 2..300.
    """
    at_least(2, frames=frames)
    link, file = Link.from_query(state), Path(to)
    length = link.iterations or iterations
    if found := list(mistakes(file, frames, length)):
        raise ConfigError(found)
    torch.set_num_threads(1)
    desk = Desk(Link(link.setup, link.beside, SWITCHED))
    stops = sorted({round(length * frame / (frames - 1)) for frame in range(frames)})
    files.write(file, page(desk, stops, link.layers))
    return [file]


def mistakes(file: Path, frames: int, iterations: int) -> list[str]:
    """A sentence for each option that is wrong."""
    found = [f"frames must be at most {MOST}, got {frames}"] if frames > MOST else []
    if not 1 <= iterations <= FAR.high:
        found.append(f"iterations must be from 1 to {FAR.high}, got {iterations}")
    if file.suffix not in (".html", ".htm"):
        found.append(f"to: '{file}' must end in .html")
    elif file.is_dir() or not file.absolute().parent.is_dir():
        found.append(f"to: expected a file in a folder that exists, got '{file}'")
    return found


def page(desk: Desk, stops: Sequence[int], layers: Sequence[str]) -> str:
    """The page of a run.

    Args:
        desk: whose training, or two, has not begun; it is trained.
        stops: iterations at which it is recorded, in order.
        layers: those that are shown at first.
    """
    pictures, charts = [Picture(side) for side in SIDES[: len(desk.sides)]], Charts()
    frames, reports = list[list[Frame]](), list[list[dict[str, Any]]]()
    for stop in stops:
        while desk.iterations < stop and not desk.ended:
            desk.iterate()
        seen = list(zip(pictures, desk.frames(), strict=True))
        frames.append([picture.take(*one) for picture, one in seen])
        reports.append([report(side) for side in desk.sides])
        if desk.ended:
            break
    for picture, own in zip(pictures, zip(*frames, strict=True), strict=True):
        record(picture, own)
    for picture, last in seen:
        apply(picture.look(*last))
    curves = [side.curves() for side in desk.sides]
    apply(charts.show(curves, desk.iterations))
    shown = titles_of(curves[0])
    roots = {plot.name: plot for picture in pictures for plot in (picture.plot, picture.best)}
    script, elements = plots.embedded({**roots, **{name: charts.plots[name] for name in shown}})
    parts = form.parts()
    return document.page(
        __package__,
        "record.html",
        title="GAN laboratory: a recorded run",
        library=plots.library(),
        script=script,
        elements=elements,
        sides=SIDES[: len(pictures)],
        titles=titles(desk.setups),
        charts=shown,
        scales_shown=[side.layers.scale for side in desk.sides],
        **{name: parts[name] for name in ("legend", "scales", "colours", "measures")},
        dim=desk.sides[0].layers.dim,
        commands=[side.training.command for side in desk.sides],
        tape={
            "iterations": list(stops[: len(frames)]),
            "reports": reports,
            "layers": list(layers),
            "of": LAYERS_OF,
        },
    )


def record(picture: Picture, frames: Sequence[Frame]) -> None:
    """Puts all frames into the picture's document: a tape on each source that is ever filled.

    A tape has, for each column, its values in all frames; or in one, if they never change.
    """
    for name, source in picture.sources.items():
        own = [frame.get(name, {}) for frame in frames]
        if any(own):
            length = 1 if all(same(one, own[0]) for one in own) else len(own)
            tape = {column: [one.get(column, []) for one in own[:length]] for column in source.data}
            source.tags = [ColumnDataSource(tape)]
