"""Restricted Boltzmann machines, trained by contrastive divergence."""

from dataclasses import replace

import torch
from torch import Tensor
from torch.optim import Optimizer

from ganlab.boltzmann import BoltzmannMachine
from ganlab.boltzmann.centring import centred
from ganlab.boltzmann.likelihood import PartitionFunction, negative_free_energy
from ganlab.boltzmann.units import Bernoulli
from ganlab.errors import CombinationError
from ganlab.generative import Generative
from ganlab.latent import Latent
from ganlab.models.binary import dead
from ganlab.networks.layers import no_autocast
from ganlab.schedules import Number
from ganlab.spec import Spec, at_least
from ganlab.training.batch import Batch, RealImages
from ganlab.training.binarise import Binarise, binarised, binarised_each
from ganlab.training.chance import Chance, drawn
from ganlab.training.labels import labelled
from ganlab.training.likelihood import Kind, LogLikelihood
from ganlab.training.streams import Stream, stream
from ganlab.training.updates import Player, UpdateRule, average_over_ranks

G = "g"  # the one player
EACH = 145  # temperatures of annealed importance sampling, for each of its chains
# What log p is with each of the ways to find log Z; the last starts from chains that are near.
KINDS: dict[str, Kind] = {"exact": "exact", "ais": "upper bound", "reverse-ais": "estimate"}
SWEEPS = 10  # of the chains, between the two states that a health reading compares


class RBM(Generative):
    """A Boltzmann machine that follows the gradient of F(data) - F(samples), F the free energy.

    With samples of the machine that is the gradient of -log p.  Its samples come from a few sweeps
    of Gibbs sampling: from the data (contrastive divergence, Hinton 2002), or from where chains
    were after the update before (persistent, Tieleman 2008).

    The visible biases start at the base rates of the first minibatch (Hinton 2010, section 8).

    Args:
        generator: the machine.
        spec: shape of the images, or of the points that take their place, and number of classes.
        latent: z, which seeds the chain of a sample.
        g_rule: how the machine is updated.
        steps: sweeps in each update, k.
        persistent: whether chains go on from one update to the next.
        chains: how many go on, if they do.  All processes run the same ones.
        centre: whether the gradient is centred (boltzmann/centring.py).
        slide: weight of each minibatch in the moving averages that are base rates and offsets.
        weight_decay: weight of |W|^2 / 2.
        binarise: of pixels, for binary units: dynamic: drawn anew each time; fixed: drawn once for
            each image; threshold: cut at 1/2; none: for Gaussian units.
        ema: decay of the moving average of the weights that `sample` uses, or a schedule of it;
            None: no average.  Likelihoods are those of the trained weights.
        iterations: length of the run, for schedules; ENDLESS: the clock ends it.
        seed: of all random numbers, in [0, 2^32).

    Raises:
        CombinationError: the parts cannot work together.
        TypeError: the generator is no Boltzmann machine.
        ValueError: a number is out of range.
    """

    counted = G
    chains: Tensor

    def __init__(
        self,
        generator: BoltzmannMachine,
        *,
        spec: Spec,
        latent: Latent,
        g_rule: UpdateRule,
        steps: int = 1,
        persistent: bool = True,
        chains: int = 100,
        centre: bool = True,
        slide: float = 0.01,
        weight_decay: float = 0.0,
        binarise: Binarise = "dynamic",
        ema: Number | None = None,
        iterations: int = 1,
        seed: int = 0,
    ) -> None:
        at_least(1, steps=steps, chains=chains)
        at_least(0, weight_decay=weight_decay)
        if not 0 < slide <= 1:
            raise ValueError(f"slide must be greater than 0 and at most 1, got {slide}")
        if not isinstance(generator, BoltzmannMachine):
            kind = type(generator).__name__
            raise TypeError(f"generator: {kind} is no ganlab.boltzmann.BoltzmannMachine")
        if found := refusals(generator, g_rule, binarise):
            raise CombinationError(found)
        super().__init__(
            generator,
            {G: Player((generator,), g_rule)},
            spec=spec,
            latent=latent,
            ema=ema,
            iterations=iterations,
            seed=seed,
        )
        self.machine = generator
        self.steps, self.persistent, self.centre = steps, persistent, centre
        self.slide, self.weight_decay, self.binarise = slide, weight_decay, binarise
        width = len(generator.visible_bias)
        self.register_buffer("chains", torch.zeros(chains if persistent else 0, width))

    # Training ------------------------------------------------------------------------------------

    @torch.no_grad()
    def fit_to(self, batch: RealImages) -> None:
        """Base rates of the first minibatch; biases, unless they are trained; chains."""
        machine = self.machine
        mean = self.seen(batch.unbind()[0].images).mean(dim=0)
        if self.trainer.world_size > 1:
            average_over_ranks([mean])
        machine.visible_mean.copy_(mean)
        if not machine.visible_bias.any():
            machine.visible_bias.copy_(machine.base_field)
        if self.persistent:
            self.chains.copy_(machine.base_draw(drawn(len(self.chains), self.noise)))

    def play(self, batch: RealImages) -> None:
        """One update, and the sweeps that it needs.

        Not under autocast: a loss is the small difference of large energies.
        """
        (minibatch,) = batch.unbind()
        with no_autocast(self.machine.weight):
            self.step(minibatch)
        self.average()

    @labelled("G step")
    def step(self, minibatch: Batch) -> None:
        """Moves the machine down the gradient of F(data) - F(samples)."""
        v = self.seen(minibatch.images)
        samples = self.samples_from(v)
        self.optimizer(G).zero_grad()
        energies = self.machine.free_energy(v), self.machine.free_energy(samples)
        loss = energies[0].mean() - energies[1].mean()
        self.observations.add("loss/g", loss)
        self.manual_backward(loss)
        self.follow(v)
        self.update(G)

    def seen(self, images: Tensor) -> Tensor:
        """v (N, visible) of images (N, C, H, W) or points (N, d)."""
        machine = self.machine
        if isinstance(machine.visible, Bernoulli):
            return binarised(images, self.binarise, self.of_all_ranks(len(images))).flatten(1)
        return machine.units_of(images)

    @labelled("Gibbs sampling")
    @torch.no_grad()
    def samples_from(self, v: Tensor) -> Tensor:
        """The samples (M, visible) of an update on data v (N, visible)."""
        if not self.persistent:
            return self.swept(v, self.of_all_ranks(len(v)), self.steps)
        self.chains.copy_(self.swept(self.chains, drawn(len(self.chains), self.noise), self.steps))
        return self.chains.clone()

    def swept(self, v: Tensor, chance: Chance, sweeps: int) -> Tensor:
        """v after so many sweeps of Gibbs sampling."""
        for _ in range(sweeps):
            v, _ = self.machine.sweep(v, chance)
        return v

    @torch.no_grad()
    def follow(self, v: Tensor) -> None:
        """Moves the averages of visible and hidden units towards those of v (N, visible)."""
        machine = self.machine
        means = [v.mean(dim=0), torch.sigmoid(machine.hidden_field(v)).mean(dim=0)]
        if self.trainer.world_size > 1:  # a centred gradient is linear only if all have its offsets
            average_over_ranks(means)
        machine.visible_mean.lerp_(means[0], self.slide)
        machine.hidden_mean.lerp_(means[1], self.slide)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Conditions the gradient, which is unscaled by now, before it is observed and clipped."""
        self.condition_gradient()
        super().on_before_optimizer_step(optimizer)

    @torch.no_grad()
    def condition_gradient(self) -> None:
        """Centres the gradient, and adds that of the weight decay."""
        machine = self.machine
        parameters = (machine.weight, machine.visible_bias, machine.hidden_bias)
        if self.centre:
            w, b, c = found = [p.grad for p in parameters if p.grad is not None]
            moved = centred(w, b, c, machine.visible_mean, machine.hidden_mean)
            torch._foreach_copy_(found, list(moved))
        if self.weight_decay and machine.weight.grad is not None:
            machine.weight.grad.add_(machine.weight, alpha=self.weight_decay)

    # Likelihood ----------------------------------------------------------------------------------

    @torch.no_grad()
    def log_likelihoods(self, images: Tensor, samples: int, seed: int) -> list[LogLikelihood]:
        """By the exact partition function of a small machine, or by estimates from both sides.

        Those are of so many chains, at least 2, with 145 temperatures for each: 100 chains have
        the 14,500 temperatures of Salakhutdinov & Murray 2008.
        """
        chains = max(2, samples)  # their spread gives the interval
        way = PartitionFunction(EACH * chains, chains, seed)
        unnormalised = negative_free_energy(self.machine, self.held_out(images, seed))
        about = {"binarise": self.binarise, "weights": "trained", "units": self.machine.kind}
        found = []
        for name, log_z in way.estimates(self.machine).items():
            kind, suffix = KINDS[name], "" if name == "exact" else f"-{chains}"
            told = {**about, **way.protocol(name)}
            one = LogLikelihood.of(unnormalised - log_z.value, f"{name}{suffix}", kind, **told)
            if kind != "exact":
                low, high = (one.nats + end - log_z.value for end in (log_z.low, log_z.high))
                one = replace(one, interval=(low, high))
            found.append(one)
        return found

    def held_out(self, images: Tensor, seed: int) -> Tensor:
        """v (N, visible) of held-out images or points."""
        if isinstance(self.machine.visible, Bernoulli):
            return binarised_each(images, self.binarise, seed).flatten(1).to(self.dtype)
        return self.machine.units_of(images.to(self.dtype))

    # Health --------------------------------------------------------------------------------------

    def own_readings(self, images: Tensor) -> dict[str, Tensor]:
        """Hidden units that tell nothing, and how much chains remember after ten sweeps."""
        machine = self.machine
        units = machine.units_of(images)
        readings = {"dead_units": dead(torch.sigmoid(machine.hidden_field(units)))}
        if self.persistent:
            random = stream(self.chains.device, self.seed, Stream.HEALTH_CHAINS)
            later = self.swept(self.chains, drawn(len(self.chains), random), SWEEPS)
            readings["chain_memory"] = correlation(
                *(torch.sigmoid(machine.hidden_field(v)) for v in (self.chains, later))
            )
        return readings


def correlation(before: Tensor, after: Tensor) -> Tensor:
    """Of two states (N, units) of the same chains, over chains and units, less each unit's mean.

    1 if chains have not moved, 0 if they have forgotten where they were.
    """
    before, after = before - before.mean(dim=0), after - after.mean(dim=0)
    size = (before.square().sum() * after.square().sum()).sqrt()
    return (before * after).sum() / size.clamp(min=1e-12)


def refusals(machine: BoltzmannMachine, rule: UpdateRule, binarise: Binarise) -> list[str]:
    """Why the machine's units do not go with what is made of pixels, or its rule with an update."""
    found, binary = [], isinstance(machine.visible, Bernoulli)
    if binary and binarise == "none":
        ways = "dynamic, fixed or threshold"
        found.append(f"model.binarise: the visible units are binary; set model.binarise={ways}")
    if not binary and binarise != "none":
        found.append("model.binarise: Gaussian units take grey pixels; set model.binarise=none")
    if rule.accumulate > 1:
        found.append("g_accumulate: a minibatch of an RBM is not divided; leave g_accumulate at 1")
    return found
