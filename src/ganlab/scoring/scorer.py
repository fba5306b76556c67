"""Scores of a generator: one pass over its images, every score from it."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
import torch.distributed as dist
from torch import Tensor

from ganlab.data.progress import Watch, unwatched
from ganlab.metrics import Tally
from ganlab.metrics.features import Extractor
from ganlab.plots import pictures
from ganlab.sampler import Sampler
from ganlab.scoring.extraction import at_once, extract
from ganlab.scoring.measures import MEASURES, Measure
from ganlab.scoring.protocol import Protocol, versions
from ganlab.scoring.reference import FEWEST, Reference
from ganlab.scoring.scorecard import Score, Scorecard
from ganlab.spec import at_least, seed_range
from ganlab.training.streams import Stream, stream


class Scorer:
    """Generates images, extracts their features and compares them with the real ones'.

    It leaves the GAN and the global random state as they were: training goes on as if it had not
    been scored.

    Args:
        extractor: of features.
        reference: the real images, by the same extractor.
        n: images to generate.
        seed: of their noise.
        kept: images of each kind that kernel distance and neighbours look at.
        neighbours: k of precision, recall, density and coverage.
        also: scores to compute in addition to ganlab's own.

    `truncation`: of the noise, as in `Sampler.sample`; `truncated` sets it.
    """

    truncation: float | None = None

    def __init__(
        self,
        extractor: Extractor,
        reference: Reference,
        n: int = 10_000,
        seed: int = 0,
        kept: int = 10_000,
        neighbours: int = 5,
        also: Sequence[Measure] = (),
    ) -> None:
        at_least(max(FEWEST, neighbours + 1), n=n)
        seed_range(seed)
        self.extractor, self.reference, self.n, self.seed = extractor, reference, n, seed
        self.kept, self.neighbours = kept, neighbours
        self.measures = (*MEASURES, *also)

    def __call__(self, gan: Sampler, seed: int | None = None) -> Scorecard:
        """All scores; every process of a distributed run must ask, and each gets the same.

        Args:
            gan: the model.
            seed: of the noise; None: the scorer's.
        """
        card = self.card(gan, self.tally(gan, seed=seed))
        return card if seed is None else replace(card, protocol=replace(card.protocol, seed=seed))

    def of(self, n: int) -> "Scorer":
        """The same for another number of images, which are not truncated."""
        also = self.measures[len(MEASURES) :]
        given = (self.extractor, self.reference, n, self.seed, self.kept, self.neighbours)
        return Scorer(*given, also=also)

    def truncated(self, truncation: float | None) -> "Scorer":
        """The same for truncated images; None: not truncated."""
        other = copy.copy(self)
        other.truncation = truncation
        return other

    def tally(
        self, gan: Sampler, blocks: int = 1, seed: int | None = None, watch: Watch = unwatched
    ) -> Tally:
        """What the n images are, of all processes together.

        Args:
            blocks: parts of which the moments are kept apart.
            seed: of the noise; None: the scorer's.
            watch: is told of every part that is done.
        """
        device = next(gan.generator.parameters()).device
        self.extractor.to(device)
        rank, ranks = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        start, end = (self.n * i // ranks for i in (rank, rank + 1))
        extractor = self.extractor
        tally = Tally(
            *(extractor.dim, extractor.classes, self.n),
            kept=self.kept,
            blocks=blocks,
            start=start,
            device=device,
        )
        images = self.images(gan, slice(start, end), self.seed if seed is None else seed)
        for features in extract(extractor, images, watch):
            tally.update(features)
        return tally.gathered() if ranks > 1 else tally

    def images(self, gan: Sampler, share: slice, seed: int) -> Iterator[Tensor]:
        """uint8 (N, C, H, W), part by part: a share of the n images."""
        z = gan.fixed_latents(self.n, seed, self.labels(seed), self.truncation)[share]
        with gan.truncating(self.truncation):
            for part in z.split(at_once(z.device)):
                yield pictures.quantised(gan.generate(part, truncation=self.truncation))

    def labels(self, seed: int) -> Tensor:
        """Classes int64 (n,) in the proportions of the real images', shuffled."""
        counts = self.reference.counts.double()
        places = (torch.arange(self.n) + 0.5) * counts.sum() / self.n
        labels = torch.searchsorted(counts.cumsum(0), places)
        return labels[torch.randperm(self.n, generator=stream("cpu", seed, Stream.SCORED_LABELS))]

    def card(self, gan: Sampler, tally: Tally) -> Scorecard:
        """Every score of a tally."""
        protocol = self.protocol(gan)
        return Scorecard(protocol, self.scores(tally, protocol), gan.iterations)

    def scores(self, tally: Tally, protocol: Protocol) -> dict[str, Score]:
        """Every score of a tally, by name."""
        found = dict[str, Score]()
        for measure in self.measures:
            if measure.applies(self.extractor):
                found |= measure(self.reference, tally, protocol)
        return found

    def protocol(self, gan: Sampler) -> Protocol:
        """The record that goes with every score."""
        words = gan.batchnorm if self.truncation is None else "recomputed from truncated noise"
        return replace(self.conventions(), ema=gan.ema_decay, batchnorm=words)

    def conventions(self) -> Protocol:
        """The record, without what describes the generator."""
        real = self.reference
        images = min(1000, self.n, len(real.vectors))
        return Protocol(
            extractor=self.extractor.name,
            weights=self.extractor.weights,
            preparation=self.extractor.preparation,
            data=real.data,
            split=real.split,
            real=real.moments.n,
            real_hash=real.pixels,
            available=real.available,
            fake=self.n,
            kept=self.kept,
            subsets=(100, images),
            neighbours=self.neighbours,
            truncation=self.truncation,
            seed=self.seed,
            versions=versions(),
        )
