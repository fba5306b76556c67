"""What `ganlab evaluate` does: it finds the runs, scores them by a protocol, prints the results."""

import glob
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ganlab.data import ImageData
from ganlab.errors import DataError, ProtocolMismatchError
from ganlab.experiments.experiment import Experiment
from ganlab.experiments.restore import BUILT, move_data, require_known, require_sound
from ganlab.exporting.exported import loaded
from ganlab.plots import pictures
from ganlab.runs.folder import Run, pointed_at
from ganlab.sampler import Sampler
from ganlab.scoring import ByClassifier, ByInception, Plan, Scorecard, tables
from ganlab.scoring.baselines import HELD_OUT, LACKING, Baseline, labelled
from ganlab.scoring.crosscheck import NOTE, Comparison, by_torchmetrics, require_comparable
from ganlab.scoring.evaluation import NEAREST, Evaluation
from ganlab.scoring.plans import data_name
from ganlab.scoring.protocol import PROTOCOLS, Named

COLUMNS = ("frechet", "is", "kernel", "precision", "recall")  # of a table of several runs


class How(NamedTuple):
    """What to compute for each run, from the options of `ganlab evaluate`."""

    repeats: int
    extrapolate: bool
    by_class: bool
    neighbours: int
    baselines: bool = True
    check: Literal["torchmetrics"] | None = None
    truncation: float | None = None

    def evaluation(self, gan: Sampler, data: ImageData, plan: Plan) -> Evaluation:
        """What scores a run so."""
        return Evaluation(gan, data, plan, extrapolate=self.extrapolate, truncation=self.truncation)


class Found(NamedTuple):
    """The results of one run.

    Args:
        run: its folder.
        card: all scores.
        classes: the same of each class by itself.
        picture: of the nearest training images.
        comparisons: with torchmetrics; None: it was not asked.
        baselines: the scores of real images by the same protocol.
    """

    run: Run
    card: Scorecard
    classes: list[Scorecard]
    picture: Path | None
    comparisons: list[Comparison] | None
    baselines: list[Baseline]


@dataclass(frozen=True)
class Choice:
    """How to score, from the command line.

    Args:
        protocol: a published one.
        extractor: by which.
        asked: the fields of a Plan that are given.
    """

    protocol: Named | None
    extractor: Literal["classifier", "inception"] | None
    asked: dict[str, Any]

    def plan(self, own: Plan | None, classes: int) -> Plan:
        """The plan of the options; else that of the run's training; else one that fits the data.

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

    def limited(self, plan: Plan, images: int) -> Plan:
        """The plan for so many images as there are, all unless `n` says fewer.

        Raises:
            ValueError: there are fewer than the protocol or `n` wants.
        """
        wanted = plan.n if self.protocol is not None else self.asked.get("n", images)
        if wanted > images:
            raise ValueError(f"n: {wanted:,} images are wanted, and there are {images:,}")
        return replace(plan, n=wanted)

    def _published(self, conventions: dict[str, Any]) -> Plan:
        fixed = [name for name in self.asked if name in conventions]
        if fixed or self.extractor == "classifier":
            given = "extractor=classifier" if self.extractor == "classifier" else f"{fixed[0]}=..."
            raise ValueError(
                f"protocol={self.protocol} is by Inception and fixes n, split, "
                f"real and kept; leave {given} out"
            )
        return ByInception(**conventions, **self.asked)


def folders(run: str | list[str]) -> list[Path]:
    """The folders that are named, patterns replaced by the runs that match, `last` by the newest.

    Raises:
        ValueError: no run matches.
        ConfigError: there is no newest run.
    """
    found: list[Path] = []
    for name in [run] if isinstance(run, str) else run:
        configs = sorted(glob.glob(f"{name}/config.yaml"))  # noqa: PTH207 - or of absolute paths
        found += (
            [Path(config).parent for config in configs] if "*" in name else [pointed_at(name)[0]]
        )
    if not found:
        raise ValueError(f"run: no run matches '{run}'")
    return found


def scores(
    runs: list[Run], ready: Callable[[Run], tuple[Sampler, ImageData, Plan]], how: How
) -> list[Found]:
    """The scores of all runs, and a table of several.

    Args:
        runs: one or more.
        ready: `subject`, as the command line has it.
        how: what is found out of each.

    Raises:
        ConfigError: the scores of a run cannot be checked as is asked.
        ProtocolMismatchError: the scores of the runs could not be compared.
    """
    rulers, doubts = [], set[str]()
    for run in runs:  # one at a time in memory
        gan, data, plan = ready(run)
        gan.check_truncation(how.truncation)
        if how.check is not None:
            require_comparable(plan)
        if how.extrapolate:
            doubts.add(plan.doubt(data.source))
        rulers.append(ruler(data, plan))
    require_one_ruler(runs, rulers)
    for doubt in filter(None, doubts):
        sys.stderr.write(f"{doubt}\n")
    found = [scored(run, how.evaluation(*ready(run)), how) for run in runs]
    first = found[0]
    if len(runs) > 1:
        rows = labelled(first.baselines, first.card.protocol.fake)
        print(tables.table([(one.run, one.card) for one in found], COLUMNS, rows))
    elif how.baselines:
        print(beside(first.baselines, first.card.protocol.fake))
    return found


def scored(run: Run, found: Evaluation, how: How) -> Found:
    """The scores of one run, printed and noted in its folder."""
    card, picture = found.score(how.repeats), None
    print(f"{run.path}, iteration {card.iterations}\n{report(card)}")
    real = found.baselines() if how.baselines else []
    comparisons = by_torchmetrics(found, card) if how.check is not None else None
    if comparisons is not None:
        print(f"{tables.as_markdown([row(one) for one in comparisons])}\n{NOTE}")
    if how.neighbours:
        card, picture = look_up(run, found, card, how.neighbours)
    note(run, [card])
    classes = found.classes() if how.by_class else []
    if classes:
        print(tables.by_class(classes))
        note(run, classes)
    return Found(run, card, classes, picture, comparisons, real)


def beside(real: list[Baseline], n: int) -> str:
    """The scores of real images as text, beside those of n generated ones."""
    lines = [tables.by_label(labelled(real, n))] if real else []
    missing = not any(one.images == HELD_OUT for one in real)
    return "\n".join([*lines, LACKING] if missing else lines)


def note(run: Run, cards: list[Scorecard]) -> None:
    """Adds scores to the run's summary.json; if the disk refuses, says that they are not kept."""
    try:
        run.note_scores([card.as_dict() for card in cards])
    except OSError as error:
        sys.stderr.write(f"the scores above are not kept in '{run.path}': {error.strerror}\n")


def row(one: Comparison) -> tables.Row:
    """A score by ganlab and by torchmetrics, as people read it."""
    values = {"ganlab": f"{one.ganlab:.8g}", "torchmetrics": f"{one.torchmetrics:.8g}"}
    return {"score": one.score, **values, "relative difference": f"{one.difference:.1e}"}


def as_json(found: list[Found]) -> str:
    """One document: each run with its scores and their protocol; each experiment's means."""
    scored = tables.grouped([(one.run, one.card) for one in found])
    experiments = [{"experiment": label} | tables.means(cards) for label, cards in scored.items()]
    return tables.as_json({"runs": [plain(one) for one in found], "experiments": experiments})


def plain(found: Found) -> dict[str, Any]:
    """The results of one run, as plain data."""
    check = found.comparisons
    compared = [{**one._asdict(), "difference": one.difference} for one in check or []]
    return {
        "run": str(found.run.path),
        **found.card.as_dict(),
        "classes": [card.as_dict() for card in found.classes],
        "neighbours": str(found.picture) if found.picture is not None else None,
        "torchmetrics": compared if check is not None else None,
        "baselines": plain_rows(found.baselines),
    }


def plain_rows(found: list[Baseline]) -> list[dict[str, Any]]:
    """The scores of real images, as plain data."""
    return [{"images": one.images} | one.card.as_dict() for one in found]


def subject(
    run: Run, choice: Choice, checkpoint: str, root: str | None, *, trust: bool
) -> tuple[Sampler, ImageData, Plan]:
    """A run's GAN and data, and how to score them; reads no images.

    Raises:
        ConfigError: the folder is no run, names what is not trusted, or cannot be scored so.
    """
    config = run.config()
    if not trust:
        require_known(config, (*BUILT, "data", "metrics"))
    gan = loaded(run, checkpoint, trust=trust)
    require_sound(run, config, ("data", "metrics"))
    move_data(config, root)
    experiment = Experiment(**config)
    plan = choice.plan(experiment.plan(), gan.spec.classes)
    experiment.source.check()
    plan.check(experiment.source)
    return gan, experiment.image_data(gan), plan


def require_one_ruler(runs: list[Run], rulers: list[dict[str, Any]]) -> None:
    """Raises ProtocolMismatchError before runs are scored whose scores could not be compared."""
    for run, other in zip(runs, rulers, strict=True):
        if unlike := [n for n in rulers[0] | other if rulers[0].get(n) != other.get(n)]:
            found = "; ".join(f"{n}: {rulers[0].get(n)} and {other.get(n)}" for n in unlike)
            raise ProtocolMismatchError(
                f"'{runs[0].path}' and '{run.path}' would be scored by unlike protocols: {found}"
            )


def ruler(data: ImageData, plan: Plan) -> dict[str, Any]:
    """The parts of a protocol that are known before any image is read."""
    chosen = asdict(plan).items()
    kept = {key: value for key, value in chosen if key not in ("every", "best", "patience", "seed")}
    images = f"{data_name(data.source)} ({data.spec})"
    return {"extractor": type(plan).__name__, "data": images, **kept}


def look_up(run: Run, found: Evaluation, card: Scorecard, rows: int) -> tuple[Scorecard, Path]:
    """Draws the nearest training images, and adds the share of memorised images if it can be told.

    Returns:
        The scores, and the file of the picture.
    """
    grid = pictures.grid(found.neighbours(rows), columns=1 + NEAREST)
    path = run.path / f"neighbours-{card.iterations:07d}.png"
    pictures.save(path, grid)
    print(f"generated images, and what is nearest to each in the training set: {path}")
    try:
        memorised = found.memorised()
    except DataError as error:
        print(error)
        return card, path
    name = card.protocol.name("memorisation")
    print(f"  {name}  {tables.spelled(memorised)}  (0.5: as new as unseen images)")
    return replace(card, scores=card.scores | {"memorisation": memorised}), path


def report(card: Scorecard) -> str:
    """Every score by its full name, and the protocol in words."""
    width = max(len(card.protocol.name(name)) for name in card.scores)
    lines = [
        f"  {card.protocol.name(n):{width}}  {tables.spelled(s)}" for n, s in card.scores.items()
    ]
    text = "\n".join(lines)
    means = [f"means of {card.repeats} scorings"] if card.repeats > 1 else []
    margins = [tables.CAPTION] if tables.PLUS_MINUS in text else []
    sentences = [*means, *margins, *card.protocol.sentences()]
    return "\n".join([text, *(f"  {sentence}" for sentence in sentences)])
