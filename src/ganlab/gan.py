"""The GAN: one LightningModule for all of them; `training_step` is Algorithm 1."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, cast

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.optim import Optimizer

from ganlab.batch import Batch
from ganlab.ema import EMA
from ganlab.latent import Latent, mixed, stream
from ganlab.losses import Loss
from ganlab.observations import Observations
from ganlab.optim import UpdateRule, average_over_ranks, global_norm, gradients
from ganlab.regularizers import Critique, Regularizer
from ganlab.spec import ImageSpec, at_least

G, D = 0, 1  # the players, in the order of their optimizers
NOISE, SAMPLE, LAYERS = 2, 3, 4  # streams of random numbers; the data's order is another (data/)


class GAN(LightningModule):
    """A generator and a discriminator that play a two-player game.

    Every random number of an iteration is a function of (seed, iteration), so a checkpoint needs
    no random state: `iterations` is enough to go on exactly.

    Args:
        generator: z (N, latent.dim) -> images (N, C, H, W) in [-1, 1].
        discriminator: images (N, C, H, W) -> logits (N,).
        loss: what each player minimises.
        spec: shape of the images and number of classes.
        latent: the prior p(z).
        g_rule, d_rule: how each player is updated.
        regularizers: terms of the discriminator's loss, by name.
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
        spec: ImageSpec,
        latent: Latent,
        g_rule: UpdateRule,
        d_rule: UpdateRule,
        regularizers: Mapping[str, Regularizer] | None = None,
        d_steps: int = 1,
        ema: float | None = None,
        iterations: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        at_least(1, d_steps=d_steps, iterations=iterations)
        refuse(discriminator, loss, regularizers or {})
        self.automatic_optimization = False
        self.generator, self.discriminator = generator, discriminator
        self.loss, self.spec, self.latent = loss, spec, latent
        self.g_rule, self.d_rule, self.d_steps = g_rule, d_rule, d_steps
        self.regularizers: dict[str, Any] = nn.ModuleDict(regularizers or {})  # type: ignore[assignment]
        self.ema = EMA(generator, ema) if ema is not None else None
        self.total_iterations, self.seed = iterations, seed
        self.iterations = self.d_updates = self.images_seen = 0
        self.observations = Observations(loss.score)

    # Algorithm 1 ---------------------------------------------------------------------------------

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """One iteration of Algorithm 1 (Goodfellow et al. 2014)."""
        self._seed_iteration()
        minibatches = batch.unbind()
        for real in minibatches[: self.d_steps]:  # for k steps, each on a fresh minibatch:
            self.d_step(real)
        self.g_step(minibatches[-1])
        self._finish_iteration(batch.size)

    def d_step(self, minibatch: Batch) -> None:
        """Updates the discriminator by its stochastic gradient (Algorithm 1, lines 3-6)."""
        optimizer, rule = self._optimizer(D), self.d_rule
        optimizer.zero_grad()
        with untouched(self.generator):
            for real in minibatch.chunk(rule.accumulate):
                with torch.no_grad():
                    fake = self.generator(self.noise(real.size)).to(real.images.dtype)
                share = real.size / minibatch.size
                self.manual_backward(share * self.d_loss(real.images, fake))
        self._update(optimizer, rule)
        self.d_updates += 1
        for regularizer in self.regularizers.values():
            regularizer.project(self.discriminator)

    def g_step(self, minibatch: Batch) -> None:
        """Updates the generator by its stochastic gradient (Algorithm 1, lines 8-9)."""
        optimizer, rule = self._optimizer(G), self.g_rule
        optimizer.zero_grad()
        with untouched(self.discriminator):
            for real in minibatch.chunk(rule.accumulate):
                fake = self.generator(self.noise(real.size))
                share = real.size / minibatch.size
                self.manual_backward(share * self.g_loss(fake, real.images))
        self._update(optimizer, rule)

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """D's loss with all penalties, on images in [-1, 1].

        Real and generated images pass separately: together they would share BatchNorm statistics.
        """
        real_logits, fake_logits = full(self.discriminator(real)), full(self.discriminator(fake))
        loss = self.loss.d_loss(real_logits, fake_logits)
        self.observations.add_logits(real_logits, fake_logits)
        self.observations.add("loss/d", loss)
        critique = Critique(self.discriminator, real, fake, real_logits, fake_logits)
        for name, regularizer in self.regularizers.items():
            due = self.d_updates % regularizer.every == 0
            if due and (penalty := regularizer.penalty(critique)) is not None:
                self.observations.add(f"penalty/{name}", penalty)
                loss = loss + regularizer.every * penalty
        return loss

    def g_loss(self, fake: Tensor, real: Tensor) -> Tensor:
        """G's loss on generated images; real ones are looked at only by losses that need them."""
        real_logits = full(self.discriminator(real)) if self.loss.needs_real else None
        loss = self.loss.g_loss(full(self.discriminator(fake)), real_logits)
        self.observations.add("loss/g", loss)
        return loss

    # Noise and samples ---------------------------------------------------------------------------

    def noise(self, n: int) -> Tensor:
        """This rank's n rows of fresh noise; all ranks together draw what one alone would."""
        z = self.latent.sample(n * self.trainer.world_size, self._noise)
        return z.narrow(0, n * self.trainer.global_rank, n).to(self.dtype)

    def fixed_noise(self, n: int, seed: int = 0) -> Tensor:
        """(n, latent.dim) noise that is a function of the seed, the same on every device."""
        weight = next(self.generator.parameters())
        return self.latent.sample(n, stream("cpu", seed, SAMPLE)).to(weight)

    @torch.no_grad()
    def sample(self, n: int, seed: int = 0) -> Tensor:
        """n generated images (n, C, H, W) in [-1, 1], by the averaged weights if there are any."""
        return self.generate(self.fixed_noise(n, seed))

    @torch.no_grad()
    def generate(self, z: Tensor, batch_size: int = 256) -> Tensor:
        """Images of given noise, with BatchNorm's running statistics; training is not disturbed."""
        generator = self.ema.network if self.ema is not None else self.generator
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
            self.d_rule.build(self.discriminator.parameters(), fused=fused),
        ]

    def _optimizer(self, player: int) -> Optimizer:
        """The optimizer of player G or D, without Lightning's wrapper."""
        return cast("list[Optimizer]", self.optimizers(use_pl_optimizer=False))[player]

    def _seed_iteration(self) -> None:
        self._noise = stream(self.device, self.seed, NOISE, self.iterations)
        # Dropout and the like draw from the global generators, differently on each rank.
        torch.manual_seed(mixed(self.seed, LAYERS, self.iterations, self.trainer.global_rank))

    def _update(self, optimizer: Optimizer, rule: UpdateRule) -> None:
        """One optimizer step, with the gradients averaged over ranks.

        Lightning's global_step counts the generator's updates alone, by stepping the discriminator
        behind its back (pytorch-lightning#17958): budgets and intervals are iterations for any k.
        """
        if self.trainer.world_size > 1:
            average_over_ranks(gradients(optimizer))
        rule.set_rate(optimizer, self.iterations / self.total_iterations)
        if optimizer is self._optimizer(G):
            cast("list[Any]", self.optimizers())[G].step()
        else:
            self.trainer.strategy.optimizer_step(optimizer, closure=lambda: None)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Observes and clips the gradient's norm; a gradient scaler has unscaled it by now."""
        is_g = optimizer is self._optimizer(G)
        player, rule = ("g", self.g_rule) if is_g else ("d", self.d_rule)
        if rule.clip is None and not self.observations.norms:
            return
        tensors = gradients(optimizer)
        norm = global_norm(tensors)
        self.observations.add(f"grad_norm/{player}", norm)
        if rule.clip is not None:
            torch._foreach_mul_(tensors, (rule.clip / (norm + 1e-6)).clamp(max=1.0))

    def _finish_iteration(self, images: int) -> None:
        self.iterations += 1
        self.images_seen += images * self.d_steps * self.trainer.world_size
        if self.trainer.world_size > 1:  # each rank's BatchNorm saw its own share of the images
            average_over_ranks([b for b in self.buffers() if b.is_floating_point()])
        if self.ema is not None:
            self.ema.update(self.generator, self.iterations)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["iterations"], checkpoint["images_seen"] = self.iterations, self.images_seen
        checkpoint["spec"] = asdict(self.spec)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.iterations, self.images_seen = checkpoint["iterations"], checkpoint["images_seen"]
        self.d_updates = self.iterations * self.d_steps


def full(logits: Tensor) -> Tensor:
    """Logits in float32 at least: losses average them, which half precision does badly."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


@contextmanager
def untouched(network: nn.Module) -> Iterator[None]:
    """The other player's update must not touch this network: no gradients, no running statistics.

    BatchNorm still normalises by the batch at hand, as in training; spectral norm keeps its
    estimate of the singular vectors.
    """
    trained = [p for p in network.parameters() if p.requires_grad]
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    spectral = [m for m in network.modules() if isinstance(m, _SpectralNorm) and m.training]

    def let(change: bool) -> None:
        for parameter in trained:
            parameter.requires_grad_(change)
        for norm in norms:
            norm.track_running_stats = change
        for parametrization in spectral:
            parametrization.training = change

    let(change=False)
    try:
        yield
    finally:
        let(change=True)


def refuse(discriminator: nn.Module, loss: object, regularizers: Mapping[str, Regularizer]) -> None:
    """Raises ValueError for parts that cannot work together, with the reason."""
    if not isinstance(loss, Loss):
        raise TypeError(f"loss: {type(loss).__name__} lacks needs_real, d_loss, g_loss or score")
    if any(isinstance(m, _BatchNorm) for m in discriminator.modules()):
        for name in (n for n, r in regularizers.items() if r.per_sample):
            raise ValueError(
                f"regularizer.{name} looks at the gradient of each image by itself, which "
                "BatchNorm mixes with the others' (Gulrajani et al. 2017, section 4); "
                "set model.discriminator.norm=layer or none"
            )
