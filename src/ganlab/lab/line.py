"""A 1-d GAN, for which all integrals can be computed: densities, D, D*, the value of the game."""

from typing import NamedTuple, cast

import torch
from torch import Tensor

from ganlab.data.distributions import Mixture
from ganlab.data.points import distribution_of
from ganlab.errors import ConfigError
from ganlab.experiments.experiment import Experiment
from ganlab.gan import GAN
from ganlab.lab import theory
from ganlab.latent import Gaussian, Latent, Uniform

CELLS, STRETCHES = 1000, 8192  # cells of the visible range, and intervals of the noise


class State(NamedTuple):
    """The state of a GAN on M cells of equal width.

    The first and the last cell include all mass beyond them.

    Args:
        x: centres of the cells, (M,).
        width: of a cell.
        data, generated: probability masses of the cells, (M,).
        logits: of D at the centres, (M,).
    """

    x: Tensor
    width: float
    data: Tensor
    generated: Tensor
    logits: Tensor

    @property
    def value(self) -> float:
        """V(D, G)."""
        return theory.value(self.data, self.generated, self.logits)

    @property
    def criterion(self) -> float:
        """C(G), the value V for the optimal D."""
        return theory.virtual_criterion(self.data, self.generated)

    @property
    def jsd(self) -> float:
        """The Jensen-Shannon divergence between p_data and p_g, in nats."""
        return theory.jsd(self.data, self.generated)

    @property
    def optimal(self) -> Tensor:
        """D*, (M,); nan in cells without mass."""
        return theory.optimal_discriminator(self.data, self.generated)

    def support(self, share: float = 0.01) -> Tensor:
        """Whether p_data + p_g is more than `share` of its maximum: bool (M,)."""
        both = self.data + self.generated
        return both > share * both.max()

    def deviation(self) -> Tensor:
        """|D - D*|, (M,); nan outside of the support."""
        apart = (self.logits.double().sigmoid() - self.optimal).abs()
        return torch.where(self.support(), apart, torch.nan)

    def greatest_deviation(self) -> float:
        """The greatest |D - D*| on the support."""
        return self.deviation().nan_to_num(0).max().item()

    def distance_to_half(self) -> float:
        """E|D(x) - 1/2| over the equal mixture of p_data and p_g."""
        apart = (self.logits.double().sigmoid() - 0.5).abs()
        return ((self.data + self.generated) / 2 @ apart).item()


class Line:
    """Measures the GANs of an experiment with 1-d data and 1-d noise.

    p_g is not estimated from samples: G is evaluated on a fine grid of z and interpolated linearly,
    for which p_g is exact (theory.pushed_forward).

    Raises:
        ConfigError: the data or the noise is not 1-d, or G gets a code.
    """

    def __init__(self, experiment: Experiment) -> None:
        known = distribution_of(experiment.source)
        if not isinstance(known, Mixture) or known.dim != 1:
            raise ConfigError(["data: this laboratory needs 1-d data; set data=gaussian_1d"])
        self.known, self.experiment = known, experiment
        self.gan = cast("GAN", experiment.build())
        if self.gan.latent.dim != 1 or self.gan.conditioning.code_dim:
            raise ConfigError(["latent: this laboratory needs 1-d noise; set latent.dim=1"])
        self.low = (known.means[:, 0] - 5 * known.stds).min().item()
        self.high = (known.means[:, 0] + 5 * known.stds).max().item()
        self.z, self.masses = stretches(self.gan.latent)

    @torch.no_grad()
    def state(self, weights: dict[str, Tensor]) -> State:
        """The state of the GAN with these weights."""
        self.gan.load_state_dict(weights)
        images = self.images(self.z)
        width = (self.high - self.low) / CELLS
        # G may put mass outside of the data's range: adds up to CELLS cells on each side.
        before = min(CELLS, max(0, int((self.low - images.min().item()) / width) + 1))
        after = min(CELLS, max(0, int((images.max().item() - self.high) / width) + 1))
        steps = torch.arange(-before, CELLS + after + 1, dtype=torch.float64)
        edges = self.low + width * steps
        x = (edges[:-1] + edges[1:]) / 2
        edges[0], edges[-1] = -torch.inf, torch.inf  # includes all mass farther away
        generated = theory.pushed_forward(images, self.masses, edges)
        return State(x, width, self.known.cdf(edges).diff(), generated, self.logits(x))

    def quantiles(self, n: int) -> Tensor:
        """n values of z, (n,), at the centres of intervals of equal probability."""
        wanted = (torch.arange(n, dtype=torch.float64) + 0.5) / n
        return self.z[torch.searchsorted(self.masses.double().cumsum(dim=0), wanted)]

    @torch.no_grad()
    def images(self, z: Tensor) -> Tensor:
        """G(z) for z (K,), with the current weights, not their average: (K,)."""
        self.gan.eval()
        return self.gan.generator(z.float()[:, None])[:, 0]

    def logits(self, x: Tensor) -> Tensor:
        """D's logits at x (M,): (M,)."""
        none = torch.zeros(len(x), 0)
        return self.gan.discriminate(x.float()[:, None], none).logits


def stretches(latent: Latent, n: int = STRETCHES) -> tuple[Tensor, Tensor]:
    """n + 1 increasing z and the probability masses (n,) between them, for a 1-d prior.

    Raises:
        ConfigError: the prior is neither Gaussian nor uniform.
    """
    if isinstance(latent, Uniform):
        return torch.linspace(latent.low, latent.high, n + 1), torch.full((n,), 1 / n)
    if not isinstance(latent, Gaussian):
        raise ConfigError([f"latent: {type(latent).__name__} is neither Gaussian nor Uniform"])
    z = torch.linspace(-6, 6, n + 1, dtype=torch.float64)
    masses = torch.special.ndtr(z).diff()
    return z, masses / masses.sum()
