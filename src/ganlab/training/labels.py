"""Labels of the parts of an iteration, for torch's profiler; they cost nothing without one."""

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar, cast

from torch.autograd import profiler
from torch.profiler import record_function

PREFIX = "ganlab/"  # of the labels, among the names of torch's operators
Function = TypeVar("Function", bound=Callable[..., Any])


def part(label: str) -> AbstractContextManager[Any]:
    """A context in which a profiler counts time under this label."""
    return record_function(PREFIX + label) if profiler._is_profiler_enabled else nullcontext()


def labelled(label: str) -> Callable[[Function], Function]:
    """Decorates a function whose time a profiler counts under this label."""

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            if not profiler._is_profiler_enabled:
                return function(*args, **kwargs)
            with record_function(PREFIX + label):
                return function(*args, **kwargs)

        return cast("Function", timed)

    return decorate
