"""Where images have coordinates: the noise z of any generator, w of a StyleGenerator."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ganlab.networks.contract import StyleGenerator
from ganlab.sampler import Sampler


class Space(NamedTuple):
    """Points and their images, by the network that makes the samples.

    Args:
        name: z or w.
        points: latents (N, latent.dim + code_dim) -> points (N, d).
        images: points (N, d) and codes (N, code_dim) -> float32 images (N, C, H, W) in [-1, 1];
            gradients go through.  Of w, also one for each layer (N, layers, d); the codes are in w
            already.
        mean: (d,), of the points of random latents.
    """

    name: str
    points: Callable[[Tensor], Tensor]
    images: Callable[[Tensor, Tensor], Tensor]
    mean: Tensor


@contextmanager
def space_of(
    gan: Sampler, truncation: float | None = None, *, in_noise: bool = False
) -> Iterator[Space]:
    """The space of a model, in which to walk: w of a StyleGenerator, else z.

    The network is in evaluation mode until the block ends.

    Args:
        gan: the model.
        truncation: of w; latents are truncated when they are drawn.
        in_noise: in z, whatever the model is.
    """
    with gan.truncating(truncation), gan.evaluating() as generator:
        if isinstance(generator, StyleGenerator) and not in_noise:
            yield styles(generator, 1.0 if truncation is None else truncation)
        else:
            yield noise(gan, generator)


def noise(gan: Sampler, generator: nn.Module) -> Space:
    """z: the noise without the code that follows it."""
    dim = gan.latent.dim
    low, high = getattr(gan.latent, "low", 0.0), getattr(gan.latent, "high", 0.0)

    def images(points: Tensor, code: Tensor) -> Tensor:
        return generator(torch.cat([points, code], dim=1)).float()

    middle = torch.full((dim,), (low + high) / 2).to(next(generator.parameters()))
    return Space("z", lambda z: z[:, :dim], images, middle)


def styles(generator: StyleGenerator, psi: float = 1.0) -> Space:
    """w, moved towards its mean by psi."""
    return Space(
        "w",
        lambda z: generator.truncated_mapping(z, psi),
        lambda w, _: generator.synthesis(w).float(),
        generator.w_mean,
    )
