"""Background writes: copies of tensors, and a thread that writes them during training."""

import contextlib
import copy
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

MOST = 4  # pending jobs; each holds its data in memory


class Background:
    """One thread that runs jobs in the order of submission.

    The error of a failed job is raised in the calling thread, by the call that waits for the job.
    `drain` ends the thread; the next job starts a new one.
    """

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._jobs: deque[tuple[Future[Any], Callable[[Any], object] | None]] = deque()

    def submit(self, work: Callable[[], Any], then: Callable[[Any], object] | None = None) -> None:
        """Queues `work`; once it is done, `then` gets its result, in the calling thread.

        Any later call that waits for the job calls `then`.  Waits if too many jobs are pending.
        """
        while len(self._jobs) >= MOST:
            self._finish_first()
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="ganlab-files")
        self._jobs.append((self._pool.submit(work), then))

    def deliver(self) -> None:
        """Waits until all jobs with a `then` are done, and calls it."""
        while any(then is not None for _, then in self._jobs):
            self._finish_first()

    def drain(self) -> None:
        """Waits for all jobs, and ends the thread."""
        while self._jobs:
            self._finish_first()
        self._end()

    def settle(self) -> None:
        """Like `drain`, but ignores errors of jobs: use it after another failure."""
        while self._jobs:
            with contextlib.suppress(Exception):
                self._finish_first()
        self._end()

    def _finish_first(self) -> None:
        job, then = self._jobs.popleft()
        result = job.result()
        if then is not None:
            then(result)

    def _end(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


class Snapshot:
    """A copy of all tensors in nested dicts, lists and tuples, on its way to the CPU.

    Making it does not wait for a GPU: the tensors are cloned there, and the clones are transferred
    on a separate stream, in parallel with later work.
    """

    def __init__(self, found: Any) -> None:
        self._copies = mapped(found, lambda tensor: tensor.detach().clone())
        self._arrived: torch.cuda.Event | None = None
        if torch.cuda.is_initialized():
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                self._arriving = mapped(self._copies, lambda t: t.to("cpu", non_blocking=True))
                self._arrived = side.record_event()
        else:
            self._arriving = mapped(self._copies, lambda tensor: tensor.cpu())

    def arrived(self) -> Any:
        """The copy with all tensors on the CPU; waits for the transfer."""
        if self._arrived is not None:
            self._arrived.synchronize()
        del self._copies
        return self._arriving


def mapped(found: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Nested dicts, lists and tuples with `change` applied to every tensor; the rest is shared."""
    if isinstance(found, Tensor):
        return change(found)
    if isinstance(found, dict):
        made = copy.copy(found)  # keeps attributes, which a state_dict has
        made.update({key: mapped(value, change) for key, value in found.items()})
        return made
    if isinstance(found, list):
        return [mapped(value, change) for value in found]
    if type(found) is tuple:
        return tuple(mapped(value, change) for value in found)
    return found
