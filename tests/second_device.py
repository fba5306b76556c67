"""A device beside the CPU on a machine that has none: its tensors must not meet the CPU's.

`SecondDevice` is a mode in which every tensor's memory has a label, the CPU or "xpu:0".  The
numbers lie in the CPU's memory and the CPU computes them; what is pretended is where they are.
What a GPU would refuse is refused: an operation on tensors of both, unless it is one of torch's
exceptions (copies, indices on the CPU, numbers without dimensions in elementwise operations).
"""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
import torch
from pytorch_lightning.accelerators import CPUAccelerator
from pytorch_lightning.strategies import SingleDeviceStrategy
from torch.overrides import TorchFunctionMode

HERE, THERE = torch.device("cpu"), torch.device("xpu:0")
MIXED = "Expected all tensors to be on the same device, but found at least two devices"

NUMBERS_MUST_MATCH = {  # take no number of the CPU's beside tensors of a GPU's
    *("stack", "cat", "concat", "concatenate", "hstack", "vstack", "linear", "bmm", "matmul"),
    *("index_add", "index_add_", "scatter", "scatter_", "index_copy", "index_copy_", "equal"),
    *("_foreach_lerp_", "cdist", "embedding", "fill_diagonal_"),
}
LABEL = "there"  # an attribute of storages, which views and parameters share
INDEXING = {"__getitem__", "__setitem__", "index_put_"}
WAITING = {
    *("item", "tolist", "__bool__", "__int__", "__float__", "__index__"),
    *("bincount", "nonzero", "unique", "masked_select", "equal", "allclose"),
}
CROSSING = {
    "__set__",
    "copy_",
    "_foreach_copy_",
    "_has_compatible_shallow_copy_type",
    "__deepcopy__",
}


class MixedDevicesError(RuntimeError):
    pass


class There(torch.Generator):
    """A generator of the second device's."""

    device = THERE


class SecondDevice(TorchFunctionMode):
    """Labels tensors while it is entered, and refuses to mix them.

    waits: what a GPU would have been waited for, in order: numbers that were asked of it, and
        copies from and to the CPU's memory that block.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []

    @staticmethod
    def is_there(tensor: torch.Tensor) -> bool:
        return hasattr(tensor.untyped_storage(), LABEL)

    def put(self, made: Any, *, there: bool) -> Any:
        """Labels the memory of all tensors in what an operation returned."""
        for memory in (tensor.untyped_storage() for tensor in tensors_in(made)):
            if there:
                setattr(memory, LABEL, True)
            elif hasattr(memory, LABEL):
                delattr(memory, LABEL)
        return made

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs, name = dict(kwargs or {}), name_of(func)
        if func == torch.Tensor.device.__get__:
            return THERE if self.is_there(args[0]) else func(*args)
        if name in WAITING and self.is_there(args[0]):
            self.waits.append(name)
        if name in ("to", "cpu", "type"):
            return self.moved(func, args, kwargs)
        if name in ("numpy", "__array__") and self.is_there(args[0]):
            raise MixedDevicesError(f"can't convert {THERE} device type tensor to numpy")
        asked = kwargs.get("device")
        if asked is not None and torch.device(asked).type == THERE.type:
            kwargs["device"] = HERE
            return self.put(fresh(func(*args, **kwargs), args), there=True)
        if asked is not None:
            return self.put(func(*args, **kwargs), there=False)
        self.require_one_device(name, args, kwargs)
        there = any(map(self.is_there, leading(name, args, kwargs)))
        result = func(*args, **kwargs)
        return self.put(result, there=there) if there else result

    def moved(self, func, args, kwargs):
        """x.to(...), which copies where the device changes."""
        tensor, *words = args
        name, wanted = name_of(func), None
        if name == "cpu":
            wanted = HERE
        for word in (*words, *kwargs.values()):
            if isinstance(word, torch.Tensor):
                wanted = THERE if self.is_there(word) else HERE
            elif isinstance(word, str | torch.device):
                wanted = torch.device(word)
        if wanted is None or wanted.type == "meta":
            return self.put(func(*args, **kwargs), there=self.is_there(tensor) and wanted is None)
        crosses = (wanted.type == THERE.type) != self.is_there(tensor)
        if crosses and not kwargs.get("non_blocking"):
            self.waits.append("to")
        swap = lambda word: HERE if isinstance(word, str | torch.device) else word
        words, kwargs = [swap(w) for w in words], {k: swap(v) for k, v in kwargs.items()}
        result = func(tensor, *words, **kwargs)
        if result is tensor and crosses:
            result = tensor.clone()
        return self.put(result, there=wanted.type == THERE.type)

    def require_one_device(self, name: str, args: Any, kwargs: Any) -> None:
        if name in CROSSING:
            return
        if name in INDEXING and args and self.is_there(args[0]):
            return  # a GPU takes indices of the CPU's, the CPU none of a GPU's
        seen = list(tensors_in((args, kwargs)))
        there = [self.is_there(tensor) for tensor in seen]
        if not any(there) or all(there):
            return
        strays = [t for t, far in zip(seen, there, strict=True) if not far]
        if name in NUMBERS_MUST_MATCH or any(stray.ndim for stray in strays):
            shapes = [tuple(stray.shape) for stray in strays]
            raise MixedDevicesError(f"{MIXED}, {THERE} and cpu! ({name}; on the CPU: {shapes})")


def name_of(func: Any) -> str:
    return getattr(func, "__name__", str(func))


def tensors_in(found: Any) -> Iterator[torch.Tensor]:
    """All tensors in nested lists, tuples and dictionaries."""
    if isinstance(found, torch.Tensor):
        yield found
    elif isinstance(found, dict):
        yield from tensors_in(list(found.values()))
    elif isinstance(found, list | tuple):
        for part in found:
            yield from tensors_in(part)


def leading(name: str, args: Any, kwargs: Any) -> Iterable[torch.Tensor]:
    """The tensors that decide where the result is."""
    found = list(tensors_in((args, kwargs)))
    return found[:1] if name in CROSSING | INDEXING else found


def fresh(made: Any, given: Any) -> Any:
    """Not one of the arguments: as_tensor(x) may give x itself, which is elsewhere."""
    return made.clone() if any(made is one for one in tensors_in(given)) else made


class HalfCPU(CPUAccelerator):
    def setup_device(self, device: torch.device) -> None:
        """Any device will do."""


class OnSecondDevice(SingleDeviceStrategy):
    """Trains there."""

    def __init__(self) -> None:
        super().__init__(device=THERE, accelerator=HalfCPU())


@contextlib.contextmanager
def second_device() -> Iterator[SecondDevice]:
    """Everything on the second device: tensors, and random numbers that are asked for there."""

    made = torch.Generator

    class Generator(made):  # a class: annotations of modules that are imported now name it
        def __new__(cls, device: Any = "cpu") -> torch.Generator:
            return There() if torch.device(device).type == THERE.type else made()

    with pytest.MonkeyPatch.context() as patch, SecondDevice() as mode:
        patch.setattr(torch, "Generator", Generator)
        yield mode
