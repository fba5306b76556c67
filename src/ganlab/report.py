"""Runs and sweeps as one HTML file: `python -m ganlab.report DIR...`."""

import webbrowser
from pathlib import Path

from ganlab.commands import command_line
from ganlab.errors import ConfigError
from ganlab.runs.folder import folder_named

MARK = b'name="generator" content="ganlab'  # of every page of ganlab
HEAD = 4096  # bytes that have the mark


def report(
    runs: str | list[str],
    to: str | None = None,
    watch: bool = False,
    port: int = 0,
    show: bool = False,
) -> Path | None:
    """Writes a report, one HTML file that opens from disk, and prints its path.

    `ganlab report DIR...`, or `runs=DIR`, or `runs=[A,B]`.  Of one run: config, samples over time,
    curves, scores, health.  Of several runs or a sweep: a table, parallel coordinates, grids,
    the spread over seeds, the expected best of k runs, and two runs side by side.

    Args:
        runs: folders of runs or sweeps, or folders with runs below them; last: the newest run
            below outputs/.
        to: the file; null: report.html in the folder, or of several folders comparison.html in
            the first.
        watch: serve the page on this machine in place of writing it; it follows the runs while
            they train.  Ctrl-C ends it.
        port: of the server; 0: one that is free.
        show: open the page in the browser.
    """
    from ganlab.reporting import page, watching
    from ganlab.reporting.named import jobs_of
    from ganlab.storage import files

    named = [runs] if isinstance(runs, str) else runs
    if not named:
        raise ConfigError(["runs: name at least one run or sweep"])
    folders = [folder_named(name) for name in named]
    jobs_of(folders)
    if watch:
        if to is not None:
            raise ConfigError(["to: with watch=true the page is served and not written"])
        watching.watch(folders, port, show=show)
        return None
    if port:
        raise ConfigError(["port: only watch=true has a server"])
    default = folders[0] / ("report.html" if len(folders) == 1 else "comparison.html")
    file = Path(to) if to is not None else default
    require_ours(file)
    html = page.report(folders)
    files.write(file, html)
    if show:
        webbrowser.open(file.absolute().as_uri())
    return file


def require_ours(file: Path) -> None:
    """Raises ConfigError unless a file may be written: it is new, or an older report."""
    if file.suffix not in (".html", ".htm"):
        raise ConfigError([f"to: '{file}' must end in .html"])
    if file.is_dir() or not file.parent.exists():
        raise ConfigError(
            [
                f"to: '{file}' is a folder"
                if file.is_dir()
                else f"to: there is no folder '{file.parent}'"
            ]
        )
    if file.exists():
        with file.open("rb") as opened:
            if MARK not in opened.read(HEAD):
                raise ConfigError([f"to: '{file}' exists and is no page of ganlab"])


if __name__ == "__main__":
    command_line.call(report, lambda file: file and print(file), words="runs")
