"""One person's way through a quiz: the trial that is due, the answers so far."""

import secrets
from collections.abc import Sequence
from typing import Any, NamedTuple

from ganlab.quizzing.staircase import Staircase
from ganlab.quizzing.trials import Choice, Design, Trial


class Answer(NamedTuple):
    """An answer to a trial.

    Args:
        right: what would be right.
        given: what was answered.
        seconds: until it was.
        exposure_ms: how long the images were to be shown; None: until the answer.
        shown_ms: how long they were, by the frames of the screen.
    """

    right: Choice
    given: Choice
    seconds: float
    exposure_ms: int | None = None
    shown_ms: float | None = None

    @property
    def correct(self) -> bool:
        """Whether it is right."""
        return self.given == self.right

    @property
    def lag(self) -> float | None:
        """Milliseconds that the images stayed longer than they were to."""
        if self.exposure_ms is None or self.shown_ms is None:
            return None
        return self.shown_ms - self.exposure_ms


class Play:
    """The state of a quiz that is being played.

    Args:
        design: the numbers of trials.
        trials: practice first.
        staircase: of the exposures; None: images are shown until the answer.
        feedback: tells after each trial whether the answer was right; after practice it always
            does.
    """

    def __init__(
        self,
        design: Design,
        trials: Sequence[Trial],
        staircase: Staircase | None = None,
        *,
        feedback: bool = False,
    ) -> None:
        self.design, self.trials = design, trials
        self.staircase, self.feedback = staircase, feedback
        self.given = list[Answer]()
        self._seen = ""  # the trial whose images have been asked for
        # Random, so that nothing of the seed or the order is in a name.
        self._names = [secrets.token_hex(8) for _ in trials]

    @property
    def finished(self) -> bool:
        """Whether all trials are answered."""
        return len(self.given) == len(self.trials)

    @property
    def practising(self) -> bool:
        """Whether the trial that is due does not count."""
        return len(self.given) < self.design.practice

    @property
    def answers(self) -> list[Answer]:
        """Those that count."""
        return self.given[self.design.practice :]

    @property
    def due(self) -> str:
        """The name of the trial that is due."""
        return self._names[len(self.given)]

    def images(self, name: str) -> tuple[bytes, ...] | None:
        """The images of the trial that is due, then seen; None if that is not its name."""
        if not self._is_due(name):
            return None
        self._seen = name
        return self.trials[len(self.given)].images

    def question(self) -> dict[str, Any]:
        """All that the page may know of the trial that is due, besides its images."""
        done = len(self.given) if self.practising else len(self.answers)
        return {
            "name": self.due,
            "number": done + 1,
            "of": self.design.practice if self.practising else self.design.n,
            "practice": self.practising,
            "exposure": self.exposure,
            "seen": self._seen == self.due,
        }

    @property
    def exposure(self) -> int | None:
        """How long the images of the trial that is due are shown, in milliseconds."""
        if self.staircase is None:
            return None
        return self.staircase.exposure([answer.correct for answer in self.answers])

    def answer(
        self, name: str, given: Choice, seconds: float, shown: float | None = None
    ) -> Answer | None:
        """Takes an answer to the trial that is due; None if that is not its name.

        Args:
            name: of the trial.
            given: the answer.
            seconds: until it was given.
            shown: milliseconds for which the images were seen.
        """
        if not self._is_due(name):
            return None
        right, exposure = self.trials[len(self.given)].right, self.exposure
        self.given.append(Answer(right, given, seconds, exposure, shown))
        return self.given[-1]

    def tells(self) -> bool:
        """Whether the answer that was given last is followed by the right one."""
        return self.feedback or len(self.given) <= self.design.practice

    def _is_due(self, name: str) -> bool:
        return not self.finished and name == self.due
