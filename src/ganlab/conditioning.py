"""Conditioning: what G is told beside its noise, and what D is asked beside real or generated.

One object of this file stands between the GAN and its two networks.  It makes the code, which G
gets after its noise, and it may add a head to D, whose weights are trained with D's.
"""

from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot
from torch.nn.utils.parametrizations import _SpectralNorm, spectral_norm

from ganlab.spec import Spec, at_least
from ganlab.training.critique import Critique, Opinion, full


class NoConditioning(nn.Module):
    """G gets noise alone, D images alone; the base of all others.

    `labels`: the data must have classes.  `needs_features`: D must show its features.
    `needs_logits`: the condition enters D's logit, which an energy does not have.
    `names_classes`: the answers of D's added head are logits of the data's classes.

    Args:
        spec: shape of the images and number of classes.
    """

    labels: ClassVar[bool] = False
    needs_features: ClassVar[bool] = False
    needs_logits: ClassVar[bool] = False
    names_classes: ClassVar[bool] = False
    code_dim: int = 0  # numbers that G gets after its noise

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        if self.labels and not spec.classes:
            raise ValueError(f"{type(self).__name__} needs labeled images; these have no classes")
        self.spec = spec

    @property
    def shown(self) -> Spec:
        """The shape of what D's network is shown."""
        return self.spec

    def attach(self, discriminator: nn.Module) -> None:
        """Builds what D needs beside its network; called once."""

    def code(self, labels: Tensor, stream: torch.Generator) -> Tensor:
        """(N, code_dim) float: the condition of each row, given the labels of as many images."""
        return labels.new_zeros(len(labels), 0, dtype=torch.float32)

    def judge(self, discriminator: nn.Module, images: Tensor, code: Tensor) -> Opinion:
        """D's opinion on images (N, C, H, W) under a condition (N, code_dim)."""
        judge = getattr(discriminator, "judge", None)
        logits, features = judge(images) if judge else (discriminator(images), None)
        return Opinion(images, code, full(logits), features)

    def penalty(self, critique: Critique) -> Tensor | None:
        """Scalar added to D's loss, or None."""
        return None

    def g_penalty(self, fake: Opinion) -> Tensor | None:
        """Scalar added to G's loss, or None."""
        return None

    def sheets(self, noise: Tensor) -> dict[str, Tensor]:
        """Pictures that show what the code does: name -> latents, row by row, 10 or so a row.

        Args:
            noise: (rows, dim), one for each row of a sheet.
        """
        return {}

    def readings(self, critique: Critique) -> dict[str, Tensor]:
        """Scalars to log, by name."""
        return {}


class ByClass(NoConditioning):
    """Base of those that tell G a class: the code is one-hot, its classes those of real images.

    A minibatch's generated images get the labels of its real ones, so both follow the data's p(y),
    and penalties between a real and a generated image stay within one class.
    """

    labels = True

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.code_dim = spec.classes

    def code(self, labels: Tensor, stream: torch.Generator) -> Tensor:
        return one_hot(labels, self.spec.classes).float()

    def sheets(self, noise: Tensor) -> dict[str, Tensor]:
        return {"classes": every_class(noise, self.spec.classes)}


class Concat(ByClass):
    """CGAN: D sees the class, too, as one constant plane per class (Mirza & Osindero 2014, eq. 2).

    The paper feeds y to layers of an MLP, as is done with points; planes do so for every network.
    """

    @property
    def shown(self) -> Spec:
        return self.spec.widened(self.spec.classes)

    def judge(self, discriminator: nn.Module, images: Tensor, code: Tensor) -> Opinion:
        sides = images.shape[2:]  # none of points, which get the code as so many numbers more
        planes = code.to(images).view(*code.shape, *(1 for _ in sides)).expand(-1, -1, *sides)
        return super().judge(discriminator, torch.cat([images, planes], dim=1), code)


class Projection(ByClass):
    """D's logit is head(f(x)) + y' V f(x) (Miyato & Koyama 2018, eq. 3)."""

    needs_features = True
    needs_logits = True

    def attach(self, discriminator: nn.Module) -> None:
        width: int = discriminator.feature_dim  # type: ignore[assignment]
        self.embed = normalised_as(discriminator, nn.Linear(self.code_dim, width, bias=False))

    def judge(self, discriminator: nn.Module, images: Tensor, code: Tensor) -> Opinion:
        opinion = super().judge(discriminator, images, code)
        towards = (self.embed(code.to(images)) * opinion.features).sum(dim=1)
        return replace(opinion, logits=opinion.logits + full(towards))


class _WithHead(NoConditioning):
    """Base of those that ask D a second question: `answers` of a linear head on its features."""

    needs_features = True
    answers_dim: int

    def attach(self, discriminator: nn.Module) -> None:
        width: int = discriminator.feature_dim  # type: ignore[assignment]
        self.head = normalised_as(discriminator, nn.Linear(width, self.answers_dim))

    def judge(self, discriminator: nn.Module, images: Tensor, code: Tensor) -> Opinion:
        opinion = super().judge(discriminator, images, code)
        return replace(opinion, answers=full(self.head(opinion.features)))


class ACGAN(_WithHead, ByClass):
    """D also tells the class of every image, G wants its own told (Odena et al. 2017, eqs. 2-3).

    Args:
        weight: of the classification, at least 0; 1 in the paper.
    """

    names_classes = True

    def __init__(self, spec: Spec, weight: float = 1.0) -> None:
        super().__init__(spec)
        at_least(0, weight=weight)
        self.weight, self.answers_dim = weight, spec.classes

    def penalty(self, critique: Critique) -> Tensor:
        real, fake = (cross_entropy(*asked(seen)) for seen in (critique.real, critique.fake))
        return self.weight * (real + fake)

    def g_penalty(self, fake: Opinion) -> Tensor:
        return self.weight * cross_entropy(*asked(fake))

    def readings(self, critique: Critique) -> dict[str, Tensor]:
        return {"accuracy/real": accuracy(critique.real), "accuracy/fake": accuracy(critique.fake)}


class InfoGAN(_WithHead):
    """G gets random codes and D's head Q finds them: a lower bound of I(c; G(z, c)) is maximised.

    L_I = E[log Q(c | G(z, c))] + H(c) (Chen et al. 2016, eq. 5); the constant entropy is left out.
    Q is categorical for the classes and, for each continuous code U(-1, 1), a Gaussian of fixed
    variance 1, so that its log-likelihood is half a squared error.  No labels are used.

    Args:
        categories: values of the categorical code, 0 for none; 10 in the paper.
        continuous: number of continuous codes; 2 in the paper.
        weight: the paper's lambda for the categorical code, at least 0; 1 in the authors' code.
        continuous_weight: the same for the continuous ones.
    """

    def __init__(
        self,
        spec: Spec,
        categories: int = 10,
        continuous: int = 2,
        weight: float = 1.0,
        continuous_weight: float = 1.0,
    ) -> None:
        super().__init__(spec)
        at_least(0, categories=categories, continuous=continuous)
        at_least(0, weight=weight, continuous_weight=continuous_weight)
        at_least(1, **{"categories + continuous": categories + continuous})
        self.categories, self.continuous = categories, continuous
        self.weight, self.continuous_weight = weight, continuous_weight
        self.code_dim = self.answers_dim = categories + continuous

    def code(self, labels: Tensor, stream: torch.Generator) -> Tensor:
        n, device = len(labels), stream.device
        drawn = torch.rand(n, self.continuous, generator=stream, device=device) * 2 - 1
        if not self.categories:
            return drawn
        classes = torch.randint(self.categories, (n,), generator=stream, device=device)
        return torch.cat([one_hot(classes, self.categories).float(), drawn], dim=1)

    def penalty(self, critique: Critique) -> Tensor:
        return self.g_penalty(critique.fake)

    def g_penalty(self, fake: Opinion) -> Tensor:
        answers, code = asked(fake)
        k, missing = self.categories, answers.new_zeros(())
        if k:
            missing = missing + self.weight * cross_entropy(answers[:, :k], code[:, :k])
        if self.continuous:
            apart = (answers[:, k:] - code[:, k:]).square().sum(dim=1)
            missing = missing + self.continuous_weight * 0.5 * apart.mean()
        return missing

    def sheets(self, noise: Tensor) -> dict[str, Tensor]:
        still = noise.new_zeros(len(noise), self.continuous)
        sheets = {}
        if self.categories:
            latents = every_class(noise, self.categories)
            still = still.repeat_interleave(self.categories, dim=0)
            sheets["categories"] = torch.cat([latents, still], dim=1)
        for i in range(self.continuous):
            sheets[f"code-{i + 1}"] = self._walk(noise, i)
        return sheets

    def _walk(self, noise: Tensor, i: int, steps: int = 10) -> Tensor:
        """Along a row continuous code i goes from -1 to 1; each row has its own category."""
        rows = torch.arange(len(noise)) % max(self.categories, 1)
        parts = [one_hot(rows, self.categories).to(noise)] if self.categories else []
        still = torch.cat([noise, *parts, noise.new_zeros(len(noise), self.continuous)], dim=1)
        latents = still.repeat_interleave(steps, dim=0)
        walk = torch.linspace(-1, 1, steps).to(noise).repeat(len(noise))
        latents[:, noise.shape[1] + self.categories + i] = walk
        return latents


class SemiSupervised(_WithHead):
    """K classes and "generated" from K logits (Salimans et al. 2016, section 5).

    With Z(x) = sum over k of exp l_k(x), D(x) = Z / (Z + 1): the adversarial logit is logsumexp l.
    On labeled images D minimises the cross-entropy of l, on all others the GAN's own loss.
    With loss=nonsaturating and regularizer=feature_matching it is the paper's method.

    Args:
        labels_per_class: labeled images of each class, at least 1.
        label_seed: decides which; apart from the run's seed, so that runs share their labels.
        weight: of the supervised loss, at least 0.
    """

    labels = True
    needs_logits = True
    names_classes = True

    def __init__(
        self,
        spec: Spec,
        labels_per_class: int = 10,
        label_seed: int = 0,
        weight: float = 1.0,
    ) -> None:
        super().__init__(spec)
        at_least(1, labels_per_class=labels_per_class)
        at_least(0, label_seed=label_seed, weight=weight)
        self.labels_per_class, self.label_seed = labels_per_class, label_seed
        self.weight, self.answers_dim = weight, spec.classes

    def judge(self, discriminator: nn.Module, images: Tensor, code: Tensor) -> Opinion:
        opinion = super().judge(discriminator, images, code)
        answers, _ = asked(opinion)
        return replace(opinion, logits=answers.logsumexp(dim=1))

    def penalty(self, critique: Critique) -> Tensor:
        return self.weight * cross_entropy(*asked(the_labeled(critique)))

    def readings(self, critique: Critique) -> dict[str, Tensor]:
        return {"accuracy/labeled": accuracy(the_labeled(critique))}


def normalised_as(discriminator: nn.Module, layer: nn.Linear) -> nn.Module:
    """A head for D, Glorot-uniform; with spectral norm if D's own head has it."""
    nn.init.xavier_uniform_(layer.weight)
    own = getattr(discriminator, "head", nn.Identity())
    is_spectral = any(isinstance(module, _SpectralNorm) for module in own.modules())
    return spectral_norm(layer) if is_spectral else layer


def asked(opinion: Opinion) -> tuple[Tensor, Tensor]:
    """What the added head answers, and the code that would be right.

    Raises:
        ValueError: there is no such head.
    """
    if opinion.answers is None:
        raise ValueError("the discriminator was asked nothing")
    return opinion.answers, opinion.code.to(opinion.answers)


def the_labeled(critique: Critique) -> Opinion:
    """D's opinion on labeled images.

    Raises:
        ValueError: there are none.
    """
    if critique.labeled is None:
        raise ValueError("semi-supervised learning needs labeled images, got None")
    return critique.labeled


def accuracy(opinion: Opinion) -> Tensor:
    """Share of images whose class D's head names rightly."""
    answers, code = asked(opinion)
    return (answers.argmax(dim=1) == code.argmax(dim=1)).float().mean()


def every_class(noise: Tensor, classes: int) -> Tensor:
    """Latents of a sheet: each row of noise with every one-hot class, (rows * classes, ...)."""
    codes = torch.eye(classes).to(noise).repeat(len(noise), 1)
    return torch.cat([noise.repeat_interleave(classes, dim=0), codes], dim=1)
