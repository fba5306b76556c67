"""Pictures in .npy, .npz and parquet files: the same images, and sentences for what is wrong."""

import io
import json
import sys
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from ganlab.data import Folder
from ganlab.errors import DataError

N = 6


def images(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def refusal(folder):
    with pytest.raises(DataError) as error:
        folder.read()
    return str(error.value)


@pytest.mark.parametrize(
    ("shape", "order", "channels"),
    [
        ((N, 8, 8), None, 1),
        ((N, 8, 8, 1), (0, 3, 1, 2), 1),
        ((N, 8, 8, 3), (0, 3, 1, 2), 3),
        ((N, 1, 8, 8), (0, 1, 2, 3), 1),
        ((N, 3, 8, 8), (0, 1, 2, 3), 3),
        ((N, 4, 4, 4), (0, 1, 2, 3), 4),
    ],
)
@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_arrays_of_every_layout_are_read(tmp_path, shape, order, channels, kind):
    array = images(*shape)
    np.save(tmp_path / "a.npy", array)
    np.savez_compressed(tmp_path / "a.npz", array)
    folder = Folder(tmp_path / f"a.{kind}", channels=channels)
    want = array[:, None] if order is None else array.transpose(order)
    assert folder.spec.channels == channels
    assert torch.equal(folder.read().images, torch.from_numpy(want.copy()))
    assert folder.read().labels.tolist() == [0] * N


@pytest.mark.parametrize("name", ["labels", "label", "y"])
@pytest.mark.parametrize("shape", [(N,), (N, 1)])
def test_labels_are_read(tmp_path, name, shape):
    labels = np.arange(N, dtype=np.uint8).reshape(shape) % 3
    np.savez(tmp_path / "a.npz", images=images(N, 8, 8), **{name: labels})
    folder = Folder(tmp_path / "a.npz")
    assert folder.spec.classes == 3
    assert folder.read().labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert folder.test() is None


def test_the_parts_of_keras_are_parts(tmp_path):
    arrays = {"x_train": images(4, 8, 8), "y_train": np.array([0, 1, 2, 3])}
    arrays |= {"x_test": images(2, 8, 8, seed=1), "y_test": np.array([1, 1])}
    np.savez(tmp_path / "a.npz", **arrays)
    folder = Folder(tmp_path / "a.npz")
    assert folder.read().labels.tolist() == [0, 1, 2, 3]
    assert folder.test().spec.classes == 4
    assert torch.equal(folder.test().read().images[:, 0], torch.from_numpy(arrays["x_test"]))


def test_arrays_are_converted_as_files_are(tmp_path):
    array = images(3, 8, 12, 3)
    np.save(tmp_path / "a.npy", array)
    for i, one in enumerate(array):
        (tmp_path / "files").mkdir(exist_ok=True)
        Image.fromarray(one).save(tmp_path / "files" / f"{i}.png")
    for options in (
        {"size": 8},
        {"size": 16, "fit": "pad", "background": "red"},
        {"size": 8, "channels": 1},
    ):
        got, want = (Folder(tmp_path / name, **options).read() for name in ("a.npy", "files"))
        assert torch.equal(got.images, want.images)
    assert "12 x 8 pixels, not square" in refusal(Folder(tmp_path / "a.npy"))


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"images": np.zeros((2, 8, 8))}, "float64 (2, 8, 8), expected uint8 (N, H, W), "),
        ({"images": images(2, 8, 8, 2)}, "uint8 (2, 8, 8, 2), expected uint8"),
        ({"images": images(0, 8, 8)}, "uint8 (0, 8, 8), expected uint8"),
        ({"other": images(2, 8, 8)}, "no array images or x or data or arr_0, only 'other'"),
        ({"x": images(2, 8, 8), "y": np.arange(3)}, "'y' is int64 (3,), expected 2 whole numbers"),
        ({"x": images(2, 8, 8), "y": np.zeros(2)}, "'y' is float64 (2,), expected 2 whole"),
        ({"x": images(2, 8, 8), "y": np.array([0, 2])}, "'y' has 0 to 2, expected 0, 1, 2"),
        ({"x": np.array([{}, []], dtype=object)}, "an array has Python's objects, which are not"),
    ],
)
def test_arrays_of_another_form_are_refused(tmp_path, arrays, sentence):
    np.savez(tmp_path / "a.npz", **arrays)
    message = refusal(Folder(tmp_path / "a.npz"))
    assert message.startswith(f"data: '{tmp_path / 'a.npz'}': {sentence}")


def test_a_header_that_lies_is_refused(tmp_path):
    """Before memory for a terabyte is asked for."""
    about = {"descr": "|u1", "fortran_order": False, "shape": (10**6, 1000, 1000)}
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as made, made.open("images.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, about)
        file.write(bytes(100))
    assert refusal(Folder(tmp_path / "a.npz")) == (
        f"data: '{tmp_path / 'a.npz'}': an array is cut short"
    )
    np.save(tmp_path / "b.npy", images(2, 8, 8))
    (tmp_path / "b.npy").write_bytes((tmp_path / "b.npy").read_bytes()[:-1])
    assert refusal(Folder(tmp_path / "b.npy")).startswith(f"data: '{tmp_path / 'b.npy'}'")


# Parquet ------------------------------------------------------------------------------------------


def encoded(value):
    file = io.BytesIO()
    Image.new("L", (8, 8), value).save(file, "PNG")
    return file.getvalue()


def table(path, values, labels=None, names=None, form="struct"):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = [encoded(value) for value in values]
    if form == "struct":
        rows = [{"bytes": row, "path": None} for row in rows]
    made = {"image": rows} | ({"label": labels} if labels else {})
    made = pa.table(made)
    if names:
        about = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
        made = made.replace_schema_metadata({"huggingface": json.dumps(about)})
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(made, path, row_group_size=4)
    return path


@pytest.mark.parametrize("form", ["struct", "bytes"])
def test_rows_of_parquet_are_pictures(tmp_path, form):
    path = table(tmp_path / "a.parquet", range(10), form=form)
    got = Folder(path).read()
    assert got.images[:, 0, 0, 0].tolist() == list(range(10))
    assert got.labels.tolist() == [0] * 10


def test_a_data_set_of_hugging_face_has_parts_and_classes(tmp_path):
    labels = [10, 2, 2, 10]
    names = [f"c{i}" for i in range(11)]
    table(tmp_path / "data" / "train-00000-of-00001.parquet", range(4), labels, names)
    table(tmp_path / "data" / "test-00000-of-00001.parquet", [7], [10], names)
    folder = Folder(tmp_path)
    assert folder.class_names == ["000002 c2", "000010 c10"]
    got = folder.read()
    order = got.images[:, 0, 0, 0].tolist()
    assert sorted(order) == [0, 1, 2, 3]
    assert got.labels.tolist() == [int(labels[value] == 10) for value in order]
    assert folder.test().read().images[0, 0, 0, 0] == 7
    assert folder.test().read().labels.tolist() == [1]


def test_what_hugging_face_saved_to_disk_is_read(tmp_path):
    """A folder for each part, with Arrow streams and notes in JSON beside them."""
    pa = pytest.importorskip("pyarrow")
    for part, values in (("train", range(6)), ("test", range(6, 8))):
        folder = tmp_path / part
        folder.mkdir()
        rows = [{"bytes": encoded(value), "path": None} for value in values]
        made = pa.table({"image": rows, "label": [value % 2 for value in values]})
        file = folder / "data-00000-of-00001.arrow"
        with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, made.schema) as writer:
            writer.write_table(made, max_chunksize=4)
        (folder / "state.json").write_text("{}")
    got = Folder(tmp_path).read()
    assert got.images[:, 0, 0, 0].tolist() == [0, 2, 4, 1, 3, 5]  # by class
    assert got.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert Folder(tmp_path).test().read().images[:, 0, 0, 0].tolist() == [6, 7]
    (tmp_path / "train" / "data-00000-of-00001.arrow").write_bytes(b"ARROW1 no stream")
    assert "data-00000-of-00001.arrow': " in refusal(Folder(tmp_path))


def test_a_folder_of_a_part_counts_as_its_name(tmp_path):
    for part, value in (("train", 1), ("test", 2)):
        table(tmp_path / "default" / part / "0000.parquet", [value])
    assert Folder(tmp_path).read().images.unique().tolist() == [1]
    assert Folder(tmp_path, split="test").read().images.unique().tolist() == [2]


def test_processes_read_parquet(tmp_path, monkeypatch):
    from ganlab.data import workers

    path = table(tmp_path / "a.parquet", range(40))
    monkeypatch.setattr(workers, "seconds", lambda *_: 1.0)
    monkeypatch.setattr(workers, "processors", lambda: 2)
    monkeypatch.setenv("GANLAB_CACHE", str(tmp_path / "cache"))
    assert Folder(path).read().images[:, 0, 0, 0].tolist() == list(range(40))


def test_a_table_without_pictures_is_refused(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pa.table({"text": ["a"]}), path := tmp_path / "a.parquet")
    assert refusal(Folder(path)) == (
        f"data.root: '{path}': no column image or img or picture, only text"
    )
    path.write_bytes(path.read_bytes()[:100])
    assert refusal(Folder(path)).startswith(f"data.root: '{path}': ")


def test_without_pyarrow_one_sentence_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    needs = "data.root: parquet and Arrow files need pyarrow: pip install 'ganlab[parquet]'"
    assert refusal(Folder(tmp_path / "a.parquet")) == needs
