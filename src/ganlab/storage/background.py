"""Files are written while training goes on."""

import contextlib
import copy
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

MOST = 4  # jobs that wait, each with what it is to write in memory


class Background:
    """One thread that does what it is asked for, in that order.

    A job that fails raises its error in the thread that asks, at its next call.  The thread ends
    with `drain`, and begins again with the next job.
    """

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._jobs: deque[tuple[Future[Any], Callable[[Any], object] | None]] = deque()

    def submit(self, work: Callable[[], Any], then: Callable[[Any], object] | None = None) -> None:
        """Has `work` done soon; `then` is called with its result by `deliver`, in this thread."""
        while len(self._jobs) >= MOST:
            self._finish_first()
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="ganlab-files")
        self._jobs.append((self._pool.submit(work), then))

    def deliver(self) -> None:
        """Waits for the jobs whose results somebody wants, and hands these over."""
        while any(then is not None for _, then in self._jobs):
            self._finish_first()

    def drain(self) -> None:
        """Waits for all jobs, and ends the thread."""
        while self._jobs:
            self._finish_first()
        self._end()

    def settle(self) -> None:
        """The same after a failure, which is the news: others are not raised."""
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
    """Tensors as they are now, in any dicts, lists and tuples, on their way to the CPU's memory.

    Nobody waits for a GPU: the tensors are copied there, and the copies leave it beside the work
    that is asked of it afterwards.
    """

    def __init__(self, found: Any) -> None:
        self._copies = mapped(found, lambda tensor: tensor.detach().clone())
        self._arrived: torch.cuda.Event | None = None
        if torch.cuda.is_initialized():
            beside = torch.cuda.Stream()
            beside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(beside):
                self._arriving = mapped(self._copies, lambda t: t.to("cpu", non_blocking=True))
                self._arrived = beside.record_event()
        else:
            self._arriving = mapped(self._copies, lambda tensor: tensor.cpu())

    def arrived(self) -> Any:
        """The same with all tensors on the CPU; waits for them."""
        if self._arrived is not None:
            self._arrived.synchronize()
        del self._copies
        return self._arriving


def mapped(found: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """A copy of nested dicts, lists and tuples with every tensor changed; all else is shared."""
    if isinstance(found, Tensor):
        return change(found)
    if isinstance(found, dict):
        made = copy.copy(found)  # a state_dict has attributes
        made.update({key: mapped(value, change) for key, value in found.items()})
        return made
    if isinstance(found, list):
        return [mapped(value, change) for value in found]
    if type(found) is tuple:
        return tuple(mapped(value, change) for value in found)
    return found
