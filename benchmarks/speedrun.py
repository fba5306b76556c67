"""Runs the speedrun with several seeds, and prints a row for the table of docs/speedrun.md.

    python benchmarks/speedrun.py [experiment=speedrun] [seeds=0,1,2] [by=frechet]
        [output_dir=outputs/speedrun] [KEY=VALUE of ganlab ...]

Each seed is one command, `python -m ganlab.train experiment=... seed=...`, whose clock begins with
it: what is imported and read counts.  The score is that of the last weights, on the noise that the
protocol names; over the seeds it has a 95% interval (Student's t).  A run that is finished is not
trained again, so the same command goes on where it was stopped.  Records are of a clean commit, and
of a card that nobody else uses.
"""

import datetime as dt
import os
import platform
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))  # the checkout that this is part of

from ganlab.runs.folder import Run
from ganlab.scoring.scorecard import Scorecard, mean_of
from ganlab.scoring.tables import spelled
from ganlab.sweeps.record import card_of

SOURCE = Path(__file__).parents[1] / "src"
OPTIONS = {
    "experiment": "speedrun",
    "seeds": "0,1,2",
    "by": "frechet",
    "output_dir": "outputs/speedrun",
}
HEADS = ("date", "commit", "card", "minutes", "images", "score", "value", "seeds")


@dataclass(frozen=True)
class Record:
    """One finished run.

    Args:
        run: its folder.
        card: the scores of its last weights.
    """

    run: Run
    card: Scorecard

    @property
    def summary(self) -> dict[str, Any]:
        return self.run.summary()


def started(words: list[str]) -> str:
    """What `python -m ganlab.train` prints for some overrides.

    Raises:
        SystemExit: it failed.
    """
    command = [sys.executable, "-m", "ganlab.train", *words]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    sys.stderr.write(done.stdout)
    if done.returncode:
        raise SystemExit(done.returncode)
    return done.stdout


def trained(words: list[str], by: str) -> Record:
    """The run of a command line, finished.

    Raises:
        SystemExit: it failed, or it has no such score.
    """
    said = (line.removeprefix("finished already: ") for line in started(words).splitlines())
    run = next(Run(Path(line)) for line in said if (Path(line) / "config.yaml").is_file())
    if (card := card_of(run, by, "last")) is None:
        raise SystemExit(f"'{run.path}' has no score '{by}'; set metrics=classifier")
    return Record(run, card)


def row(records: list[Record], by: str) -> list[str]:
    """The cells of the table: HEADS."""
    about = records[0].run.environment()
    together = mean_of([record.card for record in records])
    seconds = max(record.summary["seconds"] for record in records)
    images = statistics.fmean(record.summary["images_seen"] for record in records)
    dirty = " and changes" if about["git_dirty"] else ""
    return [
        dt.datetime.now(tz=dt.UTC).date().isoformat(),
        f"{(about['git_commit'] or '')[:7]}{dirty}",
        ", ".join(about["gpus"]) or f"{about['processors']} cores, {platform.machine()}",
        f"{seconds / 60:.2f}",
        f"{images:,.0f}",
        together.protocol.name(by),
        spelled(together.scores[by]),
        ", ".join(str(record.run.config()["seed"]) for record in records),
    ]


def main() -> None:
    words = dict(word.partition("=")[::2] for word in sys.argv[1:])
    if any("=" not in word for word in sys.argv[1:]):
        raise SystemExit(__doc__)
    chosen = {name: words.pop(name, default) for name, default in OPTIONS.items()}
    given = [f"{name}={value}" for name, value in words.items()]
    shared = [f"experiment={chosen['experiment']}", f"output_dir={chosen['output_dir']}", *given]
    seeds = chosen["seeds"].split(",")
    records = [trained([*shared, f"seed={seed}"], chosen["by"]) for seed in seeds]
    for cells in (HEADS, ["---"] * len(HEADS), row(records, chosen["by"])):
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
