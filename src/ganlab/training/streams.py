"""Random numbers as functions of a key: nothing random is kept in a checkpoint.

A key is (seed, stream, ...), for instance (seed, NOISE, iteration).  Every stream of the program is
in this table, so that no two purposes share their numbers.
"""

from enum import IntEnum

import numpy as np
import torch


class Stream(IntEnum):
    """What random numbers are drawn for, and what follows the stream in its key."""

    ORDER = 1  # order of the real images: epoch
    NOISE = 2  # z and codes of training: iteration
    SAMPLE = 3  # z and codes of samples
    LAYERS = 4  # dropout, augmentation, terms: iteration, rank
    STATISTICS = 5  # z and codes from which BatchNorm's statistics are recomputed
    LABELED = 11  # order of the labeled images: epoch
    KEPT_LABELS = 12  # which images keep their labels
    STACKED = 13  # which digits are stacked
    POINTS = 14  # points to train on
    HELD_OUT_POINTS = 15  # points to compare with
    BASELINE = 21  # the classifier that sees the labels alone
    SCORED_IMAGES = 31  # real images that scores compare with
    SCORED_LABELS = 32  # order of the classes of generated images
    HEALTH_MODES = 41  # centres of the k-means
    HEALTH_SKETCH = 42  # random projection: width
    HEALTH_IMAGES = 43  # real images that samples are compared with
    HEALTH_CHAINS = 44  # a few sweeps of a Boltzmann machine's chains
    INVERSION = 51  # noise of points that are searched for
    SINGLE_UPDATES = 61  # of a live laboratory: iteration, how many before, player
    LIKELIHOOD = 62  # latents of bounds on the likelihood of held-out images: first image
    BINARISED = 63  # pixels of held-out images that are drawn: first image
    FIXED_PIXELS = 64  # pixels that are drawn once for each image
    QUIZ_IMAGES = 71  # real images of a quiz
    QUIZ_ORDER = 72  # order of its trials
    ANCESTRY = 81  # what a random network draws for a latent: the latent's bits
    PARTITION = 82  # chains that estimate a partition function: which of them


def stream(device: torch.device | str, *key: int) -> torch.Generator:
    """A generator of random numbers on `device` that is a function of `key` alone."""
    return torch.Generator(device).manual_seed(mixed(*key))


def mixed(*key: int) -> int:
    """A 63-bit seed from integers in [0, 2^32), well mixed.

    Zeros at the end do not count: (seed, stream) and (seed, stream, 0) give the same seed.  Within
    one stream all keys have the same length.
    """
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> np.uint64(1))


def seed_global_generators(device: torch.device, seed: int) -> None:
    """torch.manual_seed for the CPU and one device, which takes half a millisecond less.

    torch's own asks every kind of device, and records the call stack for those not yet in use.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)
    elif device.type != "cpu":
        torch.manual_seed(seed)
