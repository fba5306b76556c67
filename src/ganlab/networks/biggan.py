"""BigGAN's generator (Brock et al. 2019, section 3 and appendix B), in its variant for 32 pixels.

Its discriminator is the residual one, 256 wide, with orthogonal initialisation: conf/model/biggan.
Without hierarchical noise and shared embedding, as in the authors' script for CIFAR-10, G is the
residual generator with spectral norm: conf/experiment/biggan.
Both have the same width in all blocks, as in the authors' code for 32 pixels, at any image size.
"""

from torch import Tensor, cat, nn
from torch.nn.utils.parametrizations import spectral_norm

from ganlab.networks.attention import SelfAttention
from ganlab.networks.conditional import noise_and_code, tables
from ganlab.networks.contract import Generator
from ganlab.networks.layers import power_of_two, reparametrize
from ganlab.networks.resnet import UpBlock, initialize
from ganlab.spec import ImageSpec, at_least


def share_sizes(total: int, shares: int) -> list[int]:
    """Sizes of `shares` parts of `total` entries, as in `Tensor.tensor_split`.

    Raises:
        ValueError: there are fewer entries than parts.
    """
    if total < shares:
        raise ValueError(f"biggan needs noise for {shares} layers, got {total} entries")
    return [total // shares + (i < total % shares) for i in range(shares)]


class BigGANGenerator(Generator):
    """z (N, latent_dim) -> images (N, C, H, W) in [-1, 1].

    The noise is split into one part for the first layer and one per block.  The BatchNorms of a
    block are conditioned on its part and on a shared embedding of the code, if there is a code.
    All weights but the embedding's have spectral norm; initialisation is orthogonal.

    Args:
        code_dim: number of entries at the end of z that are the code.
        width: channels of every block.
        embedding: width of the embedding of the code.
        attention: as in ResNetGenerator; the paper uses it for images of 64 pixels and more.
    """

    takes_code_dim = True

    def __init__(
        self,
        spec: ImageSpec,
        latent_dim: int,
        code_dim: int = 0,
        width: int = 256,
        embedding: int = 128,
        attention: bool = False,
    ) -> None:
        super().__init__()
        at_least(1, width=width, embedding=embedding)
        at_least(0, code_dim=code_dim)
        self.code_dim = code_dim
        first, *others = share_sizes(latent_dim - code_dim, power_of_two(spec, "biggan") + 1)
        embedded = embedding if code_dim else 0
        self.stem = nn.Sequential(nn.Linear(first, width * 16), nn.Unflatten(1, (width, 4, 4)))
        self.blocks = nn.ModuleList(
            UpBlock(width, width, "conditional_batch", embedded + share) for share in others
        )
        self.attention = SelfAttention(width) if attention else nn.Identity()
        self.top = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, spec.channels, 3, 1, 1),
            nn.Tanh(),
        )
        self.embedding = nn.Linear(code_dim, embedding, bias=False) if code_dim else nn.Identity()
        self._start()

    def _start(self) -> None:
        initialize(self, "orthogonal")
        for part in (self.stem, self.blocks, self.attention, self.top):
            reparametrize(part, "spectral")
        for norm, table in tables(self):
            spectral_norm(norm, table)

    def forward(self, z: Tensor) -> Tensor:
        noise, code = noise_and_code(z, self.code_dim)
        first, *others = noise.tensor_split(len(self.blocks) + 1, dim=1)
        x, embedded = self.stem(first), self.embedding(code)
        for i, (block, share) in enumerate(zip(self.blocks, others, strict=True)):
            if i == len(self.blocks) - 1:
                x = self.attention(x)
            x = block(x, cat([embedded, share], dim=1))
        return self.top(x)
