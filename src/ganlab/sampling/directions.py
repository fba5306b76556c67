"""Latent directions: principal components of w, or of the first features that G makes of z."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ganlab.networks.contract import StyleGenerator
from ganlab.sampler import Sampler
from ganlab.sampling.spaces import Space, space_of
from ganlab.spec import at_least

SAMPLES = 10_000  # w, of which the components are computed
REACH = 3.0  # standard deviations from the middle of a row to its ends
LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d)
CURVED = "directions: the first layer of G that gets the noise is not linear in it"


class Directions(NamedTuple):
    """K directions in which images change most, the first one first.

    Args:
        space: z or w.
        vectors: (K, d), orthonormal.
        deviations: (K,), standard deviations of random points along each.
        share: (K,), of the variance, of w or of G's first features.
    """

    space: str
    vectors: Tensor
    deviations: Tensor
    share: Tensor

    def first(self, count: int) -> "Directions":
        """The first ones."""
        return Directions(self.space, *(part[:count] for part in self[1:]))

    def walks(self, points: Tensor, steps: int) -> Tensor:
        """Points (N * K * steps, d): each of N points moved along each direction, to both sides."""
        sizes = torch.linspace(-REACH, REACH, steps).to(points)
        moves = (self.deviations.unsqueeze(1) * self.vectors).unsqueeze(1) * sizes.view(1, -1, 1)
        return (points.view(-1, 1, 1, points.shape[1]) + moves.to(points)).flatten(0, 2)


def directions(gan: Sampler, count: int, seed: int = 0) -> Directions:
    """The first `count` directions of a model.

    Of a StyleGenerator they are the principal components of w (Härkönen et al. 2020, section 2.1),
    of SAMPLES points.  Of others they are those of the output of G's first layer, transferred to z
    by linear regression (section 2.1, for BigGAN).  The entries of z are independent with equal
    variances, and the layer is linear in z: so the components are its singular vectors, and nothing
    need be sampled.  They are also the directions of Shen & Zhou 2021.

    Args:
        gan: the model.
        count: at least 1.
        seed: of the samples of w.

    Raises:
        ValueError: there are fewer directions, or G's first layer is not linear in the noise.
    """
    at_least(1, directions=count)
    found = all_directions(gan, seed)
    if count > (most := len(found.share)):
        raise ValueError(f"directions: this model has {most}, got {count}")
    return found.first(count)


def all_directions(gan: Sampler, seed: int = 0) -> Directions:
    """All directions of a model in which images change.

    Raises:
        ValueError: G's first layer is not linear in the noise.
    """
    with torch.no_grad(), gan.evaluating() as generator:
        if isinstance(generator, StyleGenerator):
            found = of_styles(gan, generator, seed)
        else:
            found = of_noise(gan, generator)
    return found.first(int((found.share > 0).sum()))


def of_styles(gan: Sampler, generator: StyleGenerator, seed: int) -> Directions:
    """All principal components of w."""
    latents = gan.streamed_latents(SAMPLES, seed)
    return Directions("w", *principal(torch.cat([generator.mapping(z) for z in latents])))


def principal(points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Components (d, d), standard deviations (d,) and shares of the variance (d,), float32.

    Args:
        points: (N, d).
    """
    values, vectors = torch.linalg.eigh(points.double().T.cov())
    values = values.flip(0).clamp_min(0)
    values = values * (values > 1e-12 * values.max())
    share = values / values.sum()
    return signed(vectors.flip(1).T).float(), values.sqrt().float(), share.float()


def of_noise(gan: Sampler, generator: nn.Module) -> Directions:
    """All directions in z, by the singular vectors of G's first layer."""
    matrix = first_layer(gan, generator).double()
    _, values, vectors = torch.linalg.svd(matrix, full_matrices=False)
    variances = values.square() * (values > 1e-6 * values.max())
    deviation = gan.latent.deviation
    share = (variances / variances.sum()).float()
    return Directions("z", signed(vectors).float(), torch.full_like(share, deviation), share)


def signed(vectors: Tensor) -> Tensor:
    """Rows whose largest entry is positive: a direction and its opposite are the same."""
    largest = vectors.gather(1, vectors.abs().argmax(dim=1, keepdim=True))
    return vectors * largest.sign()


def first_layer(gan: Sampler, generator: nn.Module) -> Tensor:
    """The matrix (features, latent.dim) of G's first layer on the noise, for a fixed code.

    Raises:
        ValueError: no layer is linear in the noise.
    """
    some = gan.fixed_latents(2, labels=[0] if gan.spec.classes else None)
    code, dim = gan.code_in(some)[:1], gan.latent.dim
    points = torch.cat([some[:, :dim], some.new_zeros(1, dim), torch.eye(dim).to(some)])
    found = features(generator, torch.cat([points, code.expand(len(points), -1)], dim=1))
    drawn, rest, columns = found[:2], found[2], found[3:] - found[2]
    linear = rest + some[:, :dim] @ columns
    if not torch.allclose(drawn, linear, rtol=1e-3, atol=1e-4 * drawn.abs().max().item()):
        raise ValueError(CURVED)
    return columns.T


class _FoundError(Exception):
    """Ends a forward pass as soon as the features are there."""


def features(generator: nn.Module, latents: Tensor) -> Tensor:
    """What G's first layer that depends on the noise makes of latents: (N, features).

    Raises:
        ValueError: there is no such layer.
    """
    seen = list[Tensor]()

    def look(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        if len(output) == len(latents) and not torch.equal(output[0], output[1]):
            seen.append(output.flatten(1))
            raise _FoundError

    layers = [module for module in generator.modules() if isinstance(module, LAYERS)]
    hooks = [layer.register_forward_hook(look) for layer in layers]
    try:
        generator(latents)
    except _FoundError:
        return seen[0]
    finally:
        for hook in hooks:
            hook.remove()
    raise ValueError(CURVED)


def sheet(
    gan: Sampler, found: Directions, latents: Tensor, steps: int, truncation: float | None
) -> Tensor:
    """Images (N * K * steps, C, H, W): for each latent, each direction in a row of `steps`."""
    with torch.no_grad(), space_of(gan, truncation) as space:
        return torch.cat(list(_moved(gan, space, found, latents, steps)))


def _moved(gan: Sampler, space: Space, found: Directions, latents: Tensor, steps: int) -> Any:
    for latent in latents.split(1):  # one by one: some images at once
        points = found.walks(space.points(latent), steps)
        code = gan.code_in(latent).expand(len(points), -1)
        for some in zip(points.split(256), code.split(256), strict=True):
            yield space.images(*some)
