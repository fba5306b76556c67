"""Whatever bytes there are, a folder is read or refused with a sentence; nothing else happens."""

import contextlib
import io
import json
import tarfile
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from ganlab.data import Folder
from ganlab.errors import DataError


def picture(kind, mode="RGB"):
    file = io.BytesIO()
    Image.linear_gradient("L").resize((8, 8)).convert(mode).save(file, kind)
    return file.getvalue()


def zipped(files):
    with zipfile.ZipFile(made := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return made.getvalue()


def tarred(files, mode):
    with tarfile.open(fileobj=(made := io.BytesIO()), mode=mode) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return made.getvalue()


def arrays():
    images = np.arange(4 * 8 * 8, dtype=np.uint8).reshape(4, 8, 8)
    np.savez_compressed(packed := io.BytesIO(), images=images, labels=np.array([0, 1, 0, 1]))
    np.save(plain := io.BytesIO(), images)
    return packed.getvalue(), plain.getvalue()


FILES = {"a/x.png": picture("PNG"), "b/y.png": picture("PNG")}
LABELS = json.dumps({"labels": [["a/x.png", 0], ["b/y.png", 1]]}).encode()
NPZ, NPY = arrays()
SEEDS = {
    "a.png": picture("PNG"),
    "p.png": picture("PNG", "P"),
    "a.jpg": picture("JPEG"),
    "a.gif": picture("GIF"),
    "a.tif": picture("TIFF"),
    "a.webp": picture("WEBP"),
    "a.bmp": picture("BMP"),
    "a.ppm": picture("PPM"),
    "a": picture("PNG"),
    "dataset.json": LABELS,
    "a.zip": zipped({**FILES, "dataset.json": LABELS}),
    "a.tar": tarred(FILES, "w"),
    "a.tar.gz": tarred(FILES, "w:gz"),
    "a.tar.xz": tarred(FILES, "w:xz"),
    "a.npz": NPZ,
    "a.npy": NPY,
}


@st.composite
def mutated(draw):
    """(name, content): some bytes of a sound file exchanged, removed, doubled, or any bytes."""
    name = draw(st.sampled_from(sorted(SEEDS)))
    content = bytearray(SEEDS[name])
    if draw(st.integers(0, 9)) == 0:
        return name, draw(st.binary(max_size=200))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(content) - 1, 0)))
        what = draw(st.sampled_from(["set", "cut", "insert", "end"]))
        if what == "set":
            content[at : at + 1] = draw(st.binary(min_size=1, max_size=4))
        elif what == "cut":
            del content[at : at + draw(st.integers(1, 40))]
        elif what == "insert":
            content[at:at] = draw(st.binary(min_size=1, max_size=8))
        else:
            del content[at:]
    return name, bytes(content)


@settings(max_examples=200, suppress_health_check=list(HealthCheck))
@given(case=mutated(), options=st.sampled_from([{}, {"size": 8, "channels": 3}]))
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # of damaged files' metadata
@pytest.mark.filterwarnings("ignore::UserWarning:zipfile")  # of names that are there twice
def test_any_bytes_are_read_or_refused(case, options):
    name, content = case
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        if name == "dataset.json":
            for other, picture_of in FILES.items():
                (root / other).parent.mkdir()
                (root / other).write_bytes(picture_of)
        (root / name).write_bytes(content)
        is_root = name.startswith("a.") and root.joinpath(name).suffix in {
            *(".zip", ".tar", ".gz", ".xz", ".npz", ".npy")
        }
        with contextlib.suppress(DataError):
            source = Folder(root / name if is_root else root, **options)
            source.check()
            images, labels = source.read()
            assert images.shape[1:] == source.spec.shape
            assert len(images) == len(labels)
