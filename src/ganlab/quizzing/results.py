"""What a finished quiz says, and where it is kept."""

import json
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ganlab import __version__
from ganlab.quizzing.play import Answer
from ganlab.quizzing.staircase import threshold
from ganlab.quizzing.statistics import error_rate
from ganlab.storage import files

FOLDER = "quiz"  # in a run's folder


def result(answers: Sequence[Answer], about: Mapping[str, Any]) -> dict[str, Any]:
    """The result of a quiz as plain data.

    Args:
        answers: that count.
        about: what was asked: mode, paired, n, seed, checkpoint, ..., which the result repeats.
    """
    wrong = [not answer.correct for answer in answers]
    rate = error_rate(wrong, about["seed"])
    exposures = [a.exposure_ms for a in answers if a.exposure_ms is not None]
    lags = [answer.lag for answer in answers if answer.lag is not None]
    return {
        **about,
        "exposure_ms": threshold(exposures) if exposures else None,
        "lag_ms": statistics.fmean(lags) if lags else None,
        "trials": len(answers),
        "errors": sum(wrong),
        "error_rate": rate.value,
        "interval": [rate.low, rate.high],
        "interval_by": rate.method,
        "errors_on_real": errors_on("real", answers),
        "errors_on_fake": errors_on("fake", answers),
        "seconds_per_answer": statistics.median(answer.seconds for answer in answers),
        "answers": [answer._asdict() for answer in answers],
        "ganlab": __version__,
    }


def errors_on(kind: str, answers: Sequence[Answer]) -> float | None:
    """The share of wrong answers to images of one kind; None: each trial shows both."""
    wrong = [not answer.correct for answer in answers if answer.right == kind]
    return statistics.fmean(wrong) if wrong else None


def sentence(found: Mapping[str, Any]) -> str:
    """A result in words."""
    low, high = (f"{100 * end:.1f}" for end in found["interval"])
    rate = f"{found['errors']} of {found['trials']} answers were wrong: "
    rate += f"{100 * found['error_rate']:.1f}% (95% interval {low} to {high}%; 50% is chance)"
    exposure = found["exposure_ms"]
    return rate if exposure is None else f"exposure needed: {exposure:.0f} ms; {rate}"


def save(run: Path, found: Mapping[str, Any]) -> Path:
    """Writes RUN/quiz/TIME-MODE.json whole, beside those that are there.

    Raises:
        OSError: it cannot be written.
    """
    folder = files.own_folder(run / FOLDER)
    stem = f"{time.strftime('%Y-%m-%d-%H%M%S')}-{found['mode']}"
    names = (f"{stem}{more}.json" for more in ("", *(f"-{i}" for i in range(2, 10_000))))
    path = next(folder / name for name in names if not (folder / name).exists())
    files.write(path, json.dumps(found, indent=2, allow_nan=False) + "\n")
    return path
