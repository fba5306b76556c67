"""What tells a healthy GAN from one that is ill: numbers from logits, gradients and samples.

Everything takes real and generated x (N, ...) of any kind, images or points, and needs no labels.
"""

import functools

import torch
from torch import Tensor

from ganlab.spec import at_least
from ganlab.training.streams import Stream, stream

DIM = 1024  # of features; what has no more numbers is looked at as it is
BINS = 20
FEW = 16  # numbers, below which nearest neighbours lie as near as one pleases
EXACT, FAST = "donot_use_mm_for_euclid_dist", "use_mm_for_euclid_dist_if_necessary"


# The players -------------------------------------------------------------------------------------


def ranking_accuracy(real: Tensor, fake: Tensor) -> Tensor:
    """P(D(x) > D(G(z))), ties counted half: how often D ranks a real x above a generated one.

    The area under D's ROC curve, by Mann and Whitney's U (Fawcett 2006, section 7), which has the
    same meaning for all losses: no threshold, so a critic defined up to a constant has it, too.

    Args:
        real, fake: logits (N,) and (M,), higher where D takes x for real.

    Returns:
        Scalar in [0, 1]; 1/2 where D cannot tell them apart.
    """
    gaps = real.flatten()[:, None] - fake.flatten()[None]
    return ((gaps > 0).float() + (gaps == 0).float() / 2).mean()


def logit_gap(real: Tensor, fake: Tensor) -> Tensor:
    """E[D(x)] - E[D(G(z))] in logits: for a critic, its estimate of the Wasserstein distance."""
    return real.mean() - fake.mean()


# Diversity ---------------------------------------------------------------------------------------


def features_of(x: Tensor, dim: int = DIM) -> Tensor:
    """(N, ...) -> float32 (N, d), with d at most `dim`, where distances are nearly those of x.

    Where x has more numbers, each goes with a random sign to one of `dim` sums: a count sketch,
    which keeps squared distances to a relative deviation of sqrt(2 / dim) (Charikar et al. 2002;
    Weinberger et al. 2009, section 2) at the cost of reading x once.
    """
    flat = x.flatten(1).float()
    width = flat.shape[1]
    if width <= dim:
        return flat
    place, sign = sketch(width, dim, flat.device)
    return flat.new_zeros(len(flat), dim).index_add_(1, place, flat * sign)


@functools.lru_cache(maxsize=8)  # a copy to a GPU would wait for what that is doing
def sketch(width: int, dim: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """To which of `dim` sums each of `width` numbers goes, int64, and with which sign, float32."""
    generator = stream("cpu", 0, Stream.HEALTH_SKETCH, width)
    place = torch.randint(dim, (width,), generator=generator)
    sign = 2 * torch.randint(2, (width,), generator=generator) - 1
    return place.to(device), sign.to(device, torch.float32)


def distances(features: Tensor) -> Tensor:
    """(N, N) Euclidean distances between rows (N, d); infinite from each row to itself."""
    return torch.cdist(features, features).fill_diagonal_(torch.inf)


def mean_distance(apart: Tensor) -> Tensor:
    """The mean of (N, N) distances over pairs of different rows."""
    pairs = apart.isfinite()
    return apart.masked_fill(~pairs, 0).sum() / pairs.sum().clamp(min=1)


def near_duplicates(apart: Tensor, near: Tensor | float) -> Tensor:
    """Share of rows with another row nearer than `near`, from (N, N) distances.

    Arora et al. 2018 (section 3) look for duplicates by eye, to estimate the size of the support.
    """
    return (apart.amin(dim=1) < near).float().mean()


# Modes -------------------------------------------------------------------------------------------


def kmeans(features: Tensor, k: int, steps: int = 10) -> Tensor:
    """k centres (k, d) of features (N, d) by Lloyd's algorithm, from k of them at random.

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

    With centres by k-means on real x these are the bins of Richardson & Weiss 2018 (section 2).
    """
    nearest = torch.cdist(features, centres).argmin(dim=1)
    counts = features.new_zeros(len(centres), dtype=torch.float32)  # bincount waits for a GPU
    counts.scatter_add_(0, nearest, torch.ones_like(nearest, dtype=torch.float32))
    return counts / len(features)


def effective_number(shares: Tensor) -> Tensor:
    """exp of the entropy of shares (k,): k where they are even, 1 where all are in one place.

    Hill's number of order 1 (Hill 1973): how many equally common modes would be as diverse.
    """
    return torch.special.entr(shares).sum().exp()


def total_variation(p: Tensor, q: Tensor) -> Tensor:
    """sum |p - q| / 2 of shares (k,), in [0, 1]: the share that has moved on balance."""
    return (p - q).abs().sum() / 2


# Memorisation ------------------------------------------------------------------------------------


def memorised(samples: Tensor, training: Tensor, ratio: float = 1 / 3) -> Tensor:
    """Share of samples (N, d) that are copies of one training x (M, d).

    A copy is nearer to its nearest training x than `ratio` times to the second nearest (Yoon et al.
    2023, section 3), which a blurred or plain image, near to many, is not.  By chance it happens
    with a probability of about ratio^d for points in d dimensions.

    Args:
        samples: as features.
        training: in parts, if it is large: `nearest_two` of each.
        ratio: below which a sample counts, in (0, 1).
    """
    first, second = nearest_two(samples, training).unbind(1)
    return (first < ratio * second).float().mean()


def nearest_two(samples: Tensor, training: Tensor, batch: int = 4096) -> Tensor:
    """(N, 2) distances from samples (N, d) to the two nearest of (M, d), which may be uint8.

    uint8 is taken for pixels in 0..255, samples for images in [-1, 1].
    """
    best = samples.new_full((len(samples), 2), torch.inf)
    # Points of few numbers lie nearer to each other than |x|^2 + |y|^2 - 2xy is exact.
    mode = EXACT if samples.shape[1] < FEW else FAST
    for part in training.split(batch):
        known = part.to(samples.device).flatten(1).float()
        if part.dtype == torch.uint8:
            known = known.div_(127.5).sub_(1)
        both = torch.cat([best, torch.cdist(samples, known, compute_mode=mode)], dim=1)
        best = both.topk(2, dim=1, largest=False).values
    return best


# The data as the measure -------------------------------------------------------------------------


class Reference:
    """What real x are like, as the unit of every reading of generated ones.

    Args:
        real: features (N, d) of real x, some thousand.
        n: samples in a reading: the nearest neighbour's distance depends on their number.
        bins: k of k-means.
    """

    def __init__(self, real: Tensor, n: int, bins: int = BINS) -> None:
        at_least(2, n=n)
        at_least(1, real=len(real))
        self.centres = kmeans(real, bins)
        self.n = min(n, len(real))
        apart = distances(real[:n])
        self.distance = mean_distance(apart).clamp(min=1e-6)  # all x may be the same
        # Of data that has the same x twice and more the nearest is no measure.
        self.near = apart.amin(dim=1).quantile(0.01).clamp(min=1e-3 * self.distance)
        self.modes = effective_number(histogram(real, self.centres))

    def readings(self, features: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Scalars of samples' features (n, d), relative to the data's, and their shares of bins.

        `diversity`: mean distance between two samples, in units of the data's.
        `modes`: effective number of bins, in units of the data's.
        `duplicates`: share with another sample nearer than all but 1% of real x have; not for
            points of few numbers, which lie so dense that the nearest one is always near.
        """
        apart, shares = distances(features), histogram(features, self.centres)
        readings = {
            "diversity": mean_distance(apart) / self.distance,
            "modes": effective_number(shares) / self.modes,
        }
        if features.shape[1] >= FEW:
            readings["duplicates"] = near_duplicates(apart[: self.n, : self.n], self.near)
        return readings, shares
