"""What is kept on disk: whole or not at all, verified when it is read, never unpickled."""

import pickle
import threading

import numpy as np
import pytest
import torch

from ganlab.storage import cache


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANLAB_CACHE", str(tmp_path / "cache"))


def entry(value=1.0):
    tensors = {
        "weights": torch.full((2, 3), value),
        "sums": torch.arange(4, dtype=torch.float64),
        "count": torch.tensor(7),
        "none": torch.empty(0, 3),
    }
    return cache.Entry(tensors, {"data": "mnist", "accuracy": 0.99, "test": None})


def same(a, b):
    equal = all(torch.equal(a.tensors[k], b.tensors[k]) for k in b.tensors)
    types = all(a.tensors[k].dtype == b.tensors[k].dtype for k in b.tensors)
    return a.tensors.keys() == b.tensors.keys() and equal and types and a.about == b.about


class Maker:
    """Counts how often it had to make the entry."""

    def __init__(self):
        self.made = 0

    def __call__(self):
        self.made += 1
        return entry()


def test_an_entry_is_made_once_and_read_afterwards():
    make = Maker()
    first, second = cache.kept("a", make), cache.kept("a", make)
    assert make.made == 1
    assert same(first, entry())
    assert same(second, entry())
    cache.kept("b", make)
    assert make.made == 2


def test_the_folder_is_the_environments_or_the_homes(tmp_path, monkeypatch):
    assert cache.folder() == tmp_path / "cache"
    monkeypatch.delenv("GANLAB_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.folder() == tmp_path / ".cache" / "ganlab"


def flip(path):
    """A bit in the middle of the first array's data."""
    content = bytearray(path.read_bytes())
    content[content.index(np.float32(1.0).tobytes())] ^= 1
    path.write_bytes(content)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def unlike_its_hash(path):
    """A sound file, whose tensors are others than the ones that were hashed."""
    with np.load(path) as file:
        arrays = dict(file)
    arrays["weights"] = arrays["weights"] + 1
    np.savez(path, **arrays)


def foreign(path):
    np.savez(path, something=np.zeros(3))


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [flip, truncate, unlike_its_hash, foreign, empty])
def test_a_damaged_file_is_made_anew(damage):
    make = Maker()
    cache.kept("a", make)
    damage(cache.folder() / "a.npz")
    assert cache.read(cache.folder() / "a.npz") is None
    assert same(cache.kept("a", make), entry())
    assert make.made == 2
    assert same(cache.read(cache.folder() / "a.npz"), entry())


class Evil:
    def __reduce__(self):
        return pytest.fail, ("it was unpickled",)


def test_nothing_is_ever_unpickled(tmp_path):
    path = tmp_path / "evil.npz"
    with path.open("wb") as file:
        np.savez(file, about=np.array([Evil()], dtype=object))
    assert cache.read(path) is None
    path.write_bytes(pickle.dumps(Evil()))
    assert cache.read(path) is None


def test_a_failure_while_writing_leaves_what_was_there(monkeypatch):
    cache.write(prepared("a"), entry(1.0))
    monkeypatch.setattr(np, "savez", lambda file, **_: file.write(b"half") and 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cache.write(prepared("a"), entry(2.0))
    assert same(cache.read(prepared("a")), entry(1.0))


def prepared(name):
    cache.folder().mkdir(parents=True, exist_ok=True)
    return cache.folder() / f"{name}.npz"


def test_of_several_that_ask_at_once_one_makes_it():
    started, make = threading.Event(), Maker()

    def slow():
        started.set()
        threading.Event().wait(0.2)
        return make()

    first = threading.Thread(target=cache.kept, args=("a", slow))
    first.start()
    started.wait()
    assert same(cache.kept("a", make), entry())  # would be the second to make it
    first.join()
    assert make.made == 1
