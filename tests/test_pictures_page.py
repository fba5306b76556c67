"""docs/pictures.md: each of its commands finds and reads pictures as the page says."""

import io
import shlex
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands import run_train, smoke
from conftest import ROOT
from test_readme import commands

PAGE = sorted(set(commands((ROOT / "docs" / "pictures.md").read_text())))
N = 8


def encoded(seed, mode="RGB", size=(24, 16)):
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
    Image.fromarray(values).convert(mode).save(file := io.BytesIO(), "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with all that the page names."""
    home = tmp_path_factory.mktemp("page")
    names = {
        "my/pictures": [f"{i}.png" for i in range(N)],
        "my/icons": [f"{i}.png" for i in range(N)],
        "my/classes": [f"{'ab'[i % 2]}/{i}.png" for i in range(N)],
        "my/parts": [
            f"{part}/{'ab'[i % 2]}/{i}.png" for i in range(N) for part in ("train", "test")
        ],
    }
    for folder, files in names.items():
        for i, name in enumerate(files):
            (home / folder / name).parent.mkdir(parents=True, exist_ok=True)
            (home / folder / name).write_bytes(encoded(i, "RGBA" if "icons" in folder else "RGB"))
    with zipfile.ZipFile(home / "my/pictures.zip", "w") as archive:
        for name in names["my/pictures"]:
            archive.write(home / "my/pictures" / name, name)
    with tarfile.open(home / "my/pictures.tar.gz", "w:gz") as archive:
        archive.add(home / "my/pictures", "pictures")
    np.savez(home / "my/arrays.npz", images=np.zeros((N, 16, 24, 3), np.uint8))
    return home


@pytest.mark.long
@pytest.mark.parametrize("command", PAGE)
def test_every_command_of_the_page_trains(place, monkeypatch, tmp_path, command):
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "ganlab.train"]
    monkeypatch.chdir(place)
    if "data.root=my/table.parquet" in words:
        write_table(place / "my/table.parquet")
    outcome = run_train(*smoke(tmp_path, *words[3:], "loss=nonsaturating", "batch_size=4"))
    assert (outcome.code, outcome.err) == (0, "")


def write_table(path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pa.table({"image": [encoded(i) for i in range(N)]}), path)
