"""Latents of samples: what a seed gives does not depend on how many are drawn, or with which."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from ganlab.spec import at_least, seed_range
from ganlab.training.streams import Stream, stream

BLOCK = 64  # rows that are drawn together, always all, because torch draws n numbers unlike n + 1
Labels = Tensor | Sequence[int] | int | None
Draw = Callable[[Tensor, torch.Generator], Tensor]  # labels (N,) and random numbers -> latents


def rows(draw: Draw, labels: Tensor, seed: int) -> Tensor:
    """Latents (N, dim) on the CPU, one for each label; row i depends on the seed, i and its label.

    Raises:
        ValueError: there are no labels, or the seed is out of range.
    """
    return torch.cat(list(blocks(draw, labels, seed)))


def blocks(draw: Draw, labels: Tensor, seed: int) -> Iterator[Tensor]:
    """The latents of `rows`, BLOCK at a time, each drawn when it is asked for.

    Raises:
        ValueError: there are no labels, or the seed is out of range.
    """
    at_least(1, n=len(labels))
    seed_range(seed)
    for i, part in enumerate(labels.split(BLOCK)):
        random = stream("cpu", seed, Stream.SAMPLE, i)
        yield draw(pad(part, (0, BLOCK - len(part))), random)[: len(part)]


def regrouped(parts: Iterable[Tensor], size: int) -> Iterator[Tensor]:
    """The same rows in parts of `size`, the last of at most so many."""
    held: Tensor | None = None
    for part in parts:
        held = part if held is None else torch.cat([held, part])
        while len(held) >= size:
            yield held[:size]
            held = held[size:]
    if held is not None and len(held):
        yield held


def classes_for(counted: Iterable[int], labels: Labels, classes: int) -> Tensor:
    """A class int64 (N,) for each of N counted things.

    Args:
        counted: what the classes are for, such as range(n).
        labels: classes, repeated as often as needed; None: the number counted, modulo `classes`.
        classes: how many there are; 0 counts as one.

    Raises:
        ValueError: there are no labels, or one is out of range.
    """
    numbers, classes = torch.tensor(list(counted), dtype=torch.long), max(classes, 1)
    if labels is None:
        return numbers % classes
    given = torch.as_tensor(labels, dtype=torch.long).cpu().flatten()
    if not len(given) or not bool(((given >= 0) & (given < classes)).all()):
        shown = given[:9].tolist()
        raise ValueError(f"labels must be one or more of 0 to {classes - 1}, got {shown}")
    return given[torch.arange(len(numbers)) % len(given)]
