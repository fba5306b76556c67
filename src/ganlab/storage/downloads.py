"""Downloads whose content is known beforehand by its hash."""

import hashlib
import sys
import urllib.request
from pathlib import Path

from tqdm import tqdm

SECONDS = 30  # timeout of a download without an answer


def write(part: Path, url: str, name: str, kind: str, digest: str) -> None:
    """Downloads to a file.

    Args:
        part: the file.
        url: http or https.
        name: what the progress line calls it.
        kind: of hash, such as sha256.
        digest: hexadecimal.

    Raises:
        OSError: no connection, an incomplete download, or another hash.
    """
    if not url.startswith(("http://", "https://")):
        raise OSError(f"'{url}' is no address of http or https")
    seen = hashlib.new(kind)
    with urllib.request.urlopen(url, timeout=SECONDS) as answer, part.open("wb") as file:  # noqa: S310
        size = int(answer.headers.get("Content-Length", 0))
        hidden = not sys.stderr.isatty()
        with tqdm(total=size or None, unit="B", unit_scale=True, desc=name, disable=hidden) as bar:
            while block := answer.read(1 << 20):
                file.write(block)
                seen.update(block)
                bar.update(len(block))
        came = file.tell()
    if came < size:
        raise OSError(f"it ended after {came} of {size} bytes")
    if seen.hexdigest() != digest:
        raise OSError(f"{kind} {seen.hexdigest()[:8]}... is not {digest[:8]}...")
