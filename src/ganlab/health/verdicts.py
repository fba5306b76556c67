"""Verdicts on a run's health: ailments with evidence and advice, derived from readings.

A verdict depends only on the readings, uses no random numbers, and can therefore be recomputed
from the columns health/... of metrics.csv.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import inf
from statistics import fmean
from typing import Any, Literal

from ganlab.spec import at_least

Reading = Mapping[str, float]  # by name; `iterations` among them
Action = Literal["report", "snapshot", "stop", "rollback"]
FEWEST = 5  # readings that a verdict needs
OPTIONAL = {"duplicates"}  # readings that are not taken for all data


@dataclass(frozen=True, kw_only=True)
class Watch:
    """How to watch a run's health, and what to do about an ailment.

    Args:
        action: report: print the verdict; snapshot: also save a checkpoint and a grid of samples;
            stop: end the run; rollback: go back to the last healthy checkpoint with other noise and
            half the learning rates, and stop when `rollbacks` are used up.
        every: iterations between two readings.
        n: generated x per reading, always from the same noise.
        patience: length of the window in iterations; verdicts use means over its readings.
        warmup: iterations during which only divergence and memorisation are reported: many models
            that end well start with few modes, an overconfident D or dead units.
        memorisation_every: iterations between two comparisons with all training data.
        rollbacks: maximum number of times a run goes back.

    Raises:
        ValueError: a number is out of range, or `patience` covers fewer than 5 readings.
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
    """An ailment of a run: first and last iteration of the window, evidence and usual remedies."""

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
    """A failure of GAN training, defined by bounds on mean readings.

    Args:
        name: the field's term for it, used in reports.
        says: template of the evidence, with names of readings in braces.
        advice: usual remedies.
        above, below: exclusive bounds on means, by reading.  If a reading is missing, the ailment
            is not found, except for `duplicates`, which low-dimensional points do not have.
        early: whether it can be found during the warm-up.
        takes: readings that each mean needs.
    """

    name: str
    says: str
    advice: str
    above: Reading = field(default_factory=dict)
    below: Reading = field(default_factory=dict)
    early: bool = False
    takes: int = FEWEST

    def found(self, means: Reading) -> bool:
        """Whether these means satisfy all bounds."""
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
        # The gap of a DCGAN that ends well may start at 10 (benchmarks/health.py).
        above={"D(x)": 0.98, "d_accuracy": 0.995, "logit_gap": 12.0},
        below={"D(G(z))": 0.02},
    ),
)
OF_SAMPLES = (
    Ailment(
        "oscillation",
        "samples fill {modes:.0%} of the data's clusters, and {drift:.0%} of them change clusters "
        "between two readings",
        "lower and equal learning rates, betas=[0.5,0.999] or no momentum, regularizer=[r1] "
        "or [gradient_penalty]",
        above={"drift": 0.7, "duplicates": 0.9},
        below={"modes": 0.3},
    ),
    Ailment(
        "one-image",
        "samples have {diversity:.0%} of the data's diversity and fill {modes:.0%} of its clusters",
        "a lower g_optimizer.lr, betas=[0.5,0.999], regularizer=[gradient_penalty] or [r1]",
        above={"duplicates": 0.95},
        below={"diversity": 0.2, "modes": 0.08},
    ),
    Ailment(
        "mode-collapse",
        "samples fill {modes:.0%} of the data's clusters",
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
POSTERIOR_COLLAPSE = Ailment(
    "posterior-collapse",
    "{active_units:.1%} of the latents are in use",
    "a lower model.beta, one that rises from 0 by a schedule, or model.free_bits=0.1",
    below={"active_units": 0.03},
)
OF_CHAINS = Ailment(
    "chains-stand-still",
    "a correlation of {chain_memory:.3f} is left after ten sweeps of the chains",
    "a lower g_optimizer.lr, larger model.steps, model.weight_decay=0.001",
    # Machines that learn MNIST well keep 0.69 to 0.97; one whose chains stay reads 0.989
    # (docs/generative.md).
    above={"chain_memory": 0.98},
)
OF_UNITS = Ailment(
    "dead-units",
    "{dead_units:.0%} of the hidden units are always on, or always off",
    "a lower g_optimizer.lr, model.centre=true for an RBM, fewer hidden units",
    above={"dead_units": 0.5},
)
# Of each group, only the first ailment that is found is reported.
AILMENTS = (
    OF_PLAYERS,
    OF_SAMPLES,
    (MEMORISATION,),
    (POSTERIOR_COLLAPSE,),
    (OF_CHAINS,),
    (OF_UNITS,),
)


class Detector:
    """Turns a stream of readings into verdicts; reports each ailment once.

    Args:
        watch: sets the window (`patience`) and the warm-up.
    """

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.window: list[dict[str, float]] = []
        self.said: list[str] = []

    def read(self, reading: Reading) -> list[Verdict]:
        """Adds a reading; returns verdicts on ailments that were not reported before."""
        self.window.append(dict(reading))
        begin = reading["iterations"] - self.watch.patience
        self.window = [known for known in self.window if known["iterations"] > begin]
        found = diagnosis(self.window, warm=begin >= self.watch.warmup)
        news = [ailment for ailment in found if ailment.name not in self.said]
        self.said += [ailment.name for ailment in news]
        return [verdict(ailment, self.window) for ailment in news]

    @property
    def ailing(self) -> bool:
        """Whether the latest reading alone shows an ailment; this comes long before a verdict."""
        latest = self.window[-1:]
        warm = bool(latest) and latest[0]["iterations"] > self.watch.warmup
        return bool(diagnosis(latest, warm=warm, fewest=1))

    def state(self) -> dict[str, Any]:
        """The detector's state as plain data, for a checkpoint."""
        return {"window": self.window, "said": self.said}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restores what `state` returned."""
        self.window, self.said = list(state["window"]), list(state["said"])


def diagnosis(window: Sequence[Reading], *, warm: bool, fewest: int = FEWEST) -> list[Ailment]:
    """Per group of AILMENTS: the first that holds over the window and over its second half.

    So a run that recovers gets no verdict, and a run that deteriorates gets the ailment it ends
    in, not one it passes through.

    Args:
        window: readings, in order.
        warm: whether the warm-up was over before the first of them.
        fewest: readings that a mean needs.
    """
    later = window[len(window) // 2 :]
    of_window, of_later = (functools.cache(functools.partial(means, w)) for w in (window, later))
    shown = []
    for kind in AILMENTS:
        known = [ailment for ailment in kind if warm or ailment.early]
        whole = first(known, of_window, fewest)
        half = first(known, of_later, min(fewest, len(later)))
        shown += [whole] if whole is not None and whole is half else []
    return shown


def first(
    known: Sequence[Ailment], found: Callable[[int], Mapping[str, float]], fewest: int
) -> Ailment | None:
    """The first of `known` ailments that `found` shows: means of what was taken so often."""
    return next((a for a in known if a.found(found(min(fewest, a.takes)))), None)


def means(window: Sequence[Reading], fewest: int) -> dict[str, float]:
    """The mean of each reading that was taken at least `fewest` times."""
    names = dict.fromkeys(name for reading in window for name in reading)
    taken = {name: [r[name] for r in window if name in r] for name in names}
    return {name: fmean(values) for name, values in taken.items() if len(values) >= fewest}


def verdict(ailment: Ailment, window: Sequence[Reading]) -> Verdict:
    """The verdict on a window that shows an ailment."""
    first, last = (int(window[i]["iterations"]) for i in (0, -1))
    over = f" on average from iteration {first:,} to {last:,}"
    evidence = ailment.says.format(**means(window, 1)) + over
    return Verdict(ailment.name, last, first, evidence, ailment.advice)


def diverged(iteration: int, seen: str) -> Verdict:
    """The verdict on a run with a NaN or infinite value, described by `seen`."""
    return Verdict(DIVERGENCE.name, iteration, iteration, seen, DIVERGENCE.advice)
