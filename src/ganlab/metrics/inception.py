"""The Inception Score (Salimans et al. 2016, section 4), of all logits at once or in batches."""

import copy

import torch
from torch import Tensor

from ganlab.metrics.checks import enough_for, finite_rows
from ganlab.metrics.moments import summed
from ganlab.spec import at_least

ROWS = 4096  # logits that are converted to float64 at once


def inception_score(logits: Tensor, splits: int = 10, seed: int | None = 0) -> tuple[float, float]:
    """exp E_x KL(p(y|x) || p(y)): mean and standard deviation (ddof 0) over splits.

    Args:
        logits: (N, K) of a classifier.
        splits: parts that are scored separately; 10 in the paper, each of 5,000 images.
        seed: of the shuffle before splitting, as images may be ordered; None: do not shuffle.

    Raises:
        ValueError: there are fewer images than splits, or a logit is not finite.
    """
    logits = finite_rows("logits", logits)
    n, classes = logits.shape
    sums = Predictions(n, classes, splits, seed, logits.device)
    for first in range(0, n, ROWS):
        sums.update(logits[first : first + ROWS], first)
    return sums.score()


class Predictions:
    """Sums over images for the Inception Score, in float64; no logits are kept.

    With H the entropy, E_x KL(p(y|x) || p(y)) = H(E_x p(y|x)) - E_x H(p(y|x)).

    Args:
        n: total number of images.
        classes: K, logits per image.
        splits, seed: as in `inception_score`.
        device: where the sums are kept.

    Raises:
        ValueError: n is less than splits.
    """

    def __init__(
        self, n: int, classes: int, splits: int, seed: int | None, device: torch.device | str
    ) -> None:
        at_least(1, splits=splits)
        enough_for(n, splits=splits)
        self.split_of = assignment(n, splits, seed).to(device)
        self.counts = torch.zeros(splits, dtype=torch.float64, device=device)
        self.marginals = torch.zeros(splits, classes, dtype=torch.float64, device=device)
        self.entropies = torch.zeros(splits, dtype=torch.float64, device=device)

    def update(self, logits: Tensor, first: int) -> None:
        """Adds the finite logits (N, K) of images first, first + 1, ..."""
        split = self.split_of[first : first + len(logits)]
        p = logits.detach().to(self.marginals).softmax(dim=1)
        entropies = torch.special.entr(p).sum(dim=1)
        self.counts.index_add_(0, split, torch.ones_like(entropies))
        self.marginals.index_add_(0, split, p)
        self.entropies.index_add_(0, split, entropies)

    def gathered(self) -> "Predictions":
        """The sums over the images of all processes."""
        total = copy.copy(self)
        total.counts, total.marginals = summed(self.counts), summed(self.marginals)
        total.entropies = summed(self.entropies)
        return total

    def score(self) -> tuple[float, float]:
        """Mean and standard deviation (ddof 0) of the scores of all splits."""
        marginals = self.marginals / self.counts.unsqueeze(1)
        information = torch.special.entr(marginals).sum(dim=1) - self.entropies / self.counts
        scores = information.exp()
        return scores.mean().item(), scores.std(correction=0).item()


def assignment(n: int, splits: int, seed: int | None) -> Tensor:
    """The split of each image, int64 (n,): contiguous parts of the (shuffled) order."""
    order = torch.arange(n)
    if seed is not None:
        order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    found = torch.empty(n, dtype=torch.long)
    for split, part in enumerate(order.tensor_split(splits)):
        found[part] = split
    return found
