"""Scores of trained runs: `python -m ganlab.evaluate run=DIR [protocol=...] [n=...]`."""

import contextlib
import functools
import sys
from typing import Literal

from ganlab.commands import command_line
from ganlab.runs.folder import Run, Which
from ganlab.scoring import Scorecard
from ganlab.scoring.protocol import Named, Split
from ganlab.spec import at_least


def evaluate(
    run: str | list[str],
    protocol: Named | None = None,
    extractor: Literal["classifier", "inception"] | None = None,
    n: int | None = None,
    split: Split | None = None,
    real: int | None = None,
    seed: int | None = None,
    weights: str | None = None,
    checkpoint: Which = "last",
    repeats: int = 1,
    extrapolate: bool = False,
    by_class: bool = False,
    neighbours: int = 0,
    root: str | None = None,
    trust: bool = False,
    check: Literal["torchmetrics"] | None = None,
    format: Literal["text", "json"] = "text",  # noqa: A002 - as people say it
) -> list[list[Scorecard]]:
    """Scores runs and notes it in their summary.json; returns each one's scores, then its classes'.

    Args:
        run: its folder; last: the newest below outputs/; several, as [A,B] or 'outputs/mnist-*/*',
            make a table, seeds together.
        protocol: a published one, by Inception: stylegan, mimicry, lucic, cleanfid.
        extractor: of features; null: the run's own, or classifier where the data has classes.
        n: generated images; null: as in training, or 10000 for the classifier, 50000 for Inception.
        split: real images to compare with, train or test; null: as in training, or train.
        real: how many of them, drawn at random; null: as in training, or all.
        seed: of the noise; null: as in training, or 0.
        weights: file of Inception's weights; null: where `ganlab fetch-weights` puts them.
        checkpoint: last: the newest; best: the one with the best score in training.
        repeats: how often to score, each time with other noise: mean and standard deviation.
        extrapolate: also the distance that infinitely many images would have.
        by_class: also each class by itself.
        neighbours: rows of a picture of generated images beside the nearest training images.
        root: where the data lies, if not where the run found it.
        trust: build parts that are not ganlab's own, if the run's config names any.
        check: torchmetrics: also its own FID, IS and KID of the same images, beside ganlab's; where
            the extractor is Inception.
        format: json: one document on stdout, and all else that is said on stderr.
    """
    at_least(1, repeats=repeats)
    at_least(0, neighbours=neighbours)
    if check is not None and repeats > 1:
        raise ValueError(f"check: of one scoring, got repeats={repeats}; leave repeats out")
    from ganlab.commands import evaluation

    asked = {"n": n, "split": split, "real": real, "seed": seed, "weights": weights}
    given = {name: value for name, value in asked.items() if value is not None}
    choice = evaluation.Choice(protocol, extractor, given)
    ready = functools.partial(
        evaluation.subject, choice=choice, checkpoint=checkpoint, root=root, trust=trust
    )
    how = evaluation.How(repeats, extrapolate, by_class, neighbours, check)
    runs = [Run(folder) for folder in evaluation.folders(run)]
    with contextlib.redirect_stdout(sys.stderr) if format == "json" else contextlib.nullcontext():
        found = evaluation.scores(runs, ready, how)
    if format == "json":
        print(evaluation.as_json(found))
    return [[one.card, *one.classes] for one in found]


if __name__ == "__main__":
    command_line.call(evaluate)
