"""Licenses as the Hugging Face Hub names them."""

import re

from ganlab.config.words import nearest
from ganlab.errors import ConfigError

NAME = re.compile(r"[a-z0-9]+([.+-]+[a-z0-9]+)*[+]*")  # openrail++ is one
COMMON = (  # of those that the Hub knows; messages suggest them
    *("mit", "apache-2.0", "bsd-2-clause", "bsd-3-clause", "isc", "zlib", "cc0-1.0"),
    *("cc-by-4.0", "cc-by-sa-4.0", "cc-by-nd-4.0"),
    *("cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0"),
    *("gpl-2.0", "gpl-3.0", "agpl-3.0", "lgpl-2.1", "lgpl-3.0", "mpl-2.0", "epl-2.0", "eupl-1.2"),
    *("openrail", "openrail++", "creativeml-openrail-m", "other"),
)


def require_named(license_: str | None) -> None:
    """Raises ConfigError unless a license is named in the Hub's way; None passes.

    New licenses come, so the name is not looked up; the Hub itself does so at an upload.
    """
    if license_ is None or NAME.fullmatch(license_):
        return
    named = "-".join(license_.lower().split())
    known = nearest(named, COMMON) or "; 'other' is one that the Hub has no name for"
    expected = "expected a name of the Hub's such as mit or cc-by-4.0"
    raise ConfigError([f"license: {expected}, got '{license_}'{known}"])
