"""Minibatches as functions of seed and iteration; every named data set read from its own format."""

import ctypes
import errno
import hashlib
import mmap
import os
import pickle
import struct
import threading
import time
from contextlib import nullcontext
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision.datasets as readers
from PIL import Image
from pytorch_lightning import Callback
from pytorch_lightning.plugins.precision import Precision

from conftest import fit, small_gan
from ganlab.data import (
    CIFAR10,
    CIFAR100,
    MNIST,
    STL10,
    SVHN,
    Digits,
    FashionMNIST,
    Folder,
    ImageData,
    Images,
    LabelBudget,
    module,
)
from ganlab.data import images as images_module
from ganlab.data import sources as sources_module
from ganlab.data.images import allocate, expect, resized
from ganlab.data.module import IterationLoader, MinibatchOrder, ReadingAhead
from ganlab.errors import DataError
from ganlab.spec import ImageSpec
from ganlab.training.batch import Batch

# The order ----------------------------------------------------------------------------------------


def test_the_order_is_a_function_of_seed_and_iteration_alone():
    """Asked in any sequence, by any object, after any other random numbers."""
    order = MinibatchOrder(10, (2, 3), seed=5)
    walked = [order(i).clone() for i in range(12)]
    torch.manual_seed(99)
    for i in (11, 0, 7, 3, 7):
        assert torch.equal(MinibatchOrder(10, (2, 3), seed=5)(i), walked[i])
        assert torch.equal(order(i), walked[i])
    assert walked[0].shape == (2, 3)
    assert walked[0].dtype == torch.int64


@pytest.mark.parametrize(("n", "shape"), [(12, (1, 4)), (10, (2, 3)), (7, (1, 5)), (3, (2, 4))])
def test_every_epoch_is_a_permutation_and_drops_nothing(n, shape):
    """Also where minibatches span epochs, and where one minibatch is larger than the data set."""
    order, count = MinibatchOrder(n, shape, seed=0), shape[0] * shape[1]
    walked = torch.cat([order(i).flatten() for i in range(6 * n)])[: 6 * n * count // n * n]
    epochs = walked.view(-1, n)
    assert len(epochs) >= 6
    assert torch.equal(epochs.sort(dim=1).values, torch.arange(n).expand(len(epochs), n))
    assert len(epochs.unique(dim=0)) > 1, "every epoch has the same order"


def test_a_minibatch_spans_two_epochs_without_a_gap():
    """7 images in minibatches of 5: the second takes 2 of epoch 0 and 3 of epoch 1."""
    order = MinibatchOrder(7, (1, 5), seed=0)
    first, second = order(0)[0].tolist(), order(1)[0].tolist()
    assert sorted(first + second[:2]) == list(range(7))
    assert len(set(second[2:])) == 3


def test_different_seeds_and_epochs_differ():
    orders = [tuple(MinibatchOrder(50, (1, 50), seed)(0)[0].tolist()) for seed in range(20)]
    assert len(set(orders)) == 20
    epochs = {tuple(MinibatchOrder(50, (1, 50), 0)(i)[0].tolist()) for i in range(20)}
    assert len(epochs) == 20


def test_every_image_comes_first_about_equally_often():
    """400 epochs of 4 images: each leads 100 times, within 5 standard errors."""
    order = MinibatchOrder(4, (1, 4), seed=3)
    first = torch.tensor([order(i)[0, 0].item() for i in range(400)]).bincount(minlength=4)
    assert (first - 100).abs().max() < 5 * (400 * 0.25 * 0.75) ** 0.5


def test_the_loader_has_the_whole_runs_length_and_starts_where_the_run_is():
    order, done = MinibatchOrder(10, (1, 3), seed=0), [0]
    loader = IterationLoader([order], iterations=5, start=lambda: done[0])
    everything = list(loader)
    assert len(loader) == len(everything) == 5
    done[0] = 3
    rest = list(loader)
    assert len(loader) == 5
    assert len(rest) == 2
    assert all(torch.equal(a, b) for (a,), (b,) in zip(rest, everything[3:], strict=True))


# ImageData ----------------------------------------------------------------------------------------


def levels(n=8, size=4):
    """Images of which each has its own level everywhere, and its number as label."""
    pixels = torch.arange(n, dtype=torch.uint8).view(n, 1, 1, 1).expand(n, 1, size, size)
    return Images(pixels.contiguous(), torch.arange(n))


def held(images, classes=0):
    """A source that has its images already and notes what is asked of it."""
    calls = []
    return SimpleNamespace(
        spec=ImageSpec(1, 4, classes),
        calls=calls,
        prepare=lambda: calls.append("prepare"),
        read=lambda: calls.append("read") or images,
    )


def served(images, batch_size, rank=0, world=1, minibatches=2, classes=0, **options):
    """ImageData whose Trainer is a stand-in."""
    data = ImageData(held(images, classes), batch_size, minibatches, iterations=5, **options)
    data.setup()
    data.trainer = SimpleNamespace(
        world_size=world,
        global_rank=rank,
        global_step=0,
        precision_plugin=Precision(),
        strategy=SimpleNamespace(root_device=torch.device("cpu")),
    )
    return data


def transferred(data, *index):
    return data.transfer_batch_to_device(index, torch.device("cpu"), 0).gathered()


def test_levels_0_and_255_become_exactly_minus_one_and_one():
    """The conventions x / 255 and x / 128 - 1 are rejected."""
    pixels = torch.arange(256, dtype=torch.uint8).view(256, 1, 1, 1)
    data = served(Images(pixels, torch.zeros(256, dtype=torch.int64)), 256)
    values = transferred(data, torch.arange(256).view(1, 256)).images.flatten()
    assert values.dtype == torch.float32
    assert (values[0], values[255]) == (-1, 1)
    level = torch.arange(256, dtype=torch.float64)
    close = lambda a, b: torch.allclose(a, b, rtol=0, atol=1e-7)
    assert close(values.double(), level / 127.5 - 1)
    assert not close(level / 255, level / 127.5 - 1)
    assert not close(level / 128 - 1, level / 127.5 - 1)
    assert torch.equal(pixels.flatten(), level.to(torch.uint8)), "the data itself was changed"


def test_a_batch_holds_the_indexed_images_with_their_labels():
    index = torch.tensor([[3, 1, 7], [0, 0, 5]])
    batch = transferred(served(levels(), 3), index)
    assert batch.images.shape == (2, 3, 1, 4, 4)
    assert torch.equal(batch.labels, index)
    assert batch.labeled is None
    assert torch.equal(((batch.images[..., 0, 0, 0] + 1) * 127.5).round().long(), index)


@pytest.mark.parametrize("world", [1, 2, 4])
def test_ranks_share_each_minibatch_without_overlap_or_gap(world):
    """Side by side, the ranks' parts are the minibatches that one rank alone would have."""
    index = MinibatchOrder(8, (2, 4), seed=1)(0)
    whole = transferred(served(levels(), 4), index)
    parts = [transferred(served(levels(), 4, rank, world), index) for rank in range(world)]
    assert all(part.labels.shape == (2, 4 // world) for part in parts)
    assert torch.equal(torch.cat([part.labels for part in parts], dim=1), whole.labels)
    assert torch.equal(torch.cat([part.images for part in parts], dim=1), whole.images)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_images_come_in_the_runs_precision(dtype):
    data = served(levels(), 4)
    data.trainer.precision_plugin = SimpleNamespace(convert_input=lambda x: x.to(dtype))
    assert transferred(data, torch.tensor([[0, 1, 2, 3]])).images.dtype == dtype


def test_the_loader_serves_the_seeds_order():
    a, b, c = (served(levels(), 4, seed=seed).train_dataloader() for seed in (1, 1, 2))
    assert len(a) == 5
    assert next(iter(a))[0].shape == (2, 4)
    assert all(torch.equal(x, y) for (x,), (y,) in zip(a, b, strict=True))
    assert not all(torch.equal(x, y) for (x,), (y,) in zip(a, c, strict=True))


def test_the_loader_resumes_from_the_trainers_step():
    data = served(levels(), 4)
    everything = list(data.train_dataloader())
    data.trainer.global_step = 4
    ((last,),) = data.train_dataloader()
    assert torch.equal(last, everything[4][0])


def test_data_is_read_once_however_often_it_is_set_up():
    data = ImageData(source := held(levels()), 4, 1, 5)
    for _ in range(2):
        data.prepare_data()
        data.setup()
    assert source.calls == ["prepare", "read"]
    assert data.spec is source.spec


def test_sources_that_hold_nothing_out_have_no_test_images(tmp_path):
    """Whether they say so or, like a source of one's own, say nothing."""
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    for source in (held(levels()), Digits(), Folder(tmp_path)):
        assert ImageData(source, 4, 1, 5).test_images() is None


def test_test_images_are_prepared_and_read():
    source = held(levels())
    source.test = lambda: test
    test = held(levels(3))
    assert len(ImageData(source, 4, 1, 5).test_images().labels) == 3
    assert (source.calls, test.calls) == ([], ["prepare", "read"])


def test_using_the_data_too_early_says_so():
    data = ImageData(held(levels()), 4, 1, 5)
    with pytest.raises(RuntimeError, match=r"^setup\(\) has not been called$"):
        data.train_dataloader()
    data.setup()
    with pytest.raises(RuntimeError, match=r"^no Trainer runs this ImageData$"):
        data.train_dataloader()


def test_counts_below_one_are_refused():
    with pytest.raises(ValueError) as error:
        ImageData(held(levels()), 0, 1, -1)
    assert str(error.value) == (
        "batch_size must be at least 1, got 0; iterations must be at least 1, got -1"
    )


def test_a_batch_unbinds_into_minibatches_and_chunks_into_parts():
    batch = Batch(torch.randn(3, 6, 1, 2, 2), torch.arange(18).view(3, 6))
    assert batch.size == 6
    minibatches = batch.unbind()
    assert len(minibatches) == 3
    for i, minibatch in enumerate(minibatches):
        assert torch.equal(minibatch.images, batch.images[i])
        assert torch.equal(minibatch.labels, batch.labels[i])
        assert minibatch.size == 6
    assert minibatches[0].chunk(1) == [minibatches[0]]
    assert [part.size for part in minibatches[1].chunk(3)] == [2, 2, 2]
    assert [part.size for part in minibatches[1].chunk(4)] == [2, 2, 1, 1]
    assert [part.size for part in minibatches[1].chunk(9)] == [1] * 6
    for n in (2, 3, 5):
        parts = minibatches[1].chunk(n)
        assert torch.equal(torch.cat([part.images for part in parts]), batch.images[1])
        assert torch.equal(torch.cat([part.labels for part in parts]), batch.labels[1])


def test_labeled_images_go_along_with_every_update_and_part():
    """Of the same minibatch and part; and where there are none, none appear."""
    images, labels = torch.randn(3, 6, 1, 2, 2), torch.arange(18).view(3, 6)
    batch = Batch(images, labels, Batch(-images, labels + 100))
    for i, minibatch in enumerate(batch.unbind()):
        assert torch.equal(minibatch.labeled.images, -images[i])
        for n in (1, 2, 3, 4):
            for part in minibatch.chunk(n):
                assert part.labeled.size == part.size
                assert torch.equal(part.labeled.labels, part.labels + 100)
                assert torch.equal(part.labeled.images, -part.images)
    alone = Batch(images, labels).unbind()
    assert [part.labeled for part in (*alone, *alone[0].chunk(2))] == [None] * 5


# Few labels ---------------------------------------------------------------------------------------


def classed(n=60, classes=3):
    """Images as `levels`, in classes that are mixed up and of different sizes."""
    return Images(levels(n).images, (torch.arange(n) ** 2 + torch.arange(n) // 7) % classes)


def numbers(batch):
    """Which of the `levels` the images are."""
    return ((batch.images[..., 0, 0, 0] + 1) * 127.5).round().long()


def batches(data):
    return [transferred(data, *index) for index in data.train_dataloader()]


def few(images=None, batch_size=4, budget=None, **options):
    """ImageData of which two images per class keep their labels."""
    budget = budget or LabelBudget(2, seed=7)
    return served(images or classed(), batch_size, classes=3, labels=budget, **options)


def test_a_budget_keeps_as_many_of_each_class_as_asked_for():
    labels = classed().labels
    for per_class in (1, 2, 9):
        kept = LabelBudget(per_class, seed=7).choose(labels, 3)
        assert len(kept.unique()) == len(kept) == 3 * per_class
        assert labels[kept].bincount().tolist() == [per_class] * 3


def test_the_kept_labels_are_a_function_of_the_budgets_seed_alone():
    labels = classed().labels
    first = LabelBudget(5, seed=7).choose(labels, 3)
    torch.manual_seed(99)
    assert torch.equal(LabelBudget(5, seed=7).choose(labels, 3), first)
    others = [LabelBudget(5, seed).choose(labels, 3) for seed in range(7)]
    assert len({tuple(kept.tolist()) for kept in (first, *others)}) == 8
    assert set(LabelBudget(4, seed=7).choose(labels, 3).tolist()) < set(first.tolist())


def test_every_image_of_a_class_keeps_its_label_about_equally_often():
    """400 seeds, 5 of a class's 20: each 100 times within 5 standard errors; the first five not."""
    labels = torch.arange(40) % 2
    kept = torch.cat([LabelBudget(5, seed).choose(labels, 2) for seed in range(400)])
    error = 5 * (400 * 0.25 * 0.75) ** 0.5
    assert (kept.bincount(minlength=40) - 100).abs().max() < error
    first = torch.arange(10).repeat(400)
    assert (first.bincount(minlength=40) - 100).abs().max() > error


def test_all_runs_share_the_kept_labels_and_each_has_its_own_order():
    one, same, other = (few(seed=seed) for seed in (0, 0, 1))
    rows = [torch.stack([numbers(b.labeled) for b in batches(data)]) for data in (one, same, other)]
    assert torch.equal(rows[0], rows[1])
    assert not torch.equal(rows[0], rows[2])
    kept = LabelBudget(2, seed=7).choose(classed().labels, 3).sort().values
    assert [row.unique().tolist() for row in rows] == [kept.tolist()] * 3
    others = few(budget=LabelBudget(2, seed=8))
    assert {*numbers(batches(others)[0].labeled).unique().tolist()} - {*kept.tolist()}


def test_labeled_images_come_with_their_own_labels_in_permutations():
    """5 iterations of 2 x 4 rows: the six labeled images in a fresh order, again and again."""
    images = classed()
    served_ = batches(few(images))
    for batch in served_:
        assert batch.labeled.images.shape == batch.images.shape == (2, 4, 1, 4, 4)
        assert torch.equal(batch.labeled.labels, images.labels[numbers(batch.labeled)])
    walked = torch.cat([numbers(batch.labeled).flatten() for batch in served_])[:36].view(6, 6)
    assert (walked.sort(dim=1).values == walked[0].sort().values).all()
    assert len(walked.unique(dim=0)) > 1


def test_a_budget_leaves_the_unlabeled_stream_as_it_is():
    """All images are in it, those with labels as well."""
    with_budget, without = batches(few()), batches(served(classed(), 4))
    for a, b in zip(with_budget, without, strict=True):
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.labels, b.labels)
        assert b.labeled is None


def test_the_labeled_order_is_not_the_datas(monkeypatch):
    """With all labels kept, the same stream would walk both sides in step."""
    images = Images(levels(60).images, torch.arange(60) % 3)
    budget = LabelBudget(20)
    kept = budget.choose(images.labels, 3)

    def in_step():
        served_ = batches(few(images, budget=budget))
        return [torch.equal(kept[numbers(b)], numbers(b.labeled)) for b in served_]

    assert in_step() == [False] * 5
    monkeypatch.setattr(module, "Stream", SimpleNamespace(ORDER=1, LABELED=1))
    assert in_step() == [True] * 5


def test_the_labeled_rows_resume_from_the_trainers_step():
    everything = batches(few())
    data = few()
    data.trainer.global_step = 3
    rest = batches(data)
    assert len(rest) == 2
    for a, b in zip(rest, everything[3:], strict=True):
        assert torch.equal(a.labeled.images, b.labeled.images)
    assert not torch.equal(rest[0].labeled.images, everything[0].labeled.images)


@pytest.mark.parametrize("world", [2, 4])
def test_ranks_share_the_labeled_images_too(world):
    whole = batches(few())
    parts = zip(*(batches(few(rank=rank, world=world)) for rank in range(world)), strict=True)
    for batch, shares in zip(whole, parts, strict=True):
        labeled = [share.labeled for share in shares]
        assert all(share.size == 4 // world for share in labeled)
        assert torch.equal(torch.cat([s.images for s in labeled], dim=1), batch.labeled.images)
        assert torch.equal(torch.cat([s.labels for s in labeled], dim=1), batch.labeled.labels)


class Recorder(Callback):
    """Notes the labeled images of every iteration."""

    def __init__(self):
        self.seen = []

    def on_train_batch_start(self, trainer, gan, batch, index):
        self.seen.append(batch.gathered().labeled.images.clone())


def test_a_run_that_goes_on_sees_the_labeled_images_it_would_have_seen(tmp_path):
    """With Lightning's own Trainer, which carries the indices and counts the iterations."""
    labels = LabelBudget(3, seed=1)
    whole, first, second = Recorder(), Recorder(), Recorder()
    fit(small_gan(4), callbacks=[whole], labels=labels)
    half = fit(small_gan(4), callbacks=[first], max_steps=2, labels=labels)
    half.save_checkpoint(tmp_path / "half.ckpt")
    fit(small_gan(4), callbacks=[second], ckpt_path=tmp_path / "half.ckpt", labels=labels)
    assert (len(first.seen), len(second.seen)) == (2, 2)
    assert torch.equal(torch.stack(first.seen + second.seen), torch.stack(whole.seen))
    assert whole.seen[0].shape == (1, 16, 1, 16, 16)


def test_data_without_classes_can_have_no_budget():
    """Known before anything is downloaded."""
    with pytest.raises(DataError) as error:
        ImageData(held(levels()), 4, 1, 5, labels=LabelBudget(2))
    assert str(error.value) == "2 labels per class are asked for, but this data has no classes"


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ([0, 0, 1, 1, 2, 0], "class 2 has only 1"),
        ([0, 0, 2, 2], "class 1 has only 0"),
        ([0, 0, 1, 1], "class 2 has only 0"),
    ],
)
def test_a_class_with_too_few_images_is_named(labels, sentence):
    images = Images(levels(len(labels)).images, torch.tensor(labels))
    with pytest.raises(DataError) as error:
        few(images)
    assert str(error.value) == f"2 labels per class are asked for, but {sentence}"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"per_class": 0}, "per_class must be at least 1, got 0"),
        ({"per_class": 1, "seed": -1}, "seed must be at least 0, got -1"),
        ({"per_class": 1, "seed": 2**32}, "seed must be less than 2^32, got 4294967296"),
    ],
)
def test_budgets_out_of_range_are_refused(options, sentence):
    with pytest.raises(ValueError) as error:
        LabelBudget(**options)
    assert str(error.value) == sentence


# Mirror images ------------------------------------------------------------------------------------


def uneven(n=6):
    """Images of noise, each with its number as label."""
    pixels, _ = random_images(n, 3, 4)
    return Images(torch.from_numpy(pixels), torch.arange(n))


def pixels(batch):
    return ((batch.images + 1) * 127.5).round().to(torch.uint8)


def test_indices_beyond_the_images_mean_their_mirror_images():
    """Left and right change places, and nothing else: upside down is rejected."""
    images, index = uneven(), torch.tensor([[3, 9, 0, 6], [11, 5, 10, 4]])
    batch = transferred(served(images, 4, mirror=True), index)
    assert torch.equal(batch.labels, index % 6)
    got, original = pixels(batch), images.images[index % 6]
    flipped = torch.from_numpy(original.numpy()[..., ::-1].copy())
    for i, number in np.ndenumerate(index.numpy()):
        assert torch.equal(got[i], (flipped if number >= 6 else original)[i])
        assert not torch.equal(got[i], (original if number >= 6 else flipped)[i])
        assert not torch.equal(got[i], original[i].flip(-2))


def test_each_image_comes_once_as_it_is_and_once_mirrored():
    """6 images in 4 x 3 rows an iteration; without mirror, twice as they are."""
    images = uneven()
    both = torch.cat([images.images, images.images.flip(-1)])
    want = sorted(image.flatten().tolist() for image in both)
    plain = sorted(image.flatten().tolist() for image in images.images.repeat(2, 1, 1, 1))
    for mirror, expected in ((True, want), (False, plain)):
        for batch in batches(served(images, 3, minibatches=4, mirror=mirror)):
            rows = pixels(batch).flatten(0, 1).flatten(1)
            assert sorted(rows.tolist()) == expected
    assert want != plain


def test_mirroring_changes_no_image_in_memory():
    images = uneven()
    before, data = images.images.clone(), served(images, 3, mirror=True)
    assert len(batches(data)) == 5
    assert data.images.images is images.images
    assert torch.equal(images.images, before)


def test_labeled_images_are_not_mirrored():
    images = Images(uneven(30).images, torch.arange(30) % 3)
    for batch in batches(few(images, mirror=True)):
        for row in pixels(batch.labeled).flatten(0, 1):
            assert (images.images == row).flatten(1).all(dim=1).any()
    flips = (pixels(batch).flatten(0, 1)[:, None] == images.images).flatten(2).all(dim=2).any(dim=1)
    assert not flips.all(), "the others are"


@pytest.mark.parametrize("world", [2, 4])
def test_ranks_share_mirrored_images(world):
    index = MinibatchOrder(12, (2, 4), seed=1)(0)
    whole = transferred(served(uneven(), 4, mirror=True), index)
    options = {"world": world, "mirror": True}
    parts = [transferred(served(uneven(), 4, rank, **options), index) for rank in range(world)]
    assert torch.equal(torch.cat([part.images for part in parts], dim=1), whole.images)


# Images in memory ---------------------------------------------------------------------------------


def test_images_of_the_right_size_are_not_resampled():
    images = torch.randint(0, 256, (3, 1, 8, 8), dtype=torch.uint8)
    assert resized(images, 8) is images


@pytest.mark.parametrize("size", [4, 16, 13])
def test_resizing_is_antialiased_bicubic_rounded_and_clamped(size):
    """As Pillow's own bicubic in float32; without antialiasing or rounding it is rejected."""
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8), dtype=np.uint8)
    images = torch.from_numpy(pixels)
    got = resized(images, size)
    assert (got.shape, got.dtype) == ((2, 3, size, size), torch.uint8)
    planes = [Image.fromarray(plane.astype(np.float32)) for plane in pixels.reshape(6, 8, 8)]
    want = [np.asarray(p.resize((size, size), Image.Resampling.BICUBIC)) for p in planes]
    want = torch.from_numpy(np.stack(want)).view(got.shape)
    assert (got - want.clamp(0, 255)).abs().max() < 0.51
    plain = torch.nn.functional.interpolate(images.float(), (size, size), mode="bicubic")
    assert (plain - want).abs().max() > 1
    assert (want.clamp(0, 255).floor() - want.clamp(0, 255)).abs().max() > 0.9


@pytest.mark.parametrize("level", [0, 1, 77, 255])
@pytest.mark.parametrize("size", [3, 20])
def test_resizing_keeps_a_flat_image_and_does_not_wrap(size, level):
    flat = torch.full((2, 1, 8, 8), level, dtype=torch.uint8)
    assert (resized(flat, size) == level).all()
    step = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    step[..., 4:] = 255  # bicubic overshoots at an edge: clamped, not wrapped around
    columns = resized(step, 32)[0, 0, 0].int()
    assert (columns.diff() >= -8).all()
    assert columns[0] == 0
    assert columns[-1] == 255


def test_resizing_many_images_keeps_their_order():
    """More than the 1,024 images that are resampled at once."""
    images = (torch.arange(2500) % 251).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    assert torch.equal(resized(images, 4)[:, 0, 3, 3], images[:, 0, 0, 0])


def test_small_images_are_allocated_in_memory():
    tensor = allocate(3, 1, 8, 8)
    assert (tensor.shape, tensor.dtype) == ((3, 1, 8, 8), torch.uint8)
    assert tensor.untyped_storage().filename is None


def test_large_images_are_allocated_in_a_file_that_is_already_unlinked(tmp_path, monkeypatch):
    monkeypatch.setattr(images_module.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_PAGE_SIZE": 10}.get(name, 38))
    assert allocate(190).untyped_storage().filename is None  # just half of the memory of 380
    tensor = allocate(3, 1, 8, 8)
    assert tensor.untyped_storage().filename.startswith(str(tmp_path))
    assert not list(tmp_path.iterdir())
    assert (tensor.shape, tensor.dtype) == ((3, 1, 8, 8), torch.uint8)
    values = torch.randint(0, 256, tensor.shape, dtype=torch.uint8)
    tensor.copy_(values)
    tensor[1] = 7
    values[1] = 7
    assert torch.equal(tensor, values)
    assert torch.equal(tensor[[2, 0]], values[[2, 0]])


def test_large_images_without_space_are_refused_before_the_work(tmp_path, monkeypatch):
    """A write to a mapped file without space would end the process by SIGBUS."""

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(images_module.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_PAGE_SIZE": 10}.get(name, 38))
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DataError) as error:
        allocate(3, 1, 8, 8)
    assert str(error.value) == (
        "data: 1.92e-07 GB of images do not fit half of the memory, and no file for them can be "
        f"made in '{tmp_path}': No space left on device; "
        "set TMPDIR to a folder with space, or a smaller data.size"
    )
    assert not list(tmp_path.iterdir())


def in_memory(tensor):
    """One byte for each page of the tensor's, 1 where it need not be read from the disk."""
    pages = (ctypes.c_ubyte * -(-tensor.nbytes // mmap.PAGESIZE))()
    address, length = ctypes.c_void_p(tensor.data_ptr()), ctypes.c_size_t(tensor.nbytes)
    assert ctypes.CDLL(None).mincore(address, length, pages) == 0
    return [page & 1 for page in pages]


def on_disk(path, rows, size):
    """uint8 (rows, size) in a file of which nothing is in memory; skips where that cannot be."""
    path.write_bytes(bytes(rows * size))
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    tensor = torch.from_file(str(path), shared=True, size=rows * size, dtype=torch.uint8)
    if any(in_memory(tensor)):
        pytest.skip("this file system keeps files in memory")
    return tensor.view(rows, size)


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="needs Linux")
def test_the_rows_that_are_expected_are_read_from_the_disk_and_no_others(tmp_path):
    rows, size = 64, 16 * mmap.PAGESIZE
    images = on_disk(tmp_path / "images", rows, size)
    expect(images, torch.tensor([[5], [40]]))
    deadline = time.monotonic() + 10
    while sum(pages := in_memory(images)) < 32 and time.monotonic() < deadline:
        time.sleep(0.01)
    read = {page // 16 for page, there in enumerate(pages) if there}
    assert read == {5, 40}


def test_images_in_a_file_are_expected_some_iterations_ahead_in_the_order_of_the_run(monkeypatch):
    """And the order is what it would be in memory, mirror images included."""
    seen, images = [], torch.arange(10).view(10, 1)
    monkeypatch.setattr(module, "expect", lambda _, rows: seen.append(rows))
    walk = lambda: MinibatchOrder(20, (1, 4), seed=3)
    order, plain = ReadingAhead(walk(), walk(), images), walk()
    for iteration in range(30):
        assert torch.equal(order(iteration), plain(iteration))
    for iteration, rows in enumerate(seen):
        assert torch.equal(rows, plain(iteration + 8) % 10)


# Digits -------------------------------------------------------------------------------------------


def test_digits_are_1797_images_in_10_classes():
    images, labels = Digits().read()
    assert images.shape == (1797, *Digits().spec.shape) == (1797, 1, 16, 16)
    assert images.dtype == torch.uint8
    assert (images.min(), images.max()) == (0, 255)
    assert labels.dtype == torch.int64
    assert labels.bincount().tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert Digits().spec.classes == 10


def test_digits_at_their_own_size_are_the_originals_17_levels():
    from sklearn.datasets import load_digits

    images, labels = Digits(size=8).read()
    original = load_digits()
    want = np.round(original.images * 255 / 16)
    assert np.array_equal(images.squeeze(1).numpy(), want)
    assert np.array_equal(labels.numpy(), original.target)
    assert len(images.unique()) == 17


def test_digits_need_nothing_and_refuse_tiny_sizes():
    Digits().check()
    Digits().prepare()
    with pytest.raises(ValueError, match=r"^size must be at least 4, got 3$"):
        Digits(3)


def test_digits_can_hold_their_last_sheets_out():
    """The parts are the whole, in order, and the cut is where a sheet begins: 0 to 9, thrice."""
    whole, train, test = (Digits(split=split).read() for split in ("all", "train", "test"))
    assert (len(train.labels), len(test.labels)) == (1415, 382)
    assert torch.equal(torch.cat([train.images, test.images]), whole.images)
    assert torch.equal(torch.cat([train.labels, test.labels]), whole.labels)
    start = torch.arange(30) % 10
    assert torch.equal(test.labels[:30], start)
    begins = [i for i in range(1797 - 30) if torch.equal(whole.labels[i : i + 30], start)]
    assert begins[0] == 0
    assert 1415 in begins
    assert test.labels.bincount().min() >= 35
    assert test.labels.bincount().max() <= 40


def test_only_the_training_digits_have_a_test_part():
    held_out = Digits(size=8, split="train").test()
    assert (held_out.size, held_out.split) == (8, "test")
    assert Digits().test() is None
    assert held_out.test() is None
    with pytest.raises(ValueError, match=r"^split must be one of all, train, test; got 'val'$"):
        Digits(split="val")


# torchvision's data sets, written here in their own formats ---------------------------------------


def random_images(n, channels, size, seed=0):
    """Noise: unlike itself in any other order of its axes."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n, channels, size, size), dtype=np.uint8)
    return images, rng.integers(0, 10, n)


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def idx(array):
    """The idx format: magic, big-endian dimensions, bytes."""
    head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return head + array.astype(np.uint8).tobytes()


def write_mnist(root, monkeypatch, name="MNIST"):
    folder = root / name / "raw"
    folder.mkdir(parents=True)
    written = {}
    for part, prefix, seed in (("train", "train", 0), ("test", "t10k", 1)):
        images, labels = random_images(6 + seed, 1, 28, seed)
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(idx(images[:, 0]))
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(labels))
        written[part] = images, labels
    return written


def write_fashion_mnist(root, monkeypatch):
    return write_mnist(root, monkeypatch, "FashionMNIST")


def pickled(path, entry):
    path.write_bytes(pickle.dumps(entry, protocol=2))
    return [path.name, md5(path)]


def write_cifar10(root, monkeypatch):
    """Five batches and a test batch: rows of 3,072 bytes, all red, then green, then blue."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    train, label = random_images(10, 3, 32, 0)
    test, test_label = random_images(3, 3, 32, 1)
    entry = lambda x, y: {"data": x.reshape(len(x), -1), "labels": y.tolist()}
    lists = [
        pickled(folder / f"data_batch_{i + 1}", entry(train[part], label[part]))
        for i, part in enumerate(slice(2 * i, 2 * i + 2) for i in range(5))
    ]
    monkeypatch.setattr(readers.CIFAR10, "train_list", lists)
    last = pickled(folder / "test_batch", entry(test, test_label))
    monkeypatch.setattr(readers.CIFAR10, "test_list", [last])
    name, digest = pickled(folder / "batches.meta", {"label_names": [*"abcdefghij"]})
    meta = {"filename": name, "key": "label_names", "md5": digest}
    monkeypatch.setattr(readers.CIFAR10, "meta", meta)
    return {"train": (train, label), "test": (test, test_label)}


def write_cifar100(root, monkeypatch):
    """One file a part, with coarse and fine labels; the fine ones count."""
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True)
    written = {}
    for part, seed in (("train", 0), ("test", 1)):
        images, labels = random_images(5 + seed, 3, 32, seed)
        fine = labels * 10 + seed
        entry = {
            "data": images.reshape(len(images), -1),
            "fine_labels": fine.tolist(),
            "coarse_labels": labels.tolist(),
        }
        monkeypatch.setattr(readers.CIFAR100, f"{part}_list", [pickled(folder / part, entry)])
        written[part] = images, fine
    name, digest = pickled(folder / "meta", {"fine_label_names": [str(i) for i in range(100)]})
    meta = {"filename": name, "key": "fine_label_names", "md5": digest}
    monkeypatch.setattr(readers.CIFAR100, "meta", meta)
    return written


def write_svhn(root, monkeypatch):
    """MATLAB files: X is height x width x channel x image, digit 0 has label 10."""
    from scipy.io import savemat

    root.mkdir(parents=True, exist_ok=True)
    written, listed = {}, {}
    for seed, part in enumerate(("train", "test", "extra")):
        images, labels = random_images(6 + seed, 3, 32, seed)
        labels[0], labels[1] = 0, 9
        path = root / f"{part}_32x32.mat"
        matlab = np.where(labels == 0, 10, labels).astype(np.uint8)[:, None]
        savemat(path, {"X": images.transpose(2, 3, 1, 0), "y": matlab})
        listed[part] = [f"http://ufldl.stanford.edu/{path.name}", path.name, md5(path)]
        written[part] = images, labels
    monkeypatch.setattr(readers.SVHN, "split_list", listed)
    return written


def write_stl10(root, monkeypatch):
    """Bytes by image, channel, column, row; labels 1 to 10."""
    folder = root / "stl10_binary"
    folder.mkdir(parents=True)
    written, sums = {}, {}
    for seed, part in enumerate(("train", "test", "unlabeled")):
        images, labels = random_images(3 + seed, 3, 96, seed)
        path = folder / f"{part}_X.bin"
        path.write_bytes(images.transpose(0, 1, 3, 2).tobytes())
        sums[part] = [[path.name, md5(path)]]
        if part != "unlabeled":
            path = folder / f"{part}_y.bin"
            path.write_bytes((labels + 1).astype(np.uint8).tobytes())
            sums[part].append([path.name, md5(path)])
        written[part] = images, labels
    (folder / "class_names.txt").write_text("\n".join("abcdefghij"))
    (folder / "fold_indices.txt").write_text("0 1\n" * 10)
    monkeypatch.setattr(readers.STL10, "train_list", sums["train"] + sums["unlabeled"])
    monkeypatch.setattr(readers.STL10, "test_list", sums["test"])
    return written


SETS = {  # source, writer, a file that can be damaged
    "mnist": (MNIST, write_mnist, "MNIST/raw/train-images-idx3-ubyte"),
    "fashion_mnist": (
        FashionMNIST,
        write_fashion_mnist,
        "FashionMNIST/raw/train-images-idx3-ubyte",
    ),
    "cifar10": (CIFAR10, write_cifar10, "cifar-10-batches-py/data_batch_2"),
    "cifar100": (CIFAR100, write_cifar100, "cifar-100-python/train"),
    "svhn": (SVHN, write_svhn, "train_32x32.mat"),
    "stl10": (STL10, write_stl10, "stl10_binary/train_X.bin"),
}
every_set = pytest.mark.parametrize("name", SETS)


@pytest.mark.parametrize(
    ("name", "part"),
    [(name, part) for name in SETS for part in ("train", "test")] + [("svhn", "extra")],
)
def test_a_data_set_is_read_exactly(tmp_path, monkeypatch, name, part):
    """Every pixel and label, from files in the original format; a transposed read is rejected."""
    source, write, *_ = SETS[name]
    want, labels = write(tmp_path, monkeypatch)[part]
    made = source(tmp_path, split=part, download=False)
    made.check()
    made.prepare()
    got = made.read()
    assert got.images.shape[1:] == made.spec.shape
    assert got.images.dtype == torch.uint8
    assert np.array_equal(got.images.numpy(), want)
    assert got.labels.dtype == torch.int64
    assert got.labels.tolist() == labels.tolist()
    assert got.labels.max() < made.spec.classes
    assert not np.array_equal(got.images.numpy(), want.swapaxes(2, 3))


@every_set
def test_the_test_part_comes_from_the_same_place_at_the_same_size(tmp_path, monkeypatch, name):
    source, write, *_ = SETS[name]
    want, labels = write(tmp_path, monkeypatch)["test"]
    got = ImageData(source(tmp_path, download=False, size=16), 4, 1, 5).test_images()
    assert torch.equal(got.images, resized(torch.from_numpy(want), 16))
    assert got.labels.tolist() == labels.tolist()
    test = source(tmp_path, download=False).test()
    assert type(test) is source
    assert not test.download
    assert test.test() is None


@pytest.mark.parametrize(
    "source", [SVHN("x", split="extra"), STL10("x", split="unlabeled")], ids=["svhn", "stl10"]
)
def test_every_other_part_has_the_test_part(source):
    assert source.test().split == "test"
    assert source.test().spec.classes == 10


def test_a_missing_test_part_is_a_data_error(tmp_path, monkeypatch):
    write_svhn(tmp_path, monkeypatch)
    (tmp_path / "test_32x32.mat").unlink()
    data = ImageData(SVHN(tmp_path, download=False), 4, 1, 5)
    data.prepare_data()
    with pytest.raises(DataError, match=r"^SVHN \(test\) is missing or damaged in "):
        data.test_images()


def test_wrong_readings_of_the_formats_are_rejected(tmp_path, monkeypatch):
    """CIFAR's rows taken for height x width x channel; STL-10's columns for rows."""
    cifar, _ = write_cifar10(tmp_path, monkeypatch)["train"]
    wrong = cifar.reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2)
    assert not np.array_equal(CIFAR10(tmp_path).read().images.numpy(), wrong)
    stl, _ = write_stl10(tmp_path, monkeypatch)["train"]
    raw = np.fromfile(tmp_path / "stl10_binary" / "train_X.bin", np.uint8)
    assert not np.array_equal(STL10(tmp_path).read().images.numpy(), raw.reshape(stl.shape))


@pytest.mark.parametrize("part", ["unlabeled", "train+unlabeled"])
def test_stl10_without_labels_has_no_classes(tmp_path, monkeypatch, part):
    written = write_stl10(tmp_path, monkeypatch)
    made = STL10(tmp_path, split=part, download=False)
    assert made.spec.classes == 0
    want = np.concatenate([written[name][0] for name in part.split("+")])
    images, labels = made.read()
    assert np.array_equal(images.numpy(), want)
    assert labels.dtype == torch.int64
    assert labels.tolist() == [0] * len(want), "torchvision's -1 or the labelled part's 0 to 9"


@every_set
def test_preparing_and_reading_opens_the_files_once(tmp_path, monkeypatch, name):
    """A second reading opens them anew: nothing is kept that the run does not need."""
    source, write, *_ = SETS[name]
    write(tmp_path, monkeypatch)
    reader, opened = getattr(readers, source.reader), []
    constructor = reader.__init__

    def counting(self, *args, **options):
        opened.append(type(self))
        constructor(self, *args, **options)

    monkeypatch.setattr(reader, "__init__", counting)
    made = source(tmp_path, download=False)
    made.prepare()
    first = made.read()
    assert opened == [reader]
    second = made.read()
    assert opened == [reader] * 2
    assert torch.equal(first.images, second.images)


@every_set
def test_specs_are_known_before_anything_is_there(tmp_path, name):
    want = {
        "mnist": (1, 28, 10),
        "fashion_mnist": (1, 28, 10),
        "cifar10": (3, 32, 10),
        "cifar100": (3, 32, 100),
        "svhn": (3, 32, 10),
        "stl10": (3, 96, 10),
    }[name]
    source = SETS[name][0]
    spec = source(tmp_path / "nowhere").spec
    assert (spec.channels, spec.size, spec.classes) == want
    assert source(tmp_path / "nowhere", size=16).spec.size == 16


def test_a_data_set_is_resized_when_asked_to(tmp_path, monkeypatch):
    want, _ = write_cifar10(tmp_path, monkeypatch)["train"]
    made = CIFAR10(tmp_path, size=16)
    got = made.read().images
    assert got.shape[1:] == made.spec.shape == (3, 16, 16)
    assert torch.equal(got, resized(torch.from_numpy(want), 16))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: MNIST("x", split="extra"), "split must be one of train, test; got 'extra'"),
        (lambda: SVHN("x", split="val"), "split must be one of train, test, extra; got 'val'"),
        (
            lambda: STL10("x", split="all"),
            "split must be one of train, test, unlabeled, train+unlabeled; got 'all'",
        ),
        (lambda: CIFAR10("x", size=2), "size must be at least 4, got 2"),
    ],
)
def test_wrong_options_are_refused(make, sentence):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == sentence


@every_set
def test_missing_files_are_reported_with_the_root(tmp_path, name):
    """Where nothing may be downloaded; where it may, checking asks for nothing."""
    source, *_ = SETS[name]
    root = tmp_path / "nowhere"
    made = source(root, download=False)
    for call in (made.check, made.prepare, made.read):
        with pytest.raises(DataError) as error:
            call()
        start = f"{source.reader} (train) is missing or damaged in '{root}': "
        assert str(error.value).startswith(start)
    assert not root.exists()
    source(root, download=True).check()


def shorter(data):
    return data[: len(data) // 2]


def garbled(data):
    return bytes(len(data))


def empty(data):
    return b""


DAMAGES = [
    pytest.param(name, checked, damage, id=f"{name}-{damage.__name__}-{checked}")
    for name in SETS
    for checked in ("md5", "no-md5")
    for damage in (shorter, garbled, empty)
    # To torchvision any whole number of STL-10 images is fine, none included.
    if not (name == "stl10" and checked == "no-md5" and damage is not shorter)
]


@pytest.mark.parametrize(("name", "checked", "damage"), DAMAGES)
def test_damaged_files_are_reported_as_data_errors(tmp_path, monkeypatch, name, checked, damage):
    """Caught by the checksum or, were that to fit, by the reader: never another traceback."""
    source, write, file = SETS[name]
    write(tmp_path, monkeypatch)
    path = tmp_path / file
    path.write_bytes(damage(path.read_bytes()))
    if checked == "no-md5":
        accept(monkeypatch, path)
    made = source(tmp_path, download=False)
    for call in (made.check, made.prepare, made.read):
        with pytest.raises(DataError) as error:
            call()
        start = f"{source.reader} (train) is missing or damaged in '{tmp_path}': "
        assert str(error.value).startswith(start)


@pytest.mark.parametrize("size", [None, 16])
@pytest.mark.parametrize(
    ("shape", "labels", "found"),
    [
        ((6, 28, 28), [1, 2, 3, 4], "images (6, 1, 28, 28), labels (4,)"),
        ((4, 28, 28), [1, 2, 3, 4, 5, 6], "images (4, 1, 28, 28), labels (6,)"),
        ((3, 28, 28), [9, 10, 0], "images (3, 1, 28, 28), labels (3,)"),
        ((3, 20, 30), [9, 1, 0], "images (3, 1, 20, 30), labels (3,)"),
        ((3, 28, 30), [9, 1, 0], "images (3, 1, 28, 30), labels (3,)"),
    ],
    ids=["few-labels", "few-images", "label-10", "20x30", "28x30"],
)
def test_files_that_do_not_hold_mnist_are_refused(tmp_path, shape, labels, found, size):
    """torchvision reads them without a word; resizing would hide even a wrong shape."""
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for prefix in ("train", "t10k"):
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(idx(np.zeros(shape, np.uint8)))
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(np.array(labels)))
    made = MNIST(tmp_path, download=False, size=size)
    made.prepare()
    with pytest.raises(DataError) as error:
        made.read()
    assert str(error.value) == f"MNIST (train) is damaged in '{tmp_path}': {found}"


def test_stl10_without_any_image_is_refused(tmp_path, monkeypatch):
    """An empty file whose checksum fits is a whole number of images, to torchvision."""
    write_stl10(tmp_path, monkeypatch)
    path = tmp_path / "stl10_binary" / "train_X.bin"
    path.write_bytes(b"")
    accept(monkeypatch, path)
    with pytest.raises(DataError) as error:
        STL10(tmp_path, download=False).read()
    start = f"STL10 (train) is damaged in '{tmp_path}': images (0, 3, 96, 96), "
    assert str(error.value).startswith(start)


def accept(monkeypatch, path):
    """Makes torchvision take this file's checksum for the right one."""
    right = readers.utils.check_md5
    wanted = str(path)
    monkeypatch.setattr(
        readers.utils,
        "check_md5",
        lambda fpath, digest: str(fpath) == wanted or right(fpath, digest),
    )


# Downloads ----------------------------------------------------------------------------------------


@pytest.fixture
def offline(monkeypatch):
    """Every attempt to reach the network fails as it does without one; counts them."""
    attempts = []

    def fails(request, *_, **__):
        attempts.append(request.full_url)
        raise URLError("no network")

    monkeypatch.setattr("urllib.request.urlopen", fails)
    return attempts


@every_set
def test_a_download_that_fails_says_where_to_point_instead(tmp_path, offline, name):
    source, *_ = SETS[name]
    root = tmp_path / "new"
    with pytest.raises(DataError) as error:
        source(root).prepare()
    assert offline, "nothing was attempted"
    message = str(error.value)
    start = f"{source.reader} is missing or damaged in '{root}' and could not be downloaded ("
    assert message.startswith(start)
    assert "no network" in message
    assert message.endswith("; set data.root to a folder that has it, or delete damaged files")


def test_damaged_files_that_stand_in_the_way_of_a_download_are_to_be_deleted(
    tmp_path, monkeypatch, offline
):
    """torchvision asks only whether MNIST's files are there, so it never replaces them."""
    write_mnist(tmp_path, monkeypatch)
    (tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte").write_bytes(b"")
    with pytest.raises(DataError) as error:
        MNIST(tmp_path).prepare()
    assert not offline
    assert str(error.value).startswith(f"MNIST is missing or damaged in '{tmp_path}' and could ")
    assert str(error.value).endswith("or delete damaged files")


@every_set
def test_what_is_there_is_not_downloaded(tmp_path, monkeypatch, offline, name):
    source, write, *_ = SETS[name]
    write(tmp_path, monkeypatch)
    source(tmp_path).prepare()
    assert not offline
    assert not list(tmp_path.glob(".*.lock")), "a read-only root must do"


def test_a_root_that_cannot_be_made_is_reported(tmp_path, offline):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"could not be downloaded .* set data\.root to"):
        MNIST(tmp_path / "file" / "below").prepare()
    assert not offline


def prepared_at_once(root, monkeypatch):
    """How often CIFAR-10 is downloaded where two threads want it at the same time."""
    ready, downloads, errors = threading.Barrier(2), [], []
    with pytest.MonkeyPatch.context() as elsewhere:  # the server's copy: known by its checksums
        write_cifar10(root.parent / "server", elsewhere)
        lists = {n: getattr(readers.CIFAR10, n) for n in ("train_list", "test_list", "meta")}
    for name, value in lists.items():
        monkeypatch.setattr(readers.CIFAR10, name, value)
    files = root.parent / "server" / "cifar-10-batches-py"

    def download(url, to, **_):
        downloads.append(url)
        time.sleep(0.3)
        folder = root / files.name
        folder.mkdir(exist_ok=True)
        for file in files.iterdir():
            part = folder / f"{file.name}.{threading.get_ident()}"
            part.write_bytes(file.read_bytes())
            part.replace(folder / file.name)

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", download)

    def prepare():
        source = CIFAR10(root)
        ready.wait()
        try:
            source.prepare()
        except DataError as error:
            errors.append(error)

    threads = [threading.Thread(target=prepare) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert len(CIFAR10(root, download=False).read().labels) == 10
    return len(downloads)


def test_two_that_prepare_at_once_download_once(tmp_path, monkeypatch):
    assert prepared_at_once(tmp_path / "root", monkeypatch) == 1


def test_without_the_lock_both_would_download(tmp_path, monkeypatch):
    """What the check above is for."""
    monkeypatch.setattr(sources_module, "FileLock", lambda _: nullcontext())
    assert prepared_at_once(tmp_path / "root", monkeypatch) == 2


# Real data ----------------------------------------------------------------------------------------


def test_real_mnist_has_its_published_numbers(data_root):
    source = MNIST(data_root, download=False)
    source.prepare()
    images, labels = source.read()
    assert images.shape == (60000, 1, 28, 28)
    want = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert labels.bincount().tolist() == want
    assert images.double().mean().item() == pytest.approx(33.318, abs=0.01)
    assert labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert len(MNIST(data_root, split="test", download=False).read().labels) == 10000


def test_ten_labels_per_class_of_real_mnist(data_root):
    """The 100 labels of Salimans et al. 2016, table 1."""
    budget = LabelBudget(10, seed=0)
    data = ImageData(MNIST(data_root, download=False), 100, 1, iterations=1, labels=budget)
    data.prepare_data()
    data.setup()
    data.trainer = served(levels(), 1).trainer
    (batch,) = batches(data)
    assert batch.labeled.labels[0].bincount().tolist() == [10] * 10
    assert len(batch.labeled.images[0].unique(dim=0)) == 100
    assert batch.size == batch.labeled.size == 100
