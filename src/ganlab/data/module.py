"""The minibatches of Algorithm 1: their order, and gathering them on the device."""

import functools
from collections.abc import Callable, Iterator, Sequence

import torch
from pytorch_lightning import LightningDataModule, Trainer
from torch import Tensor

from ganlab.data.images import Images, Source, expect, normalised, outgrows_memory
from ganlab.data.labels import LabelBudget
from ganlab.spec import PointSpec, Spec, at_least
from ganlab.training.batch import Batch, Chosen, RealImages
from ganlab.training.labels import labelled
from ganlab.training.streams import Stream, stream

AHEAD = 8  # iterations; longer than a disk read takes, and too short for pages to be evicted

Order = Callable[[int], Tensor]  # iteration -> int64 (minibatches, m), indices of images


class MinibatchOrder:
    """Indices of the images of each iteration: a function of the seed and the iteration alone.

    Each epoch uses a new permutation.  The last images of an epoch are not dropped; a minibatch may
    span two epochs.  The order has no state to save in checkpoints.

    Args:
        n: number of images.
        shape: (minibatches per iteration, images per minibatch).
        seed: of the permutations.
        key: of the stream of random numbers; different keys give independent orders.
    """

    def __init__(self, n: int, shape: tuple[int, int], seed: int, key: int = Stream.ORDER) -> None:
        self.n, self.shape, self.seed, self.key = n, shape, seed, key
        self._epoch, self._permutation = -1, torch.empty(0, dtype=torch.long)

    def __call__(self, iteration: int) -> Tensor:
        """Indices, int64 of `shape`, for an iteration counted from 0."""
        count = self.shape[0] * self.shape[1]
        position, end, parts = iteration * count, (iteration + 1) * count, []
        while position < end:
            epoch, start = divmod(position, self.n)
            part = self._epoch_order(epoch)[start : start + end - position]
            parts.append(part)
            position += len(part)
        return torch.cat(parts).view(self.shape)

    def _epoch_order(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            generator = stream("cpu", self.seed, self.key, epoch)
            self._epoch, self._permutation = epoch, torch.randperm(self.n, generator=generator)
        return self._permutation


class ReadingAhead:
    """An order of images in a mapped file, which prefetches the images of later iterations.

    Args:
        order: the order.
        later: a second instance of it, because each one caches the permutation of one epoch.
        images: the N images; an index i >= N means the mirror image of i - N.
    """

    def __init__(self, order: Order, later: Order, images: Tensor) -> None:
        self.order, self.later, self.images = order, later, images

    def __call__(self, iteration: int) -> Tensor:
        expect(self.images, self.later(iteration + AHEAD) % len(self.images))
        return self.order(iteration)


class IterationLoader:
    """Iterates over the indices of the remaining iterations; Lightning uses it as a DataLoader.

    Its length is that of the whole run, so that one Lightning epoch is one run.

    Args:
        orders: each contributes one tensor of indices per iteration.
        iterations: length of the run.
        start: returns the number of iterations that are done.
    """

    def __init__(self, orders: Sequence[Order], iterations: int, start: Callable[[], int]) -> None:
        self.orders, self.iterations, self.start = orders, iterations, start

    def __len__(self) -> int:
        return self.iterations

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        remaining = range(self.start(), self.iterations)
        return (tuple(order(i) for order in self.orders) for i in remaining)


class ImageData(LightningDataModule):
    """Serves minibatches from a source; the data set is one uint8 tensor, normalised on the device.

    Args:
        source: the data set.
        batch_size: images per minibatch, Algorithm 1's m, over all devices together.
        minibatches: minibatches per iteration: k, and one more if G's loss needs real images.
        iterations: length of the run.
        seed: of the order.
        mirror: add the horizontally flipped copy of every image, for 2 N images in all; labeled
            images are not flipped.
        labels: which labels are known.  Each minibatch then comes with a second one, of the same
            size, of labeled images; these are also among the others (Salimans et al. 2016).  None:
            all labels are known.

    Raises:
        DataError: `labels` is given, but the data has no classes.
        ValueError: `mirror` is set, but the data are points.
    """

    def __init__(
        self,
        source: Source,
        batch_size: int,
        minibatches: int,
        iterations: int,
        seed: int = 0,
        *,
        mirror: bool = False,
        labels: LabelBudget | None = None,
    ) -> None:
        super().__init__()
        at_least(1, batch_size=batch_size, minibatches=minibatches, iterations=iterations)
        if mirror and isinstance(source.spec, PointSpec):
            raise ValueError("mirror: points have no left and right; set mirror=false")
        if labels is not None:
            labels.check(source.spec.classes)
        self.source, self.batch_size, self.minibatches = source, batch_size, minibatches
        self.iterations, self.seed = iterations, seed
        self.mirror, self.labels = mirror, labels
        self.images: Images | None = None  # a plain attribute: neither checkpointed nor broadcast

    @property
    def spec(self) -> Spec:
        """Shape of the images and number of classes."""
        return self.source.spec

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, known once the data is read; empty if they have none."""
        return list(getattr(self.source, "class_names", ()))

    def prepare_data(self) -> None:
        if self.images is None:
            self.source.prepare()

    def setup(self, stage: str | None = None) -> None:
        if self.images is None:
            images = self.source.read()
            if self.labels is not None:
                self.labeled = self.labels.choose(images.labels, self.spec.classes)
            self.images = images

    def test_images(self) -> Images | None:
        """The source's held-out images, downloaded if missing, read again at each call.

        None if the source has no held-out images.

        Raises:
            DataError: they are missing or corrupt.
        """
        test: Source | None = getattr(self.source, "test", lambda: None)()
        if test is None:
            return None
        test.prepare()
        return test.read()

    def labeled_images(self) -> Images:
        """The images that keep their labels; only with `labels`."""
        images, labels = self._read()
        chosen = self.labeled.to(labels.device)
        return Images(images[chosen], labels[chosen])

    def train_dataloader(self) -> IterationLoader:
        images, device = self._read(), self._running.strategy.root_device
        if fits(images.images, device):
            self.images = images = Images(*(tensor.to(device) for tensor in images))
        walk = functools.partial(self._walk, len(images.labels) * (1 + self.mirror), Stream.ORDER)
        orders: list[Order] = [walk()]
        if images.images.device.type == "cpu" and outgrows_memory(images.images.nbytes):
            orders = [ReadingAhead(walk(), walk(), images.images)]
        if self.labels is not None:
            labeled, of_labeled = self.labeled, self._walk(len(self.labeled), Stream.LABELED)
            orders.append(lambda iteration: labeled[of_labeled(iteration)])
        return IterationLoader(orders, self.iterations, start=lambda: self._running.global_step)

    @labelled("data")
    def transfer_batch_to_device(
        self, batch: tuple[Tensor, ...], device: torch.device, dataloader_idx: int
    ) -> RealImages:
        """This rank's share of the minibatches, including labeled ones if there are any.

        If the data set is on the device, images are gathered later, within the iteration.
        """
        place, trainer = self._read().labels.device, self._running
        share = self.batch_size // trainer.world_size
        rows = [index.narrow(1, trainer.global_rank * share, share) for index in batch]
        # Non-blocking: a blocking copy would wait for all kernels.
        index, *labeled = (part.to(place, non_blocking=True) for part in rows)
        chosen = Chosen(
            index,
            labeled[0] if labeled else None,
            functools.partial(self._gather, device=device),
        )
        return chosen if place == device else chosen.gathered()

    def _walk(self, n: int, key: int) -> MinibatchOrder:
        return MinibatchOrder(n, (self.minibatches, self.batch_size), self.seed, key)

    @labelled("data")
    def _gather(self, index: Tensor, device: torch.device) -> Batch:
        """The indexed images, normalised on the device.

        Of N images, index i >= N means the mirror image of i - N.
        """
        images, labels = self._read()
        original = index % len(labels)
        pixels = images[original].to(device, non_blocking=True)
        if self.mirror:
            mirrored = (index >= len(labels)).to(device, non_blocking=True)[..., None, None, None]
            pixels = torch.where(mirrored, pixels.flip(-1), pixels)
        pixels = self._running.precision_plugin.convert_input(normalised(pixels))
        return Batch(pixels, labels[original].to(device, non_blocking=True))

    @property
    def _running(self) -> Trainer:
        if self.trainer is None:
            raise RuntimeError("no Trainer runs this ImageData")
        return self.trainer

    def _read(self) -> Images:
        if self.images is None:
            raise RuntimeError("setup() has not been called")
        return self.images


def fits(images: Tensor, device: torch.device) -> bool:
    """Whether the images fit a quarter of the device's free memory, and so are kept there."""
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return images.nbytes <= free // 4
