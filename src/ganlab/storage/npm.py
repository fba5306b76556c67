"""Files of JavaScript packages from the npm registry, pinned by hash, kept in the cache."""

import base64
import hashlib
import http.client
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from ganlab.storage import cache, downloads, files

REGISTRY = "https://registry.npmjs.org/"
SETTING = "npm_config_registry"  # npm reads it in small and in capital letters
FAILURES = (OSError, http.client.HTTPException, tarfile.TarError, KeyError, NotImplementedError)


class Package(NamedTuple):
    """A version of a package, and what is needed of it.

    Args:
        name: of the package.
        version: of the package.
        integrity: as the registry gives it: sha512-BASE64 of the archive.
        files: path in the package -> sha256 of the file, 64 hexadecimal digits.
    """

    name: str
    version: str
    integrity: str
    files: Mapping[str, str]

    @property
    def url(self) -> str:
        """The archive's address, at the registry that npm is set to."""
        registry = os.environ.get(SETTING) or os.environ.get(SETTING.upper()) or REGISTRY
        archive = f"{self.name.rpartition('/')[2]}-{self.version}.tgz"
        return f"{registry.rstrip('/')}/{self.name}/-/{archive}"

    @property
    def folder(self) -> Path:
        """Where its files are kept."""
        return cache.folder() / "npm" / f"{self.name.replace('/', '+')}-{self.version}"


def fetch(package: Package) -> dict[str, bytes]:
    """The files of a package by path: from the cache, or else downloaded and kept there.

    Several processes download it only once.

    Raises:
        OSError: it cannot be downloaded or written, or is not what was published.
    """
    try:
        package.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(package.folder / ".lock"):
            if (found := kept(package)) is None:
                found = received(package)
    except FAILURES as error:
        raise OSError(f"cannot download {package.name} from {package.url} ({error})") from error
    return found


def kept(package: Package) -> dict[str, bytes] | None:
    """The files in the cache; None: one is missing or is not what was published."""
    found = {}
    for name, digest in package.files.items():
        file = package.folder / Path(name).name
        if not file.is_file() or hashlib.sha256(content := file.read_bytes()).hexdigest() != digest:
            return None
        found[name] = content
    return found


def received(package: Package) -> dict[str, bytes]:
    """The files, downloaded; the rest of the archive is not kept."""
    digest = base64.b64decode(package.integrity.removeprefix("sha512-")).hex()
    archive = package.folder / "package.tgz"
    with files.replacing(archive) as part:
        downloads.write(part, package.url, package.name, "sha512", digest)
    try:
        with tarfile.open(archive) as opened:
            found = {name: member(opened, name) for name in package.files}
    finally:
        archive.unlink()
    for name, content in found.items():
        if hashlib.sha256(content).hexdigest() != package.files[name]:
            raise OSError(f"{name} is not the file that is expected")
        files.write(package.folder / Path(name).name, content)
    return found


def member(archive: tarfile.TarFile, name: str) -> bytes:
    """A file of an archive, in which npm puts all into the folder `package`."""
    file = archive.extractfile(f"package/{name}")
    if file is None:
        raise OSError(f"{name} is no file")
    return file.read()
