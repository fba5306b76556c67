"""The log-likelihood under a belief network: bounds by sampling, and the truth if it is small."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ganlab.belief.estimators import log_mean_weight
from ganlab.belief.network import BeliefNetwork, Recognition
from ganlab.spec import at_least
from ganlab.training.chance import Chance, drawn

MOST = 20  # hidden units that are enumerated
PART = 2**12  # states at once


def repeated(v: Tensor, samples: int) -> Tensor:
    """(N, visible) -> (N * samples, visible), each row so often."""
    return v.repeat_interleave(samples, dim=0)


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
    rows = repeated(v, samples)
    hidden = recognition.draw(rows, chance)
    of_p, of_q = model.log_joint(rows, hidden), recognition.log_probability(rows, hidden)
    return of_p.view(-1, samples), of_q.view(-1, samples)


@torch.no_grad()
def bounds(
    model: BeliefNetwork,
    recognition: Recognition,
    v: Tensor,
    samples: int,
    generator: torch.Generator,
    rows: int = 20_000,
) -> Tensor:
    """The K-sample bound of log p(v) in nats for each v (N, visible): (N,), float64.

    Its mean rises with K towards log p(v) (Burda et al. 2016, theorem 1).

    Args:
        model, recognition: p and q.
        v: binary units.
        samples: K, at least 1.
        generator: of the samples.
        rows: samples computed at once.
    """
    at_least(1, samples=samples, rows=rows)

    def parts(one: Tensor) -> Iterator[Tensor]:
        """log weights of all samples of a few v, in parts of these samples."""
        width = max(1, rows // len(one))
        for begin in range(0, samples, width):
            k = min(width, samples - begin)
            chance = drawn(len(one) * k, generator)
            of_p, of_q = log_probabilities(model, recognition, one, k, chance)
            yield (of_p - of_q).double()

    at_once = max(1, rows // samples)
    found = [torch.cat(list(parts(few)), dim=1) for few in v.split(at_once)]
    return torch.cat([log_mean_weight(logs, torch.zeros_like(logs)) for logs in found])


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
