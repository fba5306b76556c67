"""How often the interval of frechet_infinity holds the truth, by simulation of normal features.

    python benchmarks/infinity.py [repeats=1000] [dims=64]

The real moments are exact.  The generated features differ from the real ones as the row says:

shift: the mean is 1/2 away in one direction; features are white.
spread: half of the directions are 1.3 times as wide, half .65 times; features are white.
equal: no difference; the truth is 0.
decaying: variance 1/i in direction i, and the mean is 1/2 away in all of the first eight.
one direction: the same variances, and the mean is 1/2 away in the widest direction.
"""

import warnings
from collections.abc import Iterator

import torch
from torch import Tensor

from ganlab.metrics import Moments, frechet_infinity
from options import asked

BLOCKS, RATIOS = 20, (1.0, 1.5, 2.0, 3.0, 5.0)  # a fifth of the images over the dimensions


def cases(d: int) -> Iterator[tuple[str, Tensor, Tensor, Tensor]]:
    """(name, real variances, generated variances, difference of the means), each (d,)."""
    white = torch.ones(d, dtype=torch.float64)
    decaying = 1 / torch.arange(1, d + 1, dtype=torch.float64)
    decaying *= d / decaying.sum()
    first, eight = torch.zeros_like(white), torch.zeros_like(white)
    first[0], eight[:8] = 0.5, 0.5
    wide = torch.where(torch.arange(d) % 2 == 0, 1.3, 0.65).double() ** 2
    yield "shift", white, white, first
    yield "spread", white, wide, 0 * white
    yield "equal", white, white, 0 * white
    yield "decaying", decaying, decaying, eight
    yield "one direction", decaying, decaying, first


def exactly(variances: Tensor) -> Moments:
    """Moments of mean 0 and these variances."""
    moments = Moments(len(variances))
    moments.n, moments.products = 1000, 999 * variances.diag()
    return moments


def main(repeats: int = 1000, dims: int = 64) -> None:
    """Prints a row per case and ratio."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    print("| features | images | ratio | truth | bias | half an interval | coverage |")
    print("|---|---|---|---|---|---|---|")
    for name, real, fake, mean in cases(dims):
        truth = float(mean.square().sum() + (real.sqrt() - fake.sqrt()).square().sum())
        for ratio in RATIOS:
            n, generator = round(5 * ratio * dims), torch.Generator().manual_seed(0)
            values, reaches = torch.zeros(2, repeats, dtype=torch.float64)
            for i in range(repeats):
                noise = torch.randn(n, dims, generator=generator, dtype=torch.float64)
                parts = (noise * fake.sqrt() + mean).tensor_split(BLOCKS)
                found = frechet_infinity(exactly(real), [Moments.of(part) for part in parts])
                values[i], reaches[i] = found.value, found.high - found.value
            held = ((values - truth).abs() <= reaches).double().mean()
            numbers = f"{truth:.3f} | {values.mean() - truth:+.3f} | {reaches.mean():.3f}"
            print(f"| {name} | {n:,} | {ratio} | {numbers} | {held:.1%} |", flush=True)


if __name__ == "__main__":
    words = asked({"repeats": "1000", "dims": "64"}, __doc__)
    main(**{name: int(value) for name, value in words.items()})
