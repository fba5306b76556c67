"""The Inception Score (Salimans et al. 2016, section 4)."""

import math

import torch
from torch import Tensor

from ganlab.metrics.checks import finite_rows
from ganlab.spec import at_least


def inception_score(logits: Tensor, splits: int = 10, seed: int | None = 0) -> tuple[float, float]:
    """exp E_x KL(p(y|x) || p(y)) of each split: mean and standard deviation (of all, ddof 0).

    Args:
        logits: (N, K) of a classifier.
        splits: parts that are scored apart; 10 in the paper, where one part is of 5,000 images.
        seed: shuffles before splitting, as images may be ordered; None: keeps the order.

    Raises:
        ValueError: there are fewer logits than splits, or one is not finite.
    """
    at_least(1, splits=splits)
    logits = finite_rows("logits", logits)
    if len(logits) < splits:
        raise ValueError(f"{splits} splits need as many images at least, got {len(logits)}")
    if seed is not None:
        generator = torch.Generator().manual_seed(seed)
        logits = logits[torch.randperm(len(logits), generator=generator).to(logits.device)]
    scores = torch.stack([score_of(part.double()) for part in logits.tensor_split(splits)])
    return scores.mean().item(), scores.std(correction=0).item()


def score_of(logits: Tensor) -> Tensor:
    """exp E_x KL(p(y|x) || p(y)) of logits (N, K)."""
    log_p = logits.log_softmax(dim=1)
    log_marginal = log_p.logsumexp(dim=0) - math.log(len(logits))
    return (log_p.exp() * (log_p - log_marginal)).sum(dim=1).mean().exp()
