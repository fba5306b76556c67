"""The discriminator of EBGAN and BEGAN: an autoencoder whose error is the energy of an image.

Zhao et al. 2017, section 2.3; Berthelot et al. 2017, section 3.  By default it has one convolution
and two dense layers, as in common collections of GANs for MNIST; both papers use deeper networks.
"""

import itertools
import math
from typing import ClassVar

from torch import Tensor, nn

from ganlab.networks.contract import Discriminator
from ganlab.networks.layers import needs_bias, norm1d, normal_init, reparametrize, rising
from ganlab.spec import ImageSpec, at_least, one_of


class AutoencoderDiscriminator(Discriminator):
    """Images (N, C, H, W) in [-1, 1] -> energies (N,) >= 0, low for images that D judges real.

    The features are the codes (N, feature_dim).  The last layer is linear, as in both papers: the
    gradient of a tanh would vanish at -1 and 1, the most common values in images of digits.

    Args:
        width: channels of the first convolution.
        code: width of the code between encoder and decoder.
        error: energy, as a mean over pixels: "l1" (BEGAN: |D(x) - x|) or "l2" (EBGAN, squared).
        norm: "layer" or "batch": of the decoder's hidden layers; "spectral" or "weight": of all
            layers' weights; or "none".
        depth: convolutions of the encoder, each halving the size; each but the first doubles the
            channels.  The decoder mirrors them.
    """

    energy: ClassVar[bool] = True

    def __init__(
        self,
        spec: ImageSpec,
        width: int = 64,
        code: int = 32,
        error: str = "l1",
        norm: str = "layer",
        depth: int = 1,
    ) -> None:
        super().__init__()
        at_least(1, width=width, code=code, depth=depth)
        one_of(("l1", "l2"), error=error)
        side, rest = divmod(spec.size, 2**depth)
        if rest or not side:
            sizes = "even size" if depth == 1 else f"a size that is a multiple of {2**depth}"
            raise ValueError(f"autoencoder takes images of {sizes}, got {spec}")
        channels = [spec.channels, *(width * 2**i for i in range(depth))]
        deepest = (channels[-1], side, side)
        places = math.prod(deepest)
        self.features = nn.Sequential()
        for before, after in itertools.pairwise(channels):
            self.features.append(nn.Conv2d(before, after, 4, 2, 1)).append(nn.ReLU(inplace=True))
        self.features.append(nn.Flatten()).append(nn.Linear(places, code))
        self.decoder = nn.Sequential(
            nn.Linear(code, places, bias=needs_bias(norm)),
            norm1d(norm, places),
            nn.ReLU(inplace=True),
            nn.Unflatten(1, deepest),
            *rising(channels[-1], depth - 1, norm),
            nn.ConvTranspose2d(width, spec.channels, 4, 2, 1),
        )
        self.feature_dim, self.error = code, error
        self.apply(normal_init(0.02))
        reparametrize(self, norm)

    def logits_and_features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Energies (N,) and codes (N, feature_dim)."""
        code = self.features(x)
        off = self.decoder(code) - x
        error = off.abs() if self.error == "l1" else off.square()
        return error.flatten(1).mean(dim=1), code
