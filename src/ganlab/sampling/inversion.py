"""Inversion: the latent point whose image is most like a given one, by optimisation."""

import functools
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from ganlab.conditioning import ByClass
from ganlab.latent import Gaussian, Uniform
from ganlab.networks.contract import Discriminator, StyleGenerator
from ganlab.networks.discriminator import MinibatchStd
from ganlab.plots.pictures import quantised
from ganlab.sampler import Sampler
from ganlab.sampling.spaces import Space, space_of
from ganlab.spec import at_least, one_of, positive
from ganlab.training.streams import Stream, stream

Where = Literal["z", "w", "w+"]
Features = Callable[[Tensor, Tensor], Tensor]  # images, codes -> (N, d)
AT_ONCE = 256  # images generated at once
WARM, COOL, SHAKEN = 0.05, 0.25, 0.75  # shares of the steps: the rate rises, it falls, noise ends
NOISE = 0.05  # of the standard deviation of points, at the start
SHOWN = 6  # steps in a picture
SAMPLES = 10_000  # w, of which the standard deviation is computed


class Found(NamedTuple):
    """The point found for an image.

    Args:
        space: z, w or w+.
        point: (d,), or of w+ (layers, d).
        code: (code_dim,), that follows the noise in z.
        image: (C, H, W) in [-1, 1].
        steps: (SHOWN, C, H, W), the images of this start on the way.
        start: which start it came from.
        loss: the end's, without the prior.
        psnr: peak signal-to-noise ratio of the pixels as uint8, in dB.
        seconds: of the whole search.
    """

    space: str
    point: Tensor
    code: Tensor
    image: Tensor
    steps: Tensor
    start: int
    loss: float
    psnr: float
    seconds: float


@dataclass(frozen=True)
class Inversion:
    """Searches the points of images by Adam, from several starts at once, of which the best wins.

    The loss is the mean squared error of the pixels in [-1, 1], plus `features` times the squared
    distance in D's features, relative to the size of the image's, plus `prior` times a term that
    keeps points where G has been trained: (mean z^2 - 1)^2 for Gaussian noise, which lies near a
    sphere, and the mean of ((w - w_mean) / sd(w))^2 for w.  Uniform noise is kept in its range.
    Rate and noise rise and fall as in the projector of StyleGAN2 (Karras et al. 2020, appendix D).

    Args:
        gan: the model.
        space: in which to search: z, or of a StyleGenerator w, or w+, one w for each layer
            (Abdal et al. 2019).  None: w, else z.
        starts: random latents, of all classes in turn; at least one of each class is tried.
        steps: of Adam; 0: the best of the starts as they are.
        rate: of Adam, at its highest, in standard deviations of random points.
        features: weight, at least 0; without features at hand it does not count.
        prior: weight, at least 0.
        seed: of the starts and the noise.

    Raises:
        ValueError: a number is out of range, or the model has no such space, or no gradient.
    """

    gan: Sampler
    space: Where | None = None
    starts: int = 8
    steps: int = 300
    rate: float = 0.3
    features: float = 0.1
    prior: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        at_least(1, starts=self.starts)
        at_least(0, steps=self.steps, features=self.features, prior=self.prior)
        positive(rate=self.rate)
        if not self.gan.smooth:
            kind = type(self.gan.generator).__name__
            raise ValueError(f"gan: a {kind} draws as it goes, so no gradient leads to a z")
        if self.space is not None:
            one_of(("z", "w", "w+"), space=self.space)
        if self.space in ("w", "w+") and not isinstance(self.gan.generator, StyleGenerator):
            raise ValueError(f"space={self.space}: the generator of this run has z alone")

    @functools.cached_property
    def deviation(self) -> Tensor:
        """(d,), the standard deviation of each entry of the points of random latents."""
        with torch.no_grad(), space_of(self.gan, in_noise=self.space == "z") as space:
            if space.name == "z":
                return torch.full_like(space.mean, self.gan.latent.deviation)
            latents = self.gan.streamed_latents(SAMPLES, self.seed)
            points = torch.cat([space.points(z) for z in latents])
            return points.std(dim=0).clamp_min(1e-6)

    def __call__(self, target: Tensor, label: int | None = None) -> Found:
        """The point of one image.

        Args:
            target: (C, H, W) in [-1, 1].
            label: its class, if G is conditioned on the class; None: all are tried.
        """
        began = time.perf_counter()
        place = next(self.gan.generator.parameters())
        target = target.to(place).unsqueeze(0)
        latents = self._latents(label)
        in_z = self.space == "z"
        with space_of(self.gan, in_noise=in_z) as space, perception(self.gan) as look:
            search = _Search(self, space, look, target, self.gan.code_in(latents))
            with torch.no_grad():
                points = self._starts(space, latents)
            points, seen = search.run(points)
            with torch.no_grad():
                losses, images = search.judged(points)
        best = int(losses.argmin())
        return Found(
            self.space or space.name,
            points[best].cpu(),
            search.code[best].cpu(),
            images[best].cpu(),
            torch.stack([one[best] for one in seen]).cpu(),
            best,
            losses[best].item(),
            psnr(images[best], target[0]),
            time.perf_counter() - began,
        )

    def _latents(self, label: int | None) -> Tensor:
        """The latents of the starts."""
        classes = self.gan.spec.classes if isinstance(self.gan.conditioning, ByClass) else 0
        if not classes:
            return self.gan.fixed_latents(self.starts, self.seed)
        chosen = list(range(classes)) if label is None else [label]
        return self.gan.fixed_latents(max(self.starts, len(chosen)), self.seed, chosen)

    def _starts(self, space: Space, latents: Tensor) -> Tensor:
        """The points of latents; of w, the first is the mean."""
        points = space.points(latents)
        if space.name == "w":
            points = torch.cat([space.mean.expand(1, -1), points[1:]])
        if self.space == "w+":
            layers = self.gan.generator.layers
            points = points.unsqueeze(1).repeat(1, int(layers), 1)  # type: ignore[arg-type]
        return points


class _Search:
    """The search for one image.

    Args:
        plan: the numbers.
        space: of the points.
        look: D's features; None: there are none.
        target: (1, C, H, W).
        code: (N, code_dim), of each start.
    """

    def __init__(
        self, plan: Inversion, space: Space, look: Features | None, target: Tensor, code: Tensor
    ) -> None:
        self.plan, self.space, self.look = plan, space, look
        self.target, self.code = target, code
        with torch.no_grad():
            self.scale = plan.deviation
            self.wanted = [self._features(target, part) for part in code.split(AT_ONCE)]

    def run(self, points: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The points (N, ...) at the end, and the images (N, C, H, W) of some steps on the way."""
        plan, seen = self.plan, dict[int, Tensor]()
        points = points.clone().requires_grad_()
        rate = plan.rate * self.scale.mean().item()
        adam = torch.optim.Adam([points])
        random = stream("cpu", plan.seed, Stream.INVERSION)
        shown = [i * plan.steps // SHOWN for i in range(SHOWN)]
        for step in range(plan.steps):
            share = step / plan.steps
            if step in shown:
                seen[step] = self.images(points.detach())
            adam.param_groups[0]["lr"] = rate * ramp((step + 1) / plan.steps)
            drawn = torch.randn(points.shape, generator=random).to(points)
            shake = NOISE * max(0.0, 1 - share / SHAKEN) ** 2 * self.scale * drawn
            points.grad = self._gradient(points, shake)
            adam.step()
            self._keep_in_range(points)
        points = points.detach()
        if not plan.steps:
            seen[0] = self.images(points)
        return points, [seen[step] for step in shown]

    def _gradient(self, points: Tensor, shake: Tensor) -> Tensor:
        """Of the loss of each start, which does not depend on the others."""
        found = []
        parts = zip(
            *(x.split(AT_ONCE) for x in (points, shake, self.code)), self.wanted, strict=True
        )
        with torch.enable_grad():
            for part, moved, code, wanted in parts:
                loss = self.distance(self.space.images(part + moved, code), code, wanted).sum()
                loss = loss + self.plan.prior * self.unlikely(part).sum()
                found.append(torch.autograd.grad(loss, part)[0])
        return torch.cat(found)

    def distance(self, images: Tensor, code: Tensor, wanted: Tensor) -> Tensor:
        """(N,), of images from the target in pixels and features.

        Args:
            images: (N, C, H, W), of codes (N, code_dim).
            code: decides what D is asked.
            wanted: the target's features, (N, d).
        """
        apart = (images - self.target).square().flatten(1).mean(dim=1)
        missed = (self._features(images, code) - wanted).square().sum(dim=1)
        return apart + self.plan.features * missed / (wanted.square().sum(dim=1) + 1e-8)

    def _features(self, images: Tensor, code: Tensor) -> Tensor:
        """(N, d), of which d is 0 if there are none."""
        if self.look is None or not self.plan.features:
            return code.new_zeros(len(code), 0)
        return self.look(images.expand(len(code), -1, -1, -1), code)

    def unlikely(self, points: Tensor) -> Tensor:
        """(N,): how far points are from where those of random latents lie."""
        if self.space.name == "w":
            return ((points - self.space.mean) / self.scale).square().flatten(1).mean(dim=1)
        if isinstance(self.plan.gan.latent, Gaussian):
            return (points.square().mean(dim=1) - 1).square()
        return points.new_zeros(len(points))

    @torch.no_grad()
    def _keep_in_range(self, points: Tensor) -> None:
        latent = self.plan.gan.latent
        if self.space.name == "z" and isinstance(latent, Uniform):
            points.clamp_(latent.low, latent.high)

    @torch.no_grad()
    def images(self, points: Tensor) -> Tensor:
        """(N, C, H, W)."""
        parts = zip(points.split(AT_ONCE), self.code.split(AT_ONCE), strict=True)
        return torch.cat([self.space.images(*part) for part in parts])

    def judged(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """The distance (N,) of each start's image, and the images."""
        images = self.images(points)
        parts = zip(images.split(AT_ONCE), self.code.split(AT_ONCE), self.wanted, strict=True)
        return torch.cat([self.distance(*part) for part in parts]), images


def ramp(share: float) -> float:
    """The rate in [0, 1] after a share of the steps: it rises linearly, and falls by a cosine."""
    falling = min(1.0, (1 - share) / COOL)
    return (0.5 - 0.5 * math.cos(falling * math.pi)) * min(1.0, share / WARM)


def psnr(image: Tensor, target: Tensor) -> float:
    """Of two images (C, H, W) in [-1, 1] as uint8, in dB; infinite if they are the same."""
    pixels = [quantised(one.unsqueeze(0)).double() for one in (image, target)]
    error = (pixels[0] - pixels[1]).square().mean().item()
    return 10 * math.log10(255**2 / error) if error else math.inf


@contextmanager
def perception(gan: Any) -> Iterator[Features | None]:
    """D's features of images; None if it gives none, or compares images with each other."""
    judge = getattr(gan, "discriminator", None)
    if not isinstance(judge, Discriminator) or has_comparison(judge):
        yield None
        return
    training = judge.training
    judge.eval()

    def look(images: Tensor, code: Tensor) -> Tensor:
        features = gan.conditioning.discriminate(judge, images, code).features
        return features.float()

    try:
        yield look
    finally:
        judge.train(training)


def has_comparison(judge: nn.Module) -> bool:
    """Whether D's features of an image depend on the other images."""
    return any(isinstance(module, MinibatchStd) for module in judge.modules())
