"""Kept images: mapped, verified, made once, bounded, and gone when anything about them is wrong."""

import errno
import gc
import json
import os
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ganlab.data import Folder, kept, workers
from ganlab.data.kept import HEAD, NotKeptError, found, path_of
from ganlab.errors import DataError

SHAPE = (6, 3, 4, 4)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(kept, "BLOCK", 100)  # so that there are several, and a last one in part


def pixels(shape=SHAPE, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


class Fill:
    """Counts how often it had to, and places the images last first."""

    def __init__(self, array=None):
        self.array, self.calls = pixels() if array is None else array, 0

    def __call__(self, place):
        self.calls += 1
        for start in reversed(range(0, len(self.array), 4)):
            place(start, self.array[start : start + 4].tobytes())


def put(key, n=6, seed=0):
    """Keeps n images and lets go of them; their file's size."""
    array = pixels((n, 3, 4, 4), seed)
    kept.kept(key, array.shape, Fill(array))
    return path_of(key).stat().st_size


def there():
    return sorted(path.name for path in path_of("").parent.iterdir() if path.suffix != ".lock")


def test_images_are_made_once_and_mapped_afterwards():
    fill = Fill()
    assert found("a", SHAPE) is None
    for _ in range(3):
        images = kept.kept("a", SHAPE, fill)
        assert (images.shape, images.dtype) == (SHAPE, torch.uint8)
        assert torch.equal(images, torch.from_numpy(pixels()))
    assert torch.equal(found("a", SHAPE), torch.from_numpy(pixels()))
    assert fill.calls == 1


def mapping_of(tensor):
    """The line of the system's table of this process's memory that a tensor's data lies in."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        first, last = (int(part, 16) for part in line.split()[0].split("-"))
        if first <= tensor.data_ptr() < last:
            return line.split()
    raise AssertionError


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux")
def test_the_pages_are_the_files_own_and_what_is_written_stays_in_the_process():
    put("a")
    before = path_of("a").read_bytes()
    one, other = found("a", SHAPE), found("a", SHAPE)
    for images in (one, other):
        assert mapping_of(images)[5] == str(path_of("a"))
        assert images.data_ptr() % 4096 == 0
    one[2] = 7
    assert (one[2] == 7).all()
    assert torch.equal(other, torch.from_numpy(pixels()))
    assert path_of("a").read_bytes() == before


def open_files():
    gc.collect()
    return len(list(Path("/dev/fd").iterdir()))


def test_no_file_stays_open_when_the_images_are_gone():
    put("a")
    before = open_files()
    images = found("a", SHAPE)
    part = images[2:4].view(2, -1)
    del images
    assert torch.equal(part, torch.from_numpy(pixels()[2:4]).view(2, -1)), "a view keeps the file"
    assert open_files() > before
    del part
    assert open_files() == before


def flipped(at):
    def flip(path):
        content = bytearray(path.read_bytes())
        content[at] ^= 1
        path.write_bytes(content)

    return flip


def truncated(path):
    path.write_bytes(path.read_bytes()[:-1])


def longer(path):
    path.write_bytes(path.read_bytes() + b"\0")


def empty(path):
    path.write_bytes(b"")


def anothers(path):
    kept.kept("b", SHAPE, Fill(pixels(seed=1)))
    path.write_bytes(path_of("b").read_bytes())


def of_another_format(path):
    head = json.loads(path.read_bytes()[:HEAD])
    head["ganlab"] += 1
    path.write_bytes(json.dumps(head).encode().ljust(HEAD - 1) + b"\n" + path.read_bytes()[HEAD:])


def exchanged(path):
    """Two blocks, each sound by itself."""
    content = path.read_bytes()
    one, two = content[HEAD : HEAD + 100], content[HEAD + 100 : HEAD + 200]
    path.write_bytes(content[:HEAD] + two + one + content[HEAD + 200 :])


def a_folder(path):
    path.unlink()
    path.mkdir()


DAMAGES = [
    *(flipped(at) for at in (0, HEAD - 1, HEAD, HEAD + 150, -1)),
    *(truncated, longer, empty, anothers, of_another_format, exchanged),
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_made_anew(damage):
    put("a")
    damage(path_of("a"))
    assert found("a", SHAPE) is None
    fill = Fill()
    assert torch.equal(kept.kept("a", SHAPE, fill), torch.from_numpy(pixels()))
    assert fill.calls == 1
    assert torch.equal(found("a", SHAPE), torch.from_numpy(pixels()))


def test_images_of_another_shape_are_others():
    put("a")
    assert found("a", (3, 6, 4, 4)) is None
    assert found("a", (5, 3, 4, 4)) is None


def test_what_cannot_be_replaced_is_not_trusted():
    put("a")
    a_folder(path_of("a"))
    with pytest.raises(NotKeptError, match="Is a directory"):
        kept.kept("a", SHAPE, Fill())


def test_of_several_that_ask_at_once_one_makes_them():
    fill, gate, results = Fill(), threading.Barrier(4), []

    def slow(place):
        threading.Event().wait(0.1)
        fill(place)

    def ask():
        gate.wait()
        results.append(kept.kept("a", SHAPE, slow))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert fill.calls == 1
    assert all(torch.equal(images, torch.from_numpy(pixels())) for images in results)
    assert len(results) == 4


def test_a_failure_while_making_leaves_nothing():
    def broken(place):
        place(0, pixels()[:4].tobytes())
        raise DataError("an image is broken")

    with pytest.raises(DataError, match=r"^an image is broken$"):
        kept.kept("a", SHAPE, broken)
    assert there() == []


def no_room(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["posix_fallocate", "fsync"])
def test_a_full_disk_is_a_sentence_and_leaves_nothing(monkeypatch, call):
    """Found out before the work where the system can tell, else when it is done."""
    fill = Fill()
    monkeypatch.setattr(os, call, no_room)
    with pytest.raises(NotKeptError, match="No space left on device"):
        kept.kept("a", SHAPE, fill)
    assert fill.calls == (call == "fsync")
    assert there() == []


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GANLAB_CACHE", str(tmp_path / "file"))
    with pytest.raises(NotKeptError, match=r"Not a directory: '.*file"):
        kept.kept("a", SHAPE, Fill())


def test_a_file_system_without_locks_is_a_sentence(monkeypatch):
    def refuse(*_):
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(kept.cache, "locked", refuse)
    with pytest.raises(NotKeptError, match="does not appear to support flock"):
        kept.kept("a", SHAPE, Fill())


def test_a_file_that_may_only_be_read_is_read(monkeypatch):
    """In a folder that others have prepared: nothing is locked or written there."""
    put("a")
    monkeypatch.setattr(kept.cache, "locked", no_room)
    monkeypatch.setattr(os, "utime", no_room)
    assert torch.equal(found("a", SHAPE), torch.from_numpy(pixels()))


# How much is kept ---------------------------------------------------------------------------------


def aged(*keys):
    """As if they had been read one after another, the first longest ago."""
    for age, key in enumerate(reversed(keys)):
        os.utime(path_of(key), (10**9 - age, 10**9 - age))


def allow(monkeypatch, size):
    monkeypatch.setenv("GANLAB_CACHE_GB", repr(size / 1e9))


def test_what_was_read_longest_ago_makes_room(monkeypatch):
    size, *_ = [put(key) for key in "abc"]
    aged("b", "c", "a")
    assert found("b", SHAPE) is not None  # read: now c is the oldest
    gc.collect()
    allow(monkeypatch, 3 * size)
    put("d")
    assert there() == ["a.images", "b.images", "d.images"]
    allow(monkeypatch, size)
    put("e")
    assert there() == ["e.images"]


def test_what_is_in_use_stays(monkeypatch):
    size, *_ = [put(key) for key in "ab"]
    aged("a", "b")
    images = found("a", SHAPE)
    aged("a", "b")
    allow(monkeypatch, 2 * size)
    put("c")
    assert there() == ["a.images", "c.images"]
    allow(monkeypatch, size)
    with pytest.raises(NotKeptError, match=r" GB in '.*images' are in use$"):
        put("d")
    assert there() == ["a.images"]
    assert torch.equal(images, torch.from_numpy(pixels()))


def test_what_a_killed_process_has_left_makes_room(monkeypatch):
    size = put("a")
    left = path_of("a").with_name(".b.images.part")
    shutil.copy(path_of("a"), left)
    os.utime(left, (0, 0))
    allow(monkeypatch, 2 * size)
    put("c")
    assert there() == ["a.images", "c.images"]


def test_what_is_being_written_stays(monkeypatch):
    size = put("a")
    fill = Fill()

    def meanwhile(place):
        with pytest.raises(NotKeptError, match="in use"):
            put("c")
        fill(place)

    allow(monkeypatch, 1.5 * size)
    kept.kept("b", SHAPE, meanwhile)
    assert there() == ["b.images"]
    assert fill.calls == 1


def test_more_than_is_allowed_is_not_kept_and_removes_nothing(monkeypatch):
    size = put("a")
    allow(monkeypatch, 1.5 * size)
    with pytest.raises(NotKeptError, match=r"^they take .* GB, GANLAB_CACHE_GB allows .* GB$"):
        put("b", n=600)
    monkeypatch.setenv("GANLAB_CACHE_GB", "0")
    with pytest.raises(NotKeptError, match=r", GANLAB_CACHE_GB allows 0 GB$"):
        put("b")
    assert there() == ["a.images"]


def test_some_of_the_disk_is_left_to_others(monkeypatch):
    size, *_ = [put(key) for key in "ab"]
    aged("a", "b")
    room = kept.SPARE + 2.5 * size  # for two of them
    disk = lambda _: SimpleNamespace(free=room - size * len(there()))
    monkeypatch.setattr(shutil, "disk_usage", disk)
    put("c")
    assert there() == ["b.images", "c.images"]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1e9))
    sentence = r"^they take .* GB, '.*images' has 1 GB free, of which 2 GB must stay free$"
    with pytest.raises(NotKeptError, match=sentence):
        put("d")
    assert there() == ["b.images", "c.images"], "removing them would not have helped"


@pytest.mark.parametrize("value", ["much", "-1", "nan"])
def test_a_limit_that_is_no_number_is_refused(monkeypatch, value):
    monkeypatch.setenv("GANLAB_CACHE_GB", value)
    sentence = f"^GANLAB_CACHE_GB must be a number of gigabytes, got '{value}'$"
    with pytest.raises(DataError, match=sentence):
        put("a")


def test_without_a_limit_twenty_gigabytes_are_allowed(monkeypatch):
    monkeypatch.delenv("GANLAB_CACHE_GB", raising=False)
    assert kept.limit() == 20e9
    monkeypatch.setenv("GANLAB_CACHE_GB", "0.5")
    assert kept.limit() == 5e8


# Whatever is wrong with the cache, images are read ------------------------------------------------


@pytest.fixture
def slow(monkeypatch, tmp_path):
    """A folder of images that are worth keeping."""
    from PIL import Image

    monkeypatch.setattr(workers, "seconds", lambda *_: 0.6)
    monkeypatch.setattr(workers, "processors", lambda: 1)
    for i in range(4):
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.new("L", (8, 8), i).save(tmp_path / "images" / f"{i}.png")
    return Folder(tmp_path / "images")


def no_home(monkeypatch, tmp_path):
    def unknown():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("GANLAB_CACHE")
    monkeypatch.setattr(Path, "home", unknown)


def a_file(monkeypatch, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "images").write_text("")


def a_file_above(monkeypatch, tmp_path):
    (tmp_path / "cache").write_text("")


def read_only(monkeypatch, tmp_path):
    """As a file system that is mounted so; root may write to folders without permission."""

    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", refuse)


def full(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "posix_fallocate", no_room)


def full_at_the_end(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "fsync", no_room)


TROUBLES = [no_home, a_file, a_file_above, read_only, full, full_at_the_end]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_without_the_cache_the_run_goes_on_with_one_line(
    slow, monkeypatch, tmp_path, capsys, trouble
):
    trouble(monkeypatch, tmp_path)
    assert slow.read().images[:, 0, 0, 0].tolist() == [0, 1, 2, 3]
    said = capsys.readouterr().out
    assert said.startswith("decoded images are not cached: ")
    assert said.count("\n") == 1
