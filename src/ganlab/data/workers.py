"""Decodes images in several processes.

Threads hardly help with small images: of 100 microseconds per image, Pillow releases the GIL only
for 24, so threads are at most 1.3 times as fast as one.  Processes are not forked, because a fork
would inherit locks and the GPU context.  They do not use `multiprocessing`, which would run the
user's script again and does not work inside joblib's workers.
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
from ganlab.storage.decoding import Decoded, Decoder

SAMPLE, PATIENCE = 16, 0.1  # images that are timed, and seconds after which fewer are enough
STEP = 0.1  # seconds of work in a batch: long compared to a request, short compared to the total
SHARE = 0.25  # seconds of work per process


class Part(NamedTuple):
    """Some of the images, the first with index `start`."""

    start: int
    decoded: Decoded


def seconds(decoder: Decoder, names: Sequence[str], spec: ImageSpec) -> float:
    """Estimated seconds that one processor needs to decode all images, from timing some."""
    began, taken = time.perf_counter(), list[float]()
    for name in names[:: math.ceil(len(names) / SAMPLE)]:
        decoder.batch([name], spec)
        taken += [time.perf_counter() - began - sum(taken)]
        if sum(taken) > PATIENCE:
            break
    return sum(taken) / len(taken) * len(names)


def processors() -> int:
    """Processors that this process may use, by its CPU affinity and its container's quota."""
    count = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    with contextlib.suppress(OSError, ValueError):  # no cgroup, or "max 100000": unlimited
        (group,) = (
            line[3:] for line in Path("/proc/self/cgroup").read_text().split() if line[:3] == "0::"
        )
        quota, period = Path(f"/sys/fs/cgroup{group}/cpu.max").read_text().split()
        count = min(count, math.ceil(int(quota) / int(period)))
    return count


def decoded(
    decoder: Decoder, names: Sequence[str], spec: ImageSpec, work: float
) -> Generator[Part]:
    """All images, in batches in any order, decoded by as many processes as the work justifies.

    Args:
        decoder: used in this process if there is little work, or if no process can be started.
        names: of the images.
        spec: of the images.
        work: estimated seconds on one processor.

    Raises:
        DataError: a process has died.
    """
    step = max(1, min(len(names), int(STEP * len(names) / work)))
    starts = iter(range(0, len(names), step))
    with contextlib.ExitStack() as stack:
        workers = []
        if (wanted := min(processors(), math.ceil(work / SHARE))) > 1:
            with contextlib.suppress(OSError):  # the limit of processes may be reached
                for _ in range(wanted):
                    workers += [stack.enter_context(Worker(decoder, spec))]
        if workers:
            busy = stack.enter_context(selectors.DefaultSelector())
            yield from _shared(workers, busy, names, starts, step)
        for start in starts:
            yield Part(start, decoder.batch(names[start : start + step], spec))


def _shared(
    workers: list["Worker"],
    busy: selectors.BaseSelector,
    names: Sequence[str],
    starts: Iterator[int],
    step: int,
) -> Iterator[Part]:
    idle, answers = workers, list[Part]()
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
    """A process of `ganlab.storage.decoding`, which handles one request at a time.

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
                    pass_fds=[theirs.fileno(), *decoder.archive.descriptors],
                    env={**os.environ, "PYTHONPATH": paths},
                    process_group=0,  # Ctrl-C goes to the parent only
                )
        except OSError:
            self.connection.close()
            raise
        self.file = self.connection.makefile("rwb")
        self._send([decoder.described(), [spec.channels, spec.size]])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()  # it has no state to save
        self.process.wait()
        with contextlib.suppress(ConnectionError):
            self.file.close()
        self.connection.close()

    def ask(self, start: int, names: Sequence[str]) -> None:
        """Requests images by their names; `start` is the index of the first."""
        self.start, self.names = start, names
        self._send(names)

    def answer(self) -> Part:
        """The requested images.

        Raises:
            DataError: the process has died.
        """
        size = len(self.names) * self.size
        with contextlib.suppress(ConnectionError):
            line = self.file.readline()
            pixels = self.file.read(size) if line else b""
            if len(pixels) == size:
                return Part(self.start, Decoded(pixels, *json.loads(line)))
        first, last = self.names[0], self.names[-1]
        raise DataError(
            f"data: a process that decodes images has ended (exit code {self.process.wait()}) "
            f"at one of '{first}' to '{last}', or because memory ran out"
        )

    def _send(self, content: object) -> None:
        with contextlib.suppress(ConnectionError):  # the process has died; `answer` reports it
            self.file.write(json.dumps(content).encode() + b"\n")
            self.file.flush()
