"""Scores of images that lie in files, whoever made them."""

from dataclasses import replace

import torch
from torch import Tensor

from ganlab.data.progress import watched
from ganlab.scoring.extraction import tallied
from ganlab.scoring.protocol import Protocol
from ganlab.scoring.scorecard import Scorecard
from ganlab.scoring.scorer import Scorer


def score_stored(scorer: Scorer, images: Tensor) -> Scorecard:
    """All scores of stored images, by the protocol and under the names of a generator's.

    Args:
        scorer: with the real images and the extractor; its `n` is the number of images.
        images: uint8 (n, C, H, W).
    """
    # In random order, because the features that are kept must be a random sample.
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(scorer.seed))
    with watched("images", len(images)) as watch:
        tally = tallied(scorer.extractor, images, order, scorer.kept, watch)
    protocol = as_stored(scorer.conventions())
    return Scorecard(protocol, scorer.scores(tally, protocol), iterations=0)


def as_stored(protocol: Protocol) -> Protocol:
    """The record for images of which no generator is known."""
    return replace(protocol, quantisation="as stored", batchnorm="unknown")
