"""What every generative model has beside samples: training, a clock, a checkpoint."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, ClassVar, NoReturn

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer

from ganlab.conditioning import Conditioning
from ganlab.latent import Latent
from ganlab.sampler import Sampler
from ganlab.schedules import Clock, Number, at
from ganlab.spec import Spec, at_least
from ganlab.training.batch import RealImages
from ganlab.training.chance import Chance, of_rank
from ganlab.training.ema import EMA, Statistics
from ganlab.training.labels import labelled
from ganlab.training.likelihood import LogLikelihood
from ganlab.training.observations import Observations
from ganlab.training.streams import Stream, mixed, seed_global_generators
from ganlab.training.terms import Term
from ganlab.training.updates import Player, average_over_ranks, global_norm, gradients

ENDLESS = 2**62  # iterations of a run that the clock ends, until it says which one is the last


class Generative(Sampler, LightningModule):
    """Base of all generative models: networks that are trained, one of which generates.

    A subclass trains in `play`.  Every random number of an iteration is a function of (seed,
    iteration), so a checkpoint holds no random state: `iterations` is enough to continue exactly.

    `counted`: the player whose update ends an iteration.  Lightning counts its steps alone, so its
    `global_step` is the number of iterations.
    `words`: which part of the model a generator is that was given away, and what is not with it.
    `tags`: the kind of the model, as the Hub's search finds it.

    Args:
        generator: z (N, latent.dim + conditioning.code_dim) -> images (N, C, H, W) in [-1, 1].
        players: the networks that are trained, by name, in the order of their optimizers.
        spec: shape of the images, or of the points that take their place, and number of classes.
        latent: the prior p(z).
        conditioning: the code that follows the noise in z; None: nothing.
        data_steps: minibatches of real images that an iteration trains on.
        ema: decay of the moving average of the generator's weights that `sample` uses, or a
            schedule of it; None: no average.
        ema_statistics: what BatchNorm's running statistics of the average are: copy, average or
            recompute (training/ema.py).
        iterations: length of the run, for schedules; ENDLESS: the clock ends it.
        seed: of all random numbers, in [0, 2^32).
        score: maps D's logits to what is logged as D(x).
    """

    counted: ClassVar[str]
    words: ClassVar[str] = "It draws the samples of a generative model."
    tags: ClassVar[tuple[str, ...]] = ()
    noise: torch.Generator

    def __init__(
        self,
        generator: nn.Module,
        players: Mapping[str, Player],
        *,
        spec: Spec,
        latent: Latent,
        conditioning: Conditioning | None = None,
        data_steps: int = 1,
        ema: Number | None = None,
        ema_statistics: Statistics = "copy",
        iterations: int = 1,
        seed: int = 0,
        score: Callable[[Tensor], Tensor] = torch.Tensor.detach,
    ) -> None:
        super().__init__()
        at_least(1, iterations=iterations)
        self.automatic_optimization = False
        self.generator, self.conditioning = generator, conditioning or Conditioning(spec)
        self.players = dict(players)
        self.spec, self.latent = spec, latent
        self.ema = EMA(generator, ema, ema_statistics) if ema is not None else None
        self.data_steps, self.total_iterations, self.seed = data_steps, iterations, seed
        self.iterations = self.images_seen = 0
        self.progress: float | None = None  # by the clock, in [0, 1]; None: by iterations
        self.updates = dict.fromkeys(self.players, 0)
        self.attempt = 0  # times that the run has gone back to a healthy checkpoint
        self.class_names: list[str] = []  # empty: the classes have none
        self.observations = Observations(score)

    # Training ------------------------------------------------------------------------------------

    def training_step(self, batch: RealImages, batch_idx: int) -> None:
        """One iteration, on noise that is a function of (seed, iteration)."""
        self.begin_iteration()
        if self.iterations == 0:
            self.fit_to(batch)
        self.play(batch)
        self.iterations += 1
        self.images_seen += self.images_per_iteration(batch)

    def fit_to(self, batch: RealImages) -> None:
        """Initialises what is initialised on the run's first minibatches."""

    def play(self, batch: RealImages) -> None:
        """All that an iteration computes, and that a CUDA graph can replay."""
        raise NotImplementedError

    @property
    def minibatches(self) -> int:
        """Minibatches of real images that an iteration needs."""
        return self.data_steps

    def images_per_iteration(self, batch: RealImages) -> int:
        """Real images of all devices that an iteration trains on."""
        return batch.size * self.data_steps * self.trainer.world_size

    def control_flow(self) -> tuple[bool, ...]:
        """What Python decides in the next iteration; each combination has its own CUDA graph."""
        return (self.observations.norms,)

    @labelled("noise")
    def begin_iteration(self) -> None:
        """Sets random numbers, schedules and the average's share for the coming iteration."""
        again = (self.attempt,) if self.attempt else ()  # the same noise would end the same way
        self.noise.manual_seed(mixed(self.seed, Stream.NOISE, self.iterations, *again))
        # Dropout and the like draw from the global generators, differently on each rank.
        key = (self.seed, Stream.LAYERS, self.iterations, self.trainer.global_rank, *again)
        seed_global_generators(self.device, mixed(*key))
        clock, scale = self.clock, 0.5**self.attempt
        for name, player in self.players.items():
            player.rule.begin(self.optimizer(name), clock, scale)
        for term in self._terms:
            term.begin(clock)
        for average in self.averages:
            average.begin(self.iterations + 1, clock)

    @property
    def clock(self) -> Clock:
        """How far the run is."""
        progress = self.progress
        if progress is None:
            progress = self.iterations / self.total_iterations
        return Clock(progress, self.images_seen, self.images_seen // max(self.iterations, 1))

    @property
    def averages(self) -> list[EMA]:
        """The averages of weights that are kept."""
        return [self.ema] if self.ema is not None else []

    @property
    def ema_decay(self) -> float | None:
        """The decay of the averaged weights now; None: there are none."""
        return at(self.ema.decay, self.clock) if self.ema is not None else None

    @functools.cached_property
    def _terms(self) -> list[Term]:
        return [module for module in self.modules() if isinstance(module, Term)]

    def on_train_start(self) -> None:
        self.noise = torch.Generator(self.device)

    @labelled("noise")
    def latents(self, labels: Tensor) -> Tensor:
        """This rank's rows of fresh noise and codes (N, latent.dim + code_dim), one per label.

        All ranks together draw what one alone would.
        """
        n, ranks = len(labels), self.trainer.world_size
        if ranks == 1:
            return self._draw(labels, self.noise).to(self.dtype)
        z = self._draw(labels.repeat(ranks), self.noise)
        return z.narrow(0, n * self.trainer.global_rank, n).to(self.dtype)

    def of_all_ranks(self, rows: int) -> Chance:
        """This rank's rows of uniform numbers; all ranks together draw what one alone would."""
        return of_rank(rows, self.noise, self.trainer.global_rank, self.trainer.world_size)

    def own_readings(self, images: Tensor) -> dict[str, Tensor]:
        """Health readings that only models of this kind have, by name.

        Args:
            images: real ones (N, C, H, W) in [-1, 1], the same each time.
        """
        return {}

    def log_likelihoods(self, images: Tensor, samples: int, seed: int) -> list[LogLikelihood]:
        """What is known of log p(x) of real images; empty: this kind of model has no likelihood.

        Args:
            images: held-out ones (N, C, H, W) in [-1, 1] on the model's device, or points.
            samples: the effort: latents or chains for each image, as the kind of model has it.
            seed: of all that is drawn.
        """
        return []

    # Optimizers ----------------------------------------------------------------------------------

    def configure_optimizers(self) -> list[Optimizer]:
        # A gradient scaler must unscale before clipping, which fused optimizers forbid.
        fused = self.trainer.precision != "16-mixed"
        return [p.rule.build(p.parameters, fused=fused) for p in self.players.values()]

    def optimizer(self, player: str) -> Optimizer:
        """A player's optimizer, without Lightning's wrapper."""
        return self.trainer.strategy.optimizers[self.position(player)]

    def position(self, player: str) -> int:
        """Place of a player among the optimizers."""
        return list(self.players).index(player)

    @property
    def counting_optimizer(self) -> Any:
        """Lightning's wrapper of the optimizer whose steps it counts."""
        wrapped = self.optimizers()
        return wrapped[self.position(self.counted)] if isinstance(wrapped, list) else wrapped

    @labelled("optimizer")
    def update(self, player: str, *, extrapolate: bool = False) -> None:
        """One step of a player's optimizer, with the gradients averaged over ranks.

        Lightning's global_step counts the updates of `counted` alone, by stepping everything else
        behind its back (pytorch-lightning#17958): budgets and intervals are in iterations.
        """
        optimizer = self.optimizer(player)
        if self.trainer.world_size > 1:
            average_over_ranks(gradients(optimizer))
        if player == self.counted and not extrapolate:
            self.counting_optimizer.step()
        else:
            options: dict[str, Any] = {"extrapolate": True} if extrapolate else {}
            self.trainer.strategy.optimizer_step(optimizer, closure=lambda: None, **options)
        if not extrapolate:
            self.updates[player] += 1

    @labelled("backward")
    def manual_backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        super().manual_backward(loss, *args, **kwargs)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Observes and clips the gradient's norm; a gradient scaler has unscaled it by now."""
        name, player = next(
            (n, p) for n, p in self.players.items() if self.optimizer(n) is optimizer
        )
        clip = player.rule.clip
        if clip is None and not self.observations.norms:
            return
        tensors = gradients(optimizer)
        norm = global_norm(tensors)
        self.observations.add(f"grad_norm/{name}", norm)
        if clip is not None:
            torch._foreach_mul_(tensors, (clip / (norm + 1e-6)).clamp(max=1.0))

    @labelled("bookkeeping/EMA")
    def average(self) -> None:
        """Makes running statistics those of all ranks, and moves the average of the weights."""
        if self.trainer.world_size > 1:  # each rank's BatchNorm saw its own share of the images
            average_over_ranks([b for b in self.buffers() if b.is_floating_point()])
        if self.ema is not None:
            self.ema.update(self.generator)

    # Checkpoints ---------------------------------------------------------------------------------

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """All tensors, with the statistics that samples are drawn by."""
        self.refresh()
        return super().state_dict(*args, **kwargs)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Takes over all tensors, statistics included: samples are those of the saved model."""
        outcome = super().load_state_dict(*args, **kwargs)
        if self.ema is not None:
            self.ema.stale = False
        return outcome

    @classmethod
    def load_from_checkpoint(cls, *_: Any, **__: Any) -> NoReturn:
        """Lightning's way, which cannot know the networks: use `ganlab.load`."""
        way = "ganlab.load('RUN'), or with the path of a checkpoint in a run"
        raise NotImplementedError(f"a checkpoint alone does not say which networks to build; {way}")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["iterations"], checkpoint["images_seen"] = self.iterations, self.images_seen
        checkpoint["updates"], checkpoint["progress"] = dict(self.updates), self.progress
        checkpoint["attempt"], checkpoint["spec"] = self.attempt, asdict(self.spec)
        checkpoint["class_names"] = list(self.class_names)
        checkpoint["observations"] = self.observations.state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.iterations, self.images_seen = checkpoint["iterations"], checkpoint["images_seen"]
        self.updates = dict(checkpoint["updates"])
        if self.total_iterations == ENDLESS:
            self.progress = checkpoint.get("progress")
        self.attempt = checkpoint.get("attempt", 0)
        self.class_names = list(checkpoint.get("class_names", []))
        self.observations.load_state(checkpoint["observations"])
