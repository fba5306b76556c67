"""Runs images through an extractor, part by part, without synchronising with a GPU in between.

While the GPU computes one part, Python gathers, copies and queues the next.  A single `.item()`, or
a copy from unpinned memory, would stop this overlap.
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from ganlab.data.module import fits
from ganlab.data.progress import Watch
from ganlab.metrics import Tally
from ganlab.metrics.features import Extractor, Features, exact_float32

CPU_PART, GPU_PART = 256, 512  # images; on CPUs, Inception divides them further
IMAGE = 2**24  # bytes per image on a GPU, an upper bound for Inception's first layers


def at_once(device: torch.device) -> int:
    """Images per part: on a GPU at most 512, and as many as fit a quarter of its free memory.

    The last blocks of Inception have 64 positions per image, so few images underuse a large GPU.
    """
    if device.type != "cuda":
        return CPU_PART
    free, _ = torch.cuda.mem_get_info(device)
    free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return max(1, min(GPU_PART, free // (4 * IMAGE)))


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on the device; a copy from the CPU uses pinned memory and does not block."""
    if tensor.device.type == "cpu" and device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


@torch.no_grad()
def extract(extractor: Extractor, parts: Iterable[Tensor], watch: Watch) -> Iterator[Features]:
    """The features of uint8 images (N, C, H, W), part by part, on the extractor's device."""
    device = next(extractor.parameters()).device
    for images in parts:
        with exact_float32():
            features = extractor(moved(images, device))
        yield features
        watch(len(images))


def tallied(extractor: Extractor, images: Tensor, order: Tensor, kept: int, watch: Watch) -> Tally:
    """The tally of uint8 images (M, C, H, W) in the order of indices int64 (n,).

    Images are gathered on the extractor's device if all fit there, else where they are.
    """
    device = next(extractor.parameters()).device
    if fits(images, device):
        images = images.to(device)
    tally = Tally(extractor.dim, extractor.classes, len(order), kept=kept, device=device)
    parts = (images[chosen] for chosen in order.to(images.device).split(at_once(device)))
    for features in extract(extractor, parts, watch):
        tally.update(features)
    return tally
