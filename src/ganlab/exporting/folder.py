"""The folder of an export: which files it has, where it may be, and that it is written whole."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ganlab.errors import ConfigError
from ganlab.exporting import card, example, interface, public, weights
from ganlab.generative import Generative
from ganlab.plots import pictures
from ganlab.runs import records
from ganlab.runs.folder import EXPORTED, Run, require_writable
from ganlab.storage import files

ONNX, INTERFACE = "generator.onnx", "generator.json"
CONFIG, CARD, PICTURE, EXAMPLE = "config.yaml", "README.md", "samples.png", "example.py"
FILES = (EXPORTED, ONNX, INTERFACE, CONFIG, CARD, PICTURE, EXAMPLE)
# What example.py and ganlab's commands write into an export; the next export leaves it there.
BESIDE = (
    *(example.PICTURE, example.NUMBERS, "sampled", "inverted", "quiz"),
    *("summary.json", "explore.html"),
)


@dataclass(frozen=True)
class Export:
    """What is written.

    Args:
        run: which is exported.
        gan: of its checkpoint, on the CPU.
        picture: of samples, uint8 (H, W, 3).
        onnx: the generator, and how far it is from PyTorch's; None: there is none.
        license: of the model, as the Hub names it; None: nothing is said.
    """

    run: Run
    gan: Generative
    picture: np.ndarray
    onnx: tuple[bytes, float] | None
    license: str | None

    def write(self, to: Path) -> None:
        """Writes the folder, whole or not at all; an earlier export there is replaced.

        What lies BESIDE the earlier export stays.

        Raises:
            ConfigError: `to` holds something else.
            OSError: it cannot be written.
        """
        require_free(to, self.run)
        about = interface.document(self.run, self.gan)
        with files.replacing_folder(to) as folder:
            weights.save(self.gan, folder / EXPORTED)
            if self.onnx is not None:
                files.write(folder / ONNX, self.onnx[0])
                files.write(folder / EXAMPLE, example.script(self.gan))
            files.write(folder / INTERFACE, as_json(about))
            config = yaml.safe_dump(public.config(self.run), sort_keys=False)
            files.write(folder / CONFIG, config)
            pictures.save(folder / PICTURE, self.picture)
            sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
            far = self.onnx[1] if self.onnx is not None else None
            text = card.Card(self.run, self.gan, about, sizes, far, self.license)
            files.write(folder / CARD, str(text))
            for name in BESIDE:
                keep(to / name, folder / name)


def as_json(document: dict[str, Any]) -> str:
    """Plain data as the text of a file."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def keep(here: Path, there: Path) -> None:
    """Brings a file, a link or a folder to a new place, if it is there; it stays where it is, too.

    Raises:
        OSError: there is no room, or it cannot be read.
    """
    if here.is_dir() and not here.is_symlink():
        shutil.copytree(here, there, symlinks=True, copy_function=again)
    elif os.path.lexists(here):
        again(here, there)


def again(here: str | Path, there: str | Path) -> None:
    """A second name for a file or a link; a copy where the file system has no second names."""
    try:
        os.link(here, there, follow_symlinks=False)
    except OSError:
        shutil.copy2(here, there, follow_symlinks=False)


def require_free(to: Path, run: Run) -> None:
    """Raises ConfigError unless a folder is new, empty, or an earlier export of the same run."""
    if to.is_symlink() or (to.exists() and not to.is_dir()):
        raise ConfigError([f"to: '{to}' is no folder; name a new one"])
    require_writable(to.parent, "to")
    names = {path.name for path in to.iterdir()} if to.exists() else set[str]()
    if not names:
        return
    if others := sorted(names - {*FILES, *BESIDE}):
        said = f"'{to}' has '{others[0]}', which ganlab did not write"
        raise ConfigError([f"to: {said}; move it away, or name a new folder"])
    if origin_in(to) != interface.origin(run):
        raise ConfigError([f"to: '{to}' is no earlier export of this run; name a new one"])


def origin_in(folder: Path) -> Any:
    """Which run a folder says that it is an export of; None: it says nothing."""
    return records.read_if_there(folder / INTERFACE, dict[str, Any]).get("run")
