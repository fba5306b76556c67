"""Test error of D's class head, with a supervised baseline for comparison."""

import copy
import functools
from typing import Any

import torch
from pytorch_lightning import Trainer
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ganlab.callbacks.base import ModelCallback
from ganlab.callbacks.intervals import due
from ganlab.conditioning import Conditioning
from ganlab.data import ImageData, Images
from ganlab.data.images import normalised
from ganlab.errors import DataError
from ganlab.gan import GAN, D
from ganlab.networks.fitted import fit, unfitted
from ganlab.training.streams import Stream, mixed


class Classification(ModelCallback):
    """Logs test_error, the share of held-out images that D's class head misclassifies.

    With averages of D's weights (`d_ema`) they classify, and test_error/trained is the error of the
    trained weights themselves.

    If only some images are labeled, it also logs test_error/supervised, a baseline: D's networks,
    trained from the same initial weights on the labeled images alone, with D's optimizer at its
    initial learning rate.

    Args:
        data: the data; its held-out images are classified, if it has any.
        every: iterations between two readings.
        updates: of the supervised networks; they fit a few hundred labels in fewer.
        names_classes: whether D outputs class logits; otherwise this callback does nothing.

    Raises:
        DataError: only some images are labeled, and the held-out images cannot be read.
    """

    def __init__(
        self, data: ImageData, every: int, updates: int = 1000, *, names_classes: bool = True
    ) -> None:
        self.data, self.every, self.updates = data, every, updates
        self.supervised: float | None = None
        self.held_out = self._read() if names_classes else None

    def state_dict(self) -> dict[str, Any]:
        return {"supervised": self.supervised}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.supervised = state_dict["supervised"]

    def on_train_start(self, trainer: Trainer, gan: GAN) -> None:
        known = self.data.labels is None or self.supervised is not None
        if self.held_out is None or known or not trainer.is_global_zero:
            return
        with torch.random.fork_rng():
            torch.manual_seed(mixed(gan.seed, Stream.BASELINE))
            networks = supervised(gan, self.data.labeled_images(), self.updates)
        self.supervised = error(*networks, self.held_out)

    def on_train_batch_end(self, trainer: Trainer, gan: GAN, *_: Any) -> None:
        if self.held_out is None or not due(gan, self.every) or not trainer.is_global_zero:
            return
        gan.observations.add("test_error", error(*gan.judges, self.held_out))
        if gan.d_averages:
            trained = error(gan.discriminator, gan.conditioning, self.held_out)
            gan.observations.add("test_error/trained", trained)
        if self.supervised is not None:
            gan.observations.add("test_error/supervised", self.supervised)

    def _read(self) -> Images | None:
        try:
            return self.data.test_images()
        except DataError:
            if self.data.labels is not None:
                raise
            return None  # with all labels known, the test error is optional


def supervised(
    gan: GAN, images: Images, updates: int, batch_size: int = 100
) -> tuple[nn.Module, Conditioning]:
    """Copies of D's networks, trained on labeled images alone."""
    network, conditioning = copy.deepcopy((gan.discriminator, gan.conditioning))
    judged = functools.partial(class_logits, network, conditioning)
    fit(unfitted(network, conditioning), lambda: judged(images.images[:500]))
    parameters = [*network.parameters(), *conditioning.parameters()]
    optimizer = gan.players[D].rule.build(parameters, fused=False)
    for _ in range(updates):
        chosen = torch.randint(len(images.labels), (batch_size,))
        answers = judged(images.images[chosen])
        optimizer.zero_grad()
        cross_entropy(answers, images.labels[chosen].to(answers.device)).backward()
        optimizer.step()
    return network, conditioning


@torch.no_grad()
def error(network: nn.Module, conditioning: Conditioning, images: Images) -> float:
    """Share of images that are misclassified, in [0, 1]; does not change the networks' modes."""
    modes = {module: module.training for net in (network, conditioning) for module in net.modules()}
    for module in modes:
        module.training = False
    try:
        parts = [class_logits(network, conditioning, part) for part in images.images.split(512)]
    finally:
        for module, training in modes.items():
            module.training = training
    named = torch.cat([answers.argmax(dim=1).cpu() for answers in parts])
    return (named != images.labels.cpu()).float().mean().item()


def class_logits(network: nn.Module, conditioning: Conditioning, pixels: Tensor) -> Tensor:
    """uint8 images (N, C, H, W) -> class logits (N, K), on the network's device.

    Raises:
        ValueError: the conditioning has no class logits.
    """
    weight = next(network.parameters())
    images = normalised(pixels.to(weight.device)).to(weight.dtype)
    nothing = images.new_zeros(len(images), conditioning.code_dim)
    answers = conditioning.discriminate(network, images, nothing).answers
    if answers is None:
        raise ValueError(f"{type(conditioning).__name__} names no classes")
    return answers
