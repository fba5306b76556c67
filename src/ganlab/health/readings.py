"""Health readings of a GAN, computed from logits, gradients and samples.

All functions take real and generated x (N, ...), images or points, and need no labels.
"""

import functools

import torch
from torch import Tensor

from ganlab.spec import at_least
from ganlab.training.streams import Stream, stream

DIM = 1024  # feature dimension; x with at most this many values is used unprojected
BINS = 20
FEW = 16  # dimensions; below this, nearest-neighbour distances get arbitrarily small
EXACT, FAST = "donot_use_mm_for_euclid_dist", "use_mm_for_euclid_dist_if_necessary"


# The players -------------------------------------------------------------------------------------


def ranking_accuracy(real: Tensor, fake: Tensor) -> Tensor:
    """P(D(x) > D(G(z))), ties counted half: how often D ranks a real x above a generated one.

    The area under D's ROC curve, computed as the Mann-Whitney U statistic (Fawcett 2006, section
    7).  It needs no threshold, so it means the same for every loss, including critics that are
    defined only up to a constant.

    Args:
        real, fake: logits (N,) and (M,), higher where D classifies x as real.

    Returns:
        Scalar in [0, 1]; 1/2 if D cannot tell real from generated.
    """
    gaps = real.flatten()[:, None] - fake.flatten()[None]
    return ((gaps > 0).float() + (gaps == 0).float() / 2).mean()


def logit_gap(real: Tensor, fake: Tensor) -> Tensor:
    """E[D(x)] - E[D(G(z))] in logits; for a critic, an estimate of the Wasserstein distance."""
    return real.mean() - fake.mean()


# Diversity ---------------------------------------------------------------------------------------


def features_of(x: Tensor, dim: int = DIM) -> Tensor:
    """(N, ...) -> float32 (N, d), d at most `dim`; distances approximate those between the x.

    If x has more than `dim` values, a count sketch reduces it: each value is added with a random
    sign to one of `dim` sums.  This preserves squared distances up to a relative deviation of
    sqrt(2 / dim) (Charikar et al. 2002; Weinberger et al. 2009, section 2) and reads x only once.
    """
    flat = x.flatten(1).float()
    width = flat.shape[1]
    if width <= dim:
        return flat
    place, sign = sketch(width, dim, flat.device)
    return flat.new_zeros(len(flat), dim).index_add_(1, place, flat * sign)


@functools.lru_cache(maxsize=8)  # cached because each copy to a GPU would synchronise with it
def sketch(width: int, dim: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """For each of `width` values: the index of its sum (int64, below `dim`) and its sign (float32).

    Both have shape (width,).
    """
    generator = stream("cpu", 0, Stream.HEALTH_SKETCH, width)
    place = torch.randint(dim, (width,), generator=generator)
    sign = 2 * torch.randint(2, (width,), generator=generator) - 1
    return place.to(device), sign.to(device, torch.float32)


def distances(features: Tensor) -> Tensor:
    """(N, N) Euclidean distances between rows (N, d); the diagonal is infinite."""
    return torch.cdist(features, features).fill_diagonal_(torch.inf)


def mean_distance(apart: Tensor) -> Tensor:
    """The mean of (N, N) distances over pairs of different rows."""
    pairs = apart.isfinite()
    return apart.masked_fill(~pairs, 0).sum() / pairs.sum().clamp(min=1)


def near_duplicates(apart: Tensor, near: Tensor | float) -> Tensor:
    """Share of rows with another row closer than `near`, from (N, N) distances.

    Arora et al. 2018 (section 3) find duplicates by eye, to estimate the support size.
    """
    return (apart.amin(dim=1) < near).float().mean()


# Modes -------------------------------------------------------------------------------------------


def kmeans(features: Tensor, k: int, steps: int = 10) -> Tensor:
    """k centres (k, d) of features (N, d) by Lloyd's algorithm, started from k random features.

    Raises:
        ValueError: k is less than 1.
    """
    at_least(1, k=k)
    chosen = torch.randperm(len(features), generator=stream("cpu", 0, Stream.HEALTH_MODES))[:k]
    centres = features[chosen.to(features.device)].clone()
    for _ in range(steps):
        nearest = torch.cdist(features, centres).argmin(dim=1)
        sums = torch.zeros_like(centres).index_add_(0, nearest, features)
        counts = nearest.bincount(minlength=len(centres))[:, None]
        centres = torch.where(counts > 0, sums / counts.clamp(min=1), centres)
    return centres


def histogram(features: Tensor, centres: Tensor) -> Tensor:
    """Shares (k,) of features (N, d) nearest to each centre (k, d).

    With k-means centres of real x, these are the bins of Richardson & Weiss 2018 (section 2).
    """
    nearest = torch.cdist(features, centres).argmin(dim=1)
    counts = features.new_zeros(len(centres), dtype=torch.float32)  # bincount would synchronise
    counts.scatter_add_(0, nearest, torch.ones_like(nearest, dtype=torch.float32))
    return counts / len(features)


def effective_number(shares: Tensor) -> Tensor:
    """exp of the entropy of shares (k,): k for equal shares, 1 if one share is 1.

    The Hill number of order 1 (Hill 1973): the number of equally common modes with this entropy.
    """
    return torch.special.entr(shares).sum().exp()


def total_variation(p: Tensor, q: Tensor) -> Tensor:
    """Total variation distance sum |p - q| / 2 of shares (k,), in [0, 1]."""
    return (p - q).abs().sum() / 2


# Memorisation ------------------------------------------------------------------------------------


def memorised(samples: Tensor, training: Tensor, ratio: float = 1 / 3) -> Tensor:
    """Share of samples (N, d) that are copies of one training x (M, d).

    A sample is a copy if its distance to the nearest training x is less than `ratio` times its
    distance to the second nearest (Yoon et al. 2023, section 3).  A blurred or plain image is close
    to many x, so it does not count.  By chance, a point in d dimensions counts with a probability
    of about ratio^d.

    Args:
        samples: flat samples (N, d).
        training: flat training data (M, d), or unflattened uint8 images; see `nearest_two`.
        ratio: of the two distances, in (0, 1); a sample below it is a copy.
    """
    first, second = nearest_two(samples, training).unbind(1)
    return (first < ratio * second).float().mean()


def nearest_two(samples: Tensor, training: Tensor, batch: int = 4096) -> Tensor:
    """(N, 2) distances from samples (N, d) to the two nearest rows of `training` (M, d).

    If `training` is uint8, it holds pixels in 0..255, which are scaled to [-1, 1] like samples.
    """
    best = samples.new_full((len(samples), 2), torch.inf)
    # In few dimensions, distances can be smaller than the rounding error of |x|^2 + |y|^2 - 2xy.
    mode = EXACT if samples.shape[1] < FEW else FAST
    for part in training.split(batch):
        known = part.to(samples.device).flatten(1).float()
        if part.dtype == torch.uint8:
            known = known.div_(127.5).sub_(1)
        both = torch.cat([best, torch.cdist(samples, known, compute_mode=mode)], dim=1)
        best = both.topk(2, dim=1, largest=False).values
    return best


# Statistics of real data, as units ---------------------------------------------------------------


class RealFeatures:
    """Statistics of real x, relative to which generated x are read.

    Args:
        real: features (N, d) of real x; N of some thousand.
        n: samples per reading; nearest-neighbour distances depend on it.
        bins: k of k-means.
    """

    def __init__(self, real: Tensor, n: int, bins: int = BINS) -> None:
        at_least(2, n=n)
        at_least(1, real=len(real))
        self.centres = kmeans(real, bins)
        self.n = min(n, len(real))
        apart = distances(real[:n])
        self.distance = mean_distance(apart).clamp(min=1e-6)  # if all x are identical
        # In data with repeated x, nearest distances are 0; the lower bound keeps `near` positive.
        self.near = apart.amin(dim=1).quantile(0.01).clamp(min=1e-3 * self.distance)
        self.modes = effective_number(histogram(real, self.centres))

    def readings(self, features: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Scalar readings of samples' features (n, d), and the samples' shares of the bins (k,).

        `diversity`: mean distance between two samples, divided by that of real x.
        `modes`: effective number of bins, divided by that of real x.
        `duplicates`: share of samples whose nearest sample is closer than the 1% quantile of the
            nearest-neighbour distances of real x; left out below 16 dimensions, where points are
            so dense that the nearest one is always close.
        """
        apart, shares = distances(features), histogram(features, self.centres)
        readings = {
            "diversity": mean_distance(apart) / self.distance,
            "modes": effective_number(shares) / self.modes,
        }
        if features.shape[1] >= FEW:
            readings["duplicates"] = near_duplicates(apart[: self.n, : self.n], self.near)
        return readings, shares
