"""Checks of features that all scores share."""

import torch
from torch import Tensor


def finite_rows(name: str, rows: Tensor) -> Tensor:
    """The rows (N, d), detached, after a check that they are finite.

    Raises:
        ValueError: the shape is not (N, d), or a value is not finite.
    """
    if rows.ndim != 2:
        raise ValueError(f"{name} must have shape (N, d), got {tuple(rows.shape)}")
    if not torch.isfinite(rows).all():
        raise ValueError(f"{name} must be finite")
    return rows.detach()


def broken(rows: Tensor) -> Tensor:
    """The number of rows (N, d) that are not finite: int64 (), on the device.

    It is not read here, because reading it synchronises with the device.
    """
    return rows.isfinite().all(dim=1).logical_not().sum()


def same_width(a: int, b: int) -> None:
    """Raise ValueError unless both sets of features have the same number of dimensions."""
    if a != b:
        raise ValueError(f"features have {a} and {b} dimensions")


def enough_for(n: int, **parts: int) -> None:
    """Raise ValueError unless n images are enough for at least one per part."""
    for name, count in parts.items():
        if n < count:
            raise ValueError(f"{count} {name} need at least {count} images, got {n}")
