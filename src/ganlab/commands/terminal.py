"""Standard output of commands: it cannot end a run, and names from files cannot control it."""

import contextlib
import errno
import os
import re
import sys
from collections.abc import Iterator
from typing import Any, TextIO

GONE = (errno.EPIPE, errno.EIO)  # the reader has ended, or the terminal was closed
# Control characters but for tab, line feed and carriage return; marks that reverse the direction.
CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def escaped(text: str) -> str:
    r"""Text with control characters spelled out: `\x1b` for an escape, `\u202e` for a reversal.

    Names of files, overrides and protocols may come from a stranger, and a terminal obeys what is
    written to it.
    """
    return CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class Output:
    """Standard output or error that goes on without its reader, as after `| head`.

    Args:
        stream: where to write; characters that it cannot encode are spelled out.
        escape: also spell out control characters.  Libraries that draw on the terminal need them.
    """

    def __init__(self, stream: TextIO, *, escape: bool) -> None:
        self.stream, self.change = stream, escaped if escape else str
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")

    def write(self, text: str) -> int:
        """Writes text, or nothing if the reader has gone; returns the number of characters."""
        with self._going_on():
            self.stream.write(self.change(text))
        return len(text)

    def flush(self) -> None:
        """Flushes the stream, or does nothing if the reader has gone."""
        with self._going_on():
            self.stream.flush()

    @contextlib.contextmanager
    def _going_on(self) -> Iterator[None]:
        """If the reader has gone, sends what is still to be written, and the buffer, to nowhere."""
        try:
            yield
        except OSError as error:
            if error.errno not in GONE:
                raise
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextlib.contextmanager
def outputs(*, escape: bool) -> Iterator[None]:
    """Both streams as an Output, while a command runs."""
    require_open()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (Output(stream, escape=escape) for stream in before)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdout, sys.stderr = before


def require_open() -> None:
    """Opens streams that the shell has closed, as by `2>&-`, to nowhere.

    Otherwise the next file that is opened, such as a checkpoint, gets the number of standard error,
    and every library that writes a warning writes into it.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115
