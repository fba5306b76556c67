"""A verdict on a run's health: readings in, ailments with evidence and advice out.

Nothing here looks at a network or draws a number, so a verdict is a function of what is in
metrics.csv under health/, and can be had again from there.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import inf
from statistics import fmean
from typing import Any, Literal

from ganlab.spec import at_least

Reading = Mapping[str, float]  # by name; `iterations` among them
Action = Literal["report", "snapshot", "stop", "rollback"]
FEWEST = 5  # readings on which a verdict may rest
OPTIONAL = {"duplicates"}  # a reading that not all data has


@dataclass(frozen=True, kw_only=True)
class Watch:
    """How a run's health is watched, and what is done when it ails.

    Args:
        action: report: say it; snapshot: keep a checkpoint and a grid of samples as well; stop: end
            the run; rollback: go back to the last healthy checkpoint, with other noise and half the
            learning rates, and stop where that has not helped.
        every: iterations between two readings.
        n: generated x in each, always from the same noise.
        patience: iterations over whose readings a verdict looks at means.
        warmup: iterations before which few modes and a certain D are no illness: many GANs that end
            well begin so.
        memorisation_every: iterations between two comparisons with all training data.
        rollbacks: how often a run may go back.
    """

    action: Action = "report"
    every: int = 50
    n: int = 256
    patience: int = 500
    warmup: int = 1000
    memorisation_every: int = 1000
    rollbacks: int = 3

    def __post_init__(self) -> None:
        at_least(1, every=self.every, rollbacks=self.rollbacks)
        at_least(1, memorisation_every=self.memorisation_every)
        at_least(2, n=self.n)
        at_least(0, warmup=self.warmup)
        if self.patience < FEWEST * self.every:
            raise ValueError(
                f"patience must be at least {FEWEST} readings, {FEWEST * self.every} iterations, "
                f"got {self.patience}"
            )


@dataclass(frozen=True)
class Verdict:
    """What ails a run, since when, by which readings, and what people try against it."""

    ailment: str
    iteration: int
    since: int
    evidence: str
    advice: str

    def __str__(self) -> str:
        return f"{self.ailment}: {self.evidence}; try {self.advice}"

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for summary.json."""
        return asdict(self)


@dataclass(frozen=True)
class Ailment:
    """A name of the field's, and the bounds between which its readings lie on average.

    Args:
        name: by which it is reported.
        above, below: bounds of means, by reading; where one was not taken, there is no verdict,
            but for `duplicates`, which mean nothing among points that lie dense.
        says: evidence, with the means' names in braces.
        advice: what people try.
        early: whether it can be told before the warm-up is over.
        takes: readings on which it rests at least.
    """

    name: str
    says: str
    advice: str
    above: Reading = field(default_factory=dict)
    below: Reading = field(default_factory=dict)
    early: bool = False
    takes: int = FEWEST

    def found(self, means: Reading) -> bool:
        """Whether these means lie within all bounds."""
        if not (self.above.keys() | self.below.keys()) - OPTIONAL <= means.keys():
            return False
        over = all(means.get(name, inf) > bound for name, bound in self.above.items())
        return over and all(means[name] < bound for name, bound in self.below.items())


DIVERGENCE = Ailment(
    "divergence",
    "D's outputs have the size {logit_size:.3g}",
    "lower g_optimizer.lr and d_optimizer.lr, regularizer=[gradient_penalty] or [r1], d_clip=1.0",
    above={"logit_size": 1e4},
    early=True,
)
OF_PLAYERS = (
    DIVERGENCE,
    Ailment(
        "discriminator-won",
        "D(x)={D(x):.2f}, D(G(z))={D(G(z)):.2f}, D ranks {d_accuracy:.1%} of pairs rightly",
        "a lower d_optimizer.lr, d_steps=1, loss=nonsaturating, or loss=wasserstein "
        "regularizer=[gradient_penalty]",
        # A DCGAN that will be well may begin with a gap of 10 (benchmarks/health.py).
        above={"D(x)": 0.98, "d_accuracy": 0.995, "logit_gap": 12.0},
        below={"D(G(z))": 0.02},
    ),
)
OF_SAMPLES = (
    Ailment(
        "oscillation",
        "samples have {modes:.0%} of the data's modes, and {drift:.0%} of them go to another one "
        "from one reading to the next",
        "lower learning rates that are alike, betas=[0.5,0.999] or no momentum, regularizer=[r1] "
        "or [gradient_penalty]",
        above={"drift": 0.7, "duplicates": 0.9},
        below={"modes": 0.3},
    ),
    Ailment(
        "one-image",
        "samples differ by {diversity:.0%} of what the data's do, in {modes:.0%} of its modes",
        "a lower g_optimizer.lr, betas=[0.5,0.999], regularizer=[gradient_penalty] or [r1]",
        above={"duplicates": 0.95},
        below={"diversity": 0.2, "modes": 0.08},
    ),
    Ailment(
        "mode-collapse",
        "samples have {modes:.0%} of the data's modes",
        "a lower g_optimizer.lr, betas=[0.5,0.999], d_steps=2, loss=wasserstein "
        "regularizer=[gradient_penalty], model=dcgan model.discriminator.minibatch=std",
        above={"duplicates": 0.9},
        below={"modes": 0.3},
    ),
)
MEMORISATION = Ailment(
    "memorisation",
    "{memorised:.0%} of the samples are copies of training data",
    "more data, mirror=true, augment=diffaugment, smaller networks or fewer iterations",
    above={"memorised": 0.5},
    early=True,
    takes=1,
)
AILMENTS = (OF_PLAYERS, OF_SAMPLES, (MEMORISATION,))  # of each kind the most telling one is said


class Detector:
    """Verdicts from readings as they come, each ailment once.

    Args:
        watch: over how many iterations means are taken, and when the warm-up is over.
    """

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.window: list[dict[str, float]] = []
        self.said: list[str] = []

    def read(self, reading: Reading) -> list[Verdict]:
        """Takes in one more reading; the verdicts that are news."""
        self.window.append(dict(reading))
        begin = reading["iterations"] - self.watch.patience
        self.window = [known for known in self.window if known["iterations"] > begin]
        found = diagnosis(self.window, warm=begin >= self.watch.warmup)
        news = [ailment for ailment in found if ailment.name not in self.said]
        self.said += [ailment.name for ailment in news]
        return [verdict(ailment, self.window) for ailment in news]

    @property
    def ailing(self) -> bool:
        """Whether the latest reading by itself looks ill, long before there is a verdict."""
        latest = self.window[-1:]
        warm = bool(latest) and latest[0]["iterations"] > self.watch.warmup
        return bool(diagnosis(latest, warm=warm, fewest=1))

    def state(self) -> dict[str, Any]:
        """Plain data, for a checkpoint."""
        return {"window": self.window, "said": self.said}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Goes on from there."""
        self.window, self.said = list(state["window"]), list(state["said"])


def diagnosis(window: Sequence[Reading], *, warm: bool, fewest: int = FEWEST) -> list[Ailment]:
    """Of each kind of AILMENTS the first that the means of a window show, if its later half agrees.

    A run that recovers is left alone so, and one that falls ill gets the name of where it ends, not
    of what it passes.

    Args:
        window: readings, in order.
        warm: whether the warm-up was over before the first of them.
        fewest: readings that a mean must have.
    """
    later = window[len(window) // 2 :]
    shown = []
    for kind in AILMENTS:
        known = [ailment for ailment in kind if warm or ailment.early]
        whole, half = first(known, window, fewest), first(known, later, min(fewest, len(later)))
        shown += [whole] if whole is not None and whole is half else []
    return shown


def first(known: Sequence[Ailment], window: Sequence[Reading], fewest: int) -> Ailment | None:
    """The first of some ailments that the means of a window show."""
    found = functools.cache(functools.partial(means, window))
    return next((a for a in known if a.found(found(min(fewest, a.takes)))), None)


def means(window: Sequence[Reading], fewest: int) -> dict[str, float]:
    """Of every reading that was taken so often."""
    names = dict.fromkeys(name for reading in window for name in reading)
    taken = {name: [r[name] for r in window if name in r] for name in names}
    return {name: fmean(values) for name, values in taken.items() if len(values) >= fewest}


def verdict(ailment: Ailment, window: Sequence[Reading]) -> Verdict:
    """What is said of a window that shows an ailment."""
    first, last = (int(window[i]["iterations"]) for i in (0, -1))
    over = f" on average from iteration {first:,} to {last:,}"
    evidence = ailment.says.format(**means(window, 1)) + over
    return Verdict(ailment.name, last, first, evidence, ailment.advice)


def diverged(iteration: int, seen: str) -> Verdict:
    """The verdict on a run with a number that is NaN or infinite."""
    return Verdict(DIVERGENCE.name, iteration, iteration, seen, DIVERGENCE.advice)
