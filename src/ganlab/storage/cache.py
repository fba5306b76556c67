"""A cache shared by all runs, for expensive results, in ~/.cache/ganlab or $GANLAB_CACHE."""

import contextlib
import errno
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from ganlab.storage import files

UNUSABLE = (OSError, NotImplementedError)  # the latter: a file system without locks
ABOUT, HASH = "about", "sha256"


class Entry(NamedTuple):
    """tensors: by name.  about: plain data that describes them."""

    tensors: dict[str, Tensor]
    about: dict[str, Any]


def folder() -> Path:
    """The folder of the cache; it need not exist.

    Raises:
        FileNotFoundError: it is not set, and there is no home.
    """
    if named := os.environ.get("GANLAB_CACHE"):
        return Path(named).expanduser()
    try:
        return Path.home() / ".cache" / "ganlab"
    except RuntimeError as error:
        raise FileNotFoundError(
            errno.ENOENT, "there is no home folder; set GANLAB_CACHE"
        ) from error


def kept(name: str, make: Callable[[], Entry]) -> Entry:
    """The entry of this name: read from the cache, or made if it is missing or damaged.

    If several processes need it at once, one makes it and the others wait.  A cache that cannot be
    used, or is full, costs time and nothing else: a line on stderr says so.
    """
    with contextlib.ExitStack() as held:
        try:
            path = folder() / f"{name}.npz"
            held.enter_context(locked(path))
        except UNUSABLE as error:
            complain(name, error)
            return make()
        found = read(path)
        if found is None:
            found = make()
            try:
                write(path, found)
            except OSError as error:
                complain(name, error)
    return found


def complain(name: str, error: Exception) -> None:
    """Says that an entry of the cache cannot be kept, and that the work goes on."""
    sys.stderr.write(f"'{name}' is not kept for later runs: {error}\n")


def read(path: Path) -> Entry | None:
    """A file's entry, or None if it is missing, damaged or has a wrong hash.  Never unpickles."""
    with contextlib.suppress(Exception):  # damaged files make decoders raise anything
        with files.opened(path) as raw, np.load(raw, allow_pickle=False) as file:
            about = json.loads(str(file[ABOUT]))
            arrays = {name: file[name] for name in file.files if name != ABOUT}
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        if about.pop(HASH) == hash_of(tensors):
            return Entry(tensors, about)
    return None


def write(path: Path, entry: Entry) -> None:
    """Replaces a file atomically."""
    about = json.dumps({**entry.about, HASH: hash_of(entry.tensors)})
    arrays: dict[str, Any] = {n: t.detach().cpu().numpy() for n, t in entry.tensors.items()}
    arrays[ABOUT] = np.array(about)
    with files.replacing(path) as part, part.open("wb") as file:
        np.savez(file, **arrays)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds a lock so that no other process makes the same file; creates its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        yield


def hash_of(tensors: Mapping[str, Tensor]) -> str:
    """sha256 of named tensors, sorted by name: 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.numpy().data)
    return digest.hexdigest()
