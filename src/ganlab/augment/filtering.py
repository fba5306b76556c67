"""ADA's filter: amplifies and weakens bands of frequencies of each image."""

import torch
from torch import Tensor

from ganlab.augment.transformation import Chances, Stage, factor, sometimes
from ganlab.augment.wavelets import SYM2, reflection, taken

POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)  # of the bands of natural images: that of 1 / f


def filter_bank() -> Tensor:
    """(4, 43) taps of filters that add up to the identity, lowest frequencies first.

    One octave each but the lowest, by the squared response of sym2 (Karras et al. 2020a, appendix
    B): with L = H(z) H(1/z) / 2 they are L(z) L(z^2) L(z^4), L(z) L(z^2) (1 - L(z^4)),
    L(z) (1 - L(z^2)) and 1 - L(z).
    """
    h = torch.tensor(SYM2, dtype=torch.float64)
    low = convolved(h, h.flip(0)) / 2
    kept, bands = torch.ones(1, dtype=torch.float64), []
    for octave in (1, 2, 4):
        spread = torch.zeros(octave * (len(low) - 1) + 1, dtype=torch.float64)
        spread[::octave] = low
        lower = convolved(kept, spread)
        bands.append(centred(kept, len(lower)) - lower)
        kept = lower
    return torch.stack([kept, *(centred(band, len(kept)) for band in reversed(bands))]).float()


def convolved(a: Tensor, b: Tensor) -> Tensor:
    """The product of two polynomials."""
    return torch.nn.functional.conv1d(a[None], b.flip(0)[None, None], padding=len(b) - 1)[0]


def centred(taps: Tensor, length: int) -> Tensor:
    """Taps with as many zeros before as after them."""
    edge = (length - len(taps)) // 2
    return torch.nn.functional.pad(taps, (edge, edge))


class Filter(Stage):
    """Filters images: each of four bands times 2^N(0, 1), with a probability of its own.

    After each band the gains are divided by what they do to the power of natural images.
    """

    names = ("imgfilter",)
    bands: Tensor
    power: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("bands", filter_bank(), persistent=False)
        self.register_buffer("power", torch.tensor(POWER), persistent=False)

    def forward(self, images: Tensor, chances: Chances) -> Tensor:
        gains = self.gains(images, chances["imgfilter"])
        rows, columns = (
            torch.einsum("nb,bij->nij", gains, self.matrices(size, images))[:, None]
            for size in images.shape[2:]
        )
        untouched = (gains == 1).all(dim=1)[:, None, None, None]
        return torch.where(untouched, images, rows @ images @ columns.mT)

    def gains(self, images: Tensor, chance: Tensor) -> Tensor:
        """(N, 4), one for each band."""
        total = images.new_ones(len(images), len(self.bands))
        power = self.power.to(images)
        for band in range(len(self.bands)):
            gain = sometimes(factor(1.0)(images), 1, chance)
            drawn = gain != 1
            each = torch.ones_like(total)
            each[:, band] = gain
            norm = (power * each.square()).sum(dim=1).sqrt()
            total = total * torch.where(drawn[:, None], each / norm[:, None], 1.0)
        return total

    def matrices(self, size: int, like: Tensor) -> Tensor:
        """(4, size, size): each band's filter of a row that is reflected at its ends."""
        reach = self.bands.shape[1] // 2
        pixels = torch.arange(size, device=like.device)
        places = torch.arange(-reach, size + reach, device=like.device)
        weights = taken(self.bands.to(like), places - pixels[:, None] + reach)
        return weights @ reflection(places, size, like)
