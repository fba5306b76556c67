"""Augmentation of all images that D sees, real and generated alike; all differentiable, twice.

`ADA` composes stages: geometry, color, filtering, corruption, one file each.

May import: schedules, spec, training.
Libraries: torch.
"""

from ganlab.augment.ada import ADA
from ganlab.augment.base import Augment
from ganlab.augment.diffaugment import DiffAugment
from ganlab.augment.instance_noise import InstanceNoise
from ganlab.augment.shifts import shift_and_flip

__all__ = ["ADA", "Augment", "DiffAugment", "InstanceNoise", "shift_and_flip"]
