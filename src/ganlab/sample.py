"""Images from a trained run: `python -m ganlab.sample run=DIR n=64`."""

from pathlib import Path

from ganlab import load
from ganlab.commands import command_line
from ganlab.runs.folder import Which, folder_named
from ganlab.spec import at_least, seed_range


def sample(
    run: str,
    n: int | None = None,
    seed: int = 0,
    columns: int | None = None,
    singles: bool = False,
    interpolate: int = 0,
    steps: int = 8,
    labels: list[int] | None = None,
    sheets: bool = False,
    checkpoint: Which = "last",
    output: str | None = None,
    trust: bool = False,
) -> list[Path]:
    """Generates images from a checkpoint of a run; returns the files and folders written.

    Args:
        run: the run's folder; last: the newest below outputs/.
        n: images in the grid; null: 64, or 2,500 points.
        seed: of the noise; the same seed and run give the same images.
        columns: images per row of the grid; null: a square.
        singles: also save each image as a separate PNG.
        interpolate: rows of a second grid, each interpolating between two latent points.
        steps: images in such a row.
        labels: classes to draw in turn, if G is conditioned on the class; null: all.
        sheets: also save pictures that show the effect of each code: classes, InfoGAN's codes.
        checkpoint: last: the newest; best: the one with the best score in training.
        output: folder for the files; null: RUN/sampled.
        trust: build parts that are not ganlab's own, if the run's config names any.
    """
    at_least(1, n=n, columns=columns)
    at_least(0, interpolate=interpolate)
    at_least(2, steps=steps)
    seed_range(seed)
    from ganlab.commands import sampling

    folder = folder_named(run)
    gan = load(folder, checkpoint, trust=trust)
    sampling.check_labels(labels, gan)
    asked = {"columns": columns, "singles": singles, "interpolate": interpolate, "sheets": sheets}
    sampling.refuse_for_points(gan, asked)
    n = n or sampling.usual_number(gan)
    stem = sampling.stem_of(gan, Path(output or folder / "sampled"), seed, labels)
    paint = sampling.painter(gan, folder, columns, trust=trust)
    images = gan.sample(n, seed, sampling.cycled(labels, n))
    written = [sampling.save_picture(paint(images), f"{stem}-n-{n}.png")]
    if singles:
        written.append(sampling.save_singles(images, Path(f"{stem}-n-{n}")))
    if interpolate:
        written.append(sampling.save_walks(gan, str(stem), interpolate, steps, seed, labels))
    return written + (sampling.save_sheets(gan, str(stem), seed) if sheets else [])


if __name__ == "__main__":
    command_line.call(sample, show=lambda written: print(*written, sep="\n"))
