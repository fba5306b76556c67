"""Images moved by whole pixels."""

import torch
from torch import Tensor
from torch.nn.functional import pad


def shift_and_flip(images: Tensor, *, flip: bool) -> Tensor:
    """Shifts by up to 1/8 of the size, edges reflected, and mirrors every other image at random.

    The transformation of consistency regularization (Zhang et al. 2020, section 3.1: 4 of 32).
    """
    images = shifted(images, images.shape[-1] // 8, "reflect")
    if not flip:
        return images
    mirrored = torch.rand_like(images[:, :1, :1, :1]) < 0.5
    return torch.where(mirrored, images.flip(3), images)


def shifted(images: Tensor, most: int, edge: str) -> Tensor:
    """Each image shifted by up to `most` pixels along each axis; `edge`: a mode of `pad`."""
    n, channels, height, width = images.shape
    padded = pad(images, (most,) * 4, mode=edge)
    down, right = torch.randint(0, 2 * most + 1, (2, n, 1), device=images.device)
    rows = (down + torch.arange(height, device=images.device)).view(n, 1, height, 1)
    columns = (right + torch.arange(width, device=images.device)).view(n, 1, 1, width)
    chosen = padded.gather(2, rows.expand(-1, channels, -1, padded.shape[3]))
    return chosen.gather(3, columns.expand(-1, channels, height, -1))
