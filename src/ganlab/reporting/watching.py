"""A report that is served on loopback and follows the runs."""

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from tornado.web import Application

from ganlab.errors import ConfigError
from ganlab.pages.loopback import Handler, serve
from ganlab.reporting import page
from ganlab.reporting.named import jobs_of
from ganlab.runs.folder import RECORD, Run


def watched_files(folders: Sequence[Path]) -> Iterator[Path]:
    """What changes when runs go on; a new picture changes its folder."""
    for folder in folders:
        yield folder / RECORD
    for job in jobs_of(folders):
        run: Run = job.run
        yield from (run.config_file, run.summary_file, run.path / "metrics.csv", run.samples)
        yield from (run.path / "quiz", run.path / "sampled", run.path / "health")


def stamp(folders: Sequence[Path]) -> str:
    """A text that changes when the runs go on."""
    digest = hashlib.sha256()
    for file in watched_files(folders):
        try:
            about = file.stat()
            digest.update(f"{file}\0{about.st_mtime_ns}\0{about.st_size}\n".encode())
        except OSError:  # it is not there yet
            digest.update(f"{file}\n".encode())
    return digest.hexdigest()[:16]


class Watched:
    """The newest page, made again only when the runs have gone on.

    Args:
        folders: runs, sweeps, or folders above runs.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders, self.making = folders, asyncio.Lock()
        self.html, self.stamp = "", ""

    async def newest(self) -> str:
        """The page's HTML.  It is made in a thread, so that the server answers meanwhile."""
        async with self.making:
            now = await asyncio.to_thread(stamp, self.folders)
            if now != self.stamp:
                self.html = await asyncio.to_thread(page.report, self.folders, now)
                self.stamp = now
            return self.html


class Page(Handler):
    """The page."""

    def initialize(self, watched: Watched) -> None:
        """Keeps what makes it."""
        self.watched = watched

    async def get(self) -> None:
        """Answers with the newest page."""
        try:
            self.finish(await self.watched.newest())
        except ConfigError as error:  # the runs were moved away
            self.set_header("Content-Type", "text/plain; charset=utf-8")
            self.finish("\n".join(error.problems))


class Stamp(Handler):
    """What a page compares itself with."""

    def initialize(self, folders: Sequence[Path]) -> None:
        """Keeps the folders."""
        self.folders = folders

    async def get(self) -> None:
        """Answers with the present stamp."""
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(await asyncio.to_thread(stamp, self.folders))


def application(folders: Sequence[Path]) -> Application:
    """The server's two addresses: the page and its stamp."""
    watched = {"watched": Watched(folders)}
    return Application([("/", Page, watched), ("/stamp", Stamp, {"folders": folders})])


def watch(folders: Sequence[Path], port: int, *, show: bool) -> None:
    """Serves the report until Ctrl-C.

    Args:
        folders: runs, sweeps, or folders above runs.
        port: on loopback; 0: one that is free.
        show: opens the page in the default browser.

    Raises:
        ConfigError: the port is taken.
    """
    asyncio.run(serve(application(folders), port, show=show))
