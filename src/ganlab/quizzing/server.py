"""The server of one quiz: the page, the trial that is due, its pixels, the answers."""

import asyncio
import json
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from tornado.web import Application

from ganlab.pages import document
from ganlab.pages.loopback import Handler
from ganlab.quizzing.play import Play
from ganlab.quizzing.results import result
from ganlab.quizzing.trials import Choice
from ganlab.spec import ImageSpec

LARGEST = 1024  # bytes of an answer
Milliseconds = Annotated[float, Field(ge=0, le=1e8, allow_inf_nan=False)]


class Given(BaseModel):
    """An answer as the page sends it."""

    model_config = ConfigDict(strict=True, extra="forbid")
    name: Annotated[str, Field(max_length=64)]
    answer: Choice
    milliseconds: Milliseconds
    shown: Milliseconds | None = None


def page(play: Play, run: str, spec: ImageSpec, about: dict[str, Any]) -> str:
    """The page of a quiz: how it goes, and nothing of any image.

    Args:
        play: the quiz.
        run: its name.
        spec: of the images.
        about: what its result repeats.
    """
    shape = {"channels": spec.channels, "size": spec.size}
    return document.page(
        "ganlab.quizzing",
        "page.html",
        needs=["server"],
        title="Which image is real?",
        run=run,
        about=about,
        design=play.design,
        timed=play.staircase is not None,
        feedback=play.feedback,
        settings={**shape, "choices": play.design.choices, "first": play.due},
    )


class Served:
    """A quiz and what becomes of it.

    Args:
        play: the quiz.
        about: what its result repeats.
        page: HTML.
        save: writes the result; returns its file.
    """

    def __init__(
        self,
        play: Play,
        about: dict[str, Any],
        page: str,
        save: Callable[[dict[str, Any]], Path],
    ) -> None:
        self.play, self.about, self.page, self._save = play, about, page, save
        self.ended = asyncio.Event()  # the page has the result
        self.result: dict[str, Any] | None = None
        self.file: Path | None = None
        self.error: OSError | None = None  # why there is no file

    def conclude(self) -> None:
        """Works out the result and writes it."""
        self.result = result(self.play.answers, self.about)
        try:
            self.file = self._save(self.result)
        except OSError as error:
            self.error = error

    def outcome(self) -> tuple[dict[str, Any], Path]:
        """The result and its file.

        Raises:
            KeyboardInterrupt: the server ended before the quiz.
            OSError: the file could not be written.
        """
        if self.error is not None:
            raise self.error
        if self.result is None or self.file is None:
            raise KeyboardInterrupt
        return self.result, self.file

    def state(self) -> dict[str, Any]:
        """What the page is to do next."""
        if self.result is None:
            return {"question": self.play.question()}
        kept = {key: value for key, value in self.result.items() if key != "answers"}
        exposures = [answer.exposure_ms for answer in self.play.answers]
        return {
            "result": {**kept, "exposures": exposures},
            "file": self.file and "/".join(self.file.parts[-2:]),
            "error": self.error and self.error.strerror,
        }

    def application(self) -> Application:
        """What answers the page."""
        kinds = {"": Page, "state": State, "images": Images, "answer": Answered}
        return Application([(f"/{path}", kind, {"served": self}) for path, kind in kinds.items()])


class About(Handler):
    """Base of those that answer about a quiz."""

    def initialize(self, served: Served) -> None:
        """Keeps the quiz."""
        self.served = served

    def compute_etag(self) -> None:
        """None: nothing that is derived from an image goes with it."""


class Page(About):
    """The page."""

    def get(self) -> None:
        """HTML."""
        self.finish(self.served.page)


class State(About):
    """Where the quiz stands."""

    def get(self) -> None:
        """The question that is due, or the result."""
        self.finish(self.served.state())


class Images(About):
    """The pixels of the trial that is due."""

    def get(self) -> None:
        """Bytes (images, H, W, C), of the same length for every trial."""
        found = self.served.play.images(self.get_query_argument("name", ""))
        if found is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self.set_header("Content-Type", "application/octet-stream")
        self.finish(b"".join(found))


class Answered(About):
    """Takes answers."""

    async def post(self) -> None:
        """What comes next; in practice also whether the answer was right.

        An answer to a trial that is not due, as from a second tab, changes nothing, and is said to
        be late.
        """
        given = self._given()
        if given is None:
            return
        play, said = self.served.play, dict[str, Any]()
        seconds = given.milliseconds / 1000
        taken = play.answer(given.name, given.answer, seconds, given.shown)
        if taken is None:
            said = {"late": True}
        elif play.tells():
            said = {"correct": taken.correct, "right": taken.right}
        if taken is not None and play.finished:
            self.served.conclude()
        await self.finish({**said, **self.served.state()})
        if play.finished:
            self.served.ended.set()

    def _given(self) -> Given | None:
        """The answer; None: it has been refused."""
        if "Origin" not in self.request.headers:  # a browser sends it; `Guard` has compared it
            self.send_error(HTTPStatus.FORBIDDEN)
            return None
        try:
            if len(self.request.body) > LARGEST:
                raise ValueError
            given = Given.model_validate(json.loads(self.request.body))
            if given.answer not in self.served.play.design.choices:
                raise ValueError
        except (ValidationError, ValueError):
            self.send_error(HTTPStatus.BAD_REQUEST)
            return None
        return given
