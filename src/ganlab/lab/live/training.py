"""A ganlab training that a person plays with: one iteration, one update or one line at a time."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ganlab.errors import ConfigError, NonFiniteError
from ganlab.gan import D, G
from ganlab.health.verdicts import Verdict, diverged
from ganlab.lab.live.algorithm import Line, lines
from ganlab.lab.live.health import Doctor
from ganlab.lab.live.history import Curves, History, Snapshot, copied
from ganlab.lab.live.setup import WHILE_IT_RUNS, Setup
from ganlab.lab.live.stage import Stage
from ganlab.optimizers import Extragradient
from ganlab.spec import at_least
from ganlab.training.batch import Batch
from ganlab.training.observations import Observations
from ganlab.training.streams import Stream, mixed

EVERY = 10  # iterations between two readings, and between two snapshots


@dataclass(frozen=True)
class Drawn:
    """What the lines of an iteration have drawn so far, in slow motion.

    Args:
        noise: z, (m, latent_dim); None: not yet drawn.
        generated: G(z), (m, d).
        real: x, (m, d); None: not yet drawn.
    """

    noise: Tensor | None = None
    generated: Tensor | None = None
    real: Tensor | None = None


NOTHING = Drawn()


class LiveTraining:
    """A GAN on points that trains while somebody watches and intervenes.

    The same setup gives the same weights, bit for bit, as `ganlab train` with its words.  It uses
    no thread and no file.

    Args:
        setup: all choices.

    Raises:
        ConfigError: the choices cannot be combined; a sentence for each reason.
    """

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.history, self.curves = History(), Curves()
        self.interventions = 0  # changes and single updates; without any, `command` repeats it
        self.drawn = NOTHING
        self.failure: str | None = None  # why the training cannot go on
        self._enter(Stage.of(setup))
        self._keep()

    def _enter(self, stage: Stage) -> None:
        self.stage, self.gan = stage, stage.gan
        self.doctor = Doctor(stage) if self.setup.health else None
        self._singles = 0  # single updates so far
        self._program: Iterator[None] | None = None  # of the iteration in slow motion
        self._at = 0  # its line that comes next
        ahead = any(isinstance(optimizer, Extragradient) for optimizer in stage.optimizers)
        self.lines = lines(
            self.setup.loss, self.gan.d_steps, ahead=ahead, needs_real=self.gan.needs_real
        )

    # What it says --------------------------------------------------------------------------------

    @property
    def iterations(self) -> int:
        """Iterations of Algorithm 1 that are done."""
        return self.gan.iterations

    @property
    def line(self) -> Line:
        """The line of Algorithm 1 that comes next."""
        return self.lines[self._at]

    @property
    def verdicts(self) -> list[Verdict]:
        """Verdicts on the run's health so far, each ailment once, in the order they came."""
        return list(self.doctor.verdicts) if self.doctor is not None else []

    @property
    def ailing(self) -> list[str]:
        """The ailments that the latest readings show; empty: none, or not watched."""
        return self.doctor.ailing if self.doctor is not None else []

    @property
    def command(self) -> str:
        """The command that trains the same run up to here.

        It gives the same weights if `interventions` is 0.
        """
        return self.setup.command(max(1, self.iterations))

    # Training ------------------------------------------------------------------------------------

    def iterate(self, n: int = 1) -> int:
        """Does n iterations; one that slow motion has begun is finished first and is the first.

        Returns:
            How many were done: fewer than n if numbers have become infinite, which `failure` says.
        """
        at_least(1, n=n)
        self._leave_the_past()
        for done in range(n):
            if self.failure is not None:
                return done
            if self._program is not None:
                self._finish()
            else:
                self.gan.observations.norms = self._due(ahead=1)
                self.gan.training_step(self.stage.batch(self.stage.order, self.iterations), 0)
                self._note()
        return n

    def advance(self) -> Line:
        """Carries out the next line of Algorithm 1, and returns it; `line` is then the one after.

        `drawn` holds what the lines have drawn.
        """
        if self.failure is not None:
            return self.line
        self._leave_the_past()
        if self._program is None:
            self._program = self._slowly()
        line = self.line
        next(self._program)
        self._at = (self._at + 1) % len(self.lines)
        if self._at == 0:
            self._finish()
        return line

    def d_update(self) -> None:
        """One more update of D, on points and noise of its own; no iteration is counted."""
        self._single(D)

    def g_update(self) -> None:
        """One more update of G, on noise of its own; no iteration is counted."""
        self._single(G)

    def _single(self, player: str) -> None:
        if self.failure is not None:
            return
        self._leave_the_past()
        gan, noise = self.gan, self.gan.noise.get_state()
        key = (gan.seed, Stream.SINGLE_UPDATES, self.iterations, self._singles, "dg".index(player))
        gan.noise.manual_seed(mixed(*key))
        (minibatch,) = self.stage.batch(self.stage.single_order, self._singles).unbind()
        (gan.d_step if player == D else gan.g_step)(minibatch)
        gan.noise.set_state(noise)
        self._singles += 1
        self.interventions += 1
        self._keep()

    def _slowly(self) -> Iterator[None]:
        """The steps of `GAN.play`, a line at a time."""
        gan, batch = self.gan, self.stage.batch(self.stage.order, self.iterations)
        self.drawn = NOTHING
        gan.observations.norms = self._due(ahead=1)
        gan.begin_iteration()
        if gan.iterations == 0:
            gan.fit_to(batch)
        minibatches = batch.unbind()
        gan.look_ahead(minibatches)
        if self.line.kind == "ahead":
            yield
        for real in minibatches[: gan.d_steps]:
            self.drawn = self._peeked(real)
            yield
            self.drawn = replace(self.drawn, real=real.images)
            yield
            gan.d_step(real)
            yield
        self.drawn = self._peeked(minibatches[-1])
        yield
        if gan.needs_real:
            self.drawn = replace(self.drawn, real=minibatches[-1].images)
            yield
        gan.g_step(minibatches[-1])
        gan.average()
        gan.iterations += 1
        gan.images_seen += gan.images_per_iteration(batch)
        yield

    @torch.no_grad()
    def _peeked(self, minibatch: Batch) -> Drawn:
        """The noise that the next update will draw, and what G makes of it."""
        state = self.gan.noise.get_state()
        z = self.gan.latents(minibatch.labels)
        self.gan.noise.set_state(state)
        return Drawn(z, self.gan.generator(z))

    def _finish(self) -> None:
        """Carries out what is left of the iteration that slow motion has begun."""
        if self._program is None:
            return
        for _ in self._program:
            pass
        self._program, self._at = None, 0
        self._note()

    def _due(self, ahead: int = 0) -> bool:
        return (self.iterations + ahead) % EVERY == 0

    def _note(self) -> None:
        """Reads and keeps, at intervals, what an iteration has left."""
        if not self._due():
            return
        if self.doctor is not None:
            self.doctor.look(self.stage)
        try:
            read = self.gan.observations.read()
        except NonFiniteError as error:
            self.failure = str(error)
            if self.doctor is not None:
                self.doctor.verdicts.append(diverged(self.iterations, self.failure))
            self._keep()  # so that one can come back to it
            return
        self.curves.add(self.iterations, read)
        self._keep()

    # Choices that change while it runs -----------------------------------------------------------

    def change(self, **choices: Any) -> None:
        """Changes choices of WHILE_IT_RUNS; weights and, of the same kind, optimizers stay.

        An iteration that slow motion has begun is finished first.

        Raises:
            ConfigError: a choice is wrong, cannot be combined with the others, or needs a new
                training; nothing has changed.
        """
        if fixed := [name for name in choices if name not in WHILE_IT_RUNS]:
            way = "it needs a new training"
            raise ConfigError([f"{name}: cannot change while it runs; {way}" for name in fixed])
        setup = replace(self.setup, **choices)
        if setup == self.setup:
            return
        stage = Stage.of(setup)
        self._leave_the_past()
        self._finish()
        state, self.setup = self._state(), setup
        self._enter(stage)
        self._restore(state)
        self.interventions += 1
        self.failure = None
        self._keep()

    # History -------------------------------------------------------------------------------------

    def go_to(self, iteration: int) -> int:
        """Goes to the kept state that is nearest to an iteration; the choices of then are in force.

        What came later stays, so one can go there again, until the training goes on from here: then
        it is forgotten, as in an editor that has undone something.  Going on gives bit for bit what
        it gave the first time, if nothing is changed.

        Returns:
            The iteration.
        """
        kept = self.history.nearest(iteration)
        if kept.setup != self.setup:
            self.setup = kept.setup
            self._enter(Stage.of(kept.setup))
        self._restore(kept.state)
        self.interventions = kept.state["interventions"]
        self.failure = kept.state["failure"]
        return self.iterations

    def _leave_the_past(self) -> None:
        """Forgets the future of a state to which one has gone back."""
        if self.history.iterations[-1] > self.iterations:
            self.history.drop_after(self.iterations)
            self.curves.drop_after(self.iterations)

    def _keep(self) -> None:
        self.history.add(Snapshot(self.iterations, self.setup, self._state()))

    def _state(self) -> dict[str, Any]:
        """Everything but the choices, copied."""
        gan = self.gan
        return {
            "gan": copied(dict(gan.state_dict())),
            "optimizers": [copied(optimizer.state_dict()) for optimizer in self.stage.optimizers],
            "kinds": [type(optimizer) for optimizer in self.stage.optimizers],
            "iterations": gan.iterations,
            "images_seen": gan.images_seen,
            "updates": dict(gan.updates),
            "singles": self._singles,
            "interventions": self.interventions,
            "failure": self.failure,
            "health": self.doctor.state() if self.doctor is not None else None,
        }

    def _restore(self, state: dict[str, Any]) -> None:
        """Takes over a state; what these choices do not know, or know besides, is left out."""
        gan, known = self.gan, self.gan.state_dict()
        taken = {n: t for n, t in state["gan"].items() if n in known}
        gan.load_state_dict(taken, strict=False)
        kept = zip(self.stage.optimizers, state["optimizers"], state["kinds"], strict=True)
        for optimizer, saved, kind in kept:
            if type(optimizer) is kind:
                groups = optimizer.state_dict()["param_groups"]
                optimizer.load_state_dict({"state": saved["state"], "param_groups": groups})
        gan.iterations, gan.images_seen = state["iterations"], state["images_seen"]
        gan.updates = dict(state["updates"])
        gan.observations = Observations(gan.loss.score)
        self._singles, self.drawn = state["singles"], NOTHING
        self._program, self._at = None, 0
        if self.doctor is not None and state["health"] is not None:
            self.doctor.load_state(state["health"])
