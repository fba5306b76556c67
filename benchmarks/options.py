"""name=value words of a benchmark's command line."""

import sys


def asked(known: dict[str, str], page: str | None) -> dict[str, str]:
    """All options: as the command line has them, else by default.

    Args:
        known: names and defaults.
        page: the benchmark's own, which is shown when a name is not known.
    """
    words = dict(word.partition("=")[::2] for word in sys.argv[1:])
    if words.keys() - known.keys():
        raise SystemExit(page)
    return known | words
