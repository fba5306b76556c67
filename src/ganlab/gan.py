"""The GAN: one LightningModule for all of them; `play` is Algorithm 1."""

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from ganlab.augment import Augment
from ganlab.compatibility import refuse
from ganlab.conditioning import Conditioning
from ganlab.generative import Generative
from ganlab.latent import Latent
from ganlab.losses import Loss
from ganlab.networks.contract import Generator
from ganlab.networks.discriminator import independent
from ganlab.networks.fitted import fit, unfitted
from ganlab.networks.layers import autocast
from ganlab.optimizers import Extragradient
from ganlab.regularizers import Regularizer
from ganlab.schedules import Number
from ganlab.spec import Spec, at_least
from ganlab.training.batch import Batch, RealImages
from ganlab.training.ema import EMA, Statistics
from ganlab.training.labels import labelled, part
from ganlab.training.terms import Discrimination, Generation, Output, slope_of
from ganlab.training.updates import Player, UpdateRule, average_over_ranks, frozen

G, D = "g", "d"  # the players


class GAN(Generative):
    """A generator and a discriminator that play a two-player game.

    Args:
        generator: z (N, latent.dim + conditioning.code_dim), noise and then the code, -> images
            (N, C, H, W) in [-1, 1].
        discriminator: images (N, C, H, W) -> logits (N,).
        loss: what each player minimises.
        spec: shape of the images, or of the points that take their place, and number of classes.
        latent: the prior p(z).
        g_rule, d_rule: how each player is updated.
        conditioning: the code of G, and what D is asked about it; None: nothing.
        regularizers: terms of either player's loss, by name.
        augment: augmentation of all images that D sees; None: none.
        d_steps: Algorithm 1's k, discriminator updates per generator update.
        ema: decay of the moving average of G's weights that `sample` uses, or a schedule of it;
            None: no average.
        ema_statistics: what BatchNorm's running statistics of the average are: copy, average or
            recompute (training/ema.py).
        d_ema: the same of D's weights, once an iteration; the average then names the classes of
            held-out images.
        iterations: length of the run, for schedules; ENDLESS: the clock ends it.
        seed: of all random numbers, in [0, 2^32).

    Raises:
        CombinationError: the parts cannot work together.
    """

    counted = G
    words = (
        "It is the one half of a generative adversarial network (GAN) that draws; the "
        "discriminator is not here."
    )
    tags = ("gan", "generative-adversarial-network")

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        loss: Loss,
        *,
        spec: Spec,
        latent: Latent,
        g_rule: UpdateRule,
        d_rule: UpdateRule,
        conditioning: Conditioning | None = None,
        regularizers: Mapping[str, Regularizer] | None = None,
        augment: Augment | None = None,
        d_steps: int = 1,
        ema: Number | None = None,
        ema_statistics: Statistics = "copy",
        d_ema: Number | None = None,
        iterations: int = 1,
        seed: int = 0,
    ) -> None:
        at_least(1, d_steps=d_steps)
        conditioning = conditioning or Conditioning(spec)
        refuse(discriminator, loss, regularizers or {}, conditioning, augment, spec)
        conditioning.attach(discriminator)
        players = {
            G: Player((generator,), g_rule),
            D: Player((discriminator, conditioning), d_rule),
        }
        super().__init__(
            generator,
            players,
            spec=spec,
            latent=latent,
            conditioning=conditioning,
            data_steps=d_steps,
            ema=ema,
            ema_statistics=ema_statistics,
            iterations=iterations,
            seed=seed,
            score=loss.score,
        )
        self.discriminator, self.loss, self.d_steps = discriminator, loss, d_steps
        self.augment = augment or Augment()
        averages = []
        if d_ema is not None:
            averages = [EMA(judge, d_ema, name="d_ema") for judge in players[D].networks]
        # Typed as what is used of them: the values of both are Modules without further type.
        self.d_averages: list[EMA] = nn.ModuleList(averages)  # type: ignore[assignment]
        self.regularizers: dict[str, Any] = nn.ModuleDict(regularizers or {})  # type: ignore[assignment]
        self.to(memory_format=torch.channels_last)  # convolutions are faster so

    # Algorithm 1 (Goodfellow et al. 2014) --------------------------------------------------------

    def play(self, batch: RealImages) -> None:
        """One iteration of Algorithm 1: k updates of D, one of G."""
        minibatches = batch.unbind()
        self.look_ahead(minibatches)
        for real in minibatches[: self.d_steps]:  # for k steps, each on a fresh minibatch:
            self.d_step(real)
        self.g_step(minibatches[-1])
        self.average()

    @labelled("D step")
    def d_step(self, minibatch: Batch) -> None:
        """Updates the discriminator by its stochastic gradient (Algorithm 1, lines 3-6)."""
        self._d_gradient(minibatch)
        self.update(D)
        for regularizer in self.regularizers.values():
            regularizer.project(self.players[D].parameters)

    @labelled("G step")
    def g_step(self, minibatch: Batch) -> None:
        """Updates the generator by its stochastic gradient (Algorithm 1, lines 8-9)."""
        self._g_gradient(minibatch)
        self.update(G)

    def _d_gradient(self, minibatch: Batch) -> None:
        """Puts the stochastic gradient of D's loss into D's parameters."""
        self.optimizer(D).zero_grad()
        with self._g_frozen:
            for real in minibatch.chunk(self.players[D].rule.accumulate):
                z = self.latents(real.labels)
                with torch.no_grad():
                    fake = self._generated(z)[0].to(real.images.dtype)
                share = real.size / minibatch.size
                self.manual_backward(share * self.d_loss(real, fake, self.code_in(z)))

    def _g_gradient(self, minibatch: Batch) -> None:
        """Puts the stochastic gradient of G's loss into G's parameters."""
        self.optimizer(G).zero_grad()
        with self._d_frozen:
            for real in minibatch.chunk(self.players[G].rule.accumulate):
                z = self.latents(real.labels)
                fake, computed = self._generated(z)
                share = real.size / minibatch.size
                self.manual_backward(share * self.g_loss(fake, real, z, computed))

    def look_ahead(self, minibatches: list[Batch]) -> None:
        """Moves players with an extragradient optimizer to where they look ahead.

        Both gradients are taken before anyone moves.  The updates that follow see the players
        there, and the same images; if both look ahead and k = 1 the same noise, too: one sample for
        both (Mishchenko et al. 2020).  They alternate as ever, so with k > 1 all of D's updates
        play against the G ahead.  What is observed is of both.
        """
        ahead = [p for p in (D, G) if isinstance(self.optimizer(p), Extragradient)]
        if not ahead:
            return
        if D in ahead:
            self._d_gradient(minibatches[0])
        if G in ahead:
            self._g_gradient(minibatches[-1])
        for player in ahead:
            self.update(player, extrapolate=True)
        self.begin_iteration()

    def fit_to(self, batch: RealImages) -> None:
        """Fits D's layers that are initialised on the first minibatches, if it has any."""
        if not (layers := unfitted(*self.players[D].networks)):
            return
        minibatches = batch.unbind()
        images, labels = (
            torch.cat([getattr(minibatch, name) for minibatch in minibatches])
            for name in ("images", "labels")
        )
        code = self.code_in(self.latents(labels))
        with torch.autocast(self.device.type, enabled=False):
            fit(layers, lambda: self.discriminate(images, code))
        if self.trainer.world_size > 1:  # each rank saw its own images
            tensors = [t for layer in layers for t in layer.state_dict().values()]
            average_over_ranks([t for t in tensors if t.is_floating_point()])

    # Losses --------------------------------------------------------------------------------------

    @labelled("losses")
    def d_loss(self, real: Batch, fake: Tensor, code: Tensor) -> Tensor:
        """D's loss with all its terms, on images in [-1, 1] under the condition `code`."""
        of_real, of_fake = self.discriminate_both(real.images, fake, code, self._slopes_wanted())
        update = Discrimination(
            lambda images: self.discriminate(images, code).logits,
            of_real,
            of_fake,
            self._discriminate_labeled(real.labeled),
        )
        self.augment.hear(of_real)
        self.observations.add_logits(of_real.logits, of_fake.logits)
        loss = self.loss.d_loss(of_real.logits, of_fake.logits)
        self.observations.add("loss/d", loss)
        for readings in (
            self.loss.readings(),
            self.conditioning.readings(update),
            self.augment.readings(),
        ):
            self.observations.add_all(readings)
        if (term := self.conditioning.d_term(update)) is not None:
            self.observations.add("loss/d/conditioning", term)
            loss = loss + term
        for due in self._due_terms(D, "penalty", lambda r: r.d_term(update)):
            loss = loss + due
        return loss

    @labelled("losses")
    def g_loss(
        self, fake: Tensor, real: Batch, z: Tensor, computed: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """G's loss with all its terms, on images of latents z; some use real images, too.

        Args:
            fake: (N, C, H, W), the images of z.
            real: the minibatch of real images.
            z: (N, latent.dim + code_dim).
            computed: what G computed on the way, by name.
        """
        code = self.code_in(z)
        if self.needs_real:
            of_real, of_fake = self.discriminate_both(real.images, fake, code)
        else:
            of_real, of_fake = None, self.discriminate(fake, code)
        update = Generation(self.generator, z, of_fake, of_real, computed or {})
        loss = of_fake.logits.new_zeros(())
        for due in self._due_terms(G, "loss/g", lambda r: r.g_term(update)):
            loss = loss + due
        if (term := self.conditioning.g_term(update)) is not None:
            self.observations.add("loss/g/conditioning", term)
            loss = loss + term
        if not any(regularizer.replaces for regularizer in self.regularizers.values()):
            term = self.loss.g_loss(of_fake.logits, None if of_real is None else of_real.logits)
            self.observations.add("loss/g", term)
            loss = loss + term
        return loss

    def _due_terms(
        self, player: str, label: str, term_of: Callable[[Regularizer], Tensor | None]
    ) -> Iterator[Tensor]:
        """The terms of the regularizers that are due in a player's update, times their interval."""
        for name, regularizer in self.regularizers.items():
            if not regularizer.due(self.updates[player]):
                continue
            with part(f"regularizer.{name}"):
                term = term_of(regularizer)
            if term is not None:
                self.observations.add(f"{label}/{name}", term)
                yield regularizer.every * term

    @labelled("G forward")
    def _generated(self, z: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Images of z, and what G computed on the way."""
        if isinstance(self.generator, Generator):
            return self.generator.generate(z)
        return self.generator(z), {}

    @property
    def needs_real(self) -> bool:
        """Whether G's update uses real images."""
        return self.loss.needs_real or any(r.needs_real for r in self.regularizers.values())

    @property
    def minibatches(self) -> int:
        """k of them for D, and one more if G's update uses real images."""
        return self.d_steps + self.needs_real

    def control_flow(self) -> tuple[bool, ...]:
        """Whether gradient norms are wanted, and which lazy terms are due."""
        terms, d = list(self.regularizers.values()), self.updates[D]
        of_d, of_g = ([r for r in terms if r.has_term(player)] for player in (D, G))
        due = [r.due(n) for n in range(d, d + self.d_steps) for r in of_d]
        return *super().control_flow(), *due, *(r.due(self.updates[G]) for r in of_g)

    # Averages ------------------------------------------------------------------------------------

    @property
    def averages(self) -> list[EMA]:
        return [*super().averages, *self.d_averages]

    def average(self) -> None:
        super().average()
        for average, judge in zip(self.d_averages, self.players[D].networks, strict=False):
            average.update(judge)

    @property
    def judges(self) -> tuple[nn.Module, Conditioning]:
        """D's networks as they judge held-out images: their averages, if there are any."""
        if not self.d_averages:
            return self.discriminator, self.conditioning
        discriminator, conditioning = (average.network for average in self.d_averages)
        return discriminator, cast("Conditioning", conditioning)

    # The discriminator's pass --------------------------------------------------------------------

    @labelled("D forward")
    def discriminate(
        self, images: Tensor, code: Tensor, *, slope: bool = False, minibatches: int = 1
    ) -> Output:
        """D's output for images (N, C, H, W) in [-1, 1] under a condition (N, code_dim).

        Args:
            images: all of them; each minibatch among them is augmented by itself.
            code: their condition.
            slope: whether the output contains D's slope at the images; they are then detached.
            minibatches: how many minibatches the images are.
        """
        if slope:
            images = images.detach().requires_grad_()
        parts = [self.augment(minibatch) for minibatch in images.chunk(minibatches)]
        augmented = torch.cat(parts) if len(parts) > 1 else parts[0]
        output = self.conditioning.discriminate(self.discriminator, augmented, code)
        return replace(
            output, images=images, slope=slope_of(output.logits, images) if slope else None
        )

    def discriminate_both(
        self, real: Tensor, fake: Tensor, code: Tensor, slopes: tuple[bool, bool] = (False, False)
    ) -> tuple[Output, Output]:
        """D's output for real and for generated images under the same conditions.

        In one pass where that changes nothing and costs nothing: BatchNorm would mix the statistics
        of both, and a slope at one kind would be computed for the other, too.
        """
        of_real, of_fake = slopes
        if not self._d_is_independent or of_real != of_fake:
            return (
                self.discriminate(real, code, slope=of_real),
                self.discriminate(fake, code, slope=of_fake),
            )
        images, codes = torch.cat([real, fake]), torch.cat([code, code])
        return self.discriminate(images, codes, slope=of_real, minibatches=2).halves()

    def _slopes_wanted(self) -> tuple[bool, bool]:
        """Whether due terms want D's slope at real images, and at generated ones.

        Not under autocast: its half precision is too coarse for them, and they take further passes
        outside of it.
        """
        if autocast(self.device):
            return False, False
        due = [r.slope_at for r in self.regularizers.values() if r.due(self.updates[D])]
        return "real" in due, "fake" in due

    def _discriminate_labeled(self, labeled: Batch | None) -> Output | None:
        """D's output for labeled images, in semi-supervised learning; the code is their class."""
        if labeled is None:
            return None
        return self.discriminate(labeled.images, one_hot(labeled.labels, self.spec.classes))

    @functools.cached_property
    def _d_is_independent(self) -> bool:
        return independent(*self.players[D].networks)

    @functools.cached_property
    def _g_frozen(self) -> frozen:
        return frozen(*self.players[G].networks)

    @functools.cached_property
    def _d_frozen(self) -> frozen:
        return frozen(*self.players[D].networks)
