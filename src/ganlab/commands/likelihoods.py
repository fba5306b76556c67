"""What `ganlab evaluate likelihood=...` does: the likelihood of held-out images under runs."""

import json
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from ganlab.data import ImageData
from ganlab.experiments.experiment import Experiment
from ganlab.experiments.restore import BUILT, move_data, require_known, require_sound
from ganlab.exporting.exported import loaded
from ganlab.generative import Generative
from ganlab.runs.folder import Run
from ganlab.scoring.likelihood import HeldOut, require_likelihood


def refuse(given: dict[str, Any]) -> None:
    """Raises ValueError for options that have no meaning beside `likelihood`."""
    if odd := [name for name, value in given.items() if value]:
        raise ValueError(f"{odd[0]}: is for scores of samples; leave it or likelihood out")


class Wanted(NamedTuple):
    """What is asked for, from the options of `ganlab evaluate`."""

    samples: int
    n: int | None
    seed: int
    checkpoint: str
    root: str | None
    trust: bool


def measured(runs: Sequence[Run], wanted: Wanted) -> list[dict[str, Any]]:
    """The likelihoods of all runs, printed, and noted in their summary.json.

    Raises:
        ConfigError: a folder is no run, or its model has no likelihood.
        DataError: the data cannot be read.
    """
    ready = [subject(run, wanted) for run in runs]
    results = []
    for run, (model, data) in zip(runs, ready, strict=True):
        data.prepare_data()
        data.setup()
        if torch.cuda.is_available():
            model.to("cuda")
        found = HeldOut(data, wanted.n, wanted.seed)(model, wanted.samples, wanted.seed)
        print(f"{run.path}, iteration {model.iterations}")
        for one in found:
            print(f"  {one}")
        records = [one.as_dict() for one in found]
        try:
            run.note_likelihoods(records)
        except OSError as error:
            sys.stderr.write(f"this is not kept in '{run.path}': {error.strerror}\n")
        results.append({"run": str(run.path), "likelihoods": records})
    return results


def subject(run: Run, wanted: Wanted) -> tuple[Generative, ImageData]:
    """A run's model and its data, which is not read yet."""
    config = run.config()
    if not wanted.trust:
        require_known(config, (*BUILT, "data"))
    model = require_likelihood(loaded(run, wanted.checkpoint, trust=wanted.trust))
    require_sound(run, config, ("data",))
    move_data(config, wanted.root)
    experiment = Experiment(**config)
    experiment.source.check()
    return model, experiment.image_data(model)


def as_json(results: list[dict[str, Any]]) -> str:
    """One document."""
    return json.dumps({"runs": results}, indent=2)
