"""Which images lie near which: precision, recall, density, coverage, nearest, memorisation."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ganlab.metrics.checks import finite_rows, same_width
from ganlab.spec import at_least

ROWS = 1024  # features compared at once
# Numbers of pairs' features at once: they should stay in a processor's cache, and fill a GPU.
GATHERED = {"cpu": 2**18, "cuda": 2**23}


class Neighbourhood(NamedTuple):
    """Shares in [0, 1]; density may exceed 1.

    precision: of generated images inside some ball of a real one (Kynkaanniemi et al. 2019, eq. 2).
    recall: of real images inside some ball of a generated one (eq. 3).
    density: mean number of real balls, over k, that hold a generated image (Naeem et al. 2020).
    coverage: of real balls that hold a generated image (Naeem et al. 2020).
    """

    precision: float
    recall: float
    density: float
    coverage: float


class ClassShares(NamedTuple):
    """recall, coverage: as of Neighbourhood, of each class's real images; float64 (classes,)."""

    recall: Tensor
    coverage: Tensor


class Members(NamedTuple):
    """held: float64 (M,), real balls that each generated image is in.

    recalled, covered: bool (N,), of the real images.
    """

    held: Tensor
    recalled: Tensor
    covered: Tensor


def neighbourhood(real: Tensor, fake: Tensor, k: int = 5, rows: int = ROWS) -> Neighbourhood:
    """All four of features (N, d), by balls that reach to the k-th nearest of the same kind.

    Balls are open, as in Naeem et al.'s code; Kynkaanniemi et al. count the edge as inside.

    Args:
        k: 3 in Kynkaanniemi et al. 2019, 5 in Naeem et al. 2020.
        rows: features compared at once, to bound memory.

    Raises:
        ValueError: a kind has no more than k features, the widths differ, or one is not finite.
    """
    found = members(real, fake, k, rows)
    return Neighbourhood(
        (found.held > 0).double().mean().item(),
        found.recalled.double().mean().item(),
        found.held.mean().item() / k,
        found.covered.double().mean().item(),
    )


def neighbourhood_by_class(
    real: Tensor, labels: Tensor, fake: Tensor, classes: int, k: int = 5, rows: int = ROWS
) -> ClassShares:
    """Recall and coverage of each class; the generated images need no labels.

    Balls are those of all images together.  A class without real images has NaN.

    Args:
        labels: int64 (N,) in 0..classes - 1, of the real images.

    Raises:
        ValueError: labels are not one for each real image, or as `neighbourhood`.
    """
    if labels.shape != real.shape[:1]:
        raise ValueError(f"{len(real)} real images need labels of shape ({len(real)},)")
    found = members(real, fake, k, rows)
    labels = labels.to(real.device)
    count = labels.bincount(minlength=classes)
    recall, coverage = (
        labels[inside].bincount(minlength=classes) / count.double()
        for inside in (found.recalled, found.covered)
    )
    return ClassShares(recall, coverage)


def members(real: Tensor, fake: Tensor, k: int, rows: int) -> Members:
    """Who is in whose ball; arguments and errors as of `neighbourhood`."""
    real, fake = comparable(real, fake, k=k, rows=rows)
    if min(len(real), len(fake)) <= k:
        raise ValueError(f"k = {k} needs more images of each kind, got {len(real)} and {len(fake)}")
    real_reach, fake_reach = reach(real, k, rows), reach(fake, k, rows)
    held = torch.zeros(len(fake), dtype=torch.float64, device=real.device)
    recalled, covered = [], []
    for tile, own_reach in zip(tiles(real, fake, rows), real_reach.split(rows), strict=True):
        inside = tile.below(own_reach.unsqueeze(1))
        held += inside.sum(dim=0)
        covered.append(inside.any(dim=1))
        recalled.append(tile.below(fake_reach.unsqueeze(0)).any(dim=1))
    return Members(held, torch.cat(recalled), torch.cat(covered))


def reach(features: Tensor, k: int, rows: int) -> Tensor:
    """Distance (N,) of each feature to its k-th nearest other one."""
    return nearest(features, features, k + 1, rows)[0][:, -1]  # 1: itself


def nearest(queries: Tensor, bank: Tensor, k: int = 1, rows: int = ROWS) -> tuple[Tensor, Tensor]:
    """The k nearest of the bank to each query: float64 distances and int64 indices, both (N, k).

    By distance, then by index: of copies in the bank the first comes first.

    Args:
        queries, bank: features (N, d) and (M, d).
        rows: queries compared at once, to bound memory.

    Raises:
        ValueError: the bank has fewer than k features, the widths differ, or one is not finite.
    """
    queries, bank = comparable(queries, bank, k=k, rows=rows)
    if len(bank) < k:
        raise ValueError(f"k = {k} needs as many images to choose from, got {len(bank)}")
    found = [tile.nearest(k) for tile in tiles(queries, bank, rows)]
    distances, indices = (torch.cat(parts) for parts in zip(*found, strict=True))
    return distances, indices


def memorisation(train: Tensor, test: Tensor, fake: Tensor, rows: int = ROWS) -> float:
    """P(a generated image is nearer to its nearest training image than a held-out real one to its).

    The statistic of Mann and Whitney (Meehan, Chaudhuri & Dasgupta 2020, section 3, without their
    cells); equal distances count half.  1/2: as new as real images that training has not seen;
    1: copies; below 1/2: farther from the training images than real ones are.

    Raises:
        ValueError: a kind has no features, the widths differ, or one is not finite.
    """
    if not len(test) or not len(fake):
        raise ValueError(f"both kinds need images, got {len(test)} held-out and {len(fake)} others")
    unseen, made = (nearest(x, train, 1, rows)[0].flatten() for x in (test, fake))
    unseen = unseen.sort().values
    nearer, no_farther = (
        len(unseen) - torch.searchsorted(unseen, made, right=right) for right in (True, False)
    )
    return (nearer + no_farther).double().mean().item() / (2 * len(unseen))


def comparable(a: Tensor, b: Tensor, **counts: int) -> tuple[Tensor, Tensor]:
    """Both kinds of features; ValueError where they or a count cannot be used."""
    at_least(1, **counts)
    a, b = finite_rows("features", a), finite_rows("features", b)
    same_width(a.shape[1], b.shape[1])
    return a, b


class Tile(NamedTuple):
    """Squared distances between some features a (n, d) and all of b (M, d), by matrix products.

    |a|^2 + |b|^2 - 2 a b is far faster than differences, and loses what is near.  It is off by
    at most `slack`: where that might decide, the distances are taken by differences after all, so
    that every answer is the one by differences.

    squared: float64 (n, M).
    slack: float64 ().
    """

    a: Tensor
    b: Tensor
    squared: Tensor
    slack: Tensor

    def below(self, limits: Tensor) -> Tensor:
        """bool (n, M): distance < limit; limits (n, 1) or (1, M) are distances."""
        beyond = self.squared - limits.square()
        found = beyond < 0
        i, j = (beyond.abs() <= self.slack).nonzero(as_tuple=True)
        found[i, j] = self.exact(i, j) < limits.expand_as(beyond)[i, j]
        return found

    def nearest(self, k: int) -> tuple[Tensor, Tensor]:
        """Distances and indices (n, k) of the nearest, among all that may be."""
        kth = self.squared.topk(k, dim=1, largest=False).values[:, -1:]
        candidates = int((self.squared <= kth + 2 * self.slack).sum(dim=1).max())
        j = self.squared.topk(candidates, dim=1, largest=False).indices.sort(dim=1).values
        i = torch.arange(len(j), device=j.device).unsqueeze(1).expand_as(j)
        distances, order = self.exact(i.flatten(), j.flatten()).view(j.shape).sort(stable=True)
        return distances[:, :k], j.gather(1, order[:, :k])

    def exact(self, i: Tensor, j: Tensor) -> Tensor:
        """Distances of the pairs (a_i, b_j), with the same digits however many are asked for."""
        if 4 * len(i) > self.squared.numel():  # most: sooner all
            return by_differences(self.a, self.b)[i, j]
        at_once = GATHERED.get(self.a.device.type, GATHERED["cpu"])
        size = max(at_once // self.a.shape[1], 1)
        pairs = zip(i.split(size), j.split(size), strict=True)
        found = [by_differences(self.a[p].unsqueeze(1), self.b[q].unsqueeze(1)) for p, q in pairs]
        return torch.cat(found).flatten()


def tiles(a: Tensor, b: Tensor, rows: int) -> Iterator[Tile]:
    """So many features of `a` at a time, with all of `b`."""
    center = b.mean(dim=0, dtype=torch.float64)  # products lose the less, the nearer to 0
    others = b.double() - center
    norms = others.square().sum(dim=1)
    # Sums of d products are off by d eps / 2 of those of their absolute values, in any order
    # (Higham 2002, eq. 3.5): twice that, and some for the other operations.
    relative = (a.shape[1] + 8) * torch.finfo(torch.float64).eps
    for part in a.split(rows):
        own = part.double() - center
        own_norms = own.square().sum(dim=1)
        squared = torch.addmm(norms, own, others.T, alpha=-2).add_(own_norms.unsqueeze(1))
        slack = relative * (own_norms.max().sqrt() + norms.max().sqrt()).square()
        yield Tile(part, b, squared, slack)


def by_differences(a: Tensor, b: Tensor) -> Tensor:
    """(..., N, M); cdist's default takes |a|^2 + |b|^2 - 2 a b."""
    return torch.cdist(a.double(), b.double(), compute_mode="donot_use_mm_for_euclid_dist")
