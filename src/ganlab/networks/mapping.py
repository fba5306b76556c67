"""Networks that map latents and codes to styles (Karras et al. 2019, section 2)."""

import torch
from torch import Tensor, nn

from ganlab.networks.equalized import Activation, Dense, unit
from ganlab.networks.layers import no_autocast
from ganlab.spec import at_least

RATE = 0.01  # of the dense layers, as a share of the learning rate


class Mapping(nn.Module):
    """Noise (N, noise_dim) and code (N, code_dim) -> w (N, width), in float32 at least.

    Noise and an embedding of the code, each scaled to a mean square of 1, pass through dense layers
    with LeakyReLU, as in StyleGAN2-ADA.  Either may be absent.

    Args:
        noise_dim, code_dim: widths of the inputs; 0: absent.
        width: of all layers and of the embedding, at least 1.
        layers: at least 1.
    """

    def __init__(self, noise_dim: int, code_dim: int, width: int, layers: int = 8) -> None:
        super().__init__()
        at_least(1, width=width, mapping_layers=layers, **{"mapping inputs": noise_dim + code_dim})
        self.embedding = Dense(code_dim, width) if code_dim else None
        fans = [noise_dim + (width if code_dim else 0)] + [width] * (layers - 1)
        dense = [(Dense(fan_in, width, rate=RATE), Activation()) for fan_in in fans]
        self.layers = nn.Sequential(*(layer for pair in dense for layer in pair))

    def forward(self, noise: Tensor, code: Tensor) -> Tensor:
        with no_autocast(noise):
            parts = [unit(noise)] if noise.shape[1] else []
            if self.embedding is not None:
                parts.append(unit(self.embedding(code)))
            return self.layers(torch.cat(parts, dim=1))


class LabelMapping(nn.Module):
    """Code (N, code_dim) -> (N, width): a mapping of the code alone, over sqrt(width).

    Its inner product with features is the logit of StyleGAN2-ADA's conditional discriminator.
    """

    def __init__(self, code_dim: int, width: int, layers: int = 8) -> None:
        super().__init__()
        self.mapping = Mapping(0, code_dim, width, layers)
        self.scale = width**-0.5

    def forward(self, code: Tensor) -> Tensor:
        return self.scale * self.mapping(code[:, :0], code)
