"""A distribution drawn by hand: a small Gaussian at each point of the strokes.

Points are written as a short text, which a URL and a command line can hold: four characters each,
two for x and two for y.  Two characters are a number from 0 to 4095 in base64url, which stands for
-1 to 1.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from ganlab.data.distributions import Mixture
from ganlab.spec import positive

DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
STEPS = len(DIGITS) ** 2 - 1
MOST = 2000  # points of a drawing


def written(points: Iterable[tuple[float, float]]) -> str:
    """The text of points; what lies outside of [-1, 1] is moved to the edge."""
    return "".join(digits(x) + digits(y) for x, y in points)


def digits(value: float) -> str:
    """Two characters for a number in [-1, 1]."""
    high, low = divmod(round((min(max(value, -1.0), 1.0) + 1) / 2 * STEPS), len(DIGITS))
    return DIGITS[high] + DIGITS[low]


def positions(text: str) -> list[tuple[float, float]]:
    """The points that a text stands for, in [-1, 1]^2.

    Raises:
        ValueError: it is not the text of points.
    """
    if len(text) % 4:
        raise ValueError(f"expected four characters for each point, got {len(text)} characters")
    if odd := next((letter for letter in text if letter not in DIGITS), None):
        raise ValueError(f"expected letters, digits, '-' and '_', got {odd!r}")
    numbers = [number(text[i : i + 2]) for i in range(0, len(text), 2)]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def number(pair: str) -> float:
    """The number in [-1, 1] of two characters."""
    high, low = map(DIGITS.index, pair)
    return 2 * (len(DIGITS) * high + low) / STEPS - 1


class Strokes:
    """Equal Gaussians at the points of strokes.  Together they are one shape, without modes.

    Args:
        points: of the strokes, at least one.
        std: of each Gaussian, greater than 0.

    Raises:
        ValueError: there is no point, or the std is out of range.
    """

    dim = 2

    def __init__(self, points: Iterable[tuple[float, float]], std: float = 0.02) -> None:
        positive(std=std)
        self.mixture = Mixture([list(point) for point in points], [std])

    def sample(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """n points float32 (n, 2), and modes int64 (n,) that are all 0."""
        points, _ = self.mixture.sample(n, generator)
        return points, torch.zeros(n, dtype=torch.long)

    def log_density(self, x: Tensor) -> Tensor:
        """(N, 2) -> float64 (N,)."""
        return self.mixture.log_density(x)
