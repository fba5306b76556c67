"""A small generator with a mapping and a synthesis, for what is done in w."""

import torch
from torch import nn

from ganlab.networks.contract import StyleGenerator


class SmallStyle(StyleGenerator):
    """w = tanh(M z) + 0.5; an image is tanh of the sum over layers of A_i w_i."""

    layers = 3

    def __init__(self, spec, latent_dim: int, width: int = 6) -> None:
        super().__init__()
        self.shape = spec.shape
        self.first = nn.Linear(latent_dim, width)
        pixels = spec.shape[0] * spec.shape[1] * spec.shape[2]
        self.looks = nn.ModuleList(nn.Linear(width, pixels) for _ in range(self.layers))
        self.register_buffer("w_mean", torch.full((width,), 0.5))

    def mapping(self, z):
        return self.first(z).tanh() + 0.5

    def synthesis(self, w):
        if w.ndim == 2:
            w = w.unsqueeze(1).expand(-1, self.layers, -1)
        summed = sum(look(w[:, i]) for i, look in enumerate(self.looks))
        return summed.tanh().view(-1, *self.shape)
