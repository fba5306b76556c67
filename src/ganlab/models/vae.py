"""Variational autoencoders: a decoder, and an encoder that bounds its likelihood from below."""

import functools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ganlab.errors import CombinationError
from ganlab.generative import Generative
from ganlab.latent import Gaussian, Latent
from ganlab.models.likelihoods import Bernoulli, Likelihood
from ganlab.networks.variational import Decoder, Encoder
from ganlab.schedules import Number
from ganlab.spec import PointSpec, Spec, at_least
from ganlab.training.batch import Batch, RealImages
from ganlab.training.binarise import Binarise, binarised, binarised_each
from ganlab.training.ema import Statistics
from ganlab.training.importance import bounds, importance_weighted
from ganlab.training.labels import labelled
from ganlab.training.likelihood import LogLikelihood
from ganlab.training.streams import Stream, stream
from ganlab.training.terms import Scalar, Term
from ganlab.training.updates import Player, UpdateRule

G = "g"  # the one player: decoder, encoder and likelihood together
ACTIVE = 0.01  # variance of the posterior mean above which a latent is in use (Burda et al. 2016)


class Weights(Term):
    """The numbers of the bound that may follow schedules.

    Args:
        beta: weight of the KL divergence.
        free_bits: nats of each latent that cost nothing.
    """

    beta: Scalar
    free_bits: Scalar

    def __init__(self, beta: Number, free_bits: Number) -> None:
        super().__init__()
        self.set_nonnegative(beta=beta, free_bits=free_bits)


class VAE(Generative):
    """A decoder p(x | z) and an encoder q(z | x), trained on a lower bound of log p(x).

    With one sample it is the ELBO with the KL divergence in closed form (Kingma & Welling 2014,
    equation 10), beta times that divergence (Higgins et al. 2017), and free bits (Kingma et al.
    2016, appendix C.8).  With k samples it is the importance-weighted bound (Burda et al. 2016,
    equation 8).

    A sample is the decoder's mean for a z of the prior: pixels are not drawn.

    Args:
        generator: the decoder.
        encoder: of pixels in [0, 1], or of points.
        likelihood: p(x | z), given what the decoder puts out.
        spec: shape of the images, or of the points that take their place, and number of classes.
        latent: the prior p(z), which must be Gaussian.
        g_rule: how all networks are updated.
        beta: weight of the KL divergence, or a schedule of it.
        free_bits: nats of each latent's divergence, averaged over a minibatch, below which it is
            not made smaller; or a schedule.
        samples: k, of the bound in training.
        binarise: none: grey pixels are probabilities; dynamic: pixels are drawn anew each time;
            fixed: they are drawn once for each image; threshold: they are cut at 1/2.
        ema: decay of the moving average of the decoder's weights that `sample` uses, or a schedule
            of it; None: no average.  Bounds are those of the trained weights.
        ema_statistics: what BatchNorm's running statistics of the average are: copy, average or
            recompute (training/ema.py).
        iterations: length of the run, for schedules; ENDLESS: the clock ends it.
        seed: of all random numbers, in [0, 2^32).

    Raises:
        CombinationError: the parts cannot work together.
    """

    generator: Decoder
    counted = G
    words = "It is the decoder of a variational autoencoder (VAE); the encoder is not here."
    tags = ("vae", "variational-autoencoder")

    def __init__(
        self,
        generator: Decoder,
        encoder: Encoder,
        likelihood: Likelihood,
        *,
        spec: Spec,
        latent: Latent,
        g_rule: UpdateRule,
        beta: Number = 1.0,
        free_bits: Number = 0.0,
        samples: int = 1,
        binarise: Binarise = "none",
        ema: Number | None = None,
        ema_statistics: Statistics = "copy",
        iterations: int = 1,
        seed: int = 0,
    ) -> None:
        at_least(1, samples=samples)
        require_parts(generator, encoder, likelihood)
        if found := refusals(spec, latent, likelihood, beta, free_bits, samples, binarise):
            raise CombinationError(found)
        super().__init__(
            generator,
            {G: Player((generator, encoder, likelihood), g_rule)},
            spec=spec,
            latent=latent,
            ema=ema,
            ema_statistics=ema_statistics,
            iterations=iterations,
            seed=seed,
        )
        self.encoder, self.likelihood = encoder, likelihood
        self.weights = Weights(beta, free_bits)
        self.samples, self.binarise = samples, binarise
        self.to(memory_format=torch.channels_last)  # convolutions are faster so

    # Training ------------------------------------------------------------------------------------

    def play(self, batch: RealImages) -> None:
        """One update of all networks, on fresh noise."""
        (minibatch,) = batch.unbind()
        self.step(minibatch)
        self.average()

    @labelled("G step")
    def step(self, minibatch: Batch) -> None:
        """Moves decoder and encoder up the bound's gradient."""
        self.optimizer(G).zero_grad()
        for real in minibatch.chunk(self.players[G].rule.accumulate):
            pixels = self.seen(real.images)
            self.manual_backward(real.size / minibatch.size * self.loss(pixels))
        self.update(G)

    def seen(self, images: Tensor) -> Tensor:
        """What is modelled: pixels in [0, 1] of images in [-1, 1], binarised or not; or points."""
        if isinstance(self.spec, PointSpec):
            return images
        return binarised(images, self.binarise, self.of_all_ranks(len(images)))

    @labelled("losses")
    def loss(self, x: Tensor) -> Tensor:
        """Minus the bound in nats, the mean over x (N, ...), as `seen` gives them."""
        mean, log_variance = self.posterior(x)
        rows = self.shared(len(x), self.samples * mean.shape[1])
        noise = rows.view(len(x), self.samples, -1).transpose(0, 1)
        if self.samples > 1:
            bound = importance_weighted(
                self.log_weights(x, mean, log_variance, noise), dim=0
            ).mean()
            self.observations.add("loss/g", -bound)
            return -bound
        fit = self.fit(x, reparametrised(mean, log_variance, noise))[0].mean()
        divergence = kl_to_prior(mean, log_variance).mean(dim=0)
        spent = divergence.clamp(min=self.weights.free_bits)
        loss = self.weights.beta * spent.sum() - fit
        self.observations.add("loss/g", loss)
        self.observations.add_all({"elbo/fit": fit, "elbo/kl": divergence.sum()})
        return loss

    def shared(self, rows: int, width: int) -> Tensor:
        """This rank's rows of standard normal numbers; all ranks together draw what one would."""
        ranks, device = self.trainer.world_size, self.noise.device
        drawn = torch.randn(ranks * rows, width, generator=self.noise, device=device)
        return drawn.narrow(0, rows * self.trainer.global_rank, rows).to(self.dtype)

    # The bound -----------------------------------------------------------------------------------

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance (N, latent.dim) of q(z | x)."""
        return self.encoder.posterior(x)

    def fit(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x | z) in nats (k, N) of x (N, ...) and latents (k, N, latent.dim)."""
        k = len(z)
        a = self.generator.natural(z.flatten(0, 1))
        return self.likelihood.log_prob(a, x.repeat(k, *(1 for _ in x.shape[1:]))).view(k, -1)

    def log_weights(self, x: Tensor, mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
        """log p(x, z) - log q(z | x) in nats (k, N), for z = mean + deviation * noise.

        Args:
            x: (N, ...), as `seen` gives them.
            mean, log_variance: (N, latent.dim), of their posteriors.
            noise: standard normal (k, N, latent.dim).
        """
        z = reparametrised(mean, log_variance, noise)
        prior_to_posterior = 0.5 * (noise.square() - z.square() + log_variance).sum(dim=2)
        return self.fit(x, z) + prior_to_posterior

    @torch.no_grad()
    def log_likelihoods(self, images: Tensor, samples: int, seed: int) -> list[LogLikelihood]:
        """The importance-weighted bound of log p(x) with so many samples, in evaluation mode.

        Every image has noise of its own, so its bound does not depend on the others.  Of grey
        pixels with a Bernoulli likelihood, which are none of its values, it has a name of its own.
        """
        at_least(1, samples=samples)
        training = self.training
        self.eval()
        try:
            x = self.held_out(images, seed)
            random = functools.partial(stream, x.device, seed, Stream.LIKELIHOOD)
            found = bounds(self.drawn_log_weights, x, samples, random)
        finally:
            self.train(training)
        points = isinstance(self.spec, PointSpec)
        grey = "grey-" if isinstance(self.likelihood, Bernoulli) and self.binarise == "none" else ""
        protocol = {"binarise": "points" if points else self.binarise, "seed": seed}
        protocol |= {"likelihood": self.likelihood.words, "samples": samples, "weights": "trained"}
        return [LogLikelihood.of(found, f"{grey}iwae-{samples}", "lower bound", **protocol)]

    def held_out(self, images: Tensor, seed: int) -> Tensor:
        """As `seen`, of held-out images: what is drawn for each is a function of its number."""
        if isinstance(self.spec, PointSpec):
            return images.to(self.dtype)
        return binarised_each(images, self.binarise, seed).to(self.dtype)

    def drawn_log_weights(
        self, x: Tensor, samples: int, generators: Sequence[torch.Generator]
    ) -> Tensor:
        """The log weights (N, samples) of latents that each x's own generator draws."""
        mean, log_variance = self.posterior(x)
        shape = samples, mean.shape[1]
        noise = [torch.randn(shape, generator=own, device=own.device) for own in generators]
        return self.log_weights(x, mean, log_variance, torch.stack(noise, dim=1).to(mean)).T

    # Health --------------------------------------------------------------------------------------

    def own_readings(self, images: Tensor) -> dict[str, Tensor]:
        """The share of latents in use: those whose posterior mean moves with x."""
        mean, _ = self.posterior(self.seen_as_mean(images))
        return {"active_units": (mean.float().var(dim=0) > ACTIVE).float().mean()}

    def seen_as_mean(self, images: Tensor) -> Tensor:
        """The mean of what is modelled: grey pixels in [0, 1], or points."""
        return images if isinstance(self.spec, PointSpec) else (images + 1) / 2


def reparametrised(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """z = mean + deviation * noise; z ~ N(mean, exp(log_variance)) if the noise is normal."""
    return mean + (0.5 * log_variance).exp() * noise


def kl_to_prior(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)) || N(0, 1)) in nats, of each entry."""
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1)


def require_parts(generator: nn.Module, encoder: nn.Module, likelihood: nn.Module) -> None:
    """Raises TypeError unless the networks are a decoder, an encoder and a likelihood."""
    wanted: dict[str, tuple[nn.Module, type[nn.Module]]] = {
        "generator": (generator, Decoder),
        "encoder": (encoder, Encoder),
        "likelihood": (likelihood, Likelihood),
    }
    for name, (part, kind) in wanted.items():
        if not isinstance(part, kind):
            unit = ".".join(kind.__module__.split(".")[:2])
            raise TypeError(f"{name}: {type(part).__name__} is no {unit}.{kind.__name__}")


def refusals(
    spec: Spec,
    latent: Latent,
    likelihood: Likelihood,
    beta: Number,
    free_bits: Number,
    samples: int,
    binarise: Binarise,
) -> list[str]:
    """Why these parts cannot be one VAE."""
    found = []
    if not isinstance(latent, Gaussian):
        found.append("latent: the prior of a VAE is Gaussian noise; set latent=gaussian")
    if samples > 1 and (beta != 1 or free_bits != 0):
        found.append(
            "model.samples: the bound of several samples has no KL divergence by itself, which "
            "beta and free_bits would change; set model.samples=1, or leave the two out"
        )
    if binarise != "none" and isinstance(spec, PointSpec):
        found.append(f"model.binarise: the data is points {spec}; set model.binarise=none")
    elif binarise != "none" and likelihood.words != "Bernoulli":
        found.append(
            "model.binarise: binary pixels have a Bernoulli likelihood; set model.binarise=none"
        )
    return found
