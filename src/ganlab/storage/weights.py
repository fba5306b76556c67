"""Finds the weights of the reference Inception network on disk, or downloads them."""

import hashlib
import http.client
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from ganlab.errors import ConfigError
from ganlab.storage import cache, downloads, files
from ganlab.storage.inception import NAME, SHA256, URL


def find(path: str | Path | None = None) -> Path | None:
    """The file of the weights, searched for on disk only; None if it is not found.

    A file given by `path`, or else by GANLAB_INCEPTION, is used unchecked: the extractor's name
    says whether it is the reference.  Otherwise ganlab's cache and the folders of torch-fidelity
    and pytorch-fid are searched, and only a file with the reference's hash is used.

    Raises:
        ConfigError: the given file does not exist.
    """
    if named := path or os.environ.get("GANLAB_INCEPTION"):
        if not Path(named).is_file():
            by = "" if path else "GANLAB_INCEPTION: "
            raise ConfigError([f"{by}there is no file of Inception weights '{named}'"])
        return Path(named)
    return next((file for file in places() if is_reference(file)), None)


def fetch(path: str | Path | None = None) -> Path:
    """The file that `find` finds, or else the reference, downloaded to the cache.

    Raises:
        ConfigError: a given file does not exist, or the download fails; says what to do.
    """
    return find(path) or download(cache.folder())


def places() -> Iterator[Path]:
    """Paths at which the reference may already exist."""
    import torch  # here, because it is slow to import and the name and hash do not need it

    yield cache.folder() / NAME
    hub = Path(torch.hub.get_dir()) / "checkpoints"
    yield hub / NAME
    yield hub / NAME.replace("weights-", "pt_")


def is_reference(file: Path) -> bool:
    """Whether a file exists and has the reference's hash."""
    if not file.is_file():
        return False
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == SHA256


def download(folder: Path) -> Path:
    """The reference in `folder`, downloaded if missing; several processes download it only once.

    Raises:
        ConfigError: it cannot be downloaded or written; says what to do.
    """
    file = folder / NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_suffix(".lock")):
            if not is_reference(file):
                receive(file)
    except (OSError, http.client.HTTPException) as error:
        raise ConfigError([advice(file, error)]) from error
    return file


def receive(file: Path) -> None:
    """Downloads the reference to `file`, atomically.

    Raises:
        OSError: no connection, an incomplete download, or a wrong hash.
    """
    with files.replacing(file) as part:
        downloads.write(part, URL, NAME, "sha256", SHA256)


def advice(file: Path, error: Exception) -> str:
    """One sentence: what failed, and how to get the weights without a download."""
    return (
        f"cannot download the Inception weights from {URL} ({error}); run `ganlab fetch-weights` "
        f"where there is a network, or put the file at '{file}'"
    )
