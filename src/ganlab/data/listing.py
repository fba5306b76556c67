"""Which files are the images of a part, and of which class each is, by their paths alone."""

import functools
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from ganlab.errors import DataError
from ganlab.storage.archive import Archive
from ganlab.storage.decoding import SUFFIXES, is_image
from ganlab.storage.tables import ROW, Tables

LABELS = "dataset.json"  # StyleGAN's name of the file with the labels
PARTS = {"train": "train", "test": "test", "val": "val", "valid": "val", "validation": "val"}
SPLITS = ("train", "val", "test", "all")


class Listing(NamedTuple):
    """The images of a part.

    names: sorted, relative to the root.
    folders: of each, relative to the folder of the part; "." is that folder itself.
    parts: that there are, sorted; empty if the images are in one part without a name.
    left: how many other files there are, by the reason.
    labels: name of the file with the labels, or None.
    """

    names: list[str]
    folders: list[str]
    parts: list[str]
    left: Counter[str]
    labels: str | None


def listed(archive: Archive, split: str) -> Listing:
    """The images of a part: train, val, test or all.

    Folders named so directly inside the root are parts, unless there is only one among others.

    Raises:
        DataError: there are no images, or none of that part.
    """
    everything = archive.names()
    images, left = sorted_out(archive, everything)
    left += archive.skipped
    if not images:
        suffixes = ", ".join(sorted(SUFFIXES))
        raise DataError(f"data.root: no images ({suffixes}) in '{archive.root}'")
    base = common(images)
    labels = next((f"{b}{LABELS}" for b in (base, "") if f"{b}{LABELS}" in set(everything)), None)
    tops = [name[len(base) :].partition("/") for name in images]
    folders = {top for top, slash, _ in tops if slash}
    known = {folder for folder in folders if folder.lower() in PARTS}
    if not known or (folders != known and len(known) == 1):
        if split in ("val", "test"):
            raise DataError(f"data.split: there is no folder '{split}' in '{archive.root}'")
        inside = [name[len(base) :] for name in images]
        return Listing(images, [parent(name) for name in inside], [], left, labels)
    parts = sorted({PARTS[folder.lower()] for folder in known})
    if split not in (*parts, "all"):
        said = f"there is no folder '{split}' in '{archive.root}'"
        raise DataError(f"data.split: {said}; set data.split to {' or '.join(parts)}")
    names, inside = list[str](), list[str]()
    for name, (top, slash, rest) in zip(images, tops, strict=True):
        part = PARTS.get(top.lower()) if slash else None
        if part is not None and split in (part, "all"):
            names.append(name)
            inside.append(parent(rest))
        else:
            left[f"in {part}" if part else "in no part"] += 1
    return Listing(names, inside, parts, left, labels)


def sorted_out(archive: Archive, names: Sequence[str]) -> tuple[list[str], Counter[str]]:
    """The images, sorted, and how many other files there are, by the reason.

    A file without a suffix is an image if its content is.
    """
    images, left = list[str](), Counter[str]()
    known = {ROW} if isinstance(archive, Tables) else SUFFIXES
    for name in names:
        folder, _, file = name.rpartition("/")
        stem, dot, suffix = file.rpartition(".")
        if file == LABELS:
            continue
        if file.startswith(".") or is_hidden(folder):
            left["hidden"] += 1
        elif not (stem and dot):
            if has_image(archive, name):
                images.append(name)
            else:
                left["without a suffix"] += 1
        elif f".{suffix.lower()}" in known:
            images.append(name)
        else:
            left[f".{suffix.lower()}"] += 1
    return sorted(images), left


def has_image(archive: Archive, name: str) -> bool:
    """Whether the content of a file begins as an image does."""
    try:
        return is_image(archive.read(name))
    except Exception:  # noqa: BLE001 - damaged archives make their readers raise anything
        return False


@functools.lru_cache
def is_hidden(folder: str) -> bool:
    """Whether a folder or one above it is hidden, or is one that macOS adds to zips."""
    parts = PurePosixPath(folder).parts
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


@functools.lru_cache
def spelled(folder: str) -> str:
    return str(PurePosixPath(folder))


def parent(name: str) -> str:
    """The folder of a file; "." if it has none."""
    return spelled(name.rpartition("/")[0])


def common(names: Sequence[str]) -> str:
    """The folder that all images are below and that is no part, with a slash; or ""."""
    first, last, base = names[0], names[-1], ""  # sorted: what these share, all share
    while True:
        top, slash, _ = first[len(base) :].partition("/")
        deeper = f"{base}{top}/"
        if not slash or not last.startswith(deeper) or top.lower() in PARTS:
            return base
        base = deeper


def labels_in(archive: Archive, file: str, names: Sequence[str]) -> list[int] | None:
    """The label of each image by StyleGAN's dataset.json; None if it says that there are none.

    Raises:
        DataError: the file is damaged, or labels are missing, no whole numbers or too large.
    """
    where, folder = f"data: '{archive.root / file}'", file[: -len(LABELS)]
    try:
        content = json.loads(archive.read(file))
        pairs = content["labels"]
        found = None if pairs is None else {f"{folder}{path}": label for path, label in pairs}
    except Exception as error:
        form = '{"labels": [["path", 0], ...]} or {"labels": null}'
        raise DataError(f"{where} is not of the form {form}") from error
    if found is None:
        return None
    if missing := next((name for name in names if name not in found), None):
        raise DataError(f"{where} has no label of '{missing}'")
    for name, label in found.items():
        if type(label) is not int or not 0 <= label < len(found):
            least = f"a whole number from 0 to {len(found) - 1:,}"
            raise DataError(f"{where}: the label of '{name}' must be {least}, got {label!r}")
    there = set(archive.names())
    if unknown := next((name for name in found if name not in there), None):
        raise DataError(f"{where} has a label of '{unknown}', and there is no such file")
    return [found[name] for name in names]
