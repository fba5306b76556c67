"""Terms of the players' losses: their base class, and all that they may look at.

`Discrimination` is one update of D, `Generation` one update of G.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ganlab.schedules import START, Clock, Number, Schedule, bounds
from ganlab.spec import at_least

Scalar = float | Tensor  # a number as a term reads it: a scalar tensor if it is scheduled


class Term(nn.Module):
    """Base of losses, regularizers, conditioning and augmentation: parts of what is minimised.

    Their numbers may follow schedules.  A scheduled number is a scalar buffer that is set at the
    start of each iteration, so CUDA graphs read the current value.
    """

    def __init__(self) -> None:
        super().__init__()
        self.schedules: dict[str, Schedule] = {}

    def set_numbers(self, **numbers: Number) -> None:
        """Makes each number an attribute: a float, or a scalar tensor that follows its schedule."""
        for name, number in numbers.items():
            if isinstance(number, Schedule):
                self.schedules[name] = number
                self.register_buffer(name, torch.tensor(number(START)), persistent=False)
            else:
                setattr(self, name, number)

    def set_nonnegative(self, **numbers: Number) -> None:
        """The same for numbers that must be at least 0 throughout the run.

        Raises:
            ValueError: one of them is not.
        """
        at_least(0, **{name: bounds(number)[0] for name, number in numbers.items()})
        self.set_numbers(**numbers)

    def begin(self, clock: Clock) -> None:
        """Sets the scheduled numbers for an iteration."""
        for name, schedule in self.schedules.items():
            getattr(self, name).fill_(schedule(clock))


@dataclass(frozen=True)
class Output:
    """What D computes for one minibatch; all but the images is part of the graph.

    Args:
        images: (N, C, H, W) in [-1, 1], or points (N, d), before augmentation.
        code: (N, code_dim), the condition of the images, e.g. one-hot classes.
        logits: (N,), float32 at least.
        features: (N, F), the input of D's head; None where D does not return them.
        answers: (N, A) of the head that conditioning adds, e.g. class logits; None without one.
        slope: (N, C*H*W), the gradient of each logit at its image, differentiable once more; None
            unless a term of this update asks for it.
    """

    images: Tensor
    code: Tensor
    logits: Tensor
    features: Tensor | None = None
    answers: Tensor | None = None
    slope: Tensor | None = None

    def halves(self) -> tuple["Output", "Output"]:
        """The output for the first N / 2 images, and for the others."""
        parts = [(None, None) if p is None else p.chunk(2) for p in vars(self).values()]
        first, second = zip(*parts, strict=True)
        return Output(*first), Output(*second)


@dataclass(frozen=True)
class Discrimination:
    """One update of D: all that a term of D's loss may look at.

    Args:
        critic: D as a function of images alone, (N, C, H, W) -> (N,): augmentation included, each
            row under the condition of the minibatch's row.
        real, fake: D on real images and on generated ones, which are detached from G.
        labeled: D on labeled images, in semi-supervised learning.
    """

    critic: Callable[[Tensor], Tensor]
    real: Output
    fake: Output
    labeled: Output | None = None


@dataclass(frozen=True)
class Generation:
    """One update of G: all that a term of G's loss may look at.

    Args:
        generator: G itself, z -> images; a term may generate more.
        z: (N, latent.dim + code_dim), noise and then the code.
        fake: D on the images of z; `fake.images` and `fake.code` are the images and their code.
        real: D on real images, where the loss or a term needs them.
        computed: what G computed on the way, by name, e.g. StyleGAN2's w.
    """

    generator: nn.Module
    z: Tensor
    fake: Output
    real: Output | None = None
    computed: Mapping[str, Any] = field(default_factory=dict)


def uniform_each(images: Tensor) -> Tensor:
    """Draws of U(0, 1), one for each image (N, C, H, W) or point (N, d), that broadcast over it."""
    return torch.rand_like(images[(slice(None), *(slice(1) for _ in images.shape[1:]))])


def slope_of(logits: Tensor, images: Tensor) -> Tensor:
    """Gradient of each logit at its image, (N, C*H*W), differentiable once more."""
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.flatten(1)


def full(logits: Tensor) -> Tensor:
    """Logits in float32 at least: losses average them, which half precision does badly."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
