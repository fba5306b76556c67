"""A generator with its prior, its codes and its averaged weights: latents, and samples of them."""

import contextlib
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from ganlab.conditioning import Conditioning
from ganlab.latent import Gaussian, Latent
from ganlab.networks.contract import StyleGenerator, truncated
from ganlab.spec import Spec, at_least, positive
from ganlab.training.ema import EMA
from ganlab.training.seeded import BLOCK, Draw, Labels, blocks, classes_for, regrouped, rows
from ganlab.training.statistics import recompute, running
from ganlab.training.streams import Stream, stream

STANDING = 16  # batches of BLOCK latents from which BatchNorm's statistics are recomputed


class Sampler(nn.Module):
    """What draws samples.  It needs no training; `Generative` trains it.

    Every latent is a function of a seed, of its number and of its class.

    `generator`: z (N, latent.dim + conditioning.code_dim) -> images (N, C, H, W) in [-1, 1].
    `latent`: the prior p(z).
    `conditioning`: the code that follows the noise in z.
    `spec`: shape of the images, or of the points that take their place, and number of classes.
    `ema`: the moving average of the generator's weights, which draws the samples; None: there is
    none.
    `seed`: of BatchNorm's statistics, where they are recomputed.
    `iterations`: of training that the weights have seen.
    `class_names`: empty if the classes have no names.
    """

    generator: nn.Module
    latent: Latent
    conditioning: Conditioning
    spec: Spec
    ema: EMA | None
    seed: int
    iterations: int
    class_names: list[str]

    # Latents -------------------------------------------------------------------------------------

    def code_in(self, z: Tensor) -> Tensor:
        """The code of latents, which follows the noise."""
        return z[:, self.latent.dim :]

    def fixed_latents(
        self, n: int, seed: int = 0, labels: Labels = None, truncation: float | None = None
    ) -> Tensor:
        """(n, latent.dim + code_dim), the same on every device.

        Row i is a function of the seed, of i and of its label: it does not depend on n.

        Args:
            n: how many, at least 1.
            seed: in [0, 2^32).
            labels: classes, repeated as often as needed; None: one after the other.
            truncation: as in `sample`; latents of a StyleGenerator stay as they are.

        Raises:
            ValueError: n, the seed, a label or the truncation is out of range.
        """
        at_least(1, n=n)
        draw = self._truncating(truncation)
        z = rows(draw, classes_for(range(n), labels, self.spec.classes), seed)
        # Not blocking: a copy that blocks would wait for all kernels.
        return z.to(next(self.generator.parameters()), non_blocking=True)

    def streamed_latents(
        self,
        n: int,
        seed: int = 0,
        labels: Labels = None,
        truncation: float | None = None,
        *,
        size: int = 256,
    ) -> Iterator[Tensor]:
        """The rows of `fixed_latents`, in parts of `size` that are drawn when they are asked for.

        Raises:
            ValueError: as `fixed_latents` does, or the size is less than 1.
        """
        at_least(1, n=n, batch_size=size)
        draw, weight = self._truncating(truncation), next(self.generator.parameters())
        drawn = blocks(draw, classes_for(range(n), labels, self.spec.classes), seed)
        return (z.to(weight, non_blocking=True) for z in regrouped(drawn, size))

    def seeded_latents(
        self, seeds: Sequence[int], labels: Labels = None, truncation: float | None = None
    ) -> Tensor:
        """(len(seeds), latent.dim + code_dim): the first latent of each seed.

        Args:
            seeds: in [0, 2^32).
            labels: classes, repeated as often as needed; None: the class of a seed is the seed
                modulo the number of classes.
            truncation: as in `fixed_latents`.

        Raises:
            ValueError: there is no seed, or a seed, a label or the truncation is out of range.
        """
        at_least(1, **{"number of seeds": len(seeds)})
        draw, chosen = self._truncating(truncation), classes_for(seeds, labels, self.spec.classes)
        each = [rows(draw, chosen[i : i + 1], seed) for i, seed in enumerate(seeds)]
        return torch.cat(each).to(next(self.generator.parameters()), non_blocking=True)

    def check_truncation(self, truncation: float | None) -> None:
        """Raises ValueError if a truncation (None passes) is out of range or has no meaning."""
        positive(truncation=truncation)
        if truncation == math.inf:
            raise ValueError("truncation must be finite, got inf; None: not truncated")
        if truncation is not None and not self.smooth:
            kind = type(self.generator).__name__
            raise ValueError(
                f"truncation: a {kind} draws as it goes, and z is its seed, which has no tails; "
                "leave truncation out"
            )
        if (
            truncation is not None
            and not self._has_styles
            and not isinstance(self.latent, Gaussian)
        ):
            raise ValueError(
                "truncation: redraws the tails of Gaussian noise, and the noise of this model is "
                "uniform; leave truncation out"
            )

    @property
    def smooth(self) -> bool:
        """Whether images change smoothly with z; otherwise z seeds a sample's random numbers."""
        return bool(getattr(self.generator, "differentiable", True))

    @property
    def _has_styles(self) -> bool:
        """Whether truncation moves w, and leaves the noise as it is."""
        return isinstance(self.generator, StyleGenerator)

    def _truncating(self, truncation: float | None) -> Draw:
        """`_draw`, followed by the truncation of Gaussian noise."""
        self.check_truncation(truncation)

        def draw(labels: Tensor, generator: torch.Generator) -> Tensor:
            return self._truncated(self._draw(labels, generator), truncation, generator)

        return self._draw if truncation is None else draw

    def _truncated(self, z: Tensor, truncation: float | None, generator: torch.Generator) -> Tensor:
        """Latents whose Gaussian noise is truncated, unless w is; codes stay."""
        latent = self.latent
        if truncation is None or self._has_styles or not isinstance(latent, Gaussian):
            return z
        noise = latent.truncated(z[:, : latent.dim], truncation, generator)
        return torch.cat([noise, self.code_in(z)], dim=1)

    def sheets(
        self, rows: int, seed: int = 0, truncation: float | None = None
    ) -> dict[str, Tensor]:
        """Latents of pictures that show what each code does, by name; as many in every row."""
        self.check_truncation(truncation)
        weight, random = next(self.generator.parameters()), stream("cpu", seed, Stream.SAMPLE)
        noise = self._truncated(self.latent.sample(rows, random), truncation, random)
        return self.conditioning.sheets(noise.to(weight, non_blocking=True))

    def _draw(self, labels: Tensor, generator: torch.Generator) -> Tensor:
        noise = self.latent.sample(len(labels), generator)
        code = self.conditioning.code(labels, generator)
        return torch.cat([noise, code], dim=1) if code.shape[1] else noise

    @property
    def ema_decay(self) -> float | None:
        """The decay of the averaged weights, which draw the samples; None: there are none."""
        raise NotImplementedError

    # Samples -------------------------------------------------------------------------------------

    @torch.no_grad()
    def sample(
        self,
        n: int | None = None,
        seed: int = 0,
        labels: Labels = None,
        *,
        seeds: Sequence[int] | None = None,
        truncation: float | None = None,
    ) -> Tensor:
        """n generated images (n, C, H, W) in [-1, 1], by the averaged weights if there are any.

        Image i of a seed does not depend on n, and the image of one of `seeds` not on the others.

        Args:
            n: how many, at least 1; None: 1, or one for each of `seeds`.
            seed: of the noise, in [0, 2^32).
            labels: classes in a conditional model, repeated as often as needed; None: one after the
                other.
            seeds: the first image of each of these seeds, in place of n images of one.
            truncation: fewer unusual images, at the price of variety; greater than 0, None: not
                truncated.  A StyleGenerator's w becomes w_mean + truncation (w - w_mean) (Karras et
                al. 2019, appendix B).  Others redraw each entry of Gaussian noise that is larger
                (Brock et al. 2019, section 3.1); entries of codes stay.

        Raises:
            ValueError: n, a seed or a label is out of range, or the model cannot be truncated.
        """
        if seeds is not None:
            z = self.seeded_latents(seeds, labels, truncation)
        else:
            z = self.fixed_latents(1 if n is None else n, seed, labels, truncation)
        with self.truncating(truncation):
            return self.generate(z, truncation=truncation)

    @contextlib.contextmanager
    def truncating(self, truncation: float | None) -> Iterator[None]:
        """While the block runs, samples have BatchNorm's statistics of truncated noise.

        Truncated noise has less variance.  With the statistics of all noise, activations would be
        too small, so they are computed anew, as the published BigGANs (Brock et al. 2019) have
        them for each truncation.  Nothing changes for a StyleGenerator, or without BatchNorm.
        """
        self.check_truncation(truncation)
        network = self.sampler
        statistics = running(network)
        if truncation is None or self._has_styles or not statistics:
            yield
            return
        kept = [tensor.clone() for tensor in statistics]
        try:
            recompute(network, self._standing(truncation))
            yield
        finally:
            torch._foreach_copy_(statistics, kept)

    def forward(self, z: Tensor) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] of latents z (N, latent.dim + code_dim)."""
        return self.generate(z)

    @property
    def sampler(self) -> nn.Module:
        """The network that makes the samples: the average of the generator if there is one."""
        if self.ema is None:
            return self.generator
        self.refresh()
        return self.ema.network

    @torch.no_grad()
    def generate(
        self,
        z: Tensor,
        batch_size: int = 256,
        *,
        averaged: bool = True,
        truncation: float | None = None,
    ) -> Tensor:
        """Images of given latents, with BatchNorm's running statistics; training is not disturbed.

        Args:
            z: (N, latent.dim + code_dim).
            batch_size: images generated at once.
            averaged: use the averaged weights if there are any.
            truncation: of a StyleGenerator's w, as in `sample`; others have truncated latents, and
                are called within `truncating`.
        """
        with self.evaluating(averaged=averaged) as generator:
            make = truncated(generator, truncation)
            return torch.cat([make(part).float() for part in z.split(batch_size)])

    @contextlib.contextmanager
    def evaluating(self, *, averaged: bool = True) -> Iterator[nn.Module]:
        """The network that makes the samples, in evaluation mode for as long as the block runs."""
        generator = self.sampler if averaged else self.generator
        training = generator.training
        generator.eval()
        try:
            yield generator
        finally:
            generator.train(training)

    def refresh(self) -> None:
        """Recomputes BatchNorm's statistics of the average, if that is due (training/ema.py).

        They are a function of the weights and the seed, so it does not matter how often or when.
        """
        if self.ema is not None and not next(self.generator.parameters()).is_meta:
            self.ema.refresh(self._standing)

    def _standing(self, truncation: float | None = None) -> Iterator[Tensor]:
        """Latents (BLOCK, latent.dim + code_dim), the same on every device; classes in turn."""
        draw = self._truncating(truncation)
        random = stream("cpu", self.seed, Stream.STATISTICS)
        weight = next(self.generator.parameters())
        for labels in classes_for(range(STANDING * BLOCK), None, self.spec.classes).split(BLOCK):
            yield draw(labels, random).to(weight, non_blocking=True)

    @property
    def batchnorm(self) -> str:
        """Which statistics BatchNorm normalises by when samples are drawn, in words."""
        words = {"average": "averaged", "recompute": f"recomputed over {STANDING * BLOCK:,} images"}
        policy = self.ema.statistics if self.ema is not None and running(self.generator) else "copy"
        return words.get(policy, "running statistics")
