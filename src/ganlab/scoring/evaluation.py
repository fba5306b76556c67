"""Scores a trained run: its generator, its data and a scorer."""

import copy
import warnings
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from ganlab.conditioning import ByClass
from ganlab.data import ImageData
from ganlab.data.images import normalised
from ganlab.data.progress import watched
from ganlab.errors import DataError
from ganlab.metrics import Tally, frechet_infinity, memorisation, nearest, neighbourhood_by_class
from ganlab.sampler import Sampler
from ganlab.scoring.baselines import Baseline, baselines
from ganlab.scoring.extraction import at_once, extract
from ganlab.scoring.plans import Plan, held_out
from ganlab.scoring.scorecard import Score, Scorecard, mean_of

BLOCKS = 20  # blocks of generated images, for the extrapolation
NEAREST = 7  # training images shown next to each generated one


class Evaluation:
    """Scores a GAN by a plan, on a GPU if there is one.

    Args:
        gan: a trained model.
        data: its training data.
        plan: how to score.
        extrapolate: also compute frechet_infinity; with its own 95% interval.
        truncation: of the noise, as in `Sampler.sample`.

    Raises:
        DataError: the data is missing, or lacks images that the plan needs.
    """

    def __init__(
        self,
        gan: Sampler,
        data: ImageData,
        plan: Plan,
        *,
        extrapolate: bool = False,
        truncation: float | None = None,
    ) -> None:
        data.prepare_data()
        data.setup()
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.gan = gan.to(self.device)
        self.data, self.plan, self.extrapolate = data, plan, extrapolate
        self.scorer = plan.scorer(data, self.device).truncated(truncation)

    def score(self, repeats: int = 1) -> Scorecard:
        """All scores: means over repeats, each with other noise, and their 95% intervals."""
        tallies = (self._pass(self.plan.seed + i) if i else self.first for i in range(repeats))
        return mean_of([self._card(tally) for tally in tallies])

    def truncated(self, truncation: float | None) -> "Evaluation":
        """The same GAN, truncated, by the same scorer; the real images are not looked at again."""
        other = copy.copy(self)
        other.__dict__.pop("first", None)
        other.scorer = self.scorer.truncated(truncation)
        return other

    def baselines(self) -> list[Baseline]:
        """The scores of held-out and of training images by the same protocol."""
        return baselines(self.scorer.truncated(None), self.data)

    def classes(self) -> list[Scorecard]:
        """Scores per class: all if G is conditioned on the class, else recall and coverage."""
        told = isinstance(self.gan.conditioning, ByClass)
        return list(self._told_classes() if told else self._covered_classes())

    def _told_classes(self) -> Iterator[Scorecard]:
        extractor = self.scorer.extractor
        for c in self.scorer.reference.labels.unique().tolist():
            scorer = self.plan.scorer_of_class(self.data, extractor, c)
            yield scorer.truncated(self.scorer.truncation)(self.gan)

    def _covered_classes(self) -> Iterator[Scorecard]:
        real, protocol = self.scorer.reference, self.scorer.protocol(self.gan)
        fake, classes = self.first.vectors, len(real.counts)
        vectors = real.vectors.to(fake.device)
        found = neighbourhood_by_class(vectors, real.labels, fake, classes, protocol.neighbours)
        for c in real.labels.unique().tolist():
            scores = {name: Score(shares[c].item()) for name, shares in found._asdict().items()}
            one = replace(protocol, data=f"{real.data}, class {c}")
            yield Scorecard(one, scores, self.gan.iterations)

    def memorised(self) -> Score:
        """Probability that a generated image is closer to the training set than a held-out one.

        Raises:
            DataError: the data has no held-out images.
        """
        unseen = held_out(self.data)
        if unseen is None:
            raise DataError("neighbours: this data has no held-out images to compare with")
        others = self._vectors(unseen.images), self.first.vectors.cpu()
        return Score(memorisation(self._train, *others))

    def neighbours(self, rows: int) -> Tensor:
        """Rows of a generated image and its nearest training images, in [-1, 1].

        Float (rows * (1 + NEAREST), C, H, W).
        """
        images = torch.cat(list(self.scorer.images(self.gan, slice(rows), self.plan.seed))).cpu()
        _, found = nearest(self._vectors(images), self._train, NEAREST)
        similar = self._images[found]  # (rows, NEAREST, C, H, W)
        return normalised(torch.cat([images.unsqueeze(1), similar], dim=1).flatten(0, 1))

    @cached_property
    def first(self) -> Tally:
        """The tally of images from the plan's seed."""
        return self._pass(self.plan.seed)

    @cached_property
    def _train(self) -> Tensor:
        """The features of all training images."""
        return self._vectors(self._images)

    @property
    def _images(self) -> Tensor:
        if self.data.images is None:
            raise RuntimeError("setup() has not been called")
        return self.data.images.images

    def _card(self, tally: Tally) -> Scorecard:
        card = self.scorer.card(self.gan, tally)
        if not self.extrapolate:
            return card
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # `doubtful` has been asked before the work began
            found = frechet_infinity(self.scorer.reference.moments, tally.blocks)
        infinite = Score(found.value, (found.high - found.low) / 2)
        return replace(card, scores=card.scores | {"frechet_infinity": infinite})

    def _pass(self, seed: int) -> Tally:
        with watched("generated images", self.plan.n) as watch:
            return self.scorer.tally(self.gan, BLOCKS if self.extrapolate else 1, seed, watch)

    def _vectors(self, images: Tensor) -> Tensor:
        with watched("features", len(images)) as watch:
            found = extract(self.scorer.extractor, images.split(at_once(self.device)), watch)
            return torch.cat([features.vectors.cpu() for features in found])
