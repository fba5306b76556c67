"""Images from a trained run: `python -m ganlab.sample run=DIR n=64`."""

from pathlib import Path

from ganlab import load
from ganlab.commands import command_line
from ganlab.runs.folder import pointed_at
from ganlab.spec import at_least, seed_range


def sample(
    run: str,
    n: int | None = None,
    seed: int = 0,
    seeds: str | list[int] | None = None,
    columns: int | None = None,
    singles: bool = False,
    array: bool = False,
    interpolate: int = 0,
    steps: int = 8,
    labels: int | str | list[int | str] | None = None,
    sheets: bool = False,
    checkpoint: str | int = "last",
    output: str | None = None,
    trust: bool = False,
) -> list[Path]:
    """Generates images from a checkpoint of a run; returns the files and folders written.

    Image i of a seed is the same for every n.  More than 400 images make no grid: they are saved as
    single files, or as an array, and are never all in memory.

    Args:
        run: the run's folder, or the newest run below a folder, or a checkpoint file; last: the
            newest run below outputs/.
        n: number of images; null: 64, or 2,500 points.
        seed: of the noise; the same seed and run give the same images.
        seeds: in place of n and seed, the first image of each of these seeds, such as 0-99,200 or
            [3,17].
        columns: images per row of the grid; null: a square.
        singles: also save each image as a separate PNG, named by its number or its seed.
        array: save one file of the images as numbers instead, as NumPy's load reads it: uint8
            (n, H, W, C), or float32 (n, dim) of points.
        interpolate: rows of a second grid, each interpolating between two latent points.
        steps: images in such a row.
        labels: classes to draw in turn, by number or name, if G is conditioned on the class; null:
            all, one after the other; with seeds, the seed modulo the number of classes.
        sheets: also save pictures that show the effect of each code: classes, InfoGAN's codes.
        checkpoint: last: the newest; best: the one with the best score in training; or the number
            of its iteration.
        output: folder for the files; null: RUN/sampled.
        trust: build parts that are not ganlab's own, if the run's config names any.
    """
    at_least(1, n=n, columns=columns)
    at_least(0, interpolate=interpolate)
    at_least(2, steps=steps)
    seed_range(seed)
    from ganlab.commands import sampling

    chosen = sampling.seeds_in(seeds) if seeds is not None else None
    if chosen is not None and n is not None:
        raise ValueError(f"n: seeds names {len(chosen)} images; leave n out")
    folder, which = pointed_at(run, str(checkpoint))
    gan = load(folder, which, trust=trust)
    asked = {"columns": columns, "singles": singles, "interpolate": interpolate, "sheets": sheets}
    sampling.refuse_for_points(gan, {**asked, "seeds": seeds})
    classes = sampling.classes_in(labels, gan)
    draw = sampling.Drawn(gan, n or sampling.usual_number(gan), seed, chosen, classes)
    stem = sampling.stem_of(gan, Path(output or folder / "sampled"), draw)
    drawn, written = f"{stem}-n-{draw.n}", list[Path]()
    if array:
        written.append(sampling.save_array(draw, Path(f"{drawn}.npy")))
    elif draw.n <= sampling.MOST or not sampling.makes_images(gan):
        paint = sampling.painter(gan, folder, columns, trust=trust)
        written.append(sampling.save_picture(paint(draw.all()), f"{drawn}.png"))
    if singles or (draw.n > sampling.MOST and not written):
        written.append(sampling.save_singles(draw, Path(drawn)))
    if interpolate:
        written.append(sampling.save_walks(gan, str(stem), interpolate, steps, seed, classes))
    return written + (sampling.save_sheets(gan, str(stem), seed) if sheets else [])


if __name__ == "__main__":
    command_line.call(sample, show=lambda written: print(*written, sep="\n"))
