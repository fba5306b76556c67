"""Regularizers: terms added to D's loss or to G's, and projections of D's weights."""

import math
from collections.abc import Callable
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from ganlab.augment import shift_and_flip
from ganlab.networks.contract import Generator
from ganlab.schedules import Number
from ganlab.spec import at_least, positive
from ganlab.training.terms import (
    Discrimination,
    Generation,
    Output,
    Scalar,
    Term,
    full,
    slope_of,
    uniform_each,
)


class Regularizer(Term):
    """Base of all regularizers; a subclass overrides `d_term`, `g_term` or `project`.

    `per_sample`: the term uses the critic's gradient at each image by itself, which BatchNorm
    makes meaningless (Gulrajani et al. 2017, section 4): such a discriminator is refused.
    `bounds_slope`: it keeps D's slope small, as a Wasserstein critic needs.
    `slope_at`: "real" or "fake" if the term uses D's slope at those very images.  It then finds it
    in their output where D's own pass could give it, which saves a further pass.
    `needs_features`: the term uses D's features; a discriminator that returns none is refused.
    `needs_real`: G's term uses real images.
    `needs_pixels`: the term shifts or mirrors images; data of points is refused.
    `replaces`: G's term replaces G's loss instead of being added to it.

    Args:
        every: the term is taken in every n-th update of its player and multiplied by n, to save
            time (lazy regularization, Karras et al. 2020b, section 3.1).
    """

    per_sample: ClassVar[bool] = False
    bounds_slope: ClassVar[bool] = False
    slope_at: ClassVar[Literal["real", "fake"] | None] = None
    needs_features: ClassVar[bool] = False
    needs_real: ClassVar[bool] = False
    needs_pixels: ClassVar[bool] = False
    replaces: bool = False

    def __init__(self, every: int = 1) -> None:
        super().__init__()
        at_least(1, every=every)
        self.every = every

    def due(self, updates: int) -> bool:
        """Whether the term is taken in an update that follows so many others of the player."""
        return updates % self.every == 0

    def has_term(self, player: str) -> bool:
        """Whether it may add to the loss of player "d" or "g"."""
        own, base = (getattr(kind, f"{player}_term") for kind in (type(self), Regularizer))
        return own is not base

    def d_term(self, update: Discrimination) -> Tensor | None:
        """Scalar added to D's loss, or None."""
        return None

    def g_term(self, update: Generation) -> Tensor | None:
        """Scalar added to G's loss, or None."""
        return None

    def project(self, parameters: list[nn.Parameter]) -> None:
        """Changes D's parameters in place after its optimizer's step."""


class WeightClip(Regularizer):
    """Clamps D's parameters to [-limit, limit] after each step (Arjovsky et al. 2017, Alg. 1).

    Args:
        limit: the paper's c, greater than 0.
    """

    bounds_slope = True

    def __init__(self, limit: float = 0.01) -> None:
        super().__init__()
        positive(limit=limit)
        self.limit = limit

    @torch.no_grad()
    def project(self, parameters: list[nn.Parameter]) -> None:
        tensors: list[Tensor] = list(parameters)
        torch._foreach_clamp_min_(tensors, -self.limit)
        torch._foreach_clamp_max_(tensors, self.limit)


class GradientPenalty(Regularizer):
    """weight E[(||grad D(x)|| - 1)^2], x on lines from real to fake (Gulrajani et al. 2017, eq. 3).

    Args:
        weight: the paper's lambda, at least 0.
        center: the wanted norm: 1 in the paper; 0 is zero-centered (Thanh-Tung et al. 2019).
        every: lazy application, as in Regularizer.
    """

    per_sample = True
    bounds_slope = True

    weight: Scalar
    center: Scalar

    def __init__(self, weight: Number = 10.0, center: Number = 1.0, every: int = 1) -> None:
        super().__init__(every)
        self.set_nonnegative(weight=weight, center=center)

    def d_term(self, update: Discrimination) -> Tensor:
        norm = gradient_norm(update.critic, self.points(update))
        return self.weight * (norm - self.center).square().mean()

    def points(self, update: Discrimination) -> Tensor:
        """Images at which the gradient is taken, one for each real one."""
        real, fake = update.real.images, update.fake.images
        return torch.lerp(real, fake, uniform_each(real))


class DRAGAN(GradientPenalty):
    """A gradient penalty near the data alone: x = real + t noise (Kodali et al. 2017, section 2.3).

    noise = spread std(real) U(0, 1) per pixel and t ~ U(0, 1) per image, as in the authors' code.

    Args:
        weight: the paper's lambda, at least 0.
        center: the paper's k, at least 0.
        spread: size of the noise in standard deviations of the minibatch's pixels.
        every: lazy application, as in Regularizer.
    """

    def __init__(
        self, weight: Number = 10.0, center: Number = 1.0, spread: float = 0.5, every: int = 1
    ) -> None:
        super().__init__(weight, center, every)
        positive(spread=spread)
        self.spread = spread

    def points(self, update: Discrimination) -> Tensor:
        real = update.real.images
        noise = self.spread * real.std(correction=0) * torch.rand_like(real)
        return real + uniform_each(real) * noise


class R1(Regularizer):
    """(gamma / 2) E[||grad D(x)||^2] on real images (Mescheder et al. 2018, eq. 9).

    Args:
        gamma: strength, at least 0.
        every: lazy application, as in Regularizer.
    """

    per_sample = True
    bounds_slope = True
    slope_at: ClassVar[Literal["real", "fake"]] = "real"

    gamma: Scalar

    def __init__(self, gamma: Number = 10.0, every: int = 1) -> None:
        super().__init__(every)
        self.set_nonnegative(gamma=gamma)

    def d_term(self, update: Discrimination) -> Tensor:
        output = update.real if self.slope_at == "real" else update.fake
        gradient = output.slope
        if gradient is None:
            gradient = input_gradient(update.critic, output.images)
        return 0.5 * self.gamma * gradient.square().sum(dim=1).mean()


class R2(R1):
    """R1 on generated images (Mescheder et al. 2018, eq. 9 and below)."""

    slope_at = "fake"


class LeCam(Regularizer):
    """weight (E[relu(D(x) - a_F)^2] + E[relu(a_R - D(G(z)))^2]) (Tseng et al. 2021, authors' code).

    a_R and a_F are moving averages of D's logits on real and generated images, without the bias
    towards their start at 0, as in the authors' code for StyleGAN2; kept in checkpoints.  Equation
    7 of the paper has no relu: it also draws logits that have passed the other side's average.
    The authors' code for BigGAN starts the penalty after some iterations, with a decay of 0.9.

    Args:
        weight: the paper's lambda, at least 0.
        decay: of the moving averages per pass of D (d_accumulate passes an update), in [0, 1).
    """

    real_anchor: Tensor
    fake_anchor: Tensor
    seen: Tensor

    weight: Scalar

    def __init__(self, weight: Number = 0.3, decay: float = 0.99) -> None:
        super().__init__()
        at_least(0, decay=decay)
        self.set_nonnegative(weight=weight)
        if decay >= 1:
            raise ValueError(f"decay must be less than 1, got {decay}")
        self.decay = decay
        self.register_buffer("real_anchor", torch.zeros(()))
        self.register_buffer("fake_anchor", torch.zeros(()))
        self.register_buffer("seen", torch.zeros(()))  # total weight of all logits in an average

    def d_term(self, update: Discrimination) -> Tensor:
        real, fake = update.real.logits, update.fake.logits
        with torch.no_grad():
            self.real_anchor.lerp_(real.mean().to(self.real_anchor), 1 - self.decay)
            self.fake_anchor.lerp_(fake.mean().to(self.fake_anchor), 1 - self.decay)
            self.seen.lerp_(torch.ones_like(self.seen), 1 - self.decay)
            of_real, of_fake = self.real_anchor / self.seen, self.fake_anchor / self.seen
        above, below = (real - of_fake).relu(), (of_real - fake).relu()
        return self.weight * (above.square().mean() + below.square().mean())


class Consistency(Regularizer):
    """D should say the same of an image and of its shifted and flipped copy T(x).

    weight E[(D(x) - D(T(x)))^2] (CR, Zhang et al. 2020, eq. 2) and, balanced,
    fake_weight E[(D(G(z)) - D(T(G(z))))^2] (bCR, Zhao et al. 2021, algorithm 1).

    Args:
        weight: on real images, at least 0; 10 in both papers.
        fake_weight: on generated images, at least 0; 10 in bCR, 0 is CR.
        flip: whether T may mirror an image: False for digits and letters.
        every: lazy application, as in Regularizer.
    """

    needs_pixels = True

    weight: Scalar
    fake_weight: Scalar

    def __init__(
        self, weight: Number = 10.0, fake_weight: Number = 0.0, flip: bool = False, every: int = 1
    ) -> None:
        super().__init__(every)
        self.set_nonnegative(weight=weight, fake_weight=fake_weight)
        self.flip = flip

    def d_term(self, update: Discrimination) -> Tensor:
        penalty = update.real.logits.new_zeros(())
        for weight, output in ((self.weight, update.real), (self.fake_weight, update.fake)):
            if isinstance(weight, Tensor) or weight > 0:
                moved = update.critic(shift_and_flip(output.images, flip=self.flip))
                penalty = penalty + weight * (output.logits - moved).square().mean()
        return penalty


class PullAway(Regularizer):
    """G's images should differ in D's features (EBGAN's pull-away term, Zhao et al. 2017, eq. 4).

    weight / (N (N - 1)) sum over i, j != i of cos(S_i, S_j)^2, with S_i the features of image i.

    Args:
        weight: at least 0; 0.1 in the paper.
    """

    needs_features = True

    weight: Scalar

    def __init__(self, weight: Number = 0.1) -> None:
        super().__init__()
        self.set_nonnegative(weight=weight)

    def g_term(self, update: Generation) -> Tensor:
        rows = normalize(features(update.fake), dim=1)
        n = len(rows)
        among_others = (rows @ rows.T).square().sum() - (rows.square().sum(dim=1) ** 2).sum()
        return self.weight * among_others / max(n * (n - 1), 1)


class FeatureMatching(Regularizer):
    """G matches the mean of D's features: ||E f(x) - E f(G(z))||^2 (Salimans et al. 2016, 3.1).

    Args:
        weight: at least 0.
        alone: in place of G's loss, as in the paper, or beside it.
    """

    needs_features = True
    needs_real = True

    weight: Scalar

    def __init__(self, weight: Number = 1.0, alone: bool = True) -> None:
        super().__init__()
        self.set_nonnegative(weight=weight)
        self.replaces = alone

    def g_term(self, update: Generation) -> Tensor:
        if update.real is None:
            raise ValueError("feature matching needs real images, got None")
        real = features(update.real).detach()
        apart = features(update.fake).mean(dim=0) - real.mean(dim=0)
        return self.weight * apart.square().sum()


class PathLength(Regularizer):
    """Equal steps in w should change images equally: weight E[(|J' y| - a)^2].

    J' y is the gradient of sum(G(w) y) with respect to w, y ~ N(0, 1 / (H W)) an image of noise,
    and a the moving average of its length |J' y| (Karras et al. 2020b, eq. 4).  It is taken on
    fresh images of the first half of the minibatch's latents, outside of autocast.  As in the
    authors' code |J' y|^2 is the mean over the layers that take w, and the new a is in the
    gradient.  Of a generator without w the gradient is with respect to z.

    Args:
        weight: at least 0; 2 in the authors' code.
        decay: share of the new length in the moving average a, in (0, 1].
        every: lazy application, as in Regularizer; 4 in the paper.
    """

    mean: Tensor

    weight: Scalar

    def __init__(self, weight: Number = 2.0, decay: float = 0.01, every: int = 4) -> None:
        super().__init__(every)
        positive(decay=decay)
        if decay > 1:
            raise ValueError(f"decay must be at most 1, got {decay}")
        self.set_nonnegative(weight=weight)
        self.decay = decay
        self.register_buffer("mean", torch.zeros(()))

    def g_term(self, update: Generation) -> Tensor:
        lengths = self.lengths(update.generator, update.z[: max(len(update.z) // 2, 1)])
        mean = torch.lerp(self.mean.to(lengths), lengths.mean(), self.decay)
        self.mean.copy_(mean.detach())
        return self.weight * (lengths - mean).square().mean()

    def lengths(self, generator: nn.Module, z: Tensor) -> Tensor:
        """|J' y| for each latent, (N,), differentiable once more.

        Args:
            generator: z -> images; a `ganlab.networks.Generator` may compute "w" on the way.
            z: (N, latent.dim + code_dim).
        """
        with torch.autocast(z.device.type, enabled=False):
            z = z.detach().requires_grad_()
            if isinstance(generator, Generator):
                images, computed = generator.generate(z)
            else:
                images, computed = generator(z), {}
            noise = torch.randn_like(images) / math.sqrt(math.prod(images.shape[2:]))
            changed = (images * noise).sum()
            (gradient,) = torch.autograd.grad(changed, computed.get("w", z), create_graph=True)
        squares = full(gradient).square().sum(dim=-1)
        return (squares.reshape(len(z), -1).mean(dim=1) + 1e-12).sqrt()


def features(output: Output) -> Tensor:
    """D's features (N, F), in float32 at least.

    Raises:
        ValueError: D returns none.
    """
    if output.features is None:
        raise ValueError("the discriminator returns no features")
    return full(output.features.flatten(1))


def input_gradient(critic: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Gradient of the critic at each image, (N, C*H*W), differentiable once more.

    Computed outside of autocast, in the weights' own float32: squared gradients overflow float16.
    """
    with torch.enable_grad(), torch.autocast(images.device.type, enabled=False):
        images = images.detach().requires_grad_()
        return slope_of(critic(images), images)


def gradient_norm(critic: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Euclidean norm of `input_gradient`, (N,); eps keeps the root's slope finite at 0."""
    return (input_gradient(critic, images).square().sum(dim=1) + 1e-12).sqrt()
