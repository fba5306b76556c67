"""Where the weights of the reference Inception network come from: a file at hand, or a download."""

import hashlib
import http.client
import os
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock
from tqdm import tqdm

from ganlab.errors import ConfigError
from ganlab.storage import cache, files
from ganlab.storage.inception import NAME, SHA256, URL

SECONDS = 30  # without an answer, before a download is given up


def find(path: str | Path | None = None) -> Path | None:
    """The file of the weights, without the network; None: there is none yet.

    A file that is named, by `path` or else by GANLAB_INCEPTION, is taken as it is: the extractor
    says in its name whether it is the reference.  Elsewhere, in ganlab's cache and where
    torch-fidelity and pytorch-fid keep theirs, only the reference itself counts.

    Raises:
        ConfigError: the file that is named is not there.
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
        ConfigError: a named file is not there, or the download fails; says what to do.
    """
    return find(path) or download(cache.folder())


def places() -> Iterator[Path]:
    """Where the reference may lie already."""
    import torch  # slow, and who only wants the name or the hash does without

    yield cache.folder() / NAME
    hub = Path(torch.hub.get_dir()) / "checkpoints"
    yield hub / NAME
    yield hub / NAME.replace("weights-", "pt_")


def is_reference(file: Path) -> bool:
    """Whether a file is there and whole."""
    if not file.is_file():
        return False
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == SHA256


def download(folder: Path) -> Path:
    """The reference in `folder`, downloaded unless it is there: once, however many processes ask.

    Raises:
        ConfigError: it cannot be had, or cannot be written; says what to do.
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
    """Downloads to a file beside, which takes its name when it is whole.

    Raises:
        OSError: there is no connection, it ended early, or what came is not the reference.
    """
    with files.replacing(file) as part:
        write(part)


def write(part: Path) -> None:
    """Downloads to a file; raises OSError unless the reference came."""
    digest = hashlib.sha256()
    answering = urllib.request.urlopen(URL, timeout=SECONDS)  # noqa: S310 - the address is ours
    with answering as answer, part.open("wb") as file:
        size = int(answer.headers.get("Content-Length", 0))
        hidden = not sys.stderr.isatty()
        with tqdm(total=size or None, unit="B", unit_scale=True, desc=NAME, disable=hidden) as bar:
            while block := answer.read(1 << 20):
                file.write(block)
                digest.update(block)
                bar.update(len(block))
        came = file.tell()
    if came < size:
        raise OSError(f"it ended after {came} of {size} bytes")
    if digest.hexdigest() != SHA256:
        raise OSError(f"sha256 {digest.hexdigest()[:8]}... is not {SHA256[:8]}...")


def advice(file: Path, error: Exception) -> str:
    """One sentence: what failed, and how to do without."""
    return (
        f"cannot download the Inception weights from {URL} ({error}); run `ganlab fetch-weights` "
        f"where there is a network, or put the file at '{file}'"
    )
