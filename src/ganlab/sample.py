"""Images from a trained run: `python -m ganlab.sample run=DIR n=64`."""

from pathlib import Path

from ganlab import cli, load
from ganlab.runs import Which
from ganlab.spec import at_least, seed_range


def sample(
    run: str,
    n: int = 64,
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
    """Draws from a checkpoint of a run; returns the files and folders written.

    Args:
        run: the run's folder.
        n: images in the grid.
        seed: of the noise; the same seed and run give the same images.
        columns: images per row of the grid; null: a square.
        singles: save each image as a PNG of its own, too.
        interpolate: rows of a second grid that walk from one latent point to another.
        steps: images in such a row.
        labels: classes to draw, one after the other, where G is told one; null: all.
        sheets: save the pictures that show what each code does: classes, infoGAN's codes.
        checkpoint: last: the newest; best: the one with the best score in training.
        output: folder for the files; null: RUN/sampled.
        trust: build parts that are not ganlab's own, if the run's config names any.
    """
    at_least(1, n=n, columns=columns)
    at_least(0, interpolate=interpolate)
    seed_range(seed)
    at_least(2, steps=steps)
    from ganlab.sampling import check_labels, cycled, save_grid, save_sheets, save_singles, walks

    gan = load(run, checkpoint, trust=trust)
    check_labels(labels, gan)
    folder = Path(output or Path(run) / "sampled")
    folder.mkdir(parents=True, exist_ok=True)
    named = f"-labels-{'-'.join(map(str, labels))}" if labels else ""
    stem = folder / f"iteration-{gan.iterations:07d}-seed-{seed}{named}"
    images = gan.sample(n, seed, cycled(labels, n))
    written = [save_grid(images, f"{stem}-n-{n}.png", columns)]
    if singles:
        written.append(save_singles(images, Path(f"{stem}-n-{n}")))
    if interpolate:
        along = gan.generate(walks(gan, interpolate, steps, seed, cycled(labels, interpolate)))
        written.append(save_grid(along, f"{stem}-interpolate-{interpolate}x{steps}.png", steps))
    return written + (save_sheets(gan, str(stem), seed) if sheets else [])


if __name__ == "__main__":
    for path in cli.call(sample):
        print(path)
