"""Specs, which describe data to networks, and checks of parameters."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace


def at_least(minimum: float, **values: float | None) -> None:
    """Raise ValueError unless every given value (None passes) is at least `minimum`."""
    _refuse(
        f"{name} must be at least {minimum}, got {value}"
        for name, value in values.items()
        if value is not None and not value >= minimum
    )


def positive(**values: float | None) -> None:
    """Raise ValueError unless every given value (None passes) is greater than 0."""
    _refuse(
        f"{name} must be greater than 0, got {value}"
        for name, value in values.items()
        if value is not None and not value > 0
    )


def _refuse(sentences: Iterable[str]) -> None:
    if text := "; ".join(sentences):
        raise ValueError(text)


def seed_range(seed: int) -> None:
    """Raise ValueError unless `seed` is in [0, 2^32); larger seeds would share random streams."""
    at_least(0, seed=seed)
    if seed >= 2**32:
        raise ValueError(f"seed must be less than 2^32, got {seed}")


def one_of(choices: tuple[str, ...], **values: str) -> None:
    """Raise ValueError unless every given value is among `choices`."""
    for name, value in values.items():
        if value not in choices:
            raise ValueError(f"{name} must be one of {', '.join(choices)}; got {value!r}")


@dataclass(frozen=True)
class ImageSpec:
    """Shape of one image and number of classes: the contract between data and networks.

    Images are float tensors (N, channels, size, size) with values in [-1, 1].

    Args:
        channels: 1 (grey), 3 (RGB) or 4 (RGB and transparency).
        size: height and width, in pixels.
        classes: number of classes; 0 if images have no labels.
    """

    channels: int
    size: int
    classes: int = 0

    def __post_init__(self) -> None:
        at_least(1, channels=self.channels, size=self.size)
        at_least(0, classes=self.classes)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.channels, self.size, self.size

    def widened(self, n: int) -> "ImageSpec":
        """The spec with n more channels."""
        return replace(self, channels=self.channels + n)

    def __str__(self) -> str:
        return f"{self.channels} x {self.size} x {self.size}"


@dataclass(frozen=True)
class PointSpec:
    """Dimension of points and number of modes, for data without pixels (data/points.py).

    Points are float tensors (N, dim), in the data's own units.

    Args:
        dim: dimension of the points.
        classes: number of modes; 0 if points have no labels.
    """

    dim: int
    classes: int = 0

    def __post_init__(self) -> None:
        at_least(1, dim=self.dim)
        at_least(0, classes=self.classes)

    @property
    def shape(self) -> tuple[int]:
        """(dim,)."""
        return (self.dim,)

    def widened(self, n: int) -> "PointSpec":
        """The spec with n more dimensions."""
        return replace(self, dim=self.dim + n)

    def __str__(self) -> str:
        return f"of {self.dim} {'number' if self.dim == 1 else 'numbers'}"


Spec = ImageSpec | PointSpec


def spec_of(saved: Mapping[str, int]) -> Spec:
    """The spec from its fields, as saved in a checkpoint."""
    return PointSpec(**saved) if "dim" in saved else ImageSpec(**saved)
