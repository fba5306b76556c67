"""Scores of trained runs: `python -m ganlab.evaluate run=DIR [protocol=...] [n=...]`."""

import contextlib
import functools
import sys
from typing import TYPE_CHECKING, Literal

from ganlab.commands import command_line
from ganlab.runs.folder import Run
from ganlab.scoring import Scorecard
from ganlab.scoring.protocol import Named, Split
from ganlab.spec import at_least

if TYPE_CHECKING:
    from ganlab.commands import evaluation


def evaluate(
    run: str | list[str] | None = None,
    images: str | None = None,
    reference: str | None = None,
    protocol: Named | None = None,
    extractor: Literal["classifier", "inception"] | None = None,
    n: int | None = None,
    split: Split | None = None,
    real: int | None = None,
    kept: int | None = None,
    seed: int | None = None,
    truncation: float | list[float | None] | None = None,
    weights: str | None = None,
    size: int | None = None,
    checkpoint: str | int = "last",
    repeats: int = 1,
    extrapolate: bool = False,
    by_class: bool = False,
    neighbours: int = 0,
    likelihood: int | None = None,
    baselines: bool = True,
    root: str | None = None,
    trust: bool = False,
    check: Literal["torchmetrics"] | None = None,
    format: Literal["text", "json"] = "text",  # noqa: A002 - as people say it
) -> list[list[Scorecard]]:
    """Scores runs and adds the scores to their summary.json; or scores pictures from anywhere.

    Returns the scores of each run, followed by those of its classes; none with `likelihood`.

    Args:
        run: its folder, or the newest run below a folder; last: the newest below outputs/;
            several, as [A,B] or 'outputs/mnist-*/*', give a table, with seeds grouped.
        images: in place of a run, pictures in a folder, a .zip, a .tar, a .npy or .npz.
        reference: with images, the real ones: likewise, or a data set: mnist, cifar10, ...
        size: with images, pixels to which all are resized; null: as they are.
        protocol: a published one, with Inception: stylegan, mimicry, lucic, cleanfid,
            cleanfid-train.
        extractor: of features; null: as in training, or classifier if the data has classes.
        n: generated images; null: as in training, or 10000 for the classifier, 50000 for Inception.
        split: real images to compare with, train or test; null: as in training, or train.
        real: number of real images, drawn at random; null: as in training, or all.
        kept: images of each kind that kernel distance, precision, recall, density and coverage look
            at; null: as in training, or 10000.
        seed: of the noise; null: as in training, or 0.
        truncation: of the noise, as in `ganlab sample`; the names of the scores say so.  Several,
            as [0.5,0.7,1,null], give a table and RUN/truncation-ITERATION.png, the curve of
            precision against recall.
        weights: file of Inception's weights; null: where `ganlab fetch-weights` puts them.
        checkpoint: last: the newest; best: the one with the best score in training; or the
            number of its iteration.
        repeats: number of scorings with different noise, for means with 95% intervals.
        extrapolate: also estimate the distance for infinitely many images.
        by_class: also score each class separately.
        neighbours: rows of a picture of generated images and their nearest training images.
        likelihood: in place of scores of samples, the likelihood of held-out images, of a model
            that has one, or a bound of it with so many samples: k of the importance-weighted bound
            of a VAE.  n: how many images; null: all.
        baselines: also score held-out and training images by the same protocol; the results are
            kept for all runs on this data.
        root: location of the data, if it has moved since training.
        trust: build parts that are not ganlab's own, if the run's config names any.
        check: torchmetrics: also compute FID, IS and KID of the same images with torchmetrics, for
            comparison; needs Inception as the extractor.
        format: json: one document on stdout, and all other output on stderr.
    """
    at_least(1, repeats=repeats)
    at_least(0, neighbours=neighbours)
    at_least(1, likelihood=likelihood)
    at_least(4, size=size)
    if check is not None and repeats > 1:
        raise ValueError(f"check: needs repeats=1, got repeats={repeats}; leave repeats out")
    pictures = {"images": images, "reference": reference, "size": size}
    own = {"check": check, "neighbours": neighbours, "by_class": by_class}
    own |= {"extrapolate": extrapolate, "repeats": repeats > 1}
    own |= {"truncation": truncation is not None, "likelihood": likelihood}
    if odd := [name for name, value in (own if run is None else pictures).items() if value]:
        other = "run=..., not with images=..." if run is None else "images=..., not with run=..."
        raise ValueError(f"{odd[0]}: goes with {other}")
    if run is None and (images is None or reference is None):
        raise ValueError("set run=..., or both images=... and reference=...")
    asked = {"n": n, "split": split, "real": real, "kept": kept, "seed": seed, "weights": weights}
    given = {name: value for name, value in asked.items() if value is not None}
    from ganlab.commands import evaluation

    choice = evaluation.Choice(protocol, extractor, given)
    if run is None:
        return [
            [
                compare(
                    *(str(images), str(reference), choice, size, root),
                    baselines=baselines,
                    as_json=format == "json",
                )
            ]
        ]
    ready = functools.partial(
        evaluation.subject, choice=choice, checkpoint=str(checkpoint), root=root, trust=trust
    )
    runs = [Run(folder) for folder in evaluation.folders(run)]
    quiet = contextlib.redirect_stdout(sys.stderr) if format == "json" else contextlib.nullcontext()
    if likelihood is not None:
        from ganlab.commands import likelihoods

        by = {"protocol": protocol, "extractor": extractor}
        likelihoods.refuse({**own, **asked, **by, "likelihood": None, "n": None, "seed": None})
        with quiet:
            wanted = likelihoods.Wanted(likelihood, n, seed or 0, str(checkpoint), root, trust)
            measured = likelihoods.measured(runs, wanted)
        if format == "json":
            print(likelihoods.as_json(measured))
        return []
    if isinstance(truncation, list):
        from ganlab.commands import truncations

        own |= {"truncation": False, "repeats": False, "several runs": len(runs) > 1}
        truncations.refuse(own)
        with quiet:
            cards = truncations.curve(runs[0], ready, truncation, repeats)
        if format == "json":
            print(truncations.as_json(runs[0], cards))
        return [cards]
    how = evaluation.How(repeats, extrapolate, by_class, neighbours, baselines, check, truncation)
    with quiet:
        found = evaluation.scores(runs, ready, how)
    if format == "json":
        print(evaluation.as_json(found))
    return [[one.card, *one.classes] for one in found]


def compare(
    images: str,
    reference: str,
    choice: "evaluation.Choice",
    size: int | None,
    root: str | None,
    *,
    baselines: bool,
    as_json: bool,
) -> Scorecard:
    """Scores pictures, printed as text or as one document."""
    from ganlab.commands import comparison

    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        found = comparison.compared(images, reference, choice, size, root, baselines=baselines)
    if as_json:
        print(comparison.as_json(found))
    return found.card


if __name__ == "__main__":
    command_line.call(evaluate)
