"""Self-attention between positions of a feature map (Zhang et al. 2019, section 3)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d


class SelfAttention(nn.Module):
    """x (N, C, H, W) -> x + gamma attention(x), of the same shape; gamma starts at 0.

    As in the authors' code, keys and queries have C / 8 channels and values C / 2.  Keys and values
    are max-pooled over 2 x 2 positions.  There are no biases.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow, half = max(1, channels // 8), max(1, channels // 2)
        self.query = nn.Conv2d(channels, narrow, 1, bias=False)
        self.key = nn.Conv2d(channels, narrow, 1, bias=False)
        self.value = nn.Conv2d(channels, half, 1, bias=False)
        self.out = nn.Conv2d(half, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        queries = self.query(x).flatten(2)
        keys, values = (max_pool2d(of(x), 2).flatten(2) for of in (self.key, self.value))
        # Not torch's fused attention, which lacks the second derivative that penalties need.
        weights = torch.einsum("ncq,nck->nqk", queries, keys).softmax(dim=2)
        seen = torch.einsum("nqk,nck->ncq", weights, values).unflatten(2, x.shape[2:])
        return x + self.gamma * self.out(seen)
