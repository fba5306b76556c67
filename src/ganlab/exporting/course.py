"""How a run's training went, for its card: how far it came, how long it took, what was found."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ganlab.exporting.markup import text
from ganlab.runs.folder import Run
from ganlab.runs.readings import readings

BROKEN_OFF = "training did not finish"


@dataclass(frozen=True)
class Course:
    """What is known of a training.

    Args:
        run: whose summary.json and metrics.csv are read.
        iterations: of the checkpoint that is exported.

    Raises:
        ConfigError: when a file is read that is damaged.
    """

    run: Run
    iterations: int

    @property
    def summary(self) -> dict[str, Any]:
        return self.run.summary()

    @property
    def broken_off(self) -> bool:
        """Whether the run is known to have no end; a killed one still says that it is running."""
        return self.summary.get("status") not in (None, "finished")

    def reached(self) -> str:
        """'1,500', or '1,390 of 1,500 iterations; training did not finish'."""
        config, said = self.run.config(), f"{self.iterations:,}"
        planned = config.get("iterations") if config.get("minutes") is None else None
        if planned is not None and planned != self.iterations:
            said += f" of {planned:,} iterations"
        return f"{said}; {BROKEN_OFF}" if self.broken_off else said

    def time(self) -> str | None:
        """'43 s for 1,390 iterations', as far as the run came; None: nothing says so.

        The summary says so at the end.  Of a run that has come further, the last reading does.
        """
        told = self.summary
        if told.get("status") in (None, "running"):
            for reading in readings(self.run.path / "metrics.csv"):
                if reading.get("iterations", 0) >= told.get("iterations", 0):
                    told = reading
        if "seconds" not in told or "iterations" not in told:
            return None
        seconds = told["seconds"]
        spelled = f"{seconds:.1f}" if seconds < 10 else f"{seconds:,.0f}"
        return f"{spelled} s for {int(told['iterations']):,} iterations"

    def health(self) -> Iterator[str]:
        """Paragraphs on the ailments that were found, and on what is not known of them."""
        if not self.run.config().get("health"):
            yield "It was not watched."
            return
        found = self.summary.get("health")
        if found:
            yield "\n".join(
                f"- {text(one['ailment'])}, at iteration {one['iteration']:,}: "
                f"{text(one['evidence'])}."
                for one in found
            )
        if found is None or self.summary.get("status") == "running":
            what = "What was found later" if found else "It was watched. What was found"
            why = f": {BROKEN_OFF}" if self.broken_off else ""
            yield f"{what} is not known{why}."
        elif not found:
            yield "It was watched, and no ailment was found."
