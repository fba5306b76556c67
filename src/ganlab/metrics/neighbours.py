"""Nearest-neighbour scores: precision, recall, density, coverage, memorisation."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ganlab.metrics.checks import finite_rows, same_width
from ganlab.spec import at_least

ROWS = 1024  # features compared at once
# Feature values gathered for pairs at once: few enough for a CPU cache, enough to fill a GPU.
GATHERED = {"cpu": 2**18, "cuda": 2**23}


class Neighbourhood(NamedTuple):
    """Shares in [0, 1]; density may exceed 1.

    precision: generated images inside the ball of a real one (Kynkaanniemi et al. 2019, eq. 2).
    recall: real images inside the ball of a generated one (eq. 3).
    density: mean number of real balls that contain a generated image, over k (Naeem et al. 2020).
    coverage: real balls that contain a generated image (Naeem et al. 2020).
    """

    precision: float
    recall: float
    density: float
    coverage: float


class ClassShares(NamedTuple):
    """recall, coverage: as in Neighbourhood, over the real images of each class: float64 (K,)."""

    recall: Tensor
    coverage: Tensor


class Members(NamedTuple):
    """Memberships of images in balls.

    held: float64 (M,), number of real balls that contain each generated image.
    recalled: bool (N,), whether each real image is inside the ball of a generated one.
    covered: bool (N,), whether the ball of each real image contains a generated one.
    """

    held: Tensor
    recalled: Tensor
    covered: Tensor


def neighbourhood(real: Tensor, fake: Tensor, k: int = 5, rows: int = ROWS) -> Neighbourhood:
    """All four scores; the ball of an image reaches to its k-th nearest neighbour of the same kind.

    Balls are open, as in the code of Naeem et al.; Kynkaanniemi et al. include the boundary.

    Args:
        real, fake: features (N, d), (M, d).
        k: 3 in Kynkaanniemi et al. 2019, 5 in Naeem et al. 2020.
        rows: features compared at once, to bound memory.

    Raises:
        ValueError: a kind has at most k features, the widths differ, or a value is not finite.
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
    """Recall and coverage of each class; generated images need no labels.

    Balls are computed from the images of all classes.  A class without real images has NaN.

    Args:
        real, fake, k, rows: as in `neighbourhood`.
        labels: int64 (N,) in 0..classes - 1, of the real images.
        classes: K.

    Raises:
        ValueError: the number of labels is not that of real images, or as in `neighbourhood`.
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
    """Which images are in which balls; arguments and errors as in `neighbourhood`."""
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
    """Distance (N,) from each feature to its k-th nearest neighbour."""
    return nearest(features, features, k + 1, rows)[0][:, -1]  # + 1 for the feature itself


def nearest(queries: Tensor, bank: Tensor, k: int = 1, rows: int = ROWS) -> tuple[Tensor, Tensor]:
    """The k nearest features in the bank: float64 distances and int64 indices, both (N, k).

    They are sorted by distance, then by index.

    Args:
        queries, bank: features (N, d) and (M, d).
        rows: queries compared at once, to bound memory.

    Raises:
        ValueError: the bank has fewer than k features, the widths differ, or a value is not finite.
    """
    queries, bank = comparable(queries, bank, k=k, rows=rows)
    if len(bank) < k:
        raise ValueError(f"k = {k} needs at least {k} images to choose from, got {len(bank)}")
    found = [tile.nearest(k) for tile in tiles(queries, bank, rows)]
    distances, indices = (torch.cat(parts) for parts in zip(*found, strict=True))
    return distances, indices


def memorisation(train: Tensor, test: Tensor, fake: Tensor, rows: int = ROWS) -> float:
    """Probability that a generated image is closer to the training set than a held-out real one.

    The Mann-Whitney statistic of distances to the nearest training image (Meehan, Chaudhuri &
    Dasgupta 2020, section 3, without their cells); ties count half.  1/2: as far away as held-out
    images; 1: copies of training images; below 1/2: farther away than held-out images.

    Args:
        train, test, fake: features (N, d) of training, held-out and generated images.
        rows: features compared at once, to bound memory.

    Raises:
        ValueError: a kind has no features, the widths differ, or a value is not finite.
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
    """Both sets of features, detached; raises ValueError if they or a count are invalid."""
    at_least(1, **counts)
    a, b = finite_rows("features", a), finite_rows("features", b)
    same_width(a.shape[1], b.shape[1])
    return a, b


class Tile(NamedTuple):
    """Squared distances between some features a (n, d) and all of b (M, d), by matrix products.

    |a|^2 + |b|^2 - 2 a b is far faster than differences but inaccurate for close points.  Its error
    is at most `slack`.  If an error of that size could change a result, the distances are computed
    again by differences, so all results are the same as by differences.

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
        """Distances and indices (n, k) of the nearest, from all candidates within the error."""
        kth = self.squared.topk(k, dim=1, largest=False).values[:, -1:]
        candidates = int((self.squared <= kth + 2 * self.slack).sum(dim=1).max())
        j = self.squared.topk(candidates, dim=1, largest=False).indices.sort(dim=1).values
        i = torch.arange(len(j), device=j.device).unsqueeze(1).expand_as(j)
        distances, order = self.exact(i.flatten(), j.flatten()).view(j.shape).sort(stable=True)
        return distances[:, :k], j.gather(1, order[:, :k])

    def exact(self, i: Tensor, j: Tensor) -> Tensor:
        """Distances of the pairs (a_i, b_j); the digits do not depend on the number of pairs."""
        if 4 * len(i) > self.squared.numel():  # for many pairs, computing all is faster
            return by_differences(self.a, self.b)[i, j]
        at_once = GATHERED.get(self.a.device.type, GATHERED["cpu"])
        size = max(at_once // self.a.shape[1], 1)
        pairs = zip(i.split(size), j.split(size), strict=True)
        found = [by_differences(self.a[p].unsqueeze(1), self.b[q].unsqueeze(1)) for p, q in pairs]
        return torch.cat(found).flatten()


def tiles(a: Tensor, b: Tensor, rows: int) -> Iterator[Tile]:
    """Tiles of up to `rows` features of `a`, each with all of `b`."""
    center = b.mean(dim=0, dtype=torch.float64)  # products are more accurate near 0
    others = b.double() - center
    norms = others.square().sum(dim=1)
    # In any order, the error of a sum of d products is at most d eps / 2 times the sum of their
    # absolute values (Higham 2002, eq. 3.5).  This is twice that, plus some for other operations.
    relative = (a.shape[1] + 8) * torch.finfo(torch.float64).eps
    for part in a.split(rows):
        own = part.double() - center
        own_norms = own.square().sum(dim=1)
        squared = torch.addmm(norms, own, others.T, alpha=-2).add_(own_norms.unsqueeze(1))
        slack = relative * (own_norms.max().sqrt() + norms.max().sqrt()).square()
        yield Tile(part, b, squared, slack)


def by_differences(a: Tensor, b: Tensor) -> Tensor:
    """Distances (..., N, M) by differences; cdist by default uses |a|^2 + |b|^2 - 2 a b."""
    return torch.cdist(a.double(), b.double(), compute_mode="donot_use_mm_for_euclid_dist")
