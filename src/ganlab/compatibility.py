"""Rejects combinations of parts that cannot work together, and doubts others, with reasons."""

from collections.abc import Iterator, Mapping

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrizations import _SpectralNorm

from ganlab.augment import Augment
from ganlab.conditioning import Conditioning
from ganlab.errors import CombinationError
from ganlab.losses import Loss
from ganlab.networks.contract import Discriminator
from ganlab.regularizers import Regularizer
from ganlab.spec import PointSpec, Spec
from ganlab.training.terms import Term


def refuse(
    discriminator: nn.Module,
    loss: Loss,
    regularizers: Mapping[str, Regularizer],
    conditioning: Conditioning,
    augment: Augment | None = None,
    spec: Spec | None = None,
) -> None:
    """Refuses parts that are not what they stand for, or cannot work together.

    Raises:
        TypeError: a part is of another kind.
        CombinationError: every reason why these parts cannot work together.
    """
    require(Loss, loss=loss)
    require(Conditioning, conditioning=conditioning)
    require(Augment, augment=augment or Augment())
    require(Regularizer, **{f"regularizer.{name}": one for name, one in regularizers.items()})
    found = [
        *of_energies(discriminator, loss, conditioning),
        *of_features(discriminator, regularizers, conditioning),
        *of_batchnorm(discriminator, regularizers),
        *(of_signs(loss, augment) if augment is not None else ()),
        *(of_points(spec, regularizers, augment) if isinstance(spec, PointSpec) else ()),
    ]
    if found:
        raise CombinationError(found)


def doubts(
    discriminator: nn.Module, loss: Loss, regularizers: Mapping[str, Regularizer]
) -> list[str]:
    """Sentences on a combination that trains, although it is not what its names say."""
    bounded = any(regularizer.bounds_slope for regularizer in regularizers.values())
    spectral = any(isinstance(module, _SpectralNorm) for module in discriminator.modules())
    if not loss.needs_lipschitz or bounded or spectral:
        return []
    needs = f"{type(loss).__name__} needs a critic with a bounded slope, and nothing bounds it here"
    cures = "regularizer=[gradient_penalty] or [weight_clip], or model.discriminator.norm=spectral"
    return [f"{needs}; set {cures}"]


def require(kind: type[Term], **parts: object) -> None:
    """Raises TypeError unless all parts are instances of a class of ganlab."""
    for name, part in parts.items():
        if not isinstance(part, kind):
            unit = ".".join(kind.__module__.split(".")[:2])  # where it is imported from
            wanted = f"{unit}.{kind.__name__}"
            raise TypeError(f"{name}: {type(part).__name__} is no {wanted}")


def of_energies(discriminator: nn.Module, loss: Loss, conditioning: Conditioning) -> Iterator[str]:
    """Reasons due to energies: low for real images and non-negative, unlike logits."""
    energy = isinstance(discriminator, Discriminator) and discriminator.energy
    network = type(discriminator).__name__
    if loss.energy and not energy:
        yield (
            f"loss: {type(loss).__name__} takes energies, the errors of an autoencoder, and "
            f"{network} gives logits; set model=autoencoder"
        )
    if energy and not loss.energy:
        yield (
            f"loss: {type(loss).__name__} takes logits, and {network} gives energies, the errors "
            "of an autoencoder; set loss=ebgan or loss=began, or another model"
        )
    if energy and conditioning.needs_logits:
        yield (
            f"conditioning: {type(conditioning).__name__} makes or changes a logit, and {network} "
            "gives energies; set conditioning=concat, acgan or infogan, or another model"
        )


def of_features(
    discriminator: nn.Module,
    regularizers: Mapping[str, Regularizer],
    conditioning: Conditioning,
) -> Iterator[str]:
    """Reasons due to features, which only a ganlab.networks.Discriminator is sure to return."""
    if isinstance(discriminator, Discriminator):
        return
    needing = [f"regularizer.{name}" for name, r in regularizers.items() if r.needs_features]
    needing += ["conditioning"] if conditioning.needs_features else []
    for name in needing:
        yield (
            f"{name} needs D's features, which {type(discriminator).__name__} does not return; "
            "derive it from ganlab.networks.Discriminator"
        )


def of_batchnorm(
    discriminator: nn.Module, regularizers: Mapping[str, Regularizer]
) -> Iterator[str]:
    """Reasons due to BatchNorm, which makes each logit depend on the whole minibatch."""
    if not any(isinstance(module, _BatchNorm) for module in discriminator.modules()):
        return
    for name in (name for name, r in regularizers.items() if r.per_sample):
        yield (
            f"regularizer.{name} looks at the gradient of each image by itself, which "
            "BatchNorm mixes with the others' (Gulrajani et al. 2017, section 4); "
            "set model.discriminator.norm=layer or none"
        )


def of_signs(loss: Loss, augment: Augment) -> Iterator[str]:
    """Reasons due to the sign of D's output, which means something in some losses only."""
    if augment.needs_sign and not loss.has_sign:
        yield (
            f"augment: {type(augment).__name__} follows the sign of D on real images, which says "
            f"nothing with {type(loss).__name__}; set augment.p to a number or a schedule, or "
            "loss=nonsaturating, minimax or hinge"
        )


def of_points(
    spec: PointSpec, regularizers: Mapping[str, Regularizer], augment: Augment | None
) -> Iterator[str]:
    """Reasons due to points, which have no pixels to shift, mirror or cut out."""
    moving = [f"regularizer.{name}" for name, r in regularizers.items() if r.needs_pixels]
    moving += ["augment"] if augment is not None and augment.needs_pixels else []
    instead = {"augment": "augment=instance_noise or none"}
    for name in moving:
        way_out = instead.get(name, "another regularizer")
        yield f"{name} moves pixels of images, and the data is points {spec}; set {way_out}"
