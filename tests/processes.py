"""Real processes that train, without the seconds that a start of Python, torch and Lightning takes.

Each is a fork of one process that has imported everything and done nothing else.
"""

import contextlib
import itertools
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["ganlab.train", "ganlab.experiments.session", "sklearn.datasets", "matplotlib.figure"]
)
SECONDS = 60  # in which anything must happen, on a machine that has other work


def train(words: list[str], log: str, flushes: int | None) -> None:
    """What `python -m ganlab.train` does, with all that it says in a file.

    Args:
        flushes: files and folders that it flushes to the disk before it kills itself.
    """
    from ganlab.train import main

    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    torch.set_num_threads(1)
    if flushes is not None:
        kill_at_flush(flushes)
    sys.argv = ["ganlab", *words]
    main()


def kill_at_flush(number: int) -> None:
    """Between writing and renaming a file, or between renaming it and what comes after."""
    left, fsync = itertools.count(number, -1), os.fsync

    def flush(descriptor: int) -> None:
        if next(left) == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        fsync(descriptor)

    os.fsync = flush


@contextlib.contextmanager
def training(
    words: list[str], log: Path, flushes: int | None = None
) -> Iterator[multiprocessing.Process]:
    """A process that trains; it is gone afterwards."""
    process = CONTEXT.Process(target=train, args=(words, str(log), flushes))
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def wait_for(process: multiprocessing.Process, condition: Callable[[], bool]) -> bool:
    """Whether something comes true before a process ends; looks every two milliseconds."""
    end = time.monotonic() + SECONDS
    while process.is_alive() and time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.002)
    return False
