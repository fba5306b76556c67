"""Regularizers: terms added to D's loss or to G's, and projections of D's weights."""

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from ganlab.augment import shift_and_flip
from ganlab.spec import at_least, positive
from ganlab.training.critique import Critique, Opinion, full, uniform_each


class Regularizer(nn.Module):
    """Base of all regularizers; a subclass overrides `penalty`, `g_penalty` or `project`.

    `per_sample`: the term uses the critic's gradient at each image by itself, which BatchNorm
    makes meaningless (Gulrajani et al. 2017, section 4): such a discriminator is refused.
    `needs_features`: the term looks at D's features; a discriminator without them is refused.
    `needs_real`: G's term looks at real images.
    `needs_pixels`: the term moves pixels about; data of points is refused.
    `replaces`: G's term stands in place of G's loss instead of beside it.

    Args:
        every: the penalty is taken in every n-th update of D and multiplied by n, to save time
            (lazy regularization, Karras et al. 2020b, section 3.1).
    """

    per_sample: ClassVar[bool] = False
    needs_features: ClassVar[bool] = False
    needs_real: ClassVar[bool] = False
    needs_pixels: ClassVar[bool] = False
    replaces: bool = False

    def __init__(self, every: int = 1) -> None:
        super().__init__()
        at_least(1, every=every)
        self.every = every

    def penalty(self, critique: Critique) -> Tensor | None:
        """Scalar added to D's loss, or None."""
        return None

    def g_penalty(self, fake: Opinion, real: Opinion | None) -> Tensor | None:
        """Scalar added to G's loss, or None; `real` is there if `needs_real` is."""
        return None

    def project(self, parameters: list[nn.Parameter]) -> None:
        """Changes D's parameters in place after its optimizer's step."""


class WeightClip(Regularizer):
    """Clamps D's parameters to [-limit, limit] after each step (Arjovsky et al. 2017, Alg. 1).

    Args:
        limit: the paper's c, greater than 0.
    """

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

    def __init__(self, weight: float = 10.0, center: float = 1.0, every: int = 1) -> None:
        super().__init__(every)
        at_least(0, weight=weight, center=center)
        self.weight, self.center = weight, center

    def penalty(self, critique: Critique) -> Tensor:
        norm = gradient_norm(critique.critic, self.points(critique))
        return self.weight * (norm - self.center).square().mean()

    def points(self, critique: Critique) -> Tensor:
        """Images at which the gradient is taken, one for each real one."""
        real, fake = critique.real.images, critique.fake.images
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
        self, weight: float = 10.0, center: float = 1.0, spread: float = 0.5, every: int = 1
    ) -> None:
        super().__init__(weight, center, every)
        positive(spread=spread)
        self.spread = spread

    def points(self, critique: Critique) -> Tensor:
        real = critique.real.images
        noise = self.spread * real.std(correction=0) * torch.rand_like(real)
        return real + uniform_each(real) * noise


class R1(Regularizer):
    """(gamma / 2) E[||grad D(x)||^2] on real images (Mescheder et al. 2018, eq. 9).

    Args:
        gamma: strength, at least 0.
        every: lazy application, as in Regularizer.
    """

    per_sample = True

    def __init__(self, gamma: float = 10.0, every: int = 1) -> None:
        super().__init__(every)
        at_least(0, gamma=gamma)
        self.gamma = gamma

    def penalty(self, critique: Critique) -> Tensor:
        gradient = input_gradient(critique.critic, self.points(critique))
        return 0.5 * self.gamma * gradient.square().sum(dim=1).mean()

    def points(self, critique: Critique) -> Tensor:
        """Images at which the gradient is taken."""
        return critique.real.images


class R2(R1):
    """R1 on generated images (Mescheder et al. 2018, eq. 9 and below)."""

    def points(self, critique: Critique) -> Tensor:
        return critique.fake.images


class LeCam(Regularizer):
    """weight (E[(D(x) - a_F)^2] + E[(D(G(z)) - a_R)^2]) (Tseng et al. 2021, eq. 7).

    a_R and a_F are moving averages of D's logits on real and generated images, kept in checkpoints.

    Args:
        weight: the paper's lambda, at least 0.
        decay: of the moving averages per pass of D (d_accumulate passes an update), in [0, 1).
    """

    real_anchor: Tensor
    fake_anchor: Tensor

    def __init__(self, weight: float = 0.3, decay: float = 0.99) -> None:
        super().__init__()
        at_least(0, weight=weight, decay=decay)
        if decay >= 1:
            raise ValueError(f"decay must be less than 1, got {decay}")
        self.weight, self.decay = weight, decay
        self.register_buffer("real_anchor", torch.zeros(()))
        self.register_buffer("fake_anchor", torch.zeros(()))

    def penalty(self, critique: Critique) -> Tensor:
        real, fake = critique.real.logits, critique.fake.logits
        with torch.no_grad():
            self.real_anchor.lerp_(real.mean().to(self.real_anchor), 1 - self.decay)
            self.fake_anchor.lerp_(fake.mean().to(self.fake_anchor), 1 - self.decay)
        apart = (real - self.fake_anchor).square().mean() + (
            fake - self.real_anchor
        ).square().mean()
        return self.weight * apart


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

    def __init__(
        self, weight: float = 10.0, fake_weight: float = 0.0, flip: bool = False, every: int = 1
    ) -> None:
        super().__init__(every)
        at_least(0, weight=weight, fake_weight=fake_weight)
        self.weight, self.fake_weight, self.flip = weight, fake_weight, flip

    def penalty(self, critique: Critique) -> Tensor:
        penalty = critique.real.logits.new_zeros(())
        for weight, seen in ((self.weight, critique.real), (self.fake_weight, critique.fake)):
            if weight:
                moved = critique.critic(shift_and_flip(seen.images, flip=self.flip))
                penalty = penalty + weight * (seen.logits - moved).square().mean()
        return penalty


class PullAway(Regularizer):
    """G's images should differ in D's features (EBGAN's pull-away term, Zhao et al. 2017, eq. 4).

    weight / (N (N - 1)) sum over i, j != i of cos(S_i, S_j)^2, with S_i the features of image i.

    Args:
        weight: at least 0; 0.1 in the paper.
    """

    needs_features = True

    def __init__(self, weight: float = 0.1) -> None:
        super().__init__()
        at_least(0, weight=weight)
        self.weight = weight

    def g_penalty(self, fake: Opinion, real: Opinion | None) -> Tensor:
        rows = normalize(shown(fake), dim=1)
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

    def __init__(self, weight: float = 1.0, alone: bool = True) -> None:
        super().__init__()
        at_least(0, weight=weight)
        self.weight, self.replaces = weight, alone

    def g_penalty(self, fake: Opinion, real: Opinion | None) -> Tensor:
        if real is None:
            raise ValueError("feature matching needs real images, got None")
        apart = shown(fake).mean(dim=0) - shown(real).detach().mean(dim=0)
        return self.weight * apart.square().sum()


def shown(opinion: Opinion) -> Tensor:
    """D's features (N, F), in float32 at least.

    Raises:
        ValueError: D shows none.
    """
    if opinion.features is None:
        raise ValueError("the discriminator shows no features")
    return full(opinion.features.flatten(1))


def input_gradient(critic: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Gradient of the critic at each image, (N, C*H*W), differentiable once more.

    Computed outside of autocast, in the weights' own float32: squared gradients overflow float16.
    """
    with torch.enable_grad(), torch.autocast(images.device.type, enabled=False):
        images = images.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)
    return gradient.flatten(1)


def gradient_norm(critic: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Euclidean norm of `input_gradient`, (N,); eps keeps the root's slope finite at 0."""
    return (input_gradient(critic, images).square().sum(dim=1) + 1e-12).sqrt()
