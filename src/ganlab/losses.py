"""Losses of the discriminator D and the generator G, as functions of logits.

Every loss takes D's raw outputs (logits, any shape), never probabilities: log sigmoid(l) is
computed as -softplus(-l), which stays finite where log(sigmoid(l)) overflows.
"""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

from ganlab.spec import at_least, positive
from ganlab.training.terms import Term


class Loss(Term):
    """Base of all losses: a two-player game.

    `needs_real`: whether G's loss also needs real logits (relativistic losses).
    `energy`: whether D outputs energies, low on real images, such as reconstruction errors.
    `needs_lipschitz`: whether the game has no solution unless something bounds D's slope.
    `has_sign`: whether D's output is positive where D takes an image for real.
    """

    needs_real: ClassVar[bool] = False
    energy: ClassVar[bool] = False
    needs_lipschitz: ClassVar[bool] = False
    has_sign: ClassVar[bool] = True

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Scalar that D minimises, from logits of real and generated images."""
        raise NotImplementedError

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """Scalar that G minimises, from logits of generated (and, if needed, real) images."""
        raise NotImplementedError

    def score(self, logits: Tensor) -> Tensor:
        """D(x) as the loss interprets it: a probability, a regression output, a critic's value."""
        return logits

    def readings(self) -> dict[str, Tensor]:
        """Scalars from the state of the loss, by name, to log."""
        return {}


class Minimax(Loss):
    """min_G max_D V = E[log D(x)] + E[log(1 - D(G(z)))] (Goodfellow et al. 2014, eq. 1).

    The saturating game of Algorithm 1: G descends log(1 - D(G(z))), whose gradient vanishes
    where D rejects generated images with confidence.

    Args:
        smoothing: one-sided label smoothing, in [0, 0.5): D's target for real images is
            1 - smoothing (Salimans et al. 2016, section 3.4).
    """

    def __init__(self, smoothing: float = 0.0) -> None:
        super().__init__()
        if not 0 <= smoothing < 0.5:
            raise ValueError(f"smoothing must be at least 0 and less than 0.5, got {smoothing}")
        self.smoothing = smoothing

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        # -t log s(l) - (1 - t) log(1 - s(l)) = softplus(-l) + (1 - t) l
        return (softplus(-real) + self.smoothing * real).mean() + softplus(fake).mean()

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -softplus(fake).mean()

    def score(self, logits: Tensor) -> Tensor:
        return logits.sigmoid()


class NonSaturating(Minimax):
    """D as in Minimax; G maximises log D(G(z)) (Goodfellow et al. 2014, section 3).

    The same fixed point as Minimax, with strong gradients early in learning.
    """

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return softplus(-fake).mean()


class LeastSquares(Loss):
    """D regresses real to b = 1 and fake to a = 0, G fake to c = 1 (Mao et al. 2017, eq. 9)."""

    has_sign = False

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return 0.5 * (real - 1).square().mean() + 0.5 * fake.square().mean()

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return 0.5 * (fake - 1).square().mean()


class Wasserstein(Loss):
    """The dual of the Wasserstein-1 distance (Arjovsky et al. 2017, eq. 2): D is a critic.

    The critic must be Lipschitz: add regularizer=weight_clip or regularizer=gradient_penalty.
    """

    needs_lipschitz = True
    has_sign = False

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake.mean() - real.mean()

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -fake.mean()


class Relativistic(Loss):
    """D classifies which of a pair is real: RpGAN (Jolicoeur-Martineau 2019, section 3.2).

    d = E[softplus(D(G(z)) - D(x))], g = E[softplus(D(x) - D(G(z)))] over pairs of a real and a
    generated image; with R1 and R2 it is the loss of R3GAN (Huang et al. 2024, eq. 2).
    """

    needs_real = True
    has_sign = False

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(fake - real).mean()

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return self.d_loss(fake, present(real))


class RelativisticAverage(Relativistic):
    """D compares x with the average of the other kind: RaGAN (Jolicoeur-Martineau 2019, eq. 11).

    d = E_x[softplus(-(D(x) - E D(G(z))))] + E_z[softplus(D(G(z)) - E D(x))]; g with the roles
    of real and generated images exchanged.
    """

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(fake.mean() - real).mean() + softplus(fake - real.mean()).mean()


def present(real: Tensor | None) -> Tensor:
    """The real logits, which a relativistic loss of G needs.

    Raises:
        ValueError: they are None.
    """
    if real is None:
        raise ValueError("a relativistic g_loss needs the logits of real images, got None")
    return real


class Hinge(Wasserstein):
    """D's loss is 0 beyond the margins +-1; G as in Wasserstein (Lim & Ye 2017)."""

    needs_lipschitz = False
    has_sign = True

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return relu(1 - real).mean() + relu(1 + fake).mean()


class EBGAN(Loss):
    """D's energy is low on real images, at least `margin` elsewhere (Zhao et al. 2017, eqs. 1-2).

    Args:
        margin: the paper's m, greater than 0, in units of the energy.
    """

    energy = True
    has_sign = False

    def __init__(self, margin: float = 1.0) -> None:
        super().__init__()
        positive(margin=margin)
        self.margin = margin

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return real.mean() + relu(self.margin - fake).mean()

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return fake.mean()


class BEGAN(Loss):
    """Matches the energies of real and generated images (Berthelot et al. 2017, section 3.4).

    d = E[L(x)] - k E[L(G(z))], g = E[L(G(z))]; after each pass of D,
    k <- clamp(k + rate (gamma E[L(x)] - E[L(G(z))]), 0, 1), so the energies' ratio stays at gamma.
    The convergence measure is M = E[L(x)] + |gamma E[L(x)] - E[L(G(z))]| (section 3.4.1).

    Args:
        gamma: diversity ratio, in (0, 1]; lower values give cleaner but less diverse images.
        rate: the paper's lambda_k, at least 0: the learning rate of k.
    """

    energy = True
    has_sign = False
    k: Tensor
    convergence: Tensor

    def __init__(self, gamma: float = 0.5, rate: float = 0.001) -> None:
        super().__init__()
        positive(gamma=gamma)
        at_least(0, rate=rate)
        if gamma > 1:
            raise ValueError(f"gamma must be at most 1, got {gamma}")
        self.gamma, self.rate = gamma, rate
        self.register_buffer("k", torch.zeros(()))
        self.register_buffer("convergence", torch.zeros(()))

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        loss = real.mean() - self.k.clone() * fake.mean()
        self._balance(real.detach().mean(), fake.detach().mean())
        return loss

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return fake.mean()

    @torch.no_grad()
    def _balance(self, real: Tensor, fake: Tensor) -> None:
        surplus = self.gamma * real - fake
        self.k.add_(self.rate * surplus.to(self.k)).clamp_(0, 1)
        self.convergence.copy_(real + surplus.abs())

    def readings(self) -> dict[str, Tensor]:
        return {"began/k": self.k.clone(), "began/convergence": self.convergence.clone()}
