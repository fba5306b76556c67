"""A page in which a run's generator draws: `python -m ganlab.explore run=DIR`."""

from pathlib import Path
from typing import Literal

from ganlab import load
from ganlab.commands import command_line
from ganlab.runs.folder import pointed_at
from ganlab.spec import at_least


def explore(
    run: str,
    to: str | None = None,
    engine: Literal["auto", "plain", "onnxruntime"] = "auto",
    weights: Literal["float32", "float16"] = "float32",
    directions: int | None = None,
    truncation: float | None = None,
    checkpoint: str | int = "last",
    trust: bool = False,
) -> Path:
    """Writes one HTML file in which the trained generator runs; returns its path.

    The file opens from disk, needs no server and asks for nothing.  In it one moves through the
    latent space: random images, sliders along principal directions and single coordinates, classes
    and codes, truncation, a map, the way between two points.  Needs pip install 'ganlab[export]'.

    Args:
        run: the run's folder, or the newest run below a folder, or a checkpoint file; last: the
            newest run below outputs/.
        to: the file; null: RUN/explore.html.
        engine: what runs the networks in the page.  plain: loops in JavaScript, for small networks;
            onnxruntime: ONNX Runtime Web, which is downloaded once (33 MB) and adds 5 MB to the
            file; auto: plain if it can, up to 100 million multiplications an image.
        weights: float16 halves the file, and changes images a little.
        directions: sliders along so many principal directions, at least 2; null: 8.
        truncation: of what seeds give, for a generator with BatchNorm, whose statistics are then
            those of truncated noise; others have a slider in the page.
        checkpoint: last: the newest; best: the one with the best score in training; or the number
            of its iteration.
        trust: build parts that are not ganlab's own, if the run's config names any.
    """
    at_least(2, directions=directions)
    from ganlab.commands import exploration

    folder, which = pointed_at(run, str(checkpoint))
    file = exploration.target(to, folder)
    gan = load(folder, which, trust=trust)
    asked = exploration.Asked(engine, directions, truncation, half=weights == "float16")
    return exploration.write(gan, folder, file, asked)


def report(file: Path) -> None:
    """Prints the path of the page, and its size."""
    print(f"{file} ({file.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    command_line.call(explore, show=report)
