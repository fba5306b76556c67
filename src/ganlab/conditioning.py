"""Conditioning: classes and codes that G generates from, and what D is asked about them.

One object of this file stands between the GAN and its two networks.  It makes the code, which
follows the noise in G's input, and it may add a head to D, whose weights are trained with D's.
"""

from dataclasses import replace
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from ganlab.networks.contract import Discriminator
from ganlab.networks.layers import glorot
from ganlab.schedules import Number
from ganlab.spec import Spec, at_least
from ganlab.training.terms import Discrimination, Generation, Output, Scalar, Term, full


class Conditioning(Term):
    """No condition: G's input is noise alone, D's images alone.  Base of all others.

    `labels`: the data must have classes.  `needs_features`: D must return its features.
    `needs_logits`: the condition changes D's logit; an energy has none.
    `names_classes`: the answers of D's added head are logits of the data's classes.

    Args:
        spec: shape of the images and number of classes.
    """

    labels: ClassVar[bool] = False
    needs_features: ClassVar[bool] = False
    needs_logits: ClassVar[bool] = False
    names_classes: ClassVar[bool] = False
    code_dim: int = 0  # numbers that follow the noise in G's input

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

    def discriminate(self, discriminator: nn.Module, images: Tensor, code: Tensor) -> Output:
        """D's output on images (N, C, H, W) under a condition (N, code_dim)."""
        if isinstance(discriminator, Discriminator):
            logits, features = discriminator.logits_and_features(images)
        else:
            logits, features = discriminator(images), None
        return Output(images, code, full(logits), features)

    def d_term(self, update: Discrimination) -> Tensor | None:
        """Scalar added to D's loss, or None."""
        return None

    def g_term(self, update: Generation) -> Tensor | None:
        """Scalar added to G's loss, or None."""
        return None

    def sheets(self, noise: Tensor) -> dict[str, Tensor]:
        """Pictures that show what the code does: name -> latents, row by row, 10 or so a row.

        Args:
            noise: (rows, dim), one for each row of a sheet.
        """
        return {}

    def readings(self, update: Discrimination) -> dict[str, Tensor]:
        """Scalars to log, by name."""
        return {}


class ByClass(Conditioning):
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

    def discriminate(self, discriminator: nn.Module, images: Tensor, code: Tensor) -> Output:
        sides = images.shape[2:]  # none of points, which get the code as so many numbers more
        planes = code.to(images).view(*code.shape, *(1 for _ in sides)).expand(-1, -1, *sides)
        return super().discriminate(discriminator, torch.cat([images, planes], dim=1), code)


class Projection(ByClass):
    """D's logit is head(f(x)) + y' V f(x) (Miyato & Koyama 2018, eq. 3).

    The discriminator makes the embedding V (`Discriminator.new_embedding`): StyleGAN2's is a
    mapping network, and its logit has no first term.
    """

    needs_features = True
    needs_logits = True

    def attach(self, discriminator: nn.Module) -> None:
        judge = cast("Discriminator", discriminator)  # `refuse` has checked it
        self.embed = judge.new_embedding(self.code_dim)

    def discriminate(self, discriminator: nn.Module, images: Tensor, code: Tensor) -> Output:
        output = super().discriminate(discriminator, images, code)
        towards = (self.embed(code.to(images)) * output.features).sum(dim=1)
        return replace(output, logits=output.logits + full(towards))


class _WithHead(Conditioning):
    """Base of those that ask D a second question: `answers` of a further head on its features."""

    needs_features = True
    answers_dim: int

    def attach(self, discriminator: nn.Module) -> None:
        judge = cast("Discriminator", discriminator)  # `refuse` has checked it
        self.head = judge.new_head(self.answers_dim)

    def discriminate(self, discriminator: nn.Module, images: Tensor, code: Tensor) -> Output:
        output = super().discriminate(discriminator, images, code)
        return replace(output, answers=full(self.head(output.features)))


class ACGAN(_WithHead, ByClass):
    """D also tells the class of every image, G wants its own told (Odena et al. 2017, eqs. 2-3).

    Args:
        weight: of the classification, at least 0; 1 in the paper.
    """

    names_classes = True

    weight: Scalar

    def __init__(self, spec: Spec, weight: Number = 1.0) -> None:
        super().__init__(spec)
        self.set_nonnegative(weight=weight)
        self.answers_dim = spec.classes

    def d_term(self, update: Discrimination) -> Tensor:
        real, fake = (cross_entropy(*asked(output)) for output in (update.real, update.fake))
        return self.weight * (real + fake)

    def g_term(self, update: Generation) -> Tensor:
        return self.weight * cross_entropy(*asked(update.fake))

    def readings(self, update: Discrimination) -> dict[str, Tensor]:
        return {"accuracy/real": accuracy(update.real), "accuracy/fake": accuracy(update.fake)}


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
        hidden: width of Q's hidden layer (dense, BatchNorm, LeakyReLU 0.1): 128 in the paper's
            appendix C.1; with 0 Q is linear in D's features.
    """

    weight: Scalar
    continuous_weight: Scalar

    def __init__(
        self,
        spec: Spec,
        categories: int = 10,
        continuous: int = 2,
        weight: Number = 1.0,
        continuous_weight: Number = 1.0,
        hidden: int = 0,
    ) -> None:
        super().__init__(spec)
        at_least(0, categories=categories, continuous=continuous, hidden=hidden)
        self.set_nonnegative(weight=weight, continuous_weight=continuous_weight)
        at_least(1, **{"categories + continuous": categories + continuous})
        self.categories, self.continuous, self.hidden = categories, continuous, hidden
        self.code_dim = self.answers_dim = categories + continuous

    def attach(self, discriminator: nn.Module) -> None:
        if not self.hidden:
            super().attach(discriminator)
            return
        judge = cast("Discriminator", discriminator)
        spectral = judge.has_spectral_head
        self.head = nn.Sequential(
            glorot(nn.Linear(judge.feature_dim, self.hidden, bias=False), spectral=spectral),
            nn.BatchNorm1d(self.hidden),
            nn.LeakyReLU(0.1),
            glorot(nn.Linear(self.hidden, self.answers_dim), spectral=spectral),
        )

    def code(self, labels: Tensor, stream: torch.Generator) -> Tensor:
        n, device = len(labels), stream.device
        drawn = torch.rand(n, self.continuous, generator=stream, device=device) * 2 - 1
        if not self.categories:
            return drawn
        classes = torch.randint(self.categories, (n,), generator=stream, device=device)
        return torch.cat([one_hot(classes, self.categories).float(), drawn], dim=1)

    def d_term(self, update: Discrimination) -> Tensor:
        return self._missing(update.fake)

    def g_term(self, update: Generation) -> Tensor:
        return self._missing(update.fake)

    def _missing(self, fake: Output) -> Tensor:
        """-L_I without the constant entropy of the codes."""
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

    weight: Scalar

    def __init__(
        self,
        spec: Spec,
        labels_per_class: int = 10,
        label_seed: int = 0,
        weight: Number = 1.0,
    ) -> None:
        super().__init__(spec)
        at_least(1, labels_per_class=labels_per_class)
        at_least(0, label_seed=label_seed)
        self.set_nonnegative(weight=weight)
        self.labels_per_class, self.label_seed = labels_per_class, label_seed
        self.answers_dim = spec.classes

    def discriminate(self, discriminator: nn.Module, images: Tensor, code: Tensor) -> Output:
        output = super().discriminate(discriminator, images, code)
        answers, _ = asked(output)
        return replace(output, logits=answers.logsumexp(dim=1))

    def d_term(self, update: Discrimination) -> Tensor:
        return self.weight * cross_entropy(*asked(the_labeled(update)))

    def readings(self, update: Discrimination) -> dict[str, Tensor]:
        return {"accuracy/labeled": accuracy(the_labeled(update))}


def asked(output: Output) -> tuple[Tensor, Tensor]:
    """What the added head answers, and the code that would be right.

    Raises:
        ValueError: there is no such head.
    """
    if output.answers is None:
        raise ValueError("the discriminator has no second head")
    return output.answers, output.code.to(output.answers)


def the_labeled(update: Discrimination) -> Output:
    """D's output on labeled images.

    Raises:
        ValueError: there are none.
    """
    if update.labeled is None:
        raise ValueError("semi-supervised learning needs labeled images, got None")
    return update.labeled


def accuracy(output: Output) -> Tensor:
    """Share of images whose class D's head names rightly."""
    answers, code = asked(output)
    return (answers.argmax(dim=1) == code.argmax(dim=1)).float().mean()


def every_class(noise: Tensor, classes: int) -> Tensor:
    """Latents of a sheet: each row of noise with every one-hot class, (rows * classes, ...)."""
    codes = torch.eye(classes).to(noise).repeat(len(noise), 1)
    return torch.cat([noise.repeat_interleave(classes, dim=0), codes], dim=1)
