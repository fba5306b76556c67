"""The page as one HTML file."""

import base64
import gzip
from typing import Any, NamedTuple

from markupsafe import Markup

from ganlab.exploring.engines import RUNTIME, Loaded
from ganlab.exploring.latents import REACH
from ganlab.pages import document

PACKAGE = "ganlab.exploring"
WORKER = ("kernels.js", "plain.js", "onnxruntime.js", "worker.js")
SCRIPTS = (
    *("payload.js", "draws.js", "point.js", "desk.js", "space.js", "painter.js", "explorer.js"),
    *("picture.js", "controls.js", "plane.js", "shelf.js", "walk.js", "page.js"),
)
ENGINES = {"plain": "plain loops", "onnxruntime": f"ONNX Runtime Web {RUNTIME.version}"}


class Truncation(NamedTuple):
    """A slider.

    Args:
        label: its name.
        most: where it is off.
        said: what it does.
    """

    label: str
    most: float
    said: str


TRUNCATION = {
    "w": Truncation("Share of w's distance from its mean", 1, "Applies to what a seed gives."),
    "noise": Truncation(
        "Largest number of the noise",
        3,
        "Applies to what a seed gives: larger numbers are drawn again.",
    ),
}


class Subject(NamedTuple):
    """Whose generator a page shows, in words.

    Args:
        name: of the run.
        iterations: of the checkpoint.
        facts: pairs of a name and its value, for a table.
    """

    name: str
    iterations: int
    facts: list[tuple[str, str]]


def page_of(
    subject: Subject,
    latents: dict[str, Any],
    image: tuple[int, int, int],
    net: Loaded,
    *,
    half: bool,
) -> str:
    """The file.

    Args:
        subject: whose generator it is.
        latents: as `latents.described` returns them.
        image: (channels, height, width).
        net: the networks.
        half: whether weights are in float16.
    """
    title = f"{subject.name}, iteration {subject.iterations:,}"
    fixed = latents["truncation"]["fixed"]
    about = latents | {
        "name": title if fixed is None else f"{title}, truncated at {fixed:g}",
        "image": list(image),
        "engine": net.engine,
        "programs": net.programs,
        "half": half and net.engine == "plain",
    }
    return document.page(
        PACKAGE,
        "page.html",
        needs=["wasm"] if net.engine == "onnxruntime" else [],
        title=title,
        subject=subject,
        about=about,
        engine=ENGINES[net.engine],
        reach=REACH,
        truncation=TRUNCATION.get(latents["truncation"]["slider"]),
        path=path_of(latents),
        payloads={name: packed(content) for name, content in net.payloads.items()},
        worker=WORKER,
        parts=SCRIPTS,
    )


def path_of(latents: dict[str, Any]) -> str:
    """How the page goes from one point to another, in words."""
    if latents["space"] == "w":
        return "w goes on a straight line."
    gaussian = latents["prior"]["kind"] == "gaussian"
    return f"The noise goes on a {'great circle' if gaussian else 'straight line'}."


def packed(content: bytes) -> Markup:
    """Bytes as text: gzip in base64, whose letters need no escape."""
    return Markup(base64.b64encode(gzip.compress(content, 6, mtime=0)).decode())  # noqa: S704
