"""The command: plans all runs, trains what is not finished, measures, and writes the page."""

import contextlib
import importlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from ganlab.commands.composition import Composer
from ganlab.errors import ConfigError, JobFailedError
from ganlab.lab.generative import page, pictures, summary
from ganlab.lab.generative.entries import Entry, entry
from ganlab.lab.generative.kinds import DATA, KINDS, Data, Named
from ganlab.lab.generative.measures import Measured, Wanted, data_of, measured, reference
from ganlab.lab.generative.page import Chapter
from ganlab.lab.generative.summary import Outcome
from ganlab.lab.training import trained
from ganlab.plots.pictures import save
from ganlab.scoring import tables
from ganlab.scoring.reference import FEWEST
from ganlab.spec import at_least, positive
from ganlab.storage import files
from ganlab.sweeps.record import Job, Sweep

LENGTH = ("minutes", "iterations")  # what `seconds` decides


def generative(
    overrides: Sequence[str] = (),
    data: tuple[Named, ...] = tuple(DATA),
    seconds: float = 60.0,
    seeds: int = 3,
    parameters: int | None = None,
    n: int = 2500,
    root: str | None = None,
    output_dir: str = "outputs",
) -> list[Path]:
    """A GAN, a VAE, an RBM and an SBN in equal time and with equal networks, on one page.

    Each run is one of `ganlab train`, in OUTPUT_DIR/lab/generative, recorded there as a sweep:
    `ganlab sweep status OUTPUT_DIR/lab/generative`.  All have the same time by the clock, from
    reading the data to the last weight.  Whatever is measured comes after it.  The width of the
    dense layers is that at which the network that draws has so many parameters; the discriminator,
    the encoder or the recognition network that helps in training is as wide, and counted apart.

    Writes generative.html, one file that opens from disk, and table.md, results.json and a
    picture of samples for each data set.  A kind that cannot learn the data is named with its
    reason, and MNIST is left out if it is not there.

    Started again, it takes over what is finished: a run's folder is named by the hash of its
    config, and a run whose summary.json says `finished` is not trained again.  Measurements are
    kept in each run's compared.json.

    Args:
        data: grid_2d, digits, mnist.
        seconds: time of each run.
        seeds: runs of each kind on each data set, with seeds 0, 1, ...
        parameters: of each network that draws; null: 5,000 for points, 100,000 for digits, 200,000
            for MNIST.
        n: samples of each run that are scored.
        root: folder with MNIST; null: as in conf/data/mnist.yaml.
        output_dir: where results go.
        NAME=VALUE: any other word overrides the config of all runs: batch_size=100, ...
    """
    at_least(1, seeds=seeds, data=len(data), parameters=parameters)
    at_least(FEWEST, n=n)
    positive(seconds=seconds)
    if fixed := [word for word in overrides if word.lstrip("+").partition("=")[0] in LENGTH]:
        raise ConfigError([f"'{fixed[0]}': seconds=... sets the time of all runs; leave it out"])
    folder, wanted = Path(output_dir) / "lab" / "generative", Wanted(n=n)
    given = [f"minutes={seconds / 60!r}", f"output_dir={folder}", *overrides]
    listed = entries(data, given, seeds, parameters, root)
    plans = [plan for one in listed for plan in one.plans]
    if not plans:
        raise ConfigError(list(dict.fromkeys(f"{e.data.name}: {e.refusal}" for e in listed)))
    for one in listed:
        if one.refusal is not None:
            print(f"{one.data.name}, {one.kind.name}: left out: {one.refusal}", flush=True)
    Sweep(folder).add(
        Job(plan.run, plan.overrides, label=label(one, seed))
        for one in listed
        for seed, plan in enumerate(one.plans)
    )
    train(listed, seeds)
    chapters = [chapter(DATA[name], listed, wanted, folder) for name in dict.fromkeys(data)]
    return written(folder, chapters, seconds, seeds, overrides)


def entries(
    data: Iterable[Named],
    given: Sequence[str],
    seeds: int,
    parameters: int | None,
    root: str | None,
) -> list[Entry]:
    """All kinds on all data.

    Raises:
        ConfigError: what is asked for is wrong; MNIST is not in the folder that was named.
    """
    composer = Composer()
    found = [
        entry(kind, one, given, seeds, parameters or one.parameters, composer)
        for one in (DATA[name].at(root) for name in dict.fromkeys(data))
        for kind in KINDS
    ]
    if root is not None:
        missing = [e.refusal for e in found if e.data.name == "mnist" and e.refusal is not None]
        if missing:
            raise ConfigError([f"root: {missing[0]}"])
    return found


def label(one: Entry, seed: int) -> tuple[str, ...]:
    """What distinguishes a run from the others, for the record of the sweep."""
    return (f"data={one.data.name}", f"kind={one.kind.name}", f"seed={seed}")


def train(listed: Sequence[Entry], seeds: int) -> None:
    """Trains all runs that are not finished; one that fails does not stop the others.

    The kinds take turns, so that whatever else the machine does meets all of them alike.
    """
    warm_up(listed)
    for seed in range(seeds):
        for one in listed:
            if one.plans:
                print(f"\n{one.data.name}, {one.kind.name}, seed {seed}", flush=True)
                with contextlib.suppress(JobFailedError):  # already reported
                    trained(one.plans[seed])


def warm_up(listed: Sequence[Entry]) -> None:
    """Imports what trains, and reads all data once: no run's time has to pay for the others."""
    importlib.import_module("ganlab.experiments.session")
    for plan in {one.data.name: one.plans[0] for one in listed if one.plans}.values():
        if not plan.run.finished:
            data_of(plan)


def chapter(data: Data, listed: Sequence[Entry], wanted: Wanted, folder: Path) -> Chapter:
    """What there is to say of all kinds on some data; writes the picture of it."""
    own = [one for one in listed if one.data.name == data.name]
    able = [one for one in own if one.plans]
    if not able:
        return Chapter(data, [Outcome(one, []) for one in own])
    outcomes = [Outcome(one, found(one, wanted)) for one in own]
    some = able[0].plans[0]
    shown = {"data": pictures.picture(some, pictures.real(some))}
    for one in able:
        if one.plans[0].run.finished:
            shown[one.kind.name] = pictures.picture(one.plans[0], pictures.samples(one.plans[0]))
    save(folder / f"{data.name}.png", pictures.sheet(shown, points=data.points))
    return Chapter(data, outcomes, reference(some, wanted), shown)


def found(one: Entry, wanted: Wanted) -> list[Measured]:
    """What is known of each finished run of a kind."""
    if one.plans:
        print(f"\nmeasuring {one.data.name}, {one.kind.name}", flush=True)
    return [measured(plan, one.kind, wanted) for plan in one.plans if plan.run.finished]


def written(
    folder: Path,
    chapters: Sequence[Chapter],
    seconds: float,
    seeds: int,
    overrides: Sequence[str],
) -> list[Path]:
    """Writes the page, the tables and the numbers; returns all files."""
    html, table, results = (folder / n for n in ("generative.html", "table.md", "results.json"))
    text = "\n\n".join([*(one.as_markdown() for one in chapters), page.spread(seeds)])
    print(f"\n{text}\n")
    files.write(html, page.page(chapters, seconds, seeds, overrides, folder))
    files.write(table, f"{text}\n")
    numbers = {
        one.data.name: summary.plain(one.outcomes, one.reference)
        for one in chapters
        if one.reference is not None
    }
    about = {"seconds": seconds, "seeds": seeds, "overrides": list(overrides), "data": numbers}
    files.write(results, json.dumps(tables.finite(about), indent=1))
    drawn = [folder / f"{one.data.name}.png" for one in chapters if one.reference is not None]
    return [html, table, results, *drawn]
