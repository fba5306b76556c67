"""Budgets in images: `iterations: ${images:3000000}` follows from the d_steps and the batch_size.

A source that trains for so many epochs shows D so many images, whatever k and m are.  As a number
of iterations the budget would be right for one k only.
"""

import math
from dataclasses import fields
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ganlab.config.settings import Settings
from ganlab.errors import ConfigError

PER_ITERATION = ("d_steps", "batch_size")  # k and m: D sees k m real images in an iteration
DEFAULTS = {one.name: one.default for one in fields(Settings)}


def iterations(*given: Any, _root_: DictConfig) -> int:
    """The least number of iterations in which D sees so many real images.

    Args:
        given: the number of images, at least 1.
        _root_: the config, with d_steps and batch_size.  A model without a discriminator has no
            d_steps and sees one minibatch in an iteration.  Where one of them is no number of at
            least 1 the result is 1, and the check of the config says what is wrong.

    Raises:
        ConfigError: it is not one number of at least 1.
    """
    if len(given) != 1 or not is_count(given[0]):
        said = ",".join(map(str, given))
        raise ConfigError([f"${{images:{said}}}: expected one number of images, at least 1"])
    sizes = [_root_.get(key, DEFAULTS[key]) for key in PER_ITERATION]
    sizes = [1 if size is None else size for size in sizes]
    if not all(map(is_count, sizes)):
        return 1
    return math.ceil(given[0] / math.prod(sizes))


def is_count(value: Any) -> bool:
    """Whether a value is a finite number of at least 1."""
    return type(value) in (int, float) and math.isfinite(value) and value >= 1


OmegaConf.register_new_resolver("images", iterations, replace=True)
