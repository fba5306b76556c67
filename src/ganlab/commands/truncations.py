"""What `ganlab evaluate truncation=[0.5,0.7,1]` does: precision against recall, by truncation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ganlab.commands.evaluation import note
from ganlab.data import ImageData
from ganlab.plots import figures, pictures, tradeoff
from ganlab.runs.folder import Run
from ganlab.sampler import Sampler
from ganlab.scoring import Plan, Scorecard, tables
from ganlab.scoring.evaluation import Evaluation
from ganlab.spec import at_least


def refuse(asked: Mapping[str, object]) -> None:
    """Raises ValueError for each given option that has no meaning for a curve."""
    if given := [name for name, value in asked.items() if value]:
        raise ValueError(f"truncation: several values do not go with {', '.join(given)}")


def curve(
    run: Run,
    ready: Callable[[Run], tuple[Sampler, ImageData, Plan]],
    truncations: Sequence[float | None],
    repeats: int = 1,
) -> list[Scorecard]:
    """The scores of a run by truncation, printed as a table, drawn, and noted in its summary.json.

    Args:
        run: whose images are truncated.
        ready: `evaluation.subject`, as the command line has it.
        truncations: as in `Generative.sample`; None: not truncated.
        repeats: scorings with different noise, for means with their intervals.

    Raises:
        ValueError: there is no truncation, or the GAN cannot be truncated so.
    """
    at_least(1, **{"number of truncations": len(truncations)})
    gan, data, plan = ready(run)
    for truncation in truncations:
        gan.check_truncation(truncation)
    whole, cards = Evaluation(gan, data, plan), list[Scorecard]()
    for truncation in truncations:
        cards.append(whole.truncated(truncation).score(repeats))
        note(run, cards[-1:])
    print(f"{run.path}, iteration {cards[0].iterations}")
    print(tables.captioned(tables.by_label({label(card): card for card in cards})))
    path = run.path / f"truncation-{cards[0].iterations:07d}.png"
    points = [
        (short(card), card.scores["recall"].value, card.scores["precision"].value) for card in cards
    ]
    plain = replace(cards[0].protocol, truncation=None)
    names = [plain.name(score) for score in ("recall", "precision")]
    pictures.save(path, figures.to_pixels(tradeoff.curve(points, *names)))
    print(f"precision against recall: {path}")
    return cards


def label(card: Scorecard) -> str:
    """The truncation of a scorecard in words."""
    truncation = card.protocol.truncation
    return "not truncated" if truncation is None else f"truncation {truncation:g}"


def short(card: Scorecard) -> str:
    """The truncation of a scorecard as a number, or nothing."""
    truncation = card.protocol.truncation
    return "none" if truncation is None else f"{truncation:g}"


def as_json(run: Run, cards: Sequence[Scorecard]) -> str:
    """One document: the run, and its scores with their protocol, by truncation."""
    rows: list[dict[str, Any]] = [
        {"truncation": card.protocol.truncation} | card.as_dict() for card in cards
    ]
    return tables.as_json({"run": str(run.path), "truncations": rows})
