"""Files are whole or not there, on the disk before they have their name, and damage is seen."""

import contextlib
import io
import os
import random
import re
import zipfile
from pathlib import Path

import pytest
import torch

from conftest import differing
from ganlab.errors import DamagedError
from ganlab.plots import pictures
from ganlab.storage import checkpoint, files

SAVED = {
    "state_dict": {"w": torch.arange(60, dtype=torch.float32), "b": torch.zeros(3)},
    "callbacks": {"Journal": {"seconds": 1.5, "latest": {}}},
    "iterations": 7,
}


def plainly(path, content):
    """The wrong way."""
    path.write_bytes(content)


@pytest.mark.parametrize("write", [files.write, plainly])
def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch, write):
    """The process dies in the middle of a write."""
    path = tmp_path / "a"
    files.write(path, "old")

    def half(self, content):
        with self.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", half)
        with pytest.raises(KeyboardInterrupt):
            write(path, b"new content")
    assert (path.read_text() == "old") == (write is files.write)
    assert [file.name for file in tmp_path.iterdir()] == ["a"]
    files.write(path, b"new")
    assert path.read_text() == "new"


def test_content_is_on_the_disk_before_the_name_and_the_name_before_all_else(tmp_path, monkeypatch):
    events, fsync, replace = [], os.fsync, Path.replace

    def named(descriptor):
        events.append(("on the disk", Path(f"/proc/self/fd/{descriptor}").resolve().name))
        fsync(descriptor)

    def renamed(self, target):
        events.append(("renamed", self.name))
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", named)
    monkeypatch.setattr(Path, "replace", renamed)
    files.write(tmp_path / "a", "content")
    part = events[0][1]
    assert re.fullmatch(r"\.a\.[0-9a-f]{12}\.part", part)
    assert events == [("on the disk", part), ("renamed", part), ("on the disk", tmp_path.name)]


def test_a_folder_that_cannot_be_flushed_is_no_error(tmp_path, monkeypatch):
    def refusing(descriptor):
        if Path(f"/proc/self/fd/{descriptor}").resolve() == tmp_path.resolve():
            raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "fsync", refusing)
    files.write(tmp_path / "a", "content")
    assert (tmp_path / "a").read_text() == "content"


def test_pictures_leave_nothing_behind_where_there_is_no_room(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    pixels = pictures.grid(torch.zeros(4, 1, 8, 8))
    pictures.save(tmp_path / "1.png", pixels)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        pictures.save(tmp_path / "2.png", pixels)
    with pytest.raises(OSError, match="No space"):
        pictures.animate([tmp_path / "1.png"], tmp_path / "a.gif")
    assert [file.name for file in tmp_path.iterdir()] == ["1.png"]


# Checkpoints ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def content() -> bytes:
    file = io.BytesIO()
    torch.save(SAVED, file)
    return file.getvalue()


def test_checkpoints_are_listed_in_the_order_of_their_iterations(tmp_path):
    order = [checkpoint.name(i) for i in (0, 9, 9_999_999, 10_000_000)]
    for name in [*reversed(order), "best.ckpt", "iteration-0000001.ckpt.damaged", ".a.part"]:
        (tmp_path / name).touch()
    assert [file.name for file in checkpoint.listed(tmp_path)] == order
    assert sorted(order) != order


def test_a_sound_checkpoint_is_read(tmp_path, content):
    path = tmp_path / "a.ckpt"
    path.write_bytes(content)
    assert checkpoint.is_sound(path)
    assert differing(checkpoint.read(path), SAVED) == []


def test_a_checkpoint_cut_anywhere_is_damaged(tmp_path, content):
    path = tmp_path / "a.ckpt"
    for size in range(0, len(content), 13):
        path.write_bytes(content[:size])
        assert not checkpoint.is_sound(path), size


def test_a_flipped_bit_is_seen_or_changes_nothing(tmp_path, content):
    """Anywhere in the file; torch alone takes the changed weights."""
    path, rng = tmp_path / "a.ckpt", random.Random(0)
    seen = harmless = 0
    for _ in range(1200):
        place, changed = rng.randrange(8 * len(content)), bytearray(content)
        changed[place // 8] ^= 1 << place % 8
        path.write_bytes(changed)
        if checkpoint.is_sound(path):
            harmless += 1
            assert differing(checkpoint.read(path), SAVED) == [], place
        else:
            seen += 1
    assert seen > 200
    assert harmless > 0, "the padding between records"


@pytest.mark.parametrize(("field", "bit"), [(20, 3), (38, 4)], ids=["its size", "a folder"])
def test_a_record_that_its_checksum_does_not_cover_is_damaged(tmp_path, content, field, bit):
    """In the zip's directory; torch would read what happens to be in memory, as weights."""
    path, found = tmp_path / "a.ckpt", 0
    start = content.index(b"PK\x01\x02")
    while start >= 0:
        changed = bytearray(content)
        changed[start + field] ^= 1 << bit
        path.write_bytes(changed)
        assert not checkpoint.is_sound(path)
        with zipfile.ZipFile(path) as records, contextlib.suppress(Exception):
            found += records.testzip() is None
        start = content.find(b"PK\x01\x02", start + 1)
    assert found > 2, "the checksums alone would do"


def test_torch_alone_reads_a_changed_weight_without_a_word(tmp_path, content):
    path = tmp_path / "a.ckpt"
    with zipfile.ZipFile(io.BytesIO(content)) as records:
        weights = SAVED["state_dict"]["w"].numpy().tobytes()
        assert any(records.read(name) == weights for name in records.namelist())
    changed = bytearray(content)
    changed[content.index(weights) + 4 * 30 + 3] ^= 1
    path.write_bytes(changed)
    wrong = torch.load(path, weights_only=True)["state_dict"]["w"]
    assert not torch.equal(wrong, SAVED["state_dict"]["w"])
    with pytest.raises(DamagedError, match=r"is damaged: the checksum of .* is wrong"):
        checkpoint.read(path)


def test_a_checkpoint_with_anything_but_tensors_and_plain_data_is_refused(tmp_path):
    path = tmp_path / "a.ckpt"
    torch.save({"state_dict": {}, "callbacks": Path("a")}, path)
    with pytest.raises(DamagedError, match=r"weights_only|Unsupported|WeightsUnpickler"):
        checkpoint.read(path)


def test_a_checkpoint_that_may_not_be_opened_is_not_called_damaged(tmp_path):
    """A folder in its place fails as a file without permission does, for root, too."""
    with pytest.raises(IsADirectoryError):
        checkpoint.is_sound(tmp_path)
    assert not checkpoint.is_sound(tmp_path / "just set aside")
