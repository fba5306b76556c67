"""Sigmoid belief networks, trained with a recognition network."""

import functools
from typing import Literal, get_args

import torch
from torch import Tensor

from ganlab.belief import BeliefNetwork, Recognition
from ganlab.belief.estimators import log_mean_weight, reweighted_wake, vimco, wake
from ganlab.belief.likelihood import bounds, exact, log_probabilities
from ganlab.errors import CombinationError
from ganlab.generative import Generative
from ganlab.latent import Latent
from ganlab.models.binary import dead
from ganlab.schedules import Number
from ganlab.spec import Spec, at_least, one_of
from ganlab.training.batch import Batch, RealImages
from ganlab.training.binarise import Binarise, binarised, binarised_each, log_odds
from ganlab.training.labels import labelled
from ganlab.training.likelihood import LogLikelihood
from ganlab.training.streams import Stream, stream
from ganlab.training.updates import Player, UpdateRule, average_over_ranks

G = "g"  # the one player: both networks together
ENUMERATED = 12  # hidden units: beyond them, the truth takes longer than the training
Estimator = Literal["vimco", "reweighted", "wake_sleep"]


class SBN(Generative):
    """A belief network p(v, h) and a recognition network q(h | v).

    - vimco: both follow the gradient of the k-sample bound (Mnih & Rezende 2016).
    - reweighted: reweighted wake-sleep (Bornschein & Bengio 2015): p and q learn from samples of q
      with the weights p / q, and q also from dreams of p.
    - wake_sleep: p learns from samples of q, and q from dreams of p (Hinton et al. 1995).

    Args:
        generator: p.
        recognition: q, with the same hidden layers.
        spec: shape of the images and number of classes.
        latent: z, which seeds the random numbers of a sample.
        g_rule: how both networks are updated.
        estimator: of the gradient.
        samples: k, of q for each image.
        binarise: of pixels: dynamic: drawn anew each time; fixed: drawn once for each image;
            threshold: cut at 1/2.
        ema: decay of the moving average of p's weights that `sample` uses, or a schedule of it;
            None: no average.  Bounds are those of the trained weights.
        iterations: length of the run, for schedules; ENDLESS: the clock ends it.
        seed: of all random numbers, in [0, 2^32).

    Raises:
        CombinationError: the parts cannot work together.
        TypeError: a network is of another kind.
        ValueError: a number is out of range.
    """

    counted = G

    def __init__(
        self,
        generator: BeliefNetwork,
        recognition: Recognition,
        *,
        spec: Spec,
        latent: Latent,
        g_rule: UpdateRule,
        estimator: Estimator = "vimco",
        samples: int = 5,
        binarise: Binarise = "dynamic",
        ema: Number | None = None,
        iterations: int = 1,
        seed: int = 0,
    ) -> None:
        at_least(1, samples=samples)
        one_of(get_args(Estimator), estimator=estimator)
        for name, part, kind in (
            ("generator", generator, BeliefNetwork),
            ("recognition", recognition, Recognition),
        ):
            if not isinstance(part, kind):
                made = type(part).__name__
                raise TypeError(f"{name}: {made} is no ganlab.belief.{kind.__name__}")
        if found := refusals(generator, recognition, estimator, samples, binarise):
            raise CombinationError(found)
        super().__init__(
            generator,
            {G: Player((generator, recognition), g_rule)},
            spec=spec,
            latent=latent,
            ema=ema,
            iterations=iterations,
            seed=seed,
        )
        self.model, self.recognition = generator, recognition
        self.estimator, self.samples, self.binarise = estimator, samples, binarise

    # Training ------------------------------------------------------------------------------------

    @torch.no_grad()
    def fit_to(self, batch: RealImages) -> None:
        """Visible biases at the base rates of the first minibatch, unless they are trained."""
        bias = self.model.layers[-1].bias
        mean = self.seen(batch.unbind()[0].images).mean(dim=0)
        if self.trainer.world_size > 1:
            average_over_ranks([mean])
        if not bias.any():
            bias.copy_(log_odds(mean))

    def play(self, batch: RealImages) -> None:
        """One update of both networks."""
        (minibatch,) = batch.unbind()
        self.step(minibatch)
        self.average()

    @labelled("G step")
    def step(self, minibatch: Batch) -> None:
        """Moves both networks down the gradient of their losses."""
        self.optimizer(G).zero_grad()
        for real in minibatch.chunk(self.players[G].rule.accumulate):
            loss = self.loss(self.seen(real.images))
            self.manual_backward(real.size / minibatch.size * loss)
        self.update(G)

    def seen(self, images: Tensor) -> Tensor:
        """v (N, visible) of images (N, C, H, W) in [-1, 1]."""
        return binarised(images, self.binarise, self.of_all_ranks(len(images))).flatten(1)

    @labelled("losses")
    def loss(self, v: Tensor) -> Tensor:
        """What has the gradient of both networks; the run's loss/g is minus the bound in nats."""
        chance = self.of_all_ranks(len(v) * self.samples)
        log_p, log_q = log_probabilities(self.model, self.recognition, v, self.samples, chance)
        self.observations.add("loss/g", -log_mean_weight(log_p, log_q).mean())
        if self.estimator == "vimco":
            return vimco(log_p, log_q)
        awake = reweighted_wake(log_p, log_q) if self.estimator == "reweighted" else wake(log_p)
        return awake + self.asleep(len(v))

    def asleep(self, rows: int) -> Tensor:
        """The sleep phase: q learns the h of dreams."""
        dreamt, hidden = self.model.dream(rows, self.of_all_ranks(rows))
        return -self.recognition.log_probability(dreamt, hidden).mean()

    # Likelihood ----------------------------------------------------------------------------------

    @torch.no_grad()
    def log_likelihoods(self, images: Tensor, samples: int, seed: int) -> list[LogLikelihood]:
        """The bound of log p(x) with so many samples of q, and the truth of a small network.

        Every image has samples of its own, so its bound does not depend on the others.
        """
        v = binarised_each(images, self.binarise, seed).flatten(1).to(self.dtype)
        about = {"binarise": self.binarise, "weights": "trained"}
        random = functools.partial(stream, v.device, seed, Stream.LIKELIHOOD)
        bound = bounds(self.model, self.recognition, v, samples, random)
        told = {**about, "samples": samples, "seed": seed}
        found = [LogLikelihood.of(bound, f"iwae-{samples}", "lower bound", **told)]
        if self.model.hidden_units <= ENUMERATED:
            truth = torch.cat([exact(self.model, part) for part in v.split(100)])
            found.append(LogLikelihood.of(truth, "exact", "exact", **about))
        return found

    # Health --------------------------------------------------------------------------------------

    def own_readings(self, images: Tensor) -> dict[str, Tensor]:
        """Hidden units that tell nothing, by their means given those of the layer below."""
        below, means = (images.flatten(1) + 1) / 2, []
        for layer in self.recognition.layers:
            below = torch.sigmoid(layer(below))
            means.append(below)
        return {"dead_units": dead(torch.cat(means, dim=1))}


def refusals(
    model: BeliefNetwork,
    recognition: Recognition,
    estimator: Estimator,
    samples: int,
    binarise: Binarise,
) -> list[str]:
    """Why these parts cannot be one model."""
    found = []
    up = [layer.out_features for layer in recognition.layers]
    if up != model.widths:
        found.append(
            f"model.recognition: has hidden layers {up}, and model.generator {model.widths}; "
            "set both alike"
        )
    if estimator == "vimco" and samples < 2:
        found.append("model.samples: vimco compares at least 2; set model.estimator=reweighted")
    if binarise == "none":
        ways = "dynamic, fixed or threshold"
        found.append(f"model.binarise: the visible units are binary; set model.binarise={ways}")
    return found
