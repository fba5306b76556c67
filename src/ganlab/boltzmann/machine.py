"""The restricted Boltzmann machine (Smolensky 1986; Hinton 2002)."""

import math

import torch
from torch import Tensor, nn

from ganlab.boltzmann.units import Bernoulli, Gaussian
from ganlab.networks.contract import Generator
from ganlab.networks.layers import no_autocast
from ganlab.spec import ImageSpec, Spec, at_least, one_of, positive
from ganlab.training.chance import Chance, of_latents

HIDDEN = Bernoulli()


class BoltzmannMachine(Generator):
    """p(v, h) = exp(-E(v, h)) / Z, E = -b'v - c'h - v'Wh, of visible v and hidden h in {0, 1}.

    A path of distributions leads from independent visible units (beta = 0) to the machine
    (beta = 1), as in Salakhutdinov & Murray 2008, section 4.1, with the base rates of the data:

        p_beta(v) ~ base(v) exp(((1 - beta) a + beta b)'v) prod_j (1 + exp(beta (c + v'W)_j))

    As a generator it anneals: it follows this path from base rates to beta = 1 by block Gibbs
    sampling for a few of its sweeps, and stays there for the others.  The image is the mean of v
    given the last h.  All random numbers are a function of z (training/chance.py).

    Args:
        spec: shape of the data.
        latent_dim: width of z.
        hidden: number of hidden units.
        visible: bernoulli: pixels are black or white; gaussian: real numbers.
        deviation: of a Gaussian visible unit given h, in the data's units.
        sweeps: of Gibbs sampling for an image.
        rise: the share of them that follow the path, in [0, 1].
        scale: deviation of the initial weights (Hinton 2010, section 8).

    Raises:
        ValueError: a number is out of range, or the data is points and the units are binary.
    """

    takes_points = True
    differentiable = traceable = False

    def __init__(
        self,
        spec: Spec,
        latent_dim: int,
        hidden: int = 500,
        visible: str = "bernoulli",
        deviation: float = 0.3,
        sweeps: int = 200,
        rise: float = 0.1,
        scale: float = 0.01,
    ) -> None:
        super().__init__()
        at_least(1, hidden=hidden)
        at_least(2, sweeps=sweeps)
        positive(scale=scale)
        if not 0 <= rise <= 1:
            raise ValueError(f"rise must be at least 0 and at most 1, got {rise}")
        one_of(("bernoulli", "gaussian"), visible=visible)
        if visible == "bernoulli" and not isinstance(spec, ImageSpec):
            raise ValueError(
                "visible: bernoulli is for images, the data is points; set "
                "model.generator.visible=gaussian model.binarise=none"
            )
        self.spec, self.latent_dim, self.sweeps, self.rise = spec, latent_dim, sweeps, rise
        self.kind = visible
        self.visible = Bernoulli() if visible == "bernoulli" else Gaussian(deviation)
        size = math.prod(spec.shape)
        self.weight = nn.Parameter(scale * torch.randn(size, hidden))
        self.visible_bias = nn.Parameter(torch.zeros(size))
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))
        # Moving averages over the data: base rates, offsets of centring, and a sign of health.
        self.visible_mean: Tensor
        self.hidden_mean: Tensor
        start = 0.5 if visible == "bernoulli" else 0.0
        self.register_buffer("visible_mean", torch.full((size,), start))
        self.register_buffer("hidden_mean", torch.full((hidden,), 0.5))

    @property
    def log_volume(self) -> float:
        """log |dv / dx| over all units, for densities of pixels in [0, 1] or of points."""
        unit = self.visible.log_volume
        if self.kind == "gaussian" and isinstance(self.spec, ImageSpec):
            unit += math.log(2)  # pixels are in [-1, 1] here
        return unit * len(self.visible_bias)

    # Energies ------------------------------------------------------------------------------------

    def hidden_field(self, v: Tensor) -> Tensor:
        """c + v'W (N, hidden): the log-odds of each hidden unit given v (N, visible)."""
        return torch.addmm(self.hidden_bias, v, self.weight)

    def visible_field(self, h: Tensor) -> Tensor:
        """b + Wh (N, visible): the natural parameters of v given h (N, hidden)."""
        return torch.addmm(self.visible_bias, h, self.weight.T)

    def energy(self, v: Tensor, h: Tensor) -> Tensor:
        """E(v, h), less the log of v's base measure: (N,)."""
        return -(
            self.visible.log_base(v) + v @ self.visible_bias + (self.hidden_field(v) * h).sum(1)
        )

    def free_energy(self, v: Tensor) -> Tensor:
        """F(v) = -log sum over h of exp(-E(v, h)): (N,)."""
        return -self.log_density(v, self.hidden_field(v), 1.0)

    # The path ------------------------------------------------------------------------------------

    @property
    def base_field(self) -> Tensor:
        """a (visible,): natural parameters of the visible units at beta = 0."""
        return self.visible.field(self.visible_mean)

    @property
    def base_log_partition(self) -> Tensor:
        """log Z at beta = 0."""
        hidden = len(self.hidden_bias) * math.log(2)
        return self.visible.log_partition(self.base_field).sum() + hidden

    def log_density(self, v: Tensor, field: Tensor, beta: float) -> Tensor:
        """log p_beta(v) + log Z_beta (N,), given `field`, the `hidden_field` of v."""
        linear = torch.lerp(self.base_field, self.visible_bias, beta)
        hidden = HIDDEN.log_partition(beta * field).sum(dim=1)
        return self.visible.log_base(v) + v @ linear + hidden

    def base_draw(self, chance: Chance) -> Tensor:
        """v (N, visible) of p_0."""
        unit = chance(len(self.visible_bias))
        return self.visible.draw(self.base_field.expand_as(unit), unit.to(self.base_field.device))

    def sweep(self, v: Tensor, chance: Chance, beta: float = 1.0) -> tuple[Tensor, Tensor]:
        """One sweep of block Gibbs sampling, which leaves p_beta as it is: new v, and its h."""
        return self.resample(self.hidden_field(v), chance, beta)

    def resample(self, field: Tensor, chance: Chance, beta: float) -> tuple[Tensor, Tensor]:
        """The rest of a sweep, from the `hidden_field` of the v before."""
        h = HIDDEN.draw(beta * field, chance(field.shape[1]).to(field.device))
        a = torch.lerp(self.base_field, self.visible_field(h), beta)
        return self.visible.draw(a, chance(a.shape[1]).to(a.device)), h

    # Samples -------------------------------------------------------------------------------------

    @torch.no_grad()
    def annealed(self, chance: Chance) -> tuple[Tensor, Tensor]:
        """v (N, visible) and h (N, hidden) after all sweeps."""
        rising = max(1, round(self.rise * self.sweeps))
        v = self.base_draw(chance)
        h = v.new_empty(0)
        for step in range(self.sweeps):
            v, h = self.sweep(v, chance, min(1.0, (step + 1) / rising))
        return v, h

    def forward(self, z: Tensor) -> Tensor:
        """Images (N, C, H, W) or points (N, d): means of v given the h of annealed chains."""
        with no_autocast(z):
            _, h = self.annealed(of_latents(z))
            means = self.visible.mean(self.visible_field(h))
        x = self.visible.decode(means).view(-1, *self.spec.shape)
        return x.clamp(-1, 1) if isinstance(self.spec, ImageSpec) else x

    def units_of(self, x: Tensor) -> Tensor:
        """v (N, visible) of data x (N, ...)."""
        return self.visible.encode(x.flatten(1))
