"""What `ganlab evaluate` does: which runs, by which protocol, and what is said of them."""

import glob
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ganlab.data import ImageData
from ganlab.errors import DataError, ProtocolMismatchError
from ganlab.experiments.experiment import BUILT, Experiment, require_known, restore
from ganlab.gan import GAN
from ganlab.plots import pictures
from ganlab.runs.folder import Run, Which
from ganlab.scoring import ByClassifier, ByInception, Plan, Scorecard, tables
from ganlab.scoring.evaluation import NEAREST, Evaluation
from ganlab.scoring.plans import data_name
from ganlab.scoring.protocol import PROTOCOLS, Named

COLUMNS = ("frechet", "is", "kernel", "precision", "recall")  # of a table of several runs


class How(NamedTuple):
    """What is found out of each run, as `ganlab evaluate` is told it."""

    repeats: int
    extrapolate: bool
    by_class: bool
    neighbours: int


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


def scores(
    runs: list[Run], ready: Callable[[Run], tuple[GAN, ImageData, Plan]], how: How
) -> list[list[Scorecard]]:
    """The scores of all runs, and a table of several.

    Args:
        runs: one or more.
        ready: `subject`, as the command line has it.
        how: what is found out of each.
    """
    require_one_ruler(runs, [ruler(*ready(run)[1:]) for run in runs])  # and kept one at a time
    cards = [scored(run, Evaluation(*ready(run), extrapolate=how.extrapolate), how) for run in runs]
    if len(runs) > 1:
        print(tables.table([(r, c[0]) for r, c in zip(runs, cards, strict=True)], COLUMNS))
    return cards


def scored(run: Run, found: Evaluation, how: How) -> list[Scorecard]:
    """The scores of one run, printed and noted in its folder."""
    card = found.score(how.repeats)
    print(f"{run.path}, iteration {card.iterations}\n{report(card)}")
    if how.neighbours:
        card = look_up(run, found, card, how.neighbours)
    run.note_scores([card.as_dict()])
    if not how.by_class:
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
    """Raises ProtocolMismatchError before runs are scored whose scores could not be compared."""
    for run, other in zip(runs, rulers, strict=True):
        if unlike := [n for n in rulers[0] | other if rulers[0].get(n) != other.get(n)]:
            found = "; ".join(f"{n}: {rulers[0].get(n)} and {other.get(n)}" for n in unlike)
            raise ProtocolMismatchError(
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
