"""The games: what the discriminator D and the generator G each minimise, on logits.

Every loss takes D's raw outputs (logits, any shape), never probabilities: log sigmoid(l) is
computed as -softplus(-l), which stays finite where log(sigmoid(l)) overflows.
"""

from typing import Protocol, runtime_checkable

from torch import Tensor
from torch.nn.functional import relu, softplus


@runtime_checkable
class Loss(Protocol):
    """A two-player game.  `needs_real`: G's loss looks at real logits too (relativistic losses)."""

    needs_real: bool

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Scalar that D minimises, from logits of real and generated images."""

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """Scalar that G minimises, from logits of generated (and, if needed, real) images."""

    def score(self, logits: Tensor) -> Tensor:
        """D(x) as the loss reads it: a probability, a regression target or a critic's value."""


class Minimax:
    """min_G max_D V = E[log D(x)] + E[log(1 - D(G(z)))] (Goodfellow et al. 2014, eq. 1).

    The saturating game of Algorithm 1: G descends log(1 - D(G(z))), whose gradient vanishes
    where D rejects generated images with confidence.

    Args:
        smoothing: one-sided label smoothing, in [0, 0.5): D's target for real images is
            1 - smoothing (Salimans et al. 2016, section 3.4).
    """

    needs_real = False
    smoothing = 0.0  # for subclasses with a constructor of their own

    def __init__(self, smoothing: float = 0.0) -> None:
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


class LeastSquares:
    """D regresses real to b = 1 and fake to a = 0, G wants c = 1 (Mao et al. 2017, eq. 9)."""

    needs_real = False

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return 0.5 * (real - 1).square().mean() + 0.5 * fake.square().mean()

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return 0.5 * (fake - 1).square().mean()

    def score(self, logits: Tensor) -> Tensor:
        return logits


class Wasserstein:
    """The dual of the Wasserstein-1 distance (Arjovsky et al. 2017, eq. 2): D is a critic.

    The critic must be Lipschitz: add regularizer=weight_clip or regularizer=gradient_penalty.
    """

    needs_real = False

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake.mean() - real.mean()

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -fake.mean()

    def score(self, logits: Tensor) -> Tensor:
        return logits


class Relativistic:
    """D tells which of a pair is real: RpGAN (Jolicoeur-Martineau 2019, section 3.2).

    d = E[softplus(D(G(z)) - D(x))], g = E[softplus(D(x) - D(G(z)))] over pairs of a real and a
    generated image; with R1 and R2 it is the loss of R3GAN (Huang et al. 2024, eq. 2).
    """

    needs_real = True

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(fake - real).mean()

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return self.d_loss(fake, present(real))

    def score(self, logits: Tensor) -> Tensor:
        return logits


class RelativisticAverage(Relativistic):
    """D tells real images from the average generated one: RaGAN (Jolicoeur-Martineau 2019, eq. 11).

    d = E_x[softplus(-(D(x) - E D(G(z))))] + E_z[softplus(D(G(z)) - E D(x))]; g with the roles
    of real and generated images exchanged.
    """

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(fake.mean() - real).mean() + softplus(fake - real.mean()).mean()


def present(real: Tensor | None) -> Tensor:
    """The real logits that a relativistic G step needs.

    Raises:
        ValueError: they are not given.
    """
    if real is None:
        raise ValueError("a relativistic g_loss needs the logits of real images, got None")
    return real


class Hinge(Wasserstein):
    """D stops caring beyond the margins +-1; G as in Wasserstein (Lim & Ye 2017)."""

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return relu(1 - real).mean() + relu(1 + fake).mean()
