"""What one page has before it: one training or two, what is drawn of them, how they are played."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from ganlab import compatibility
from ganlab.data.strokes import MOST, written
from ganlab.errors import ConfigError
from ganlab.health.verdicts import Verdict
from ganlab.lab.live import setup as choices
from ganlab.lab.live.history import Curves
from ganlab.lab.live.layers import Layers, View
from ganlab.lab.live.link import FAR, SWITCHED, Link
from ganlab.lab.live.match import SHARED, Match
from ganlab.lab.live.remedies import advice
from ganlab.lab.live.setup import DRAWN, NAMES, WHILE_IT_RUNS, Setup
from ganlab.lab.live.tour import TOUR, Stop
from ganlab.lab.live.training import LiveTraining
from ganlab.lab.live.words import UNBOUNDED, measured, named

FRAME = 0.1  # seconds from one picture to the next while it plays
FASTEST, SLOWEST = 1000.0, 10.0  # iterations a second, seconds a line
STOPS = {stop.name: stop for stop in TOUR}
# What is drawn before somebody draws: a figure of eight.
EIGHT = written(
    (0.8 * math.sin(angle), 0.5 * math.sin(2 * angle))
    for angle in (2 * math.pi * i / 80 for i in range(80))
)


class Side:
    """A training, and what is measured of it whenever it is drawn.

    Args:
        training: to look at.
    """

    def __init__(self, training: LiveTraining) -> None:
        self.training, self.layers = training, Layers(training)
        self.measured, self.numbers = Curves(), dict[str, float]()

    def frame(self, names: Sequence[str], *, measure: bool) -> dict[str, Any]:
        """The layers of these names, as they are now; the measures are noted if asked for."""
        found = self.layers.frame([*names, *["measures"] * measure])
        if measure:
            numbers = found.pop("measures")
            if "gradients" in found:
                numbers["gradient"] = np.linalg.norm(found["gradients"].force, axis=1).mean()
            self._note(numbers, self.training.iterations)
        return found

    def _note(self, numbers: dict[str, float], now: int) -> None:
        self.numbers = numbers
        if self.training.history.iterations[-1] <= now:  # it is not a look at the past
            self.measured.drop_after(now - 1)
            self.measured.add(now, numbers)

    def curves(self) -> dict[str, list[tuple[int, float]]]:
        """Readings and measures over iterations, by name."""
        return {**self.training.curves.all(), **self.measured.all()}


class Desk:
    """A training, or two side by side, that one page plays with.

    Args:
        link: what is trained and drawn; with iterations, it plays until they are done.

    Raises:
        ConfigError: the choices cannot be combined.
    """

    def __init__(self, link: Link) -> None:
        self.sides = list[Side]()
        self.shown = list(link.layers)
        self.playing: Literal["", "iterations", "lines"] = ""
        self.speed, self.pace = 0.0, 1.0  # iterations a second, 0: all it can; seconds a line
        self.until = 0  # iterations at which it pauses; 0: it does not
        self.slowly = False  # whether the last thing done was a line
        self.stop: Stop | None = None
        self.before: tuple[list[Side], list[str]] | None = None  # the tour: sides, and layers shown
        self._train(link.setup, link.beside)
        if link.iterations:
            self.play(link.iterations)

    def _train(self, setup: Setup, beside: Setup | None = None) -> None:
        """Starts anew; what was there stays if these choices cannot be combined."""
        both = Match(setup, beside) if beside is not None else [LiveTraining(setup)]
        self.sides = [Side(training) for training in both]
        self.until, self.slowly = 0, False

    @property
    def setups(self) -> list[Setup]:
        """The choices in force, of the left and of the right side."""
        return [side.training.setup for side in self.sides]

    @property
    def iterations(self) -> int:
        """Done on the left."""
        return self.sides[0].training.iterations

    @property
    def repeatable(self) -> bool:
        """Whether the choices alone lead to what is shown."""
        return not any(side.training.interventions for side in self.sides)

    def link(self, *, here: bool = True) -> Link:
        """What is shown; `here`: at this iteration, if the choices alone lead to it."""
        left, *right = self.setups
        iterations = self.iterations if here and self.repeatable else 0
        drawn = tuple(name for name in SWITCHED if name in self.shown)
        return Link(left, right[0] if right else None, drawn, min(iterations, int(FAR.high)))

    # How it is played ----------------------------------------------------------------------------

    def play(self, until: int = 0) -> None:
        """Plays iterations; until so many are done, or without an end."""
        self.playing, self.until, self.slowly = "iterations", until, False

    def slow(self) -> None:
        """Plays the lines of Algorithm 1."""
        self.playing = "lines"

    def pause(self) -> None:
        """Stays where it is."""
        self.playing = ""

    def slice(self, seconds: float) -> float:
        """Trains for about so many seconds, and returns those from now until it should go on."""
        started = time.perf_counter()
        if self.playing == "lines":
            self._lines()
            if self.ended:
                self.pause()
            return self.pace
        wait = max(FRAME, 1 / self.speed) if self.speed else FRAME
        left = max(1, round(self.speed * wait)) if self.speed else math.inf
        while self.playing and left > 0:
            self._each(LiveTraining.iterate)
            left -= 1
            if 0 < self.until <= self.iterations or self.ended:
                self.pause()
            if time.perf_counter() - started >= seconds:
                break
        return max(0.0, wait - (time.perf_counter() - started))

    def _each(self, act: Callable[[LiveTraining], Any]) -> None:
        for side in self.sides:
            act(side.training)

    def frames(self, *, measure: bool = True) -> list[tuple[dict[str, Any], View, int]]:
        """What is drawn of each side, by layer; the part that is shown; dimensions of the data.

        In slow motion, what a line has drawn is among the layers: drawn_real, drawn_generated.

        Args:
            measure: also take the measures, which cost as much as the layers.
        """
        return [
            (
                side.frame(self.shown, measure=measure) | self._drawn(side),
                side.layers.view,
                side.layers.dim,
            )
            for side in self.sides
        ]

    def _drawn(self, side: Side) -> dict[str, Any]:
        drawn = side.training.drawn
        points = {"drawn_real": drawn.real, "drawn_generated": drawn.generated}
        return {n: p.numpy() for n, p in points.items() if self.slowly and p is not None}

    @property
    def ended(self) -> bool:
        """Whether no side can go on."""
        return all(side.training.failure is not None for side in self.sides)

    def iterate(self) -> None:
        """One iteration."""
        self.pause()
        self.slowly = False
        self._each(LiveTraining.iterate)

    def line(self) -> None:
        """One line of Algorithm 1."""
        self.pause()
        self._lines()

    def _lines(self) -> None:
        self._each(LiveTraining.advance)
        self.slowly = True

    def _lit(self, training: LiveTraining) -> int | None:
        """The line that has been carried out, by its place among the lines; None: no single one."""
        place = training.lines.index(training.line)
        return (place - 1) % len(training.lines) if self.slowly else None

    def d_update(self) -> None:
        """One update of D."""
        self.pause()
        self.slowly = False
        self._each(LiveTraining.d_update)

    def g_update(self) -> None:
        """One update of G."""
        self.pause()
        self.slowly = False
        self._each(LiveTraining.g_update)

    def reset(self) -> None:
        """Starts anew with the choices in force."""
        self.pause()
        self._train(*self.setups)

    def go_to(self, at: int) -> None:
        """Goes to the kept state that is nearest to an iteration."""
        self.pause()
        self.slowly = False
        for side in self.sides:
            at = side.training.go_to(at)

    def set_speed(self, value: float) -> None:
        """Iterations a second; 0: as many as it can."""
        self.speed = min(max(float(value), 0.0), FASTEST)

    def set_pace(self, value: float) -> None:
        """Seconds a line."""
        self.pace = min(max(float(value), FRAME), SLOWEST)

    # What is trained and drawn -------------------------------------------------------------------

    def choose(self, side: int, name: str, text: str) -> None:
        """Makes a choice on a side, given as in a URL; what needs a new training starts one.

        Raises:
            ConfigError: it is wrong, or cannot be combined with the others; nothing has changed.
        """
        if name not in NAMES:
            raise ConfigError([f"{choices.shown(name)}: unknown"])
        taken = {name: choices.read(name, text)}
        setups = self.setups
        if taken.get("data") == DRAWN:
            self._leave_the_tour()
            setups = self.setups
            taken["strokes"] = setups[0].strokes or EIGHT
        changed = [
            replace(one, **taken) if at == side or name in SHARED else one
            for at, one in enumerate(setups)
        ]
        if name in WHILE_IT_RUNS:
            self.sides[side].training.change(**taken)
        elif changed != setups:
            self._train(*changed)

    def draw(self, points: Sequence[Sequence[float]]) -> None:
        """Takes a distribution drawn by hand: points in [-1, 1]^2; without any, the figure of 8.

        It leaves the tour, whose settings are for the data of its stop.
        """
        self._leave_the_tour()
        strokes = written((x, y) for x, y in points[:MOST]) or EIGHT
        self._train(*(replace(setup, data=DRAWN, strokes=strokes) for setup in self.setups))

    def set_beside(self, *, on: bool) -> None:
        """Trains a second one beside the first, at first with the same choices; or ends it."""
        left = self.setups[0]
        self._train(left, left if on else None)

    def set_layer(self, name: str, *, on: bool) -> None:
        """Draws a layer, or does not."""
        kept = [other for other in self.shown if other != name]
        self.shown = [*kept, name] if on and name in SWITCHED else kept

    def tour(self, name: str) -> None:
        """Goes to a stop of the tour, and plays until there is something to see.

        Args:
            name: of the stop; "": leaves the tour, and brings back what was there before.
        """
        stop = STOPS.get(name)
        if stop is None:
            self._leave_the_tour()
            return
        if self.before is None:
            self.before = self.sides, self.shown
        self._train(stop.setup, stop.beside)
        self.stop, self.shown = stop, list(stop.layers)
        self.play(stop.iterations)

    def _leave_the_tour(self) -> None:
        if self.before is not None:
            self.pause()
            self.sides, self.shown = self.before
            self.until, self.slowly = 0, False
        self.stop = self.before = None

    @property
    def cured(self) -> bool:
        """Whether what the stop of the tour tells to change is in force."""
        if self.stop is None or not self.stop.change:
            return False
        setup = self.setups[0]
        return all(getattr(setup, name) == value for name, value in self.stop.change.items())

    def cure(self) -> None:
        """Mends what the stop of the tour shows, and plays until that can be seen, or on."""
        if self.stop is not None and self.stop.change:
            self.sides[0].training.change(**self.stop.change)
            self.play(self.iterations + self.stop.then if self.stop.then else 0)

    # What a page asks for ------------------------------------------------------------------------

    def act(self, wish: Mapping[str, Any]) -> None:
        """Does what a page asks for: {"do": a name in WISHES, ...: its arguments}.

        Raises:
            ConfigError: it cannot be done; nothing has changed.
        """
        given = {name: value for name, value in wish.items() if name != "do"}
        try:
            WISHES[wish["do"]](self, **given)
        except ConfigError:
            raise
        except (LookupError, OverflowError, TypeError, ValueError) as error:
            asked = choices.shown(str(wish.get("do")))
            raise ConfigError([f"the page asked for '{asked}', which cannot be done"]) from error

    def view(self) -> dict[str, Any]:
        """All that a page shows besides the pictures: plain data."""
        left = self.sides[0]
        training = left.training
        return {
            "iterations": self.iterations,
            "playing": self.playing,
            "speed": self.speed,
            "pace": self.pace,
            "kept": training.history.iterations,
            "lines": [[vars(line) for line in side.training.lines] for side in self.sides],
            "line": [self._lit(side.training) for side in self.sides],
            "url": self.link(here=not self.playing).query(),
            "link": self.link().query(),
            "commands": [side.training.command for side in self.sides],
            "repeatable": self.repeatable,
            "layers": self.shown,
            "dim": left.layers.dim,
            "scales": [side.layers.scale for side in self.sides],
            "choices": [written_out(setup) for setup in self.setups],
            "sides": [report(side) for side in self.sides],
            "doubts": [doubts(side.training) for side in self.sides],
            "titles": titles(self.setups),
            "stop": self.stop.name if self.stop is not None else "",
            "cured": self.cured,
        }


WISHES: Mapping[str, Callable[..., None]] = {
    "play": Desk.play,
    "slow": Desk.slow,
    "pause": Desk.pause,
    "iterate": Desk.iterate,
    "line": Desk.line,
    "d": Desk.d_update,
    "g": Desk.g_update,
    "reset": Desk.reset,
    "go_to": Desk.go_to,
    "speed": Desk.set_speed,
    "pace": Desk.set_pace,
    "choose": Desk.choose,
    "draw": Desk.draw,
    "beside": Desk.set_beside,
    "layer": Desk.set_layer,
    "tour": Desk.tour,
    "cure": Desk.cure,
}


def written_out(setup: Setup) -> dict[str, str]:
    """The choices as they stand in a URL, but for what is drawn."""
    return {n: choices.written(getattr(setup, n)) for n in NAMES if n != "strokes"}


def report(side: Side) -> dict[str, Any]:
    """What a training says of itself: plain data."""
    training, modes = side.training, side.layers.modes
    return {
        "numbers": measured(side.numbers, len(modes) if modes is not None else 0),
        "failure": training.failure,
        "ailing": training.ailing,
        "verdicts": [
            {"iteration": one.iteration, "ailment": one.ailment, "text": told(one, training)}
            for one in training.verdicts
            if one.evidence != training.failure  # which is said by itself
        ],
    }


def told(verdict: Verdict, training: LiveTraining) -> str:
    """The evidence of a verdict, and what to try as long as it holds."""
    holds = verdict.ailment in training.ailing
    return verdict.evidence + (advice(verdict.ailment, training.setup) if holds else "")


def doubts(training: LiveTraining) -> list[str]:
    """Sentences on choices that train, although they are not what their names say."""
    gan = training.gan
    return [UNBOUNDED] * bool(compatibility.doubts(gan.discriminator, gan.loss, gan.regularizers))


def titles(setups: Sequence[Setup]) -> list[str]:
    """What tells sides from each other; their losses if nothing does."""
    differing = [name for name in NAMES if len({getattr(setup, name) for setup in setups}) > 1]
    return [
        ", ".join(named(name, getattr(setup, name)) for name in differing)
        or named("loss", setup.loss)
        for setup in setups
    ]
