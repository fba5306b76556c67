"""Scores of trained runs: `python -m ganlab.evaluate run=DIR [protocol=...] [n=...]`."""

import functools
import glob
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ganlab import cli, pictures
from ganlab.data import DataError, ImageData
from ganlab.experiment import BUILT, Experiment, Which, require_known, restore
from ganlab.gan import GAN
from ganlab.runs import Run
from ganlab.scoring import ByClassifier, ByInception, Plan, Scorecard, UnlikeProtocols, tables
from ganlab.scoring.evaluation import NEAREST, Evaluation
from ganlab.scoring.plans import data_name
from ganlab.scoring.protocol import PROTOCOLS, Named, Split
from ganlab.spec import at_least

COLUMNS = ("frechet", "is", "kernel", "precision", "recall")  # of a table of several runs


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
) -> list[list[Scorecard]]:
    """Scores runs and notes it in their summary.json; returns each one's scores, then its classes'.

    Args:
        run: its folder; several, as [A,B] or 'outputs/mnist-*/*', make a table, seeds together.
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
    """
    at_least(1, repeats=repeats)
    at_least(0, neighbours=neighbours)
    asked = {"n": n, "split": split, "real": real, "seed": seed, "weights": weights}
    choice = Choice(protocol, extractor, {k: v for k, v in asked.items() if v is not None})
    runs = [Run(Path(folder)) for folder in folders(run)]
    ready = functools.partial(subject, choice=choice, checkpoint=checkpoint, root=root, trust=trust)
    require_one_ruler(runs, [ruler(*ready(one)[1:]) for one in runs])  # and kept one at a time
    cards = []
    for one in runs:
        found = Evaluation(*ready(one), extrapolate=extrapolate)
        cards.append(scored(one, found, repeats, neighbours, by_class=by_class))
    if len(runs) > 1:
        print(tables.table([(r, c[0]) for r, c in zip(runs, cards, strict=True)], COLUMNS))
    return cards


@dataclass(frozen=True)
class Choice:
    """What the command line says of how to score.

    Args:
        protocol: a published one.
        extractor: by which.
        asked: the fields of a Plan that are given.
    """

    protocol: Named | None
    extractor: Literal["classifier", "inception"] | None
    asked: dict[str, Any]

    def plan(self, own: Plan | None, classes: int) -> Plan:
        """As asked, else as the run was scored in training, else by what the data has.

        Raises:
            ValueError: what is asked for contradicts itself, or is out of range.
        """
        if self.protocol is not None:
            return self._published(asdict(PROTOCOLS[self.protocol]))
        kinds = {"classifier": ByClassifier, "inception": ByInception}
        fallback = type(own) if own else ByClassifier if classes > 1 else ByInception
        kind: type[Plan] = kinds[self.extractor] if self.extractor else fallback
        if "weights" in self.asked and kind is not ByInception:
            raise ValueError("weights: only extractor=inception takes a file of them")
        return replace(own, **self.asked) if isinstance(own, kind) else kind(**self.asked)

    def _published(self, conventions: dict[str, Any]) -> Plan:
        fixed = [name for name in self.asked if name in conventions]
        if fixed or self.extractor == "classifier":
            given = "extractor=classifier" if self.extractor == "classifier" else f"{fixed[0]}=..."
            raise ValueError(
                f"protocol={self.protocol} is by Inception and fixes n, split and "
                f"real; leave {given} out"
            )
        return ByInception(**conventions, **self.asked)


def folders(run: str | list[str]) -> list[str]:
    """The folders that are named, patterns replaced by the runs that match."""
    found = []
    for name in [run] if isinstance(run, str) else run:
        configs = sorted(glob.glob(f"{name}/config.yaml"))  # noqa: PTH207 - or of absolute paths
        found += [str(Path(config).parent) for config in configs] if "*" in name else [name]
    if not found:
        raise ValueError(f"run: no run matches '{run}'")
    return found


def scored(
    run: Run, found: Evaluation, repeats: int, neighbours: int, *, by_class: bool
) -> list[Scorecard]:
    """The scores of one run, printed and noted in its folder."""
    card = found.score(repeats)
    print(f"{run.path}, iteration {card.iterations}\n{report(card)}")
    if neighbours:
        card = look_up(run, found, card, neighbours)
    run.note_scores([card.as_dict()])
    if not by_class:
        return [card]
    classes = found.classes()
    print(tables.by_class(classes))
    run.note_scores([one.as_dict() for one in classes])
    return [card, *classes]


def subject(
    run: Run, choice: Choice, checkpoint: Which, root: str | None, *, trust: bool
) -> tuple[GAN, ImageData, Plan]:
    """A run's GAN and data, and how to score them; reads no images.

    Raises:
        ConfigError: the folder is no run, names what is not trusted, or cannot be scored so.
    """
    config = run.config()
    if not trust:
        require_known(config, (*BUILT, "data", "metrics"))
    gan = restore(run, checkpoint, trust=trust)
    if root is not None:
        config["data"]["root"] = root
    experiment = Experiment(**config)
    plan = choice.plan(experiment.plan(), gan.spec.classes)
    experiment.source.check()
    plan.check(experiment.source)
    return gan, experiment.image_data(gan), plan


def require_one_ruler(runs: list[Run], rulers: list[dict[str, Any]]) -> None:
    """Raises UnlikeProtocols before runs are scored whose scores could not be compared."""
    for run, other in zip(runs, rulers, strict=True):
        if unlike := [n for n in rulers[0] | other if rulers[0].get(n) != other.get(n)]:
            found = "; ".join(f"{n}: {rulers[0].get(n)} and {other.get(n)}" for n in unlike)
            raise UnlikeProtocols(
                f"'{runs[0].path}' and '{run.path}' would be scored by unlike protocols: {found}"
            )


def ruler(data: ImageData, plan: Plan) -> dict[str, Any]:
    """What can be said of a protocol before any image is read."""
    chosen = asdict(plan).items()
    kept = {key: value for key, value in chosen if key not in ("every", "best", "patience", "seed")}
    images = f"{data_name(data.source)} ({data.spec})"
    return {"extractor": type(plan).__name__, "data": images, **kept}


def look_up(run: Run, found: Evaluation, card: Scorecard, rows: int) -> Scorecard:
    """Draws what lies nearest in the training set, and adds how much is memorised if that shows."""
    grid = pictures.grid(found.neighbours(rows), columns=1 + NEAREST)
    path = run.path / f"neighbours-{card.iterations:07d}.png"
    pictures.save(path, grid)
    print(f"generated images, and what is nearest to each in the training set: {path}")
    try:
        memorised = found.memorised()
    except DataError as error:
        print(error)
        return card
    name = card.protocol.name("memorisation")
    print(f"  {name}  {tables.spelled(memorised)}  (0.5: as new as unseen images)")
    return replace(card, scores=card.scores | {"memorisation": memorised})


def report(card: Scorecard) -> str:
    """Every score by its full name, and the protocol in words."""
    width = max(len(card.protocol.name(name)) for name in card.scores)
    lines = [
        f"  {card.protocol.name(n):{width}}  {tables.spelled(s)}" for n, s in card.scores.items()
    ]
    return "\n".join([*lines, *(f"  {line}" for line in card.protocol.sentences())])


if __name__ == "__main__":
    cli.call(evaluate)
