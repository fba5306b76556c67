"""Reads summary.json, environment.json and sweep.json, which may be damaged or a stranger's."""

import functools
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ganlab.errors import ConfigError
from ganlab.storage import files

LARGEST = 2**26  # bytes; a run that was scored a thousand times has some million
WORDS = 50  # letters of a wrong value that a message shows

Count = Annotated[int, Field(ge=0, lt=2**63)]
Status = Literal["running", "finished", "interrupted", "failed", "stopped"]
# What a number is of log p(x), as in ganlab.training.likelihood, which needs torch; and what minus
# that number, in nats, is of minus log p(x).
LikelihoodKind = Literal["exact", "lower bound", "upper bound", "estimate"]
NATS = {"exact": "", "lower bound": "at most", "upper bound": "at least", "estimate": "about"}


class Verdict(BaseModel):
    """An ailment that was found in a run."""

    model_config = ConfigDict(strict=True)
    ailment: str
    iteration: Count
    since: Count
    evidence: str
    advice: str


class Best(BaseModel):
    """The best checkpoint: the score that chose it, and the same score on fresh noise."""

    model_config = ConfigDict(strict=True)
    iteration: Count
    score: str
    selected_by: float
    value: float
    seed: Count


class Likelihood(BaseModel):
    """Minus the mean log-likelihood of images, as `ganlab.training.likelihood` makes it."""

    model_config = ConfigDict(strict=True, extra="allow")
    name: str
    kind: LikelihoodKind
    nats: float
    error: float
    images: Count
    interval: list[float | None] | None = None  # None: no end
    protocol: dict[str, Any] = {}


def interval_of(likelihood: Mapping[str, Any]) -> tuple[float, float] | None:
    """The 95% interval of a record; an end that is missing is infinite."""
    ends = likelihood.get("interval")
    if ends is None:
        return None
    low, high = ends
    return (-math.inf if low is None else low), (math.inf if high is None else high)


class Summary(BaseModel):
    """summary.json: how a run ended, its last readings, its verdicts and its scores."""

    model_config = ConfigDict(strict=True, extra="allow")
    status: Status | None = None
    error: str | None = None
    iterations: Count = 0
    images_seen: Count = 0
    seconds: float = 0.0
    last: dict[str, Any] = {}
    health: list[Verdict] = []
    best: Best | None = None
    scores: list[dict[str, Any]] = []
    likelihoods: list[Likelihood] = []


class SweptJob(BaseModel):
    """One job of sweep.json."""

    model_config = ConfigDict(strict=True)
    run: str
    overrides: list[str]
    method: str = ""
    stage: str = ""
    label: list[str] = []


class SweepRecord(BaseModel):
    """sweep.json: the jobs of a sweep."""

    model_config = ConfigDict(strict=True)
    jobs: list[SweptJob]


def read(path: Path, kind: Any) -> Any:
    """What a JSON file holds, as plain data of the given kind; fields that it lacks stay away.

    Args:
        path: the file.
        kind: a model of pydantic, or a type.

    Raises:
        FileNotFoundError: there is no such file.
        ConfigError: it cannot be read, is no JSON, or holds something else; says where.
    """
    try:
        found = json.loads(files.content(path, LARGEST))
        judge = adapter(kind)
        return judge.dump_python(judge.validate_python(found), exclude_unset=True)
    except FileNotFoundError:
        raise
    except ValidationError as error:
        raise ConfigError([damaged(path, reason(error))]) from error
    except OSError as error:
        raise ConfigError([f"'{path}' cannot be read: {error.strerror}"]) from error
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError, too
        raise ConfigError([damaged(path, str(error).splitlines()[0])]) from error


def read_if_there(path: Path, kind: Any) -> dict[str, Any]:
    """The same, and {} if there is no such file.

    Raises:
        ConfigError: it cannot be read, is no JSON, or holds something else; says where.
    """
    try:
        return dict(read(path, kind))
    except FileNotFoundError:
        return {}


@functools.cache  # making one takes longer than reading a file
def adapter(kind: Any) -> TypeAdapter[Any]:
    """What judges plain data by a kind."""
    return TypeAdapter(kind)


def damaged(path: Path, why: str) -> str:
    """The sentence about a file that is not what ganlab wrote."""
    return f"'{path}' is damaged: {why}; move it away to go on without it"


def reason(error: ValidationError) -> str:
    """The first mistake that pydantic found, in one line: 'jobs[3].run: should be text, got 1'."""
    first = error.errors(include_url=False)[0]
    where = "".join(f"[{at}]" if isinstance(at, int) else f".{at}" for at in first["loc"])
    got = repr(first["input"])
    shown = got if len(got) <= WORDS else f"{got[:WORDS]}..."
    said = first["msg"][0].lower() + first["msg"][1:]
    return f"{where.lstrip('.')[:WORDS]}: {said}, got {shown}".lstrip(": ")
