"""The log-likelihood under a belief network: bounds by sampling, and the truth if it is small."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ganlab.belief.network import BeliefNetwork, Recognition
from ganlab.training import importance
from ganlab.training.chance import Chance, of_each

MOST = 20  # hidden units that are enumerated
PART = 2**12  # states at once


def log_probabilities(
    model: BeliefNetwork, recognition: Recognition, v: Tensor, samples: int, chance: Chance
) -> tuple[Tensor, Tensor]:
    """log p(v, h) and log q(h | v), (N, K), of K samples of q for each v (N, visible).

    Args:
        model, recognition: p and q.
        v: binary units.
        samples: K.
        chance: random numbers for N * K rows.
    """
    hidden, of_q = recognition.sample(v, samples, chance)
    return model.log_joint(v.unsqueeze(1), hidden), of_q


def bounds(
    model: BeliefNetwork,
    recognition: Recognition,
    v: Tensor,
    samples: int,
    random: Callable[[int], torch.Generator],
    at_once: int = importance.AT_ONCE,
) -> Tensor:
    """The bound of log p(v) with so many samples of q for each v (N, visible): (N,), float64.

    Args:
        model, recognition: p and q.
        v: binary units.
        samples: K, at least 1.
        random: the generator of the samples of a v, by its number.
        at_once: samples that are computed together.
    """

    def log_weights(few: Tensor, k: int, generators: Sequence[torch.Generator]) -> Tensor:
        of_p, of_q = log_probabilities(model, recognition, few, k, of_each(generators, k))
        return of_p - of_q

    return importance.bounds(log_weights, v, samples, random, at_once)


def exact(model: BeliefNetwork, v: Tensor) -> Tensor:
    """log p(v) (N,), by all states of the hidden units; differentiable.

    Raises:
        ValueError: there are more than 20 hidden units.
    """
    widths, n = model.widths, model.hidden_units
    if n > MOST:
        raise ValueError(f"a likelihood is enumerated for at most {MOST} hidden units, got {n}")
    parts = []
    for begin in range(0, 2**n, PART):
        numbers = torch.arange(begin, min(begin + PART, 2**n), device=v.device)
        h = (numbers[:, None] >> torch.arange(n, device=v.device) & 1).to(v)
        hidden = list(h.split(widths, dim=1))
        logits = model.visible_logits(hidden[0])
        of_h = model.log_prior(hidden) - softplus(logits).sum(dim=1)
        parts.append(torch.addmm(of_h, v, logits.T).logsumexp(dim=1))
    return torch.stack(parts).logsumexp(dim=0)
