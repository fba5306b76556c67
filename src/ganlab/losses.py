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
    """

    needs_real = False

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(-real).mean() + softplus(fake).mean()

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


class Hinge(Wasserstein):
    """D stops caring beyond the margins +-1; G as in Wasserstein (Lim & Ye 2017)."""

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return relu(1 - real).mean() + relu(1 + fake).mean()
