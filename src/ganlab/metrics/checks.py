"""What every score asks of the features it is given."""

import torch
from torch import Tensor


def finite_rows(name: str, rows: Tensor) -> Tensor:
    """The rows, apart from any graph.

    Raises:
        ValueError: they are not (N, d), or one is not finite.
    """
    if rows.ndim != 2:
        raise ValueError(f"{name} must have shape (N, d), got {tuple(rows.shape)}")
    if not torch.isfinite(rows).all():
        raise ValueError(f"{name} must be finite")
    return rows.detach()


def broken(rows: Tensor) -> Tensor:
    """int64 (), on the device: how many of the rows (N, d) are not finite.

    To read it is to wait for the device; to add it to others is not.
    """
    return rows.isfinite().all(dim=1).logical_not().sum()


def same_width(a: int, b: int) -> None:
    """Raise ValueError unless both kinds of features have as many dimensions."""
    if a != b:
        raise ValueError(f"features have {a} and {b} dimensions")


def enough_for(n: int, **parts: int) -> None:
    """Raise ValueError unless each of so many parts has an image."""
    for name, count in parts.items():
        if n < count:
            raise ValueError(f"{count} {name} need as many images at least, got {n}")
