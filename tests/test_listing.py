"""Which files of a folder, a zip or a tar are read: parts, labels, links, and what is left out."""

import io
import json
import lzma
import os
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch
from PIL import Image, features

from ganlab.data import Folder
from ganlab.errors import DataError
from ganlab.storage import archive, tars
from ganlab.storage.archive import Directory
from ganlab.storage.decoding import FORMATS


def encoded(value=0, kind="PNG", mode="L"):
    file = io.BytesIO()
    Image.new(mode, (8, 8), value).save(file, kind)
    return file.getvalue()


def folder_of(root, files):
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def zip_of(root, files):
    with zipfile.ZipFile(path := root.with_suffix(".zip"), "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in files.items():
            made.writestr(name, content)
    return path


def tar_of(root, files, suffix=".tar", mode="w"):
    with tarfile.open(path := root.with_suffix(suffix), mode) as made:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = len(content)
            made.addfile(entry, io.BytesIO(content))
    return path


FORMS = [folder_of, zip_of, tar_of]
every_form = pytest.mark.parametrize("form", FORMS)


def values(folder):
    """The grey value of each image: what they were written with."""
    return folder.read().images[:, 0, 0, 0].tolist()


def refusal(folder):
    with pytest.raises(DataError) as error:
        folder.read()
    return str(error.value)


# Parts --------------------------------------------------------------------------------------------


def parts(*names):
    return {name: encoded(value) for value, name in enumerate(names)}


@every_form
@pytest.mark.parametrize("base", ["", "wrapped/"])
def test_train_and_test_are_parts_and_no_classes(tmp_path, form, base, capsys):
    names = ["test/ant/a.png", "test/bee/a.png", "train/ant/a.png", "train/bee/a.png"]
    root = form(tmp_path / "all", parts(*(base + name for name in names)))
    folder = Folder(root)
    assert (folder.class_names, folder.spec.classes) == (["ant", "bee"], 2)
    assert values(folder) == [2, 3]
    assert capsys.readouterr().out == "data: 4 files, 2 used (2 in test)\n"
    assert folder.read().labels.tolist() == [0, 1]
    held = folder.test()
    assert values(held) == [0, 1]
    assert values(Folder(root, split="test")) == [0, 1]
    assert Folder(root, split="test").test() is None
    every = Folder(root, split="all").read()
    assert every.labels.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("name", ["val", "valid", "Validation"])
def test_what_is_held_out_is_test_or_else_val(tmp_path, name):
    root = folder_of(tmp_path, parts("train/a.png", f"{name}/a.png"))
    assert values(Folder(root).test()) == [1]
    assert values(Folder(root, split="val")) == [1]
    folder_of(tmp_path, {"test/a.png": encoded(7)})
    assert values(Folder(root).test()) == [7]


def test_the_held_out_part_has_the_classes_and_the_shape_of_the_first(tmp_path):
    files = parts("train/ant/a.png", "train/bee/a.png", "train/cat/a.png", "test/cat/a.png")
    files["train/ant/a.png"] = encoded((1, 2, 3), mode="RGB")
    held = Folder(folder_of(tmp_path, files)).test()
    assert held.spec.channels == 3
    assert held.read().labels.tolist() == [2]
    folder_of(tmp_path, {"test/dog/a.png": encoded()})
    held = Folder(tmp_path).test()
    assert refusal(held) == "data: 'dog' is no class of the part train, but of others"


def test_a_part_that_is_not_there_is_said(tmp_path):
    root = folder_of(tmp_path, parts("test/a.png"))
    there = f"data.split: there is no folder 'train' in '{root}'; set data.split to test"
    assert refusal(Folder(root)) == there
    plain = folder_of(tmp_path / "plain", parts("a.png"))
    assert (
        refusal(Folder(plain, split="val")) == f"data.split: there is no folder 'val' in '{plain}'"
    )
    assert Folder(plain).test() is None


def test_one_class_of_several_may_be_named_as_a_part(tmp_path):
    folder = Folder(folder_of(tmp_path, parts("bus/a.png", "car/a.png", "train/a.png")))
    assert folder.class_names == ["bus", "car", "train"]


# Labels -------------------------------------------------------------------------------------------


@every_form
def test_stylegans_labels_are_read(tmp_path, form):
    labels = [["00000/b.png", 0], ["00000/a.png", 2], ["00001/c.png", 1]]
    files = parts("00000/a.png", "00000/b.png", "00001/c.png")
    files["dataset.json"] = json.dumps({"labels": labels}).encode()
    folder = Folder(form(tmp_path / "all", files))
    assert folder.spec.classes == 3
    assert folder.read().labels.tolist() == [2, 0, 1]


def test_null_labels_are_no_classes(tmp_path):
    files = parts("00000/a.png", "00001/b.png") | {"dataset.json": b'{"labels": null}'}
    folder = Folder(folder_of(tmp_path, files))
    assert folder.spec.classes == 0
    assert folder.read().labels.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"labels": [["a.png", 0]]}, "has no label of 'b.png'"),
        ({"labels": [["a.png", 0], ["b.png", 2]]}, "a whole number from 0 to 1, got 2"),
        ({"labels": [["a.png", 0], ["b.png", -1]]}, "a whole number from 0 to 1, got -1"),
        ({"labels": [["a.png", 0], ["b.png", True]]}, "a whole number from 0 to 1, got True"),
        ({"labels": [["a.png", 0], ["b.png", 0.5]]}, "a whole number from 0 to 1, got 0.5"),
        ({"labels": [["a.png", 0], ["b.png", 1], ["c.png", 1]]}, "of 'c.png', and there is no"),
        (
            {"labels": [0, 1]},
            'is not of the form {"labels": [["path", 0], ...]} or {"labels": null}',
        ),
        ({}, "is not of the form"),
        ([], "is not of the form"),
    ],
)
def test_labels_that_are_wrong_are_refused(tmp_path, content, sentence):
    files = parts("a.png", "b.png") | {"dataset.json": json.dumps(content).encode()}
    message = refusal(Folder(folder_of(tmp_path, files)))
    assert message.startswith(f"data: '{tmp_path / 'dataset.json'}'")
    assert sentence in message


# What is left out ---------------------------------------------------------------------------------


@every_form
def test_what_is_left_out_is_said_with_the_reason(tmp_path, form, capsys):
    files = {"a.png": encoded(), "b.PNG": encoded(), "c": encoded(), ".DS_Store": b"", "d": b"x"}
    files |= dict.fromkeys(["x.txt", "y.txt", "z/labels.csv", ".cache/a.png"], b"")
    folder = Folder(form(tmp_path / "all", files))
    folder.check()
    assert capsys.readouterr().out == ""
    folder.read()
    reasons = {"2 .txt", "2 hidden", "1 .csv", "1 without a suffix"}
    start, _, said = capsys.readouterr().out.partition(" (")
    assert (start, set(said[:-2].split(", "))) == ("data: 9 files, 3 used", reasons)


def test_nothing_is_said_where_nothing_is_left_out(tmp_path, capsys):
    Folder(folder_of(tmp_path, parts("a.png", "b.png"))).read()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["a.jfif", "a.jpe", "a.JPG", "a"])
def test_all_suffixes_of_jpegs_are_known_and_none_too(tmp_path, name):
    root = folder_of(tmp_path, {name: encoded(7, "JPEG")})
    assert values(Folder(root)) == [7]


@pytest.mark.skipif(not features.check("avif"), reason="Pillow was built without AVIF")
def test_avif_is_read(tmp_path):
    root = folder_of(tmp_path, {"a.avif": encoded((9, 9, 9), "AVIF", "RGB")})
    assert abs(values(Folder(root))[0] - 9) < 3


# What is not opened -------------------------------------------------------------------------------


def test_postscript_is_not_opened_whatever_its_name(tmp_path):
    """Pillow would have Ghostscript run it."""
    assert "EPS" not in FORMATS
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"
    path = folder_of(tmp_path, {"a.png": script}) / "a.png"
    assert refusal(Folder(tmp_path)) == f"data: '{path}': not an image, or damaged"


def test_pipes_are_not_waited_for(tmp_path, capsys):
    os.mkfifo(tmp_path / "b.png")
    assert "no images" in refusal(Folder(tmp_path))
    with pytest.raises(ValueError, match=r"^no regular file$"):
        Directory(tmp_path).read("b.png")
    folder_of(tmp_path, parts("a.png"))
    Folder(tmp_path).read()
    assert capsys.readouterr().out == "data: 2 files, 1 used (1 no regular file)\n"
    pipe = tmp_path / "b.png"
    assert refusal(Folder(pipe)) == f"data.root: '{pipe}' is no regular file"


@every_form
def test_files_that_are_too_large_are_not_read(tmp_path, monkeypatch, form):
    root = form(tmp_path / "all", {"a.png": encoded(), "b.png": bytes(10**6)})
    for module in (archive, *((tars,) if form is tar_of else ())):
        monkeypatch.setattr(module, "LARGEST", 10**5, raising=False)
    message = refusal(Folder(root))
    assert (
        message == f"data: 1 of 2 images cannot be used:\n  '{root / 'b.png'}': 1 MB, more than 0"
    )


def test_a_member_is_no_larger_than_its_zip_says(tmp_path):
    """The size in the directory, which is bounded, bounds what is read."""
    root = zip_of(tmp_path / "all", {"a.png": bytes(10**6)})
    content = root.read_bytes()
    root.write_bytes(content.replace((10**6).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    assert "a.png" in refusal(Folder(root))


# Links --------------------------------------------------------------------------------------------


def test_links_to_folders_are_followed_once(tmp_path, capsys):
    root, other = tmp_path / "root", folder_of(tmp_path / "other", parts("x.png"))
    folder_of(root, {"cat/a.png": encoded(1), "dog/b.png": encoded(2)})
    (root / "ant").symlink_to(other)
    (root / "cat" / "up").symlink_to(root)
    (root / "bat").symlink_to(root / "dog")
    (root / "eel.png").symlink_to(tmp_path / "nowhere")
    folder = Folder(root)
    assert folder.names == ["ant/x.png", "cat/a.png", "dog/b.png"]
    assert folder.class_names == ["ant", "cat", "dog"]
    folder.read()
    assert capsys.readouterr().out == "data: 4 files, 3 used (1 broken link)\n"


# Tars ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [(".tar", "w"), (".tar.gz", "w:gz"), (".tar.xz", "w:xz"), (".tbz2", "w:bz2")],
)
def test_tars_are_read_compressed_or_not(tmp_path, suffix, mode):
    root = tar_of(tmp_path / "all", parts("x/a.png", "y/b.png"), suffix, mode)
    before = sorted(tmp_path.iterdir())
    folder = Folder(root)
    assert folder.class_names == ["x", "y"]
    assert values(folder) == [0, 1]
    assert sorted(tmp_path.iterdir()) == before, "nothing is extracted"


def test_links_in_a_tar_are_left_out(tmp_path, capsys):
    root = tar_of(tmp_path / "all", parts("a.png"))
    with tarfile.open(root, "a") as made:
        for name, kind in (("b.png", tarfile.SYMTYPE), ("c.png", tarfile.FIFOTYPE)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "/etc/passwd"
            made.addfile(entry)
    assert values(Folder(root)) == [0]
    assert capsys.readouterr().out == "data: 3 files, 1 used (1 link, 1 no regular file)\n"


@pytest.mark.parametrize("end", [100, 600, 1100])
def test_a_tar_that_is_cut_short_is_refused(tmp_path, end):
    root = tar_of(tmp_path / "all", parts("a.png", "b.png"))
    root.write_bytes(root.read_bytes()[:end])
    assert refusal(Folder(root)).startswith("data")


def test_a_tar_with_a_damaged_header_is_refused(tmp_path):
    """tarfile would end there without a word."""
    root = tar_of(tmp_path / "all", parts("a.png", "b.png"))
    content = bytearray(root.read_bytes())
    content[1024] ^= 1
    root.write_bytes(content)
    sentence = f"data.root: '{root}' is no tar, or damaged: unknown content at byte 1,024"
    assert refusal(Folder(root)) == sentence


def test_what_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(tars, "MOST", 1000)
    (root := tmp_path / "all.tar.xz").write_bytes(lzma.compress(bytes(10**6)))
    sentence = f"data.root: '{root}' cannot be unpacked: it holds more than 0.0 GB"
    assert refusal(Folder(root)) == sentence


def test_processes_read_tars(tmp_path, monkeypatch):
    """The places of the files are looked up by the first alone."""
    from ganlab.data import workers

    monkeypatch.setattr(workers, "seconds", lambda *_: 1.0)
    monkeypatch.setattr(workers, "processors", lambda: 2)
    monkeypatch.setenv("GANLAB_CACHE", str(tmp_path / "cache"))
    names = [f"{i:03}.png" for i in range(40)]
    for suffix, mode in ((".tar", "w"), (".tgz", "w:gz")):
        root = tar_of(tmp_path / "all", parts(*names), suffix, mode)
        assert values(Folder(root)) == list(range(40))


# Roots --------------------------------------------------------------------------------------------


def test_an_empty_root_is_a_mistake(tmp_path):
    from ganlab.data import MNIST

    for source in (Folder, MNIST):
        with pytest.raises(ValueError, match=r"^root: expected a path, got ''"):
            source("")
    assert Folder(Path()).root == Path()
    assert torch.is_tensor(Folder(folder_of(tmp_path, parts("a.png"))).read().images)


def test_a_fingerprint_is_of_the_files_and_not_of_where_they_lie(tmp_path, capsys):
    files = parts("a/x.png", "b/y.png")
    one, zipped, tarred = (Folder(form(tmp_path / "all", files)) for form in FORMS)
    assert one.fingerprint() == zipped.fingerprint() == tarred.fingerprint()
    Folder(one.root, fingerprint=one.fingerprint()).read()
    assert capsys.readouterr().out == ""
    more = Folder(folder_of(one.root, parts("a/z.png")), fingerprint=one.fingerprint())
    assert more.fingerprint() != one.fingerprint()
    more.read()
    said = f"data: the files in '{one.root}' are not those that this run began with\n"
    assert capsys.readouterr().out == said
