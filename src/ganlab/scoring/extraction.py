"""Images through an extractor, part by part; a GPU is never waited for between parts.

Python is ahead of a GPU as long as it asks nothing of it: while one part is computed the next is
gathered, copied and queued.  A single `.item()`, or a copy from ordinary memory, ends that.
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from ganlab.data.module import fits
from ganlab.data.progress import Watch
from ganlab.metrics import Tally
from ganlab.metrics.features import Extractor, Features, exact_float32

CPU_PART, GPU_PART = 256, 512  # the extractor divides them further where caches are small
IMAGE = 2**24  # bytes on a GPU: more than Inception's first layers keep of one image of 299 x 299


def at_once(device: torch.device) -> int:
    """Images of a part: up to 512 on a GPU, as many as a quarter of its free memory holds.

    The last blocks of Inception have 64 pixels an image: fewer images leave a large GPU idle.
    """
    if device.type != "cuda":
        return CPU_PART
    free, _ = torch.cuda.mem_get_info(device)
    free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return max(1, min(GPU_PART, free // (4 * IMAGE)))


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """On the device, without waiting for what that is doing: copied from pinned memory."""
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
    """The tally of uint8 images (M, C, H, W), gathered in the order of indices int64 (n,).

    Where all images fit on the extractor's device they are gathered there, else in their memory.
    """
    device = next(extractor.parameters()).device
    if fits(images, device):
        images = images.to(device)
    tally = Tally(extractor.dim, extractor.classes, len(order), kept=kept, device=device)
    parts = (images[chosen] for chosen in order.to(images.device).split(at_once(device)))
    for features in extract(extractor, parts, watch):
        tally.update(features)
    return tally
