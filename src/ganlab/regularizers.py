"""Regularizers of the discriminator: penalties added to its loss, projections after its step."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ganlab.spec import at_least, positive


@dataclass(frozen=True)
class Critique:
    """One discriminator pass: all that a penalty may look at.

    Args:
        critic: the discriminator as a function of images alone.
        real, fake: images (N, C, H, W) in [-1, 1]; `fake` is detached from the generator.
        real_logits, fake_logits: the critic's outputs on them, (N,), part of the graph.
    """

    critic: Callable[[Tensor], Tensor]
    real: Tensor
    fake: Tensor
    real_logits: Tensor
    fake_logits: Tensor


class Regularizer(nn.Module):
    """Base of all regularizers; a subclass overrides `penalty` or `project`.

    `per_sample`: the term uses the critic's gradient at each image by itself, which BatchNorm
    makes meaningless (Gulrajani et al. 2017, section 4): such a discriminator is refused.

    Args:
        every: the penalty is taken in every n-th update of D and multiplied by n, to save time
            (lazy regularization, Karras et al. 2020b, section 3.1).
    """

    per_sample: ClassVar[bool] = False

    def __init__(self, every: int = 1) -> None:
        super().__init__()
        at_least(1, every=every)
        self.every = every

    def penalty(self, critique: Critique) -> Tensor | None:
        """Scalar added to D's loss, or None."""
        return None

    def project(self, discriminator: nn.Module) -> None:
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
    def project(self, discriminator: nn.Module) -> None:
        parameters: list[Tensor] = list(discriminator.parameters())
        torch._foreach_clamp_min_(parameters, -self.limit)
        torch._foreach_clamp_max_(parameters, self.limit)


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
        t = torch.rand_like(critique.real[:, :1, :1, :1])
        return torch.lerp(critique.real, critique.fake, t)


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
        real = critique.real
        noise = self.spread * real.std() * torch.rand_like(real)
        return real + torch.rand_like(real[:, :1, :1, :1]) * noise


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
        return critique.real


class R2(R1):
    """R1 on generated images (Mescheder et al. 2018, eq. 9 and below)."""

    def points(self, critique: Critique) -> Tensor:
        return critique.fake


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
        real, fake = critique.real_logits, critique.fake_logits
        with torch.no_grad():
            self.real_anchor.lerp_(real.mean().to(self.real_anchor), 1 - self.decay)
            self.fake_anchor.lerp_(fake.mean().to(self.fake_anchor), 1 - self.decay)
        apart = (real - self.fake_anchor).square().mean() + (
            fake - self.real_anchor
        ).square().mean()
        return self.weight * apart


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
