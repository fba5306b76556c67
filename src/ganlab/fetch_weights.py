"""Prepares machines without a network: `python -m ganlab.fetch_weights folder=DIR`."""

from pathlib import Path

from ganlab.commands import command_line


def fetch_weights(folder: str | None = None) -> Path:
    """Downloads the weights of the reference Inception network (96 MB) unless they are at hand.

    Prints the file.  Runs find it in the default folder, or where GANLAB_INCEPTION names it.

    Args:
        folder: where to keep it; null: GANLAB_CACHE, or ~/.cache/ganlab.
    """
    from ganlab.storage import weights

    return weights.download(Path(folder)) if folder else weights.fetch()


if __name__ == "__main__":
    print(command_line.call(fetch_weights))
