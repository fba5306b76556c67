"""Images from a trained run: `python -m ganlab.sample run=DIR n=64`."""

from pathlib import Path

from ganlab import load
from ganlab.commands import command_line
from ganlab.plots.films import Format, check
from ganlab.runs.folder import pointed_at
from ganlab.spec import at_least, seed_range


def sample(
    run: str,
    n: int | None = None,
    seed: int = 0,
    seeds: int | str | list[int] | None = None,
    labels: int | str | list[int | str] | None = None,
    truncation: float | None = None,
    columns: int | None = None,
    singles: bool = False,
    array: bool = False,
    npz: bool = False,
    batch_size: int = 256,
    sheets: bool = False,
    interpolate: int = 0,
    directions: int = 0,
    steps: int | None = None,
    film: int = 0,
    frames: int = 30,
    fps: int = 30,
    format: Format = "gif",  # noqa: A002 - as people say it
    checkpoint: str | int = "last",
    output: str | None = None,
    trust: bool = False,
) -> list[Path]:
    """Generates images from a checkpoint of a run; returns the files and folders written.

    Without further options that is a grid of 64 images.  Image i of a seed is the same for every n.
    More than 400 images make no grid: they are saved as single files, or as an array, and are never
    all in memory.

    Args:
        run: the run's folder, or the newest run below a folder, or a checkpoint file; last: the
            newest run below outputs/.

        n: number of images; null: 64, 16 in a film, 3 with directions, or 2,500 points.
        seed: of the noise; the same seed and run give the same images.
        seeds: in place of n and seed, the first image of each of these seeds, such as 0-99,200 or
            [3,17].
        labels: classes to draw in turn, by number or name, if G is conditioned on the class; null:
            all, one after the other; with seeds, the seed modulo the number of classes.
        truncation: fewer unusual images, at the price of variety, such as 0.7: StyleGAN's w is
            moved towards its mean, elsewhere Gaussian noise that is larger is drawn again.

        columns: images per row of the grid; null: a square.
        singles: also save each image as a separate PNG, named by its number or its seed.
        array: save one file of the images as numbers instead, as NumPy's load reads it: uint8
            (n, H, W, C), or float32 (n, dim) of points.
        npz: save one .npz instead, as the evaluator of guided-diffusion reads it: arr_0, uint8
            (n, H, W, 3), and of classes arr_1.
        batch_size: images generated at once.

        sheets: also save pictures that show the effect of each code: classes, InfoGAN's codes.
        interpolate: rows of a second grid, each interpolating between two latent points.
        directions: in place of the grid, a sheet of the n images along so many principal
            components of w, or of G's first features, and an .npz with these directions.
        steps: images in a row; null: 8 to interpolate, 7 from -3 to 3 standard deviations along a
            direction.

        film: in place of the grid, a looping film of n walks, each through so many keyframes.
        frames: of a film, from one keyframe to the next.
        fps: of a film, frames a second.
        format: of a film: gif, webp, mp4, webm; the last two need pip install 'ganlab[video]'.

        checkpoint: last: the newest; best: the one with the best score in training; or the number
            of its iteration.
        output: folder for the files; null: RUN/sampled.
        trust: build parts that are not ganlab's own, if the run's config names any.
    """
    at_least(1, n=n, columns=columns, batch_size=batch_size, frames=frames, fps=fps)
    at_least(0, interpolate=interpolate, directions=directions, film=film)
    at_least(2, steps=steps, film=film or None)
    seed_range(seed)
    alone = {"array": array, "npz": npz, "film": film, "directions": directions}
    if len(given := [name for name, value in alone.items() if value]) > 1:
        raise ValueError(f"{' and '.join(given)}: each is in place of the grid; set one of them")
    if film and seeds is not None:
        raise ValueError("seeds: a film has one seed; set seed, and n walks")
    if film:
        check(format)
    from ganlab.commands import sampling
    from ganlab.sampling import streams
    from ganlab.sampling.drawn import Drawn
    from ganlab.sampling.films import Film

    chosen = sampling.seeds_in(seeds) if seeds is not None else None
    if chosen is not None and n is not None:
        raise ValueError(f"n: seeds names {len(chosen)} images; leave n out")
    folder, which = pointed_at(run, str(checkpoint))
    gan = sampling.on_device(load(folder, which, trust=trust))
    asked = {"columns": columns, "singles": singles, "interpolate": interpolate, "sheets": sheets}
    asked |= {"npz": npz, "film": film, "directions": directions, "seeds": seeds is not None}
    sampling.refuse_for_points(gan, asked)
    walking = {"interpolate": interpolate, "film": film, "directions": directions}
    sampling.refuse_for_seeds(gan, walking)
    classes = sampling.classes_in(labels, gan)
    n = n or sampling.usual_number(gan, film=film > 0, directions=directions > 0)
    draw = Drawn(gan, n, seed, chosen, classes, truncation, batch_size)
    stem = sampling.stem_of(gan, Path(output or folder / "sampled"), draw)
    drawn, written = f"{stem}-n-{draw.n}", list[Path]()
    if film:
        shown = Film(gan, film, frames, n, columns, seed, classes, truncation, batch_size)
        written.append(sampling.save_film(shown, str(stem), format, fps))
    elif directions:
        written += sampling.save_directions(draw, drawn, directions, steps or 7)
    elif array:
        written.append(streams.save_array(draw, Path(f"{drawn}.npy")))
    elif npz:
        written.append(streams.save_npz(draw, Path(f"{drawn}.npz")))
    elif draw.n <= sampling.MOST or not sampling.makes_images(gan):
        paint = sampling.painter(gan, folder, columns, trust=trust)
        written.append(sampling.save_picture(paint(draw.all()), f"{drawn}.png"))
    if singles or (draw.n > sampling.MOST and not written):
        written.append(streams.save_singles(draw, Path(drawn)))
    if interpolate:
        written.append(
            sampling.save_walks(gan, str(stem), interpolate, steps or 8, seed, classes, truncation)
        )
    return written + (sampling.save_sheets(gan, str(stem), seed, truncation) if sheets else [])


if __name__ == "__main__":
    command_line.call(sample, show=lambda written: print(*written, sep="\n"))
