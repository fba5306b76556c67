"""Losses whose gradients train a network of binary units and its recognition.

All take log p(v, h) and log q(h | v), (N, K) with K samples h of q for each v, as functions of the
weights; the samples are constants.
"""

import torch
from torch import Tensor

from ganlab.training.importance import importance_weighted


def log_mean_weight(log_p: Tensor, log_q: Tensor) -> Tensor:
    """log 1/K sum over k of p(v, h_k) / q(h_k | v): (N,); a lower bound of log p(v) on average."""
    return importance_weighted(log_p - log_q, dim=1)


def vimco(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Minus a function with the gradient of VIMCO (Mnih & Rezende 2016, section 2.5).

    Its expectation is the gradient of the K-sample bound.  Each sample's signal is the bound less
    what the bound would be with the geometric mean of the others' weights in its place.

    Raises:
        ValueError: K is 1, so there are no others.
    """
    n = log_p.shape[1]
    if n < 2:
        raise ValueError(f"vimco needs at least 2 samples, got {n}")
    weights = (log_p - log_q).detach()
    others = (weights.sum(dim=1, keepdim=True) - weights) / (n - 1)
    # Row j of (K, K): all weights, with the j-th replaced.
    replaced = torch.where(
        torch.eye(n, dtype=torch.bool, device=weights.device),
        others.unsqueeze(2),
        weights.unsqueeze(1),
    )
    signal = weights.logsumexp(dim=1, keepdim=True) - replaced.logsumexp(dim=2)
    return -((signal * log_q).sum(dim=1) + log_mean_weight(log_p, log_q)).mean()


def reweighted_wake(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Both wake phases of reweighted wake-sleep (Bornschein & Bengio 2015, section 3).

    The samples of q, weighted by p / q, stand for the posterior.  With K = 1 the first term is the
    wake phase of Hinton et al. 1995.
    """
    weights = torch.softmax((log_p - log_q).detach(), dim=1)
    return -(weights * (log_p + log_q)).sum(dim=1).mean()


def wake(log_p: Tensor) -> Tensor:
    """The wake phase of wake-sleep (Hinton et al. 1995): p learns from samples of q."""
    return -log_p.mean()
