"""All seeds of a kind together: means with standard deviations, and the rows of a table."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ganlab.lab.generative.entries import Entry
from ganlab.lab.generative.measures import Measured
from ganlab.runs.records import NATS
from ganlab.scoring.scorecard import Score
from ganlab.scoring.tables import Row

COLUMNS = {  # number -> heading
    "frechet": "Fréchet distance",
    "precision": "precision",
    "recall": "recall",
    "modes": "modes",
    "high_quality": "near a mode",
    "sharpness": "sharpness",
}


@dataclass(frozen=True)
class Outcome:
    """What became of a kind on some data.

    Args:
        entry: the kind, the data and its runs.
        found: of each run that has finished.
    """

    entry: Entry
    found: list[Measured]

    def score(self, name: str) -> Score | None:
        """The mean of a number over the runs, with its standard deviation; None: it has none."""
        values = [one.numbers[name] for one in self.found if name in one.numbers]
        return together(values) if values and len(values) == len(self.found) else None

    def likelihoods(self) -> dict[str, tuple[str, Score]]:
        """Name -> what it is of the truth, such as 'at most', and nats."""
        listed = [{one["name"]: one for one in run.likelihoods} for run in self.found]
        return {
            name: (NATS[one["kind"]], together([run[name]["nats"] for run in listed]))
            for name, one in (listed[0] if listed else {}).items()
        }


def together(values: Sequence[float]) -> Score:
    """The mean of numbers and, of more than one, their standard deviation."""
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Score(statistics.fmean(values), deviation=deviation, n=len(values))


def spelled(score: Score) -> str:
    """'3.21 ± 0.05', with the standard deviation, or '3.21'; whole numbers without decimals."""
    value, deviation = score.value, score.deviation
    if abs(value) >= 1000 or (float(value).is_integer() and not deviation):
        text, spread = f"{value:,.0f}", f"{deviation or 0:,.0f}"
    else:
        decimals = 1 if abs(value) >= 10 else 2 if abs(value) >= 0.1 else 3
        text, spread = f"{value:.{decimals}f}", f"{deviation or 0:.{decimals}f}"
    return text if deviation is None else f"{text} ± {spread}"


def training(outcomes: Sequence[Outcome]) -> list[Row]:
    """What was trained: a row for each kind that can learn the data."""
    return [trained(one) for one in outcomes if one.entry.refusal is None]


def trained(outcome: Outcome) -> Row:
    """What was trained of a kind."""
    entry, decay = outcome.entry, outcome.score("average")
    return {
        "": entry.kind.name,
        "width": str(entry.width),
        "parameters": f"{entry.drawing:,}",
        "whole model": f"{entry.trained:,}",
        "runs": str(len(outcome.found)),
        "seconds": said(outcome, "seconds"),
        "iterations": said(outcome, "iterations"),
        "average": f"{decay.value:.4f}" if decay is not None else "none",
    }


def results(outcomes: Sequence[Outcome], reference: Measured) -> list[Row]:
    """What it can do: a row for each kind that can learn the data, and one for held-out data."""
    shown, known = [name for name in COLUMNS if name in reference.numbers], reference.numbers
    able = [one for one in outcomes if one.entry.refusal is None]
    return [
        *(measured(one, shown) for one in able),
        {
            "": "held-out data",
            "nats": f"{known['nll']:.2f}" if "nll" in known else "",
            **{COLUMNS[name]: spelled(Score(known[name])) for name in shown},
        },
    ]


def measured(outcome: Outcome, shown: Sequence[str]) -> Row:
    """What a kind can do."""
    scores = {COLUMNS[name]: said(outcome, name) for name in shown}
    return {"": outcome.entry.kind.name, "nats": nats(outcome), **scores}


def said(outcome: Outcome, name: str) -> str:
    """A number as a text; empty: it has none."""
    score = outcome.score(name)
    return spelled(score) if score is not None else ""


def nats(outcome: Outcome) -> str:
    """Minus the log-likelihood, each number with what it is of the truth."""
    known = outcome.likelihoods().values()
    return "; ".join(f"{bound} {spelled(score)}".strip() for bound, score in known) or "none"


def protocol(outcomes: Sequence[Outcome]) -> list[str]:
    """How the numbers came about, a sentence for each."""
    scored = next((one.found[0].protocol for one in outcomes if one.found), [])
    sentences = [*scored]
    for outcome in outcomes:
        for one in outcome.found[0].likelihoods if outcome.found else []:
            about = one["protocol"]
            told = ", ".join(f"{key} {value}" for key, value in about.items() if key not in OURS)
            sentences.append(
                f"{outcome.entry.kind.name}: {one['name']}, {one['kind']} of log p(x), of "
                f"{one['images']:,} of {about['available']:,} ({about['data']}, {about['split']}); "
                f"standard error {one['error']:.2f} of one run; {told}"
            )
    return sentences


OURS = ("data", "split", "available", "iterations")  # of a protocol, said in other words


def plain(outcomes: Sequence[Outcome], reference: Measured) -> dict[str, Any]:
    """All numbers, for results.json."""
    return {
        "held-out data": asdict(reference),
        "kinds": {one.entry.kind.name: plain_outcome(one) for one in outcomes},
    }


def plain_outcome(outcome: Outcome) -> dict[str, Any]:
    """The numbers of a kind, or its refusal."""
    entry = outcome.entry
    if entry.refusal is not None:
        return {"refusal": entry.refusal}
    runs = [asdict(one) for one in outcome.found]
    sizes = {"width": entry.width, "parameters": entry.drawing, "whole model": entry.trained}
    names = dict.fromkeys(name for one in outcome.found for name in one.numbers)
    means = {n: score._asdict() for n in names if (score := outcome.score(n)) is not None}
    return {
        **sizes,
        "folders": [str(p.run.path) for p in entry.plans],
        "means": means,
        "runs": runs,
    }
