"""What a page is told of a generator: its mark, and its latent space with codes and directions."""

import base64
from typing import Any

import torch

from ganlab.conditioning import ByClass, InfoGAN
from ganlab.exporting import weights
from ganlab.latent import Gaussian
from ganlab.networks.contract import StyleGenerator
from ganlab.sampler import Sampler
from ganlab.sampling.directions import Directions, all_directions
from ganlab.sampling.spaces import space_of
from ganlab.spec import at_least
from ganlab.training.statistics import running

USUAL = 8  # directions
REACH = 3.5  # standard deviations to both sides, as in plane.js


def described(sampler: Sampler, count: int | None, truncation: float | None) -> dict[str, Any]:
    """Plain data for space.js.

    Args:
        sampler: makes images.
        count: of directions, at least 2; None: USUAL, or as many as there are.
        truncation: of what seeds give; None: not truncated, or as a slider says.

    Raises:
        ValueError: there are not so many directions, or a truncation is given where it has no
            meaning, or where there is a slider.
    """
    sampler.check_truncation(truncation)
    slides = slider_of(sampler)
    if truncation is not None and slides:
        raise ValueError("truncation: the page of this generator has a slider; leave it out")
    with torch.no_grad(), space_of(sampler) as space:
        mean, name = space.mean.cpu().float(), space.name
    found, kind = directions_of(sampler, count, len(mean))
    prior, gaussian = sampler.latent, isinstance(sampler.latent, Gaussian)
    low, high = getattr(prior, "low", 0.0), getattr(prior, "high", 0.0)
    far = REACH * found.deviations.max().item()
    return {
        "generator": mark_of(sampler, truncation),
        "space": name,
        "dim": len(mean),
        "low": mean.min().item() - far if name == "w" or gaussian else low,
        "high": mean.max().item() + far if name == "w" or gaussian else high,
        "mean": encoded(mean),
        "prior": {
            "kind": "gaussian" if gaussian else "uniform",
            "dim": prior.dim,
            "low": low,
            "high": high,
        },
        "truncation": {"slider": slides, "fixed": truncation},
        "codes": codes_of(sampler),
        "directions": {
            "kind": kind,
            "vectors": encoded(found.vectors),
            "deviations": found.deviations.tolist(),
            "share": found.share.tolist(),
        },
    }


def mark_of(sampler: Sampler, truncation: float | None = None) -> str:
    """What tells a generator from all others: 16 hexadecimal digits of the hash of its weights.

    Args:
        sampler: whose weights they are.
        truncation: for which BatchNorm's statistics are, which belong to the weights.
    """
    with sampler.truncating(truncation):
        tensors = {name: one.detach().cpu() for name, one in sampler.sampler.state_dict().items()}
        return weights.digest(tensors)[:16]


def slider_of(sampler: Sampler) -> str | None:
    """What a slider of truncation acts on: w, noise, or nothing.

    Uniform noise has no tails, and BatchNorm would need other statistics for each truncation.
    """
    if isinstance(sampler.generator, StyleGenerator):
        return "w"
    gaussian = isinstance(sampler.latent, Gaussian)
    return "noise" if gaussian and not running(sampler.generator) else None


def codes_of(sampler: Sampler) -> dict[str, Any]:
    """What follows the noise: a choice of one, as a one-hot code, then continuous numbers."""
    conditioning = sampler.conditioning
    if isinstance(conditioning, ByClass):
        numbered = [str(label) for label in range(sampler.spec.classes)]
        return {
            "kind": "class",
            "choices": sampler.class_names or numbered,
            "continuous": 0,
            "drawn": False,
        }
    if isinstance(conditioning, InfoGAN):
        choices = [str(one) for one in range(conditioning.categories)]
        free = conditioning.continuous
        return {"kind": "category", "choices": choices, "continuous": free, "drawn": True}
    free = conditioning.code_dim
    return {"kind": "none", "choices": [], "continuous": free, "drawn": False}


def directions_of(sampler: Sampler, count: int | None, dim: int) -> tuple[Directions, str]:
    """Principal directions, or coordinates of z where G's first layer is not linear; and which."""
    at_least(2, directions=count)
    try:
        found, kind = all_directions(sampler), "principal"
    except ValueError:
        found, kind = coordinates(dim, sampler.latent.deviation), "coordinates"
    if count is not None and count > len(found.share):
        raise ValueError(f"directions: this model has {len(found.share)}, got {count}")
    return found.first(count or USUAL), kind


def coordinates(dim: int, deviation: float) -> Directions:
    """The axes of z."""
    share = torch.full((dim,), 1 / dim)
    return Directions("z", torch.eye(dim), torch.full((dim,), deviation), share)


def encoded(numbers: torch.Tensor) -> str:
    """float32 in base64."""
    return base64.b64encode(numbers.cpu().numpy().astype("<f4").tobytes()).decode()
