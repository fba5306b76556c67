"""Paths between latent points: great circles, straight lines, and closed curves through many."""

from collections.abc import Callable

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor

from ganlab.latent import Gaussian, Latent

Between = Callable[[Tensor, Tensor, Tensor], Tensor]  # start, end (..., d), t in [0, 1] -> (..., d)
Loop = Callable[[Tensor], Tensor]  # times (T,) in keyframes, from 0 on -> points (T, walks, d)


def spherical(start: Tensor, end: Tensor, t: Tensor) -> Tensor:
    """Points on great circles (White 2016, "Sampling Generative Networks", section 2.1).

    Gaussian noise lies near a sphere, which a straight line leaves.

    Args:
        start, end: (..., d), of any length.
        t: in [0, 1]; its shape and that of `start` broadcast, where its last dimension is 1.
    """
    cosine = torch.cosine_similarity(start, end, dim=-1).clamp(-1, 1)
    angle = cosine.arccos().clamp_min(1e-6).unsqueeze(-1)
    return (((1 - t) * angle).sin() * start + (t * angle).sin() * end) / angle.sin()


def between(latent: Latent) -> Between:
    """How to walk between two draws of a prior: on a great circle if it is Gaussian."""
    return spherical if isinstance(latent, Gaussian) else torch.lerp


def interpolation(start: Tensor, end: Tensor, steps: int, path: Between) -> Tensor:
    """Points (rows * steps, d) on paths between rows of `start` and `end`, both (rows, d)."""
    t = torch.linspace(0, 1, steps, device=start.device).view(1, steps, 1)
    return path(start.unsqueeze(1), end.unsqueeze(1), t).flatten(0, 1)


def polygon(keys: Tensor, path: Between) -> Loop:
    """The closed curve through keyframes (walks, K, d), by paths from each to the next."""
    following = keys.roll(-1, dims=1)

    def at(times: Tensor) -> Tensor:
        side = times.floor().long() % keys.shape[1]
        t = (times - times.floor()).to(keys).view(1, -1, 1)
        return path(keys[:, side], following[:, side], t).transpose(0, 1)

    return at


def closed_cubic(keys: Tensor) -> Loop:
    """The smooth closed curve through keyframes (walks, K, d): a periodic cubic spline.

    For w, which has no sphere: a straight line between w is as good, but turns at each keyframe.
    """
    walks, count, _ = keys.shape
    closed = torch.cat([keys, keys[:, :1]], dim=1).double().cpu().numpy()
    spline = CubicSpline(np.arange(count + 1), closed, axis=1, bc_type="periodic")

    def at(times: Tensor) -> Tensor:
        points = torch.from_numpy(spline(times.double().cpu().numpy() % count))
        return points.view(walks, len(times), -1).transpose(0, 1).to(keys)

    return at
