"""Sigmoid belief networks (Neal 1992), and the recognition network that runs against them."""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from ganlab.networks.contract import Generator, Network
from ganlab.spec import ImageSpec, Spec, at_least
from ganlab.training.chance import Chance, of_latents

DEEPEST = 3  # layers of hidden units


def log_bernoulli(units: Tensor, logits: Tensor) -> Tensor:
    """log p of binary units (..., n) by their log-odds, summed over n: (...)."""
    units, logits = torch.broadcast_tensors(units, logits)
    return -binary_cross_entropy_with_logits(logits, units, reduction="none").sum(dim=-1)


def draw(logits: Tensor, chance: Chance) -> Tensor:
    """Binary units of log-odds (..., n), by random numbers for as many rows."""
    unit = chance(logits.shape[-1]).reshape(logits.shape).to(logits)
    return (unit < torch.sigmoid(logits)).to(logits)


def layers(widths: Sequence[int]) -> list[nn.Linear]:
    """Linear layers between neighbouring widths, Glorot & Bengio's weights, no bias at first."""
    made = [nn.Linear(a, b) for a, b in itertools.pairwise(widths)]
    for layer in made:
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
    return made


def widths_of(spec: Spec, hidden: Sequence[int]) -> list[int]:
    """Units of each layer, from the visible one up.

    Raises:
        ValueError: the data is points, or there are not 1 to 3 layers of at least one unit.
    """
    if not isinstance(spec, ImageSpec):
        raise ValueError("a sigmoid belief network has binary pixels, the data is points")  # noqa: TRY004 - of a config
    if not 1 <= len(hidden) <= DEEPEST:
        raise ValueError(f"hidden must be 1 to {DEEPEST} layers, got {len(hidden)}")
    at_least(1, **{f"hidden[{i}]": width for i, width in enumerate(hidden)})
    return [math.prod(spec.shape), *hidden]


class BeliefNetwork(Generator):
    """p(v, h) = p(v | h_1) p(h_1 | h_2) ... p(h_L), each unit binary given the layer above.

    As a generator it samples from the top down (ancestral sampling), by random numbers that are a
    function of z (training/chance.py).  The image is the mean of v given h_1.

    Args:
        spec: shape of the data.
        latent_dim: width of z.
        hidden: units of each layer, from the visible one up.

    Raises:
        ValueError: the data is points, or there are not 1 to 3 layers of at least one unit.
    """

    differentiable = traceable = False

    def __init__(self, spec: Spec, latent_dim: int, hidden: Sequence[int] = (200, 200)) -> None:
        super().__init__()
        self.spec, self.latent_dim = spec, latent_dim
        widths = widths_of(spec, hidden)
        self.prior = nn.Parameter(torch.zeros(widths[-1]))
        # From the top down; typed as what is used of them.
        self.layers: list[nn.Linear] = nn.ModuleList(layers(widths[::-1]))  # type: ignore[assignment]

    @property
    def widths(self) -> list[int]:
        """Units of each hidden layer, from the visible one up."""
        return [layer.in_features for layer in reversed(self.layers)]

    @property
    def hidden_units(self) -> int:
        """Of all layers."""
        return sum(self.widths)

    def log_prior(self, hidden: Sequence[Tensor]) -> Tensor:
        """log p(h) (...) of h_1, ..., h_L (..., width)."""
        above = hidden[::-1]
        total = log_bernoulli(above[0], self.prior)
        for layer, upper, lower in zip(self.layers, above, above[1:], strict=False):
            total = total + log_bernoulli(lower, layer(upper))
        return total

    def log_joint(self, v: Tensor, hidden: Sequence[Tensor]) -> Tensor:
        """log p(v, h) (...) of v (..., visible) and h_1, ..., h_L (..., width)."""
        return self.log_prior(hidden) + log_bernoulli(v, self.visible_logits(hidden[0]))

    @torch.no_grad()
    def ancestors(self, rows: int, chance: Chance) -> list[Tensor]:
        """h_1, ..., h_L of samples, (rows, width) each."""
        hidden = [draw(self.prior.expand(rows, -1), chance)]
        for layer in self.layers[:-1]:
            hidden.append(draw(layer(hidden[-1]), chance))
        return hidden[::-1]

    def visible_logits(self, first: Tensor) -> Tensor:
        """Log-odds of v given h_1."""
        logits: Tensor = self.layers[-1](first)
        return logits

    @torch.no_grad()
    def dream(self, rows: int, chance: Chance) -> tuple[Tensor, list[Tensor]]:
        """v, and its h_1, ..., h_L, of the model."""
        hidden = self.ancestors(rows, chance)
        return draw(self.visible_logits(hidden[0]), chance), hidden

    def forward(self, z: Tensor) -> Tensor:
        """Images (N, C, H, W) in [-1, 1]: means of v given sampled h_1."""
        first = self.ancestors(len(z), of_latents(z))[0]
        means = torch.sigmoid(self.visible_logits(first))
        return (2 * means - 1).view(-1, *self.spec.shape)


class Recognition(Network):
    """q(h | v) = q(h_1 | v) q(h_2 | h_1) ... q(h_L | h_{L-1}), each unit binary.

    Args:
        spec: shape of the data.
        hidden: units of each layer, from the visible one up.

    Raises:
        ValueError: as BeliefNetwork.
    """

    def __init__(self, spec: Spec, hidden: Sequence[int] = (200, 200)) -> None:
        super().__init__()
        # From the bottom up; typed as what is used of them.
        found = nn.ModuleList(layers(widths_of(spec, hidden)))
        self.layers: list[nn.Linear] = found  # type: ignore[assignment]

    def sample(self, v: Tensor, samples: int, chance: Chance) -> tuple[list[Tensor], Tensor]:
        """K samples h_1, ..., h_L (N, K, width) for each v (N, visible), and log q(h | v) (N, K).

        Samples are constants; log q is a function of the weights.

        Args:
            v: binary units.
            samples: K.
            chance: random numbers for N * K rows.
        """
        below, hidden, terms = v.unsqueeze(1), [], []
        for layer in self.layers:
            logits = layer(below).expand(-1, samples, -1)
            below = draw(logits.detach(), chance)
            hidden.append(below)
            terms.append(log_bernoulli(below, logits))
        return hidden, torch.stack(terms).sum(dim=0)

    def log_probability(self, v: Tensor, hidden: Sequence[Tensor]) -> Tensor:
        """log q(h | v) (...)."""
        below = [v, *hidden[:-1]]
        terms = [
            log_bernoulli(upper, layer(lower))
            for layer, lower, upper in zip(self.layers, below, hidden, strict=True)
        ]
        return torch.stack(terms).sum(dim=0)
