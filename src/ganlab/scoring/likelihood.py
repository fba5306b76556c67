"""The likelihood of held-out images under a model that has one, with its protocol."""

from dataclasses import replace

import torch

from ganlab.data import ImageData
from ganlab.data.images import Images, normalised
from ganlab.errors import ConfigError, DataError
from ganlab.generative import Generative
from ganlab.sampler import Sampler
from ganlab.scoring.plans import data_name, held_out
from ganlab.spec import at_least, seed_range
from ganlab.training.likelihood import LogLikelihood
from ganlab.training.streams import Stream, stream


class HeldOut:
    """Images whose likelihood is asked for: held-out ones; training images if there are none.

    Args:
        data: after `setup`.
        n: how many, drawn at random; None: all.
        seed: of the choice.

    Raises:
        DataError: there are no images.
    """

    def __init__(self, data: ImageData, n: int | None = None, seed: int = 0) -> None:
        at_least(2, n=n)
        seed_range(seed)
        held = held_out(data)
        found: Images | None = held if held is not None else data.images
        if found is None:
            raise DataError("likelihood: there are no images")
        self.split = "test" if held is not None else "train"
        self.data, self.available = data_name(data.source), len(found.images)
        random = stream("cpu", seed, Stream.SCORED_IMAGES)
        chosen = torch.randperm(self.available, generator=random)[:n]
        self.images = found.images[chosen.to(found.images.device)]

    def __call__(self, model: Generative, samples: int, seed: int = 0) -> list[LogLikelihood]:
        """What is known of their likelihood; empty: this kind of model has none.

        Training is not disturbed.

        Args:
            model: on any device.
            samples: the effort: of the bound, k.
            seed: of what is drawn.
        """
        images = normalised(self.images.to(model.device))
        about = {"data": self.data, "split": self.split, "available": self.available}
        about["iterations"] = model.iterations
        found = model.log_likelihoods(images, samples, seed)
        return [replace(one, protocol={**about, **one.protocol}) for one in found]


def require_likelihood(model: Sampler) -> Generative:
    """The model, if it is of a kind that has a likelihood.

    Raises:
        ConfigError: it is not.
    """
    if not isinstance(model, Generative):
        raise ConfigError(["likelihood: what was exported draws samples alone; evaluate the run"])
    if not has_likelihood(type(model)):
        raise ConfigError(
            [f"likelihood: {type(model).__name__} draws samples and has no likelihood"]
        )
    return model


def has_likelihood(kind: object) -> bool:
    """Whether models of a class have a likelihood; what is no class of ganlab's may have one."""
    return getattr(kind, "log_likelihoods", None) is not Generative.log_likelihoods
