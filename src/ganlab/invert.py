"""Real images in the latent space of a run: `python -m ganlab.invert run=DIR image=FILE`."""

from pathlib import Path
from typing import Literal

from ganlab import load
from ganlab.commands import command_line
from ganlab.runs.folder import Run, pointed_at
from ganlab.spec import at_least, positive, seed_range


def invert(
    run: str,
    image: str | list[str],
    space: Literal["z", "w", "w+"] | None = None,
    label: int | str | None = None,
    starts: int = 8,
    steps: int = 300,
    rate: float = 0.3,
    features: float = 0.1,
    prior: float = 0.01,
    seed: int = 0,
    fit: Literal["crop", "pad", "squeeze"] = "crop",
    checkpoint: str | int = "last",
    output: str | None = None,
    root: str | None = None,
    trust: bool = False,
) -> list[Path]:
    """Searches the latent points whose images are most like given ones; returns the files written.

    They are a picture (target, images on the way, result), numbers in .json, points in .npz.

    Args:
        run: the run's folder, or the newest run below a folder, or a checkpoint file; last: the
            newest run below outputs/.
        image: a file of any size and colour, or images of the run's data such as test:12,
            test:0-15, train:7; several as [A,B].
        space: z, the noise; or of StyleGAN w, or w+, one w for each layer; null: w, else z.
        label: class, by number or name, if G is conditioned on the class; null: all are tried.
        starts: random points that the search starts from, of which the best in the end is taken.
        steps: of Adam; 0: takes the best start as it is.
        rate: of Adam, at its highest, in standard deviations of random points.
        features: weight of the distance in D's features beside that in pixels.
        prior: weight of the term that keeps points where G has been trained.
        seed: of the starts.
        fit: how a file becomes square: crop, pad or squeeze.
        checkpoint: last: the newest; best: the one with the best score in training; or the number
            of its iteration.
        output: folder for the files; null: RUN/inverted.
        root: location of the data, if it has moved since training.
        trust: build parts that are not ganlab's own, if the run's config names any.
    """
    at_least(1, starts=starts)
    at_least(0, steps=steps, features=features, prior=prior)
    positive(rate=rate)
    seed_range(seed)
    from ganlab.commands import inversion, sampling
    from ganlab.sampling.inversion import Inversion
    from ganlab.storage import files

    folder, which = pointed_at(run, str(checkpoint))
    gan = sampling.on_device(load(folder, which, trust=trust))
    search = Inversion(gan, space, starts, steps, rate, features, prior, seed)
    classes = sampling.classes_in(label, gan, "label")
    wanted = inversion.targets(image, gan, Run(folder), fit, root, trust=trust)
    place = files.own_folder(Path(output or folder / "inverted"))
    found = inversion.search(search, wanted, classes[0] if classes else None)
    print(inversion.report(wanted, found))
    more = f"-to-{wanted[-1].name}-n-{len(wanted)}" if len(wanted) > 1 else ""
    stem = f"iteration-{gan.iterations:07d}-{wanted[0].name}{more}-{found[0].space}-seed-{seed}"
    return inversion.save(str(place / stem), search, wanted, found)


if __name__ == "__main__":
    command_line.call(invert, show=lambda written: print(*written, sep="\n"))
