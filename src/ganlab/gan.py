"""The GAN: one LightningModule for all of them; `training_step` is Algorithm 1."""

import functools
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, cast

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.nn.functional import one_hot
from torch.optim import Optimizer

from ganlab.augment import NoAugment
from ganlab.compatibility import refuse
from ganlab.conditioning import NoConditioning
from ganlab.latent import Latent, mixed, seed_global_generators, stream
from ganlab.losses import Loss
from ganlab.networks.discriminator import independent
from ganlab.optimizers import Extragradient
from ganlab.regularizers import Regularizer
from ganlab.spec import Spec, at_least
from ganlab.training.batch import Batch, RealImages
from ganlab.training.critique import Critique, Opinion
from ganlab.training.ema import EMA
from ganlab.training.observations import Observations
from ganlab.training.updates import (
    UpdateRule,
    average_over_ranks,
    global_norm,
    gradients,
    untouched,
)

G, D = 0, 1  # the players, in the order of their optimizers
NOISE, SAMPLE, LAYERS = 2, 3, 4  # streams of random numbers; the data's order is another (data/)


class GAN(LightningModule):
    """A generator and a discriminator that play a two-player game.

    Every random number of an iteration is a function of (seed, iteration), so a checkpoint needs
    no random state: `iterations` is enough to go on exactly.

    Args:
        generator: z (N, latent.dim + conditioning.code_dim), noise and then the code, -> images
            (N, C, H, W) in [-1, 1].
        discriminator: images (N, C, H, W) -> logits (N,).
        loss: what each player minimises.
        spec: shape of the images, or of the points that take their place, and number of classes.
        latent: the prior p(z).
        g_rule, d_rule: how each player is updated.
        conditioning: what G is told and D is asked beside; None: nothing.
        regularizers: terms of either player's loss, by name.
        augment: what is done to all images that D sees; None: nothing.
        d_steps: Algorithm 1's k, discriminator updates per generator update.
        ema: decay of the moving average of G's weights that `sample` uses; None: no average.
        iterations: length of the run, for the learning-rate schedules.
        seed: of all noise.
    """

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
        conditioning: NoConditioning | None = None,
        regularizers: Mapping[str, Regularizer] | None = None,
        augment: NoAugment | None = None,
        d_steps: int = 1,
        ema: float | None = None,
        iterations: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        at_least(1, d_steps=d_steps, iterations=iterations)
        conditioning = conditioning or NoConditioning(spec)
        refuse(discriminator, loss, regularizers or {}, conditioning, augment, spec)
        conditioning.attach(discriminator)
        self.automatic_optimization = False
        self.generator, self.discriminator = generator, discriminator
        self.conditioning, self.augment = conditioning, augment or NoAugment()
        self.loss, self.spec, self.latent = loss, spec, latent
        self.g_rule, self.d_rule, self.d_steps = g_rule, d_rule, d_steps
        self.regularizers: dict[str, Any] = nn.ModuleDict(regularizers or {})  # type: ignore[assignment]
        self.ema = EMA(generator, ema) if ema is not None else None
        self.to(memory_format=torch.channels_last)  # convolutions are faster so
        self.total_iterations, self.seed = iterations, seed
        self.iterations = self.d_updates = self.images_seen = 0
        self.attempt = 0  # times that the run has gone back to a healthy checkpoint
        self.observations = Observations(loss.score)

    # Algorithm 1 ---------------------------------------------------------------------------------

    def training_step(self, batch: RealImages, batch_idx: int) -> None:
        """One iteration of Algorithm 1 (Goodfellow et al. 2014)."""
        self.begin_iteration()
        self.play(batch)
        self.iterations += 1
        self.images_seen += batch.size * self.d_steps * self.trainer.world_size

    def play(self, batch: RealImages) -> None:
        """Both players' updates: what an iteration computes, and what a graph can replay."""
        minibatches = batch.unbind()
        self._look_ahead(minibatches)
        for real in minibatches[: self.d_steps]:  # for k steps, each on a fresh minibatch:
            self.d_step(real)
        self.g_step(minibatches[-1])
        self._average()

    def d_step(self, minibatch: Batch) -> None:
        """Updates the discriminator by its stochastic gradient (Algorithm 1, lines 3-6)."""
        self._d_gradient(minibatch)
        self._update(D)
        self.d_updates += 1
        for regularizer in self.regularizers.values():
            regularizer.project(self.d_parameters)

    def g_step(self, minibatch: Batch) -> None:
        """Updates the generator by its stochastic gradient (Algorithm 1, lines 8-9)."""
        self._g_gradient(minibatch)
        self._update(G)

    def _look_ahead(self, minibatches: list[Batch]) -> None:
        """Players with an extragradient optimizer go to where they would go (`Extragradient`).

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
            self._update(player, extrapolate=True)
        self.begin_iteration()

    def _d_gradient(self, minibatch: Batch) -> None:
        """Puts the stochastic gradient of D's loss into D's parameters."""
        self.optimizer(D).zero_grad()
        with self._g_rests:
            for real in minibatch.chunk(self.d_rule.accumulate):
                z = self.latents(real.labels)
                with torch.no_grad():
                    fake = self.generator(z).to(real.images.dtype)
                share = real.size / minibatch.size
                self.manual_backward(share * self.d_loss(real, fake, self.code_in(z)))

    def _g_gradient(self, minibatch: Batch) -> None:
        """Puts the stochastic gradient of G's loss into G's parameters."""
        self.optimizer(G).zero_grad()
        with self._d_rests:
            for real in minibatch.chunk(self.g_rule.accumulate):
                z = self.latents(real.labels)
                fake = self.generator(z)
                share = real.size / minibatch.size
                self.manual_backward(share * self.g_loss(fake, real, self.code_in(z)))

    def d_loss(self, real: Batch, fake: Tensor, code: Tensor) -> Tensor:
        """D's loss with all its terms, on images in [-1, 1] that stand under `code`."""
        critique = Critique(
            lambda images: self.judge(images, code).logits,
            *self.judge_both(real.images, fake, code),
            self.judge_labeled(real.labeled),
        )
        loss = self.loss.d_loss(critique.real.logits, critique.fake.logits)
        self.observations.add_logits(critique.real.logits, critique.fake.logits)
        self.observations.add("loss/d", loss)
        for readings in (self.loss.readings(), self.conditioning.readings(critique)):
            self.observations.add_all(readings)
        if (term := self.conditioning.penalty(critique)) is not None:
            self.observations.add("loss/d/conditioning", term)
            loss = loss + term
        for name, regularizer in self.regularizers.items():
            due = self.d_updates % regularizer.every == 0
            if due and (penalty := regularizer.penalty(critique)) is not None:
                self.observations.add(f"penalty/{name}", penalty)
                loss = loss + regularizer.every * penalty
        return loss

    def g_loss(self, fake: Tensor, real: Batch, code: Tensor) -> Tensor:
        """G's loss with all its terms; only some losses and terms look at real images, too."""
        if self.needs_real:
            judged_real, judged = self.judge_both(real.images, fake, code)
        else:
            judged_real, judged = None, self.judge(fake, code)
        terms = [(f"/{n}", r.g_penalty(judged, judged_real)) for n, r in self.regularizers.items()]
        terms.append(("/conditioning", self.conditioning.g_penalty(judged)))
        if not any(regularizer.replaces for regularizer in self.regularizers.values()):
            real_logits = judged_real.logits if judged_real is not None else None
            terms.append(("", self.loss.g_loss(judged.logits, real_logits)))
        loss = judged.logits.new_zeros(())
        for name, term in terms:
            if term is not None:
                self.observations.add(f"loss/g{name}", term)
                loss = loss + term
        return loss

    def judge(self, images: Tensor, code: Tensor) -> Opinion:
        """D's opinion on images (N, C, H, W) in [-1, 1] under a condition (N, code_dim)."""
        opinion = self.conditioning.judge(self.discriminator, self._augmented(images), code)
        return replace(opinion, images=images)

    def judge_both(self, real: Tensor, fake: Tensor, code: Tensor) -> tuple[Opinion, Opinion]:
        """D's opinions on real and on generated images under the same conditions.

        In one pass where that changes nothing; BatchNorm would mix the statistics of both.
        """
        if not self._d_is_independent:
            return self.judge(real, code), self.judge(fake, code)
        seen = torch.cat([self._augmented(real), self._augmented(fake)])
        both = self.conditioning.judge(self.discriminator, seen, torch.cat([code, code]))
        of_real, of_fake = both.halves()
        return replace(of_real, images=real), replace(of_fake, images=fake)

    def _augmented(self, images: Tensor) -> Tensor:
        return self.augment(images, self.iterations / self.total_iterations)

    def judge_labeled(self, labeled: Batch | None) -> Opinion | None:
        """D's opinion on labeled images, in semi-supervised learning; the code is their class."""
        if labeled is None:
            return None
        return self.judge(labeled.images, one_hot(labeled.labels, self.spec.classes))

    @property
    def needs_real(self) -> bool:
        """Whether G's update looks at real images."""
        return self.loss.needs_real or any(r.needs_real for r in self.regularizers.values())

    @property
    def d_networks(self) -> tuple[nn.Module, NoConditioning]:
        """What D's optimizer trains: its network, and the head that conditioning adds."""
        return self.discriminator, self.conditioning

    @functools.cached_property
    def _d_is_independent(self) -> bool:
        return independent(*self.d_networks)

    @functools.cached_property
    def _g_rests(self) -> untouched:
        return untouched(self.generator)

    @functools.cached_property
    def _d_rests(self) -> untouched:
        return untouched(*self.d_networks)

    @property
    def d_parameters(self) -> list[nn.Parameter]:
        """The parameters of these."""
        return [p for network in self.d_networks for p in network.parameters()]

    # Noise and samples ---------------------------------------------------------------------------

    def latents(self, labels: Tensor) -> Tensor:
        """This rank's rows of fresh noise and codes (N, latent.dim + code_dim), one per label.

        All ranks together draw what one alone would.
        """
        n, ranks = len(labels), self.trainer.world_size
        if ranks == 1:
            return self._draw(labels, self.noise).to(self.dtype)
        z = self._draw(labels.repeat(ranks), self.noise)
        return z.narrow(0, n * self.trainer.global_rank, n).to(self.dtype)

    def code_in(self, z: Tensor) -> Tensor:
        """The code of latents: what follows the noise."""
        return z[:, self.latent.dim :]

    def fixed_latents(self, n: int, seed: int = 0, labels: Tensor | None = None) -> Tensor:
        """(n, latent.dim + code_dim), a function of the seed, the same on every device.

        Args:
            labels: int64 (n,), a class for each; None: one after the other.

        Raises:
            ValueError: the labels are not n classes of the data's.
        """
        classes = max(self.spec.classes, 1)
        if labels is None:
            labels = torch.arange(n) % classes
        if len(labels) != n or not all(0 <= label < classes for label in labels.tolist()):
            raise ValueError(
                f"labels must be {n} numbers from 0 to {classes - 1}, got {labels[:9].tolist()}"
            )
        weight = next(self.generator.parameters())
        z = self._draw(labels.cpu(), stream("cpu", seed, SAMPLE))
        return z.to(weight, non_blocking=True)  # blocking would wait for all kernels

    def sheets(self, rows: int, seed: int = 0) -> dict[str, Tensor]:
        """Latents of pictures that show what each code does, by name; as many in every row."""
        weight = next(self.generator.parameters())
        noise = self.latent.sample(rows, stream("cpu", seed, SAMPLE))
        return self.conditioning.sheets(noise.to(weight, non_blocking=True))

    def _draw(self, labels: Tensor, generator: torch.Generator) -> Tensor:
        noise = self.latent.sample(len(labels), generator)
        code = self.conditioning.code(labels, generator)
        return torch.cat([noise, code], dim=1) if code.shape[1] else noise

    @torch.no_grad()
    def sample(self, n: int, seed: int = 0, labels: Tensor | None = None) -> Tensor:
        """n generated images (n, C, H, W) in [-1, 1], by the averaged weights if there are any.

        Args:
            seed: of the noise.
            labels: int64 (n,), the class of each where G is told one; None: one after the other.
        """
        return self.generate(self.fixed_latents(n, seed, labels))

    @torch.no_grad()
    def generate(self, z: Tensor, batch_size: int = 256, *, averaged: bool = True) -> Tensor:
        """Images of given latents, with BatchNorm's running statistics; training goes on as was."""
        generator = self.ema.network if self.ema is not None and averaged else self.generator
        training = generator.training
        generator.eval()
        try:
            return torch.cat([generator(part).float() for part in z.split(batch_size)])
        finally:
            generator.train(training)

    # Bookkeeping ---------------------------------------------------------------------------------

    def configure_optimizers(self) -> list[Optimizer]:
        # A gradient scaler must unscale before clipping, which fused optimizers forbid.
        fused = self.trainer.precision != "16-mixed"
        return [
            self.g_rule.build(self.generator.parameters(), fused=fused),
            self.d_rule.build(self.d_parameters, fused=fused),
        ]

    def optimizer(self, player: int) -> Optimizer:
        """The optimizer of player G or D, without Lightning's wrapper."""
        return self.trainer.strategy.optimizers[player]

    def case(self) -> tuple[bool, ...]:
        """What Python decides about the next iteration: wanted norms, lazy terms that are due."""
        updates = range(self.d_updates, self.d_updates + self.d_steps)
        due = (n % r.every == 0 for n in updates for r in self.regularizers.values())
        return self.observations.norms, *due

    def on_train_start(self) -> None:
        self.noise = torch.Generator(self.device)

    def begin_iteration(self) -> None:
        """Makes random numbers, learning rates and averages those of this iteration."""
        again = (self.attempt,) if self.attempt else ()  # the same noise would end the same way
        self.noise.manual_seed(mixed(self.seed, NOISE, self.iterations, *again))
        # Dropout and the like draw from the global generators, differently on each rank.
        key = (self.seed, LAYERS, self.iterations, self.trainer.global_rank, *again)
        seed_global_generators(self.device, mixed(*key))
        progress, scale = self.iterations / self.total_iterations, 0.5**self.attempt
        for player, rule in ((G, self.g_rule), (D, self.d_rule)):
            rule.set_rate(self.optimizer(player), progress, scale)
        if self.ema is not None:
            self.ema.begin(self.iterations + 1)

    def _update(self, player: int, *, extrapolate: bool = False) -> None:
        """One step of G's or D's optimizer, with the gradients averaged over ranks.

        Lightning's global_step counts the generator's updates alone, by stepping everything else
        behind its back (pytorch-lightning#17958): budgets and intervals are iterations for any k.
        """
        optimizer = self.optimizer(player)
        if self.trainer.world_size > 1:
            average_over_ranks(gradients(optimizer))
        if player == G and not extrapolate:
            cast("list[Any]", self.optimizers())[G].step()
        else:
            options: dict[str, Any] = {"extrapolate": True} if extrapolate else {}
            self.trainer.strategy.optimizer_step(optimizer, closure=lambda: None, **options)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Observes and clips the gradient's norm; a gradient scaler has unscaled it by now."""
        is_g = optimizer is self.optimizer(G)
        player, rule = ("g", self.g_rule) if is_g else ("d", self.d_rule)
        if rule.clip is None and not self.observations.norms:
            return
        tensors = gradients(optimizer)
        norm = global_norm(tensors)
        self.observations.add(f"grad_norm/{player}", norm)
        if rule.clip is not None:
            torch._foreach_mul_(tensors, (rule.clip / (norm + 1e-6)).clamp(max=1.0))

    def _average(self) -> None:
        """Running statistics become those of all ranks, the average of weights moves on."""
        if self.trainer.world_size > 1:  # each rank's BatchNorm saw its own share of the images
            average_over_ranks([b for b in self.buffers() if b.is_floating_point()])
        if self.ema is not None:
            self.ema.update(self.generator)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["iterations"], checkpoint["images_seen"] = self.iterations, self.images_seen
        checkpoint["attempt"], checkpoint["spec"] = self.attempt, asdict(self.spec)
        checkpoint["observations"] = self.observations.state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.iterations, self.images_seen = checkpoint["iterations"], checkpoint["images_seen"]
        self.d_updates = self.iterations * self.d_steps
        self.attempt = checkpoint.get("attempt", 0)
        self.observations.load_state(checkpoint["observations"])
