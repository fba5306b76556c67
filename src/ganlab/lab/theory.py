"""Closed forms of divergences and games (Goodfellow et al. 2014; Arjovsky et al. 2017).

Distributions are given by probability masses on common cells, float64 (M,) that sum to 1, or by the
parameters of a family.  Divergences are in nats.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, pad

from ganlab.spec import at_least, positive

BOUND = -math.log(4)  # the value of the game at its equilibrium (Goodfellow et al. 2014, theorem 1)


def optimal_discriminator(data: Tensor, generated: Tensor) -> Tensor:
    """D*(x) = p_data / (p_data + p_g) (Goodfellow et al. 2014, eq. 2).

    Args:
        data, generated: densities or masses, of the same shape.

    Returns:
        In [0, 1]; nan where both are 0.
    """
    return data / (data + generated)


def value(data: Tensor, generated: Tensor, logits: Tensor) -> float:
    """V(D, G) = E_data[log D] + E_g[log(1 - D)] (Goodfellow et al. 2014, eq. 1), D = sigmoid(l).

    Args:
        data, generated: masses (M,).
        logits: of D in each cell, (M,).
    """
    logits = logits.double()
    return (data @ logsigmoid(logits) + generated @ logsigmoid(-logits)).item()


def kl(p: Tensor, q: Tensor) -> float:
    """KL(p || q) of masses (M,); infinite where p has mass and q has none."""
    return (torch.special.xlogy(p, p) - torch.special.xlogy(p, q)).sum().item()


def jsd(p: Tensor, q: Tensor) -> float:
    """Jensen-Shannon divergence of masses (M,), in [0, log 2]."""
    p, q = p.double(), q.double()
    both = p + q  # not (p + q) / 2, which may underflow
    return (math.log(2) * both.sum().item() + kl(p, both) + kl(q, both)) / 2


def virtual_criterion(data: Tensor, generated: Tensor) -> float:
    """C(G) = max over D of V(D, G) = -log 4 + 2 JSD (Goodfellow et al. 2014, eqs. 5-6)."""
    return BOUND + 2 * jsd(data, generated)


def wasserstein(p: Tensor, q: Tensor, width: float) -> float:
    """W1 of masses (M,) on adjacent cells of equal width: the area between the two cdfs."""
    return width * (p - q).cumsum(dim=0).abs().sum().item()


def parallel_lines(distance: float) -> tuple[float, float]:
    """(JSD, W1) of two parallel unit segments (Arjovsky et al. 2017, example 1).

    JSD is log 2 for every distance except 0, where it is 0; W1 is the distance.
    """
    return (math.log(2) if distance else 0.0), abs(distance)


def gaussians_wasserstein(distance: float) -> float:
    """W1 of two Gaussians with equal covariance: the distance of their means."""
    return abs(distance)


def gaussians_jsd(distance: float, std: float = 1.0, steps: int = 20_001) -> float:
    """JSD of N(0, std^2) and N(distance, std^2): log 2 - E_p[softplus(-l)], l = log p - log q.

    There is no closed form.  This integrates a smooth function by the trapezoidal rule, which
    converges faster than any power; the result is accurate to 1e-12.
    """
    positive(std=std)
    at_least(3, steps=steps)
    u = torch.linspace(-12, 12, steps, dtype=torch.float64)  # x = std u
    shift = abs(distance) / std
    log_ratio = (u - shift).square() / 2 - u.square() / 2  # log p - log q
    density = (-u.square() / 2).exp() / math.sqrt(2 * math.pi)
    # By symmetry E_p[log(2p / (p + q))] = E_q[log(2q / (p + q))].
    integrand = density * (math.log(2) - torch.nn.functional.softplus(-log_ratio))
    return torch.trapezoid(integrand, u).item()


def generator_gradients(distance: float, std: float = 1.0, steps: int = 20_001) -> dict[str, float]:
    """|dL / d mean of p_g| of G's losses at the optimal D, p_g = N(distance, std^2), data N(0, .).

    D* is fixed as G moves.  With l = log p_data - log p_g and x ~ p_g, dl/dx = -distance / std^2:
    saturating, E[log(1 - D)]: E[sigma(l)] distance / std^2 (Arjovsky & Bottou 2017, theorem 2.4);
    nonsaturating, E[-log D]: E[sigma(-l)] distance / std^2 (their theorem 2.5, section 2.2.2);
    wasserstein, E[-f] with f the optimal critic: 1.
    """
    positive(std=std)
    u = torch.linspace(-12, 12, steps, dtype=torch.float64)  # x = distance + std u
    shift = abs(distance) / std
    logits = u.square() / 2 - (u + shift).square() / 2
    density = (-u.square() / 2).exp() / math.sqrt(2 * math.pi)
    slope = shift / std
    return {
        "saturating": slope * torch.trapezoid(density * logits.sigmoid(), u).item(),
        "nonsaturating": slope * torch.trapezoid(density * (-logits).sigmoid(), u).item(),
        "wasserstein": float(shift > 0),
    }


def pushed_forward(images: Tensor, masses: Tensor, edges: Tensor) -> Tensor:
    """Masses (M,) of G(z) in the cells between `edges`, for 1-d z and G(z).

    p_g(x) = sum over the z with G(z) = x of p_z(z) / |G'(z)|.  G is interpolated linearly between
    neighbouring z, so each interval of z spreads its mass evenly between the two images.  This is
    exact for such a G, monotone or not.  Mass outside of all cells is dropped.

    Args:
        images: G(z) at K + 1 increasing z.
        masses: of p_z in the K intervals between them, (K,).
        edges: (M + 1,), increasing; the first and the last may be infinite.
    """
    images, masses, edges = images.double(), masses.double(), edges.double()
    seen = edges[edges.isfinite()]
    first, last = seen[0], seen[-1]
    low = torch.minimum(images[:-1], images[1:])
    # Sums of mass / length keep seven digits.
    length = (images[1:] - images[:-1]).abs().clamp_min(1e-9 * (last - first))
    below = masses @ ((first - low) / length).clamp(0, 1)
    # From the begin of an interval to its end, the mass below an edge grows at its density.
    density = masses / length
    begins, ends = low.clamp(first, last), (low + length).clamp(first, last)
    x = edges.clamp(first, last)
    passed = below + ramps(begins, density, x) - ramps(ends, density, x)
    passed = passed.where(edges >= first, 0.0).where(edges <= last, masses.sum())
    return passed.diff().clamp_min(0)


def ramps(begins: Tensor, slopes: Tensor, x: Tensor) -> Tensor:
    """The sum over i of slopes[i] max(0, x - begins[i]), for each x (M,), in O((K + M) log K)."""
    begins, order = begins.sort()
    terms = torch.stack([slopes[order], slopes[order] * begins]).cumsum(dim=1)
    slope, moment = pad(terms, (1, 0))[:, torch.searchsorted(begins, x)]
    return slope * x - moment
