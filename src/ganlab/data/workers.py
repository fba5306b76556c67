"""Images decoded by all processors.

Threads hardly help with small images: of the 100 microseconds that one takes, Pillow decodes for 24
without Python's lock, so any number of threads does 1.3 of what one does.  So processes do it.
They are fresh ones, for a copy of this one would have its locks and its GPU; and they are not those
of `multiprocessing`, which runs the user's script again and refuses to work inside of joblib's.
"""

import contextlib
import json
import math
import os
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from ganlab.errors import DataError
from ganlab.spec import ImageSpec
from ganlab.storage.decoding import Decoder, Refused

SAMPLE, PATIENCE = 16, 0.1  # images that are timed, and seconds after which fewer will do
STEP = 0.1  # seconds of work in a batch: long beside asking for it, short beside all
SHARE = 0.25  # seconds of work that are worth a process


class Decoded(NamedTuple):
    """pixels: bytes (n, C, H, W) of n images from number `start` on."""

    start: int
    pixels: bytes
    refused: Refused


def seconds(decoder: Decoder, names: Sequence[str], spec: ImageSpec) -> float:
    """What decoding all images takes one processor, going by some of them."""
    began, taken = time.perf_counter(), list[float]()
    for name in names[:: math.ceil(len(names) / SAMPLE)]:
        decoder.batch([name], spec)
        taken += [time.perf_counter() - began - sum(taken)]
        if sum(taken) > PATIENCE:
            break
    return sum(taken) / len(taken) * len(names)


def processors() -> int:
    """How many this process may use: not all may be its own, and a container has a share."""
    count = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    with contextlib.suppress(OSError, ValueError):  # "max 100000" is no limit
        (group,) = (
            line[3:] for line in Path("/proc/self/cgroup").read_text().split() if line[:3] == "0::"
        )
        quota, period = Path(f"/sys/fs/cgroup{group}/cpu.max").read_text().split()
        count = min(count, math.ceil(int(quota) / int(period)))
    return count


def decoded(
    decoder: Decoder, names: Sequence[str], spec: ImageSpec, work: float
) -> Generator[Decoded]:
    """All images, by as many processes as the work is worth, in whatever order they come.

    Args:
        decoder: of this process, which does it alone where others are not worth it or cannot be.
        names: of the images.
        spec: of them.
        work: seconds, for one processor.

    Raises:
        DataError: a process has died.
    """
    step = max(1, min(len(names), int(STEP * len(names) / work)))
    starts = iter(range(0, len(names), step))
    with contextlib.ExitStack() as stack:
        workers = []
        if (wanted := min(processors(), math.ceil(work / SHARE))) > 1:
            with contextlib.suppress(OSError):  # there may be no more processes
                for _ in range(wanted):
                    workers += [stack.enter_context(Worker(decoder, spec))]
        if workers:
            busy = stack.enter_context(selectors.DefaultSelector())
            yield from _shared(workers, busy, names, starts, step)
        for start in starts:
            yield Decoded(start, *decoder.batch(names[start : start + step], spec))


def _shared(
    workers: list["Worker"],
    busy: selectors.BaseSelector,
    names: Sequence[str],
    starts: Iterator[int],
    step: int,
) -> Iterator[Decoded]:
    idle, answers = workers, list[Decoded]()
    while True:
        for worker, start in zip(idle, starts, strict=False):
            worker.ask(start, names[start : start + step])
            busy.register(worker.connection, selectors.EVENT_READ, worker)
        yield from answers
        if not busy.get_map():
            return
        idle = [busy.unregister(key.fileobj).data for key, _ in busy.select()]
        answers = [worker.answer() for worker in idle]


class Worker:
    """A process of `ganlab.storage.decoding`, which has no more than one question at a time.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self, decoder: Decoder, spec: ImageSpec) -> None:
        self.size = math.prod(spec.shape)
        self.connection, theirs = socket.socketpair()
        paths = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
        try:
            with theirs:
                self.process = subprocess.Popen(  # noqa: S603 - it is this Python
                    [sys.executable, "-P", "-m", "ganlab.storage.decoding", str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    env={**os.environ, "PYTHONPATH": paths},
                    process_group=0,  # Ctrl-C is for the process that asks
                )
        except OSError:
            self.connection.close()
            raise
        self.file = self.connection.makefile("rwb")
        asked = str(decoder.root), decoder.size, decoder.channels
        self._send([asked, [spec.channels, spec.size]])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()  # it has nothing to lose
        self.process.wait()
        with contextlib.suppress(ConnectionError):
            self.file.close()
        self.connection.close()

    def ask(self, start: int, names: Sequence[str]) -> None:
        """Has images decoded, of which the first has the number `start`."""
        self.start, self.names = start, names
        self._send(names)

    def answer(self) -> Decoded:
        """What was asked for.

        Raises:
            DataError: the process has died.
        """
        size = len(self.names) * self.size
        with contextlib.suppress(ConnectionError):
            line = self.file.readline()
            pixels = self.file.read(size) if line else b""
            if len(pixels) == size:
                return Decoded(self.start, pixels, json.loads(line))
        first, last = self.names[0], self.names[-1]
        raise DataError(
            f"data: a process that decodes images has ended (exit code {self.process.wait()}) "
            f"at one of '{first}' to '{last}', or because memory ran out"
        )

    def _send(self, content: object) -> None:
        with contextlib.suppress(ConnectionError):  # it has died, as `answer` will find
            self.file.write(json.dumps(content).encode() + b"\n")
            self.file.flush()
