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
    """Base of all regularizers; a subclass overrides one of the two methods.

    `per_sample`: the term uses the critic's gradient at each image by itself, which BatchNorm
    makes meaningless (Gulrajani et al. 2017, section 4): such a discriminator is refused.
    """

    per_sample: ClassVar[bool] = False

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
    """

    per_sample = True

    def __init__(self, weight: float = 10.0, center: float = 1.0) -> None:
        super().__init__()
        at_least(0, weight=weight, center=center)
        self.weight, self.center = weight, center

    def penalty(self, critique: Critique) -> Tensor:
        t = torch.rand_like(critique.real[:, :1, :1, :1])
        between = torch.lerp(critique.real, critique.fake, t)
        return self.weight * (gradient_norm(critique.critic, between) - self.center).square().mean()


class R1(Regularizer):
    """(gamma / 2) E[||grad D(x)||^2] on real images (Mescheder et al. 2018, eq. 9).

    Args:
        gamma: strength, at least 0.
    """

    per_sample = True

    def __init__(self, gamma: float = 10.0) -> None:
        super().__init__()
        at_least(0, gamma=gamma)
        self.gamma = gamma

    def penalty(self, critique: Critique) -> Tensor:
        gradient = input_gradient(critique.critic, critique.real)
        return 0.5 * self.gamma * gradient.square().sum(dim=1).mean()


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
