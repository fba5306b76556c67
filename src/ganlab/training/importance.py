"""The importance-weighted bound of a log-likelihood, of many images in bounded memory."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ganlab.spec import at_least

AT_ONCE = 1000  # samples that are computed together

# (x (N, ...), K, N generators) -> log p(x, z) - log q(z | x) in nats (N, K) of K samples z of q for
# each x, drawn by the generator of its own.
LogWeights = Callable[[Tensor, int, Sequence[torch.Generator]], Tensor]


def importance_weighted(log_weights: Tensor, dim: int) -> Tensor:
    """The bound in nats of log weights, of which one dimension is the samples: log of the mean."""
    return log_weights.logsumexp(dim=dim) - math.log(log_weights.shape[dim])


@torch.no_grad()
def bounds(
    log_weights: LogWeights,
    x: Tensor,
    samples: int,
    random: Callable[[int], torch.Generator],
    at_once: int = AT_ONCE,
) -> Tensor:
    """The bound of log p(x) with so many samples, in nats, for each x (N, ...): (N,), float64.

    Its mean rises with the samples towards log p(x) (Burda et al. 2016, theorem 1).  What is drawn
    for an x is a function of its generator alone, so its bound does not depend on the others.

    Args:
        log_weights: of some of the x.
        x: pixels or points.
        samples: K, at least 1.
        random: the generator of an x, by its number.
        at_once: samples that are computed together: K of a few x, or some of the K of one.
    """
    at_least(1, samples=samples, at_once=at_once)
    parts = [min(at_once, samples - begin) for begin in range(0, samples, at_once)]
    found = []
    for numbers in torch.arange(len(x)).split(max(1, at_once // samples)):
        few, generators = x[numbers.to(x.device)], [random(number) for number in numbers.tolist()]
        logs = [log_weights(few, part, generators).double() for part in parts]
        found.append(importance_weighted(torch.cat(logs, dim=1), dim=1))
    return torch.cat(found)
