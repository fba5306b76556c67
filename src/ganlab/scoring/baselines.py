"""Scores of real images by a generator's protocol: what a perfect generator would have.

Held-out images show what more images of the same kind score; training images what copies score.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ganlab.data import ImageData
from ganlab.metrics.features import short_hash
from ganlab.scoring.measures import MEASURES
from ganlab.scoring.plans import held_out
from ganlab.scoring.protocol import versions
from ganlab.scoring.reference import FEWEST
from ganlab.scoring.scorecard import Score, Scorecard
from ganlab.scoring.scorer import Scorer
from ganlab.scoring.stored import as_stored, score_stored
from ganlab.storage import cache
from ganlab.storage.cache import hash_of
from ganlab.training.streams import Stream, stream

HELD_OUT, TRAINING = "held-out images", "training images"
LACKING = "this data holds no images out, so there are no scores of held-out images"


class Baseline(NamedTuple):
    """images: 'held-out images' or 'training images'.  card: their scores."""

    images: str
    card: Scorecard

    def label(self, n: int) -> str:
        """The name of their row, with their number if it is not that of the generated images."""
        count = self.card.protocol.fake
        return self.images if count == n else f"{count:,} {self.images}"


def baselines(scorer: Scorer, data: ImageData) -> list[Baseline]:
    """Scores of held-out and of training images, from the cache if possible.

    As many as the scorer would generate, drawn at random, or all if there are fewer; none of a kind
    of which there are fewer than FEWEST.

    Args:
        scorer: compares with the real images.
        data: after setup().
    """
    unseen = held_out(data)
    sets = {
        HELD_OUT: unseen.images if unseen is not None else None,
        TRAINING: data.images.images if data.images is not None else None,
    }
    found = {name: images for name, images in sets.items() if images is not None}
    return [
        Baseline(name, kept(scorer, images))
        for name, images in found.items()
        if len(images) >= max(FEWEST, scorer.neighbours + 1)
    ]


def kept(scorer: Scorer, images: Tensor) -> Scorecard:
    """The scores of n of these images, or of all if there are fewer, from the cache if possible.

    Scores of one's own are computed each time: nobody knows when their code changes.
    """
    order = torch.randperm(len(images), generator=stream("cpu", 1, Stream.SCORED_IMAGES))
    some = scorer.of(min(scorer.n, len(images)))
    chosen = order[: some.n]
    if tuple(some.measures) != MEASURES:
        return score_stored(some, images[chosen])
    protocol, pixels = some.conventions(), hash_of({"images": images})
    facts = f"{pixels} {protocol} {some.extractor.fingerprint} {versions()['ganlab']}"

    def make() -> cache.Entry:
        card = score_stored(some, images[chosen])
        return cache.Entry({}, {"scores": {n: [*score] for n, score in card.scores.items()}})

    about = cache.kept(f"baseline-{short_hash(facts)}", make).about
    scores = {name: Score(*both) for name, both in about["scores"].items()}
    return Scorecard(as_stored(protocol), scores, iterations=0)


def labelled(found: Sequence[Baseline], n: int) -> dict[str, Scorecard]:
    """Row -> scores, beside n generated images."""
    return {one.label(n): one.card for one in found}
