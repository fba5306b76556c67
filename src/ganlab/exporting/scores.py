"""Scores and likelihoods of an exported generator for its card, each with its protocol."""

from collections.abc import Iterator, Mapping
from typing import Any

from ganlab.errors import ConfigError
from ganlab.exporting.markup import code, table, text
from ganlab.runs.folder import Run
from ganlab.runs.records import NATS, interval_of
from ganlab.scoring.scorecard import Scorecard
from ganlab.scoring.tables import CAPTION, PLUS_MINUS, spelled

LIKELIHOOD = "Minus the mean log-likelihood of images or points, in nats for each; less is better."


def scores(run: Run, iterations: int) -> Iterator[str]:
    """Paragraphs on all that was scored with the weights of one iteration.

    Raises:
        ConfigError: summary.json is damaged.
    """
    cards, likelihoods = cards_of(run, iterations), likelihoods_of(run, iterations)
    if not cards and not likelihoods:
        yield "This generator has not been scored."
        return
    if cards:
        yield from score_table(cards)
    if likelihoods:
        yield LIKELIHOOD
        yield table(likelihood_rows(likelihoods, first=len(cards) + 1), ("likelihood", "value"))
    protocols = ["; ".join(card.protocol.sentences()) for card in cards]
    protocols += [conventions(one) for one in likelihoods]
    yield "\n".join(f"{i}. Protocol {i}: {text(p)}." for i, p in enumerate(protocols, 1))


def cards_of(run: Run, iterations: int) -> list[Scorecard]:
    """The scores of one iteration.

    Raises:
        ConfigError: summary.json is damaged.
    """
    try:
        cards = [Scorecard.from_dict(one) for one in run.summary().get("scores", [])]
    except ValueError as error:
        raise ConfigError([f"'{run.summary_file}' is damaged: {error}"]) from error
    return [one for one in cards if one.iterations == iterations]


def score_table(cards: list[Scorecard]) -> Iterator[str]:
    """A table of scores, and what stands behind their '±'."""
    rows = [
        (code(card.protocol.name(name)), f"{spelled(score)} (protocol {i})")
        for i, card in enumerate(cards, 1)
        for name, score in card.scores.items()
    ]
    yield table(rows, ("score", "value"))
    if any(PLUS_MINUS in value for _, value in rows):
        yield f"{CAPTION}."


def likelihoods_of(run: Run, iterations: int) -> list[dict[str, Any]]:
    """The likelihoods of one iteration, as in summary.json."""
    found = run.summary().get("likelihoods", [])
    return [one for one in found if one.get("protocol", {}).get("iterations") == iterations]


def likelihood_rows(likelihoods: list[dict[str, Any]], first: int) -> Iterator[tuple[str, str]]:
    """Rows of a table: the name, and the number with its kind and its error.

    Args:
        likelihoods: as in summary.json.
        first: number of the first one's protocol.
    """
    for i, one in enumerate(likelihoods, first):
        number = f"{NATS[one['kind']]} {one['nats']:,.2f} nats".strip()
        said = f"{number}, standard error {one['error']:.2f} over {one['images']:,} images"
        if ends := interval_of(one):
            said += ", 95% interval " + " to ".join(f"{end:,.2f}" for end in ends)
        yield code(one["name"]), f"{said} (protocol {i})"


def conventions(likelihood: Mapping[str, Any]) -> str:
    """All else that decides a likelihood: 'data digits, split test, binarise dynamic'."""
    protocol = {k: v for k, v in likelihood["protocol"].items() if k != "iterations"}
    return ", ".join(f"{name} {value}" for name, value in protocol.items())
