"""The discriminator of EBGAN and BEGAN: an autoencoder whose error is the energy of an image.

Zhao et al. 2017, section 2.3; Berthelot et al. 2017, section 3.  It has one convolution and two
dense layers, as in common collections of GANs for MNIST; both papers use deeper networks.
"""

from typing import ClassVar

from torch import Tensor, nn

from ganlab.networks.contract import Discriminator
from ganlab.networks.layers import needs_bias, norm1d, normal_init, reparametrize
from ganlab.spec import ImageSpec, at_least, one_of


class AutoencoderDiscriminator(Discriminator):
    """Images (N, C, H, W) in [-1, 1] -> energies (N,) >= 0, low for images that D judges real.

    The features are the codes (N, feature_dim).  The last layer is linear, as in both papers: the
    gradient of a tanh would vanish at -1 and 1, the most common values in images of digits.

    Args:
        width: channels of the convolutions.
        code: width of the code between encoder and decoder.
        error: energy, as a mean over pixels: "l1" (BEGAN: |D(x) - x|) or "l2" (EBGAN, squared).
        norm: "layer" or "batch": of the decoder's hidden layer; "spectral" or "weight": of all
            layers' weights; or "none".
    """

    energy: ClassVar[bool] = True

    def __init__(
        self,
        spec: ImageSpec,
        width: int = 64,
        code: int = 32,
        error: str = "l1",
        norm: str = "layer",
    ) -> None:
        super().__init__()
        at_least(1, width=width, code=code)
        one_of(("l1", "l2"), error=error)
        if spec.size % 2:
            raise ValueError(f"autoencoder takes images of even size, got {spec}")
        half = (width, spec.size // 2, spec.size // 2)
        places = width * half[1] * half[2]
        self.features = nn.Sequential(
            nn.Conv2d(spec.channels, width, 4, 2, 1),
            nn.ReLU(inplace=True),
            nn.Flatten(),
            nn.Linear(places, code),
        )
        self.decoder = nn.Sequential(
            nn.Linear(code, places, bias=needs_bias(norm)),
            norm1d(norm, places),
            nn.ReLU(inplace=True),
            nn.Unflatten(1, half),
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
