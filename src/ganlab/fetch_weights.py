"""Downloads weights, e.g. for machines without a network: `python -m ganlab.fetch_weights`."""

from pathlib import Path

from ganlab.commands import command_line


def fetch_weights(folder: str | None = None) -> Path:
    """Downloads the weights of the reference Inception network (96 MB) unless they are on disk.

    Prints the path.  Runs find the file in the default folder, or through GANLAB_INCEPTION.

    Args:
        folder: for the file; null: GANLAB_CACHE, or ~/.cache/ganlab.
    """
    from ganlab.storage import weights

    return weights.download(Path(folder)) if folder else weights.fetch()


if __name__ == "__main__":
    command_line.call(fetch_weights, show=print)
