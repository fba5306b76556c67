"""One pass over features: the same sums whatever the batches, and in one process or two."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from arrays import normal, off
from conftest import ROOT
from ganlab.metrics import Moments, Tally, inception_score
from ganlab.metrics.features import Features
from ganlab.metrics.inception import Predictions

N, D, K = 103, 5, 7


def features(n=N, seed=0):
    return Features(normal(n, D, seed).float() + 1, 3 * normal(n, K, seed + 1).float())


def tally(found, sizes=None, **options):
    """Of the features in batches of these sizes."""
    made = Tally(D, K, len(found.vectors), **options)
    sizes = sizes or [len(found.vectors)]
    for vectors, logits in zip(*(x.split(sizes) for x in found), strict=True):
        assert made.update(Features(vectors, logits)) is made
    return made


def test_everything_is_what_the_whole_gives_at_once():
    found = features()
    whole = tally(found, kept=20, blocks=4, seed=3)
    assert torch.equal(whole.vectors, found.vectors[:20])
    assert torch.equal(whole.predicted, found.logits[:20].argmax(dim=1))
    assert (whole.vectors.dtype, whole.predicted.dtype) == (torch.float32, torch.int64)
    assert whole.histogram.tolist() == np.bincount(found.logits.argmax(dim=1), minlength=K).tolist()
    assert whole.inception_score() == inception_score(found.logits, seed=3)
    assert whole.moments.n == N
    exact = np.cov(found.vectors.double().numpy(), rowvar=False)
    assert off(whole.moments.covariance, exact) < 1e-13


@pytest.mark.parametrize("sizes", [[1] * N, [50, 53], [102, 0, 1], [7] * 14 + [5]])
def test_the_batches_do_not_matter(sizes):
    """Neither to a block, whose edges lie within batches, nor to the score and what is kept."""
    found, options = features(), {"kept": 60, "blocks": 4, "splits": 3}
    parts, whole = tally(found, sizes, **options), tally(found, **options)
    for a, b in zip(parts.blocks, whole.blocks, strict=True):
        assert a.n == b.n
        assert off(a.covariance, b.covariance) < 1e-13
    assert torch.equal(parts.vectors, whole.vectors)
    assert torch.equal(parts.predicted, whole.predicted)
    assert torch.equal(parts.histogram, whole.histogram)
    assert parts.inception_score() == pytest.approx(whole.inception_score(), rel=1e-13)


@pytest.mark.parametrize("blocks", [1, 2, 10, N])
def test_blocks_are_contiguous_shares_of_the_images_and_make_up_the_whole(blocks):
    found = features()
    made = tally(found, [30, 73], blocks=blocks)
    counts = [block.n for block in made.blocks]
    assert (len(counts), sum(counts)) == (blocks, N)
    assert max(counts) - min(counts) <= 1
    for block, part in zip(made.blocks, found.vectors.double().split(counts), strict=True):
        assert off(block.mean, part.mean(dim=0)) < 1e-13
    whole = Moments.of(found.vectors)
    assert off(made.moments.covariance, whole.covariance) < 1e-13
    assert off(made.moments.mean, whole.mean) < 1e-13


@pytest.mark.parametrize(("splits", "seed"), [(1, 0), (10, 0), (3, 5), (N, 1)])
def test_the_streamed_score_is_that_of_all_logits_by_the_formula(splits, seed):
    """Shuffled and split as there; and the KL written out, where the sums use entropies."""
    found = features()
    streamed = tally(found, [40, 63], splits=splits, seed=seed).inception_score()
    order = torch.randperm(N, generator=torch.Generator().manual_seed(seed))
    scores = []
    for part in found.logits.double()[order].tensor_split(splits):
        p = part.softmax(dim=1)
        scores.append((p * (p / p.mean(dim=0)).log()).sum(dim=1).mean().exp().item())
    expected = (np.mean(scores), np.std(scores))
    assert streamed == pytest.approx(expected, rel=1e-10, abs=1e-13)
    assert inception_score(found.logits, splits, seed) == pytest.approx(expected, abs=1e-10)


def test_a_split_by_arrival_is_another_score():
    """The usual shortcut of streams: images class by class then score 1."""
    logits = (50 * torch.eye(K)).repeat_interleave(20, dim=0)
    made = tally(Features(normal(140, D).float(), logits), [64, 76])
    assert made.inception_score()[0] > K / 2
    arrival = Predictions(140, K, 10, None, "cpu")
    arrival.update(logits, 0)
    assert arrival.score()[0] < 2


def test_half_precision_features_are_summed_in_float64():
    found = Features(*(x.half() for x in features()))
    exact = tally(Features(*(x.float() for x in found)))
    made = tally(found)
    assert torch.equal(made.moments.covariance, exact.moments.covariance)
    assert torch.equal(made.vectors, exact.vectors)
    assert made.inception_score() == exact.inception_score()


def test_fewer_images_than_are_kept_are_all_kept():
    found = features(12)
    assert torch.equal(tally(found).vectors, found.vectors)
    assert tally(found, kept=0).vectors.shape == (0, D)


def test_no_graph_is_kept():
    found = Features(*(x.requires_grad_() for x in features()))
    made = tally(found)
    assert not made.vectors.requires_grad
    assert not made.moments.sum.requires_grad


def test_nothing_is_read_before_all_images_are_seen():
    made = Tally(D, K, N).update(features(100))
    for call in every_reading(made):
        with pytest.raises(ValueError, match=r"^103 images were expected, 100 seen$"):
            call()
    made.update(features(3))
    assert made.histogram.sum() == N


def test_more_images_than_announced_are_refused():
    made = Tally(D, K, N).update(features(100))
    with pytest.raises(ValueError, match=r"^103 images were expected, got image 104$"):
        made.update(features(4))
    with pytest.raises(ValueError, match=r"^103 images were expected, got image 104$"):
        Tally(D, K, N, start=100).update(features(4))
    Tally(D, K, N, start=100).update(features(3))


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize(("field", "name"), [("vectors", "features"), ("logits", "logits")])
def test_nothing_is_read_of_features_that_are_not_finite(field, name, value):
    """Whatever comes after them, and with as many numbers of an image broken as there are."""
    bad = features()
    getattr(bad, field)[3, 2] = value
    getattr(bad, field)[8] = -value
    made = tally(bad, [5, 5, 93], blocks=2)
    for call in every_reading(made):
        with pytest.raises(
            ValueError, match=f"^{name} must be finite; those of 2 of 103 images are not$"
        ):
            call()
    for call in every_reading(tally(features())):
        call()


def every_reading(made):
    names = ["blocks", "moments", "vectors", "predicted", "histogram"]
    return [*(lambda n=n: getattr(made, n) for n in names), made.inception_score]


def test_features_of_another_shape_are_refused():
    vectors, logits = features(4)
    for bad in ((vectors[:, 1:], logits), (vectors, logits[:, 1:]), (vectors[1:], logits)):
        shapes = " and ".join(str(tuple(x.shape)) for x in bad)
        with pytest.raises(ValueError) as refused:
            Tally(D, K, N).update(Features(*bad))
        wanted = "features and logits must have shapes (N, 5) and (N, 7)"
        assert str(refused.value) == f"{wanted}, got {shapes}"


def test_wrong_counts_are_refused():
    for options, message in (
        ({"n": 9}, "10 splits need at least 10 images, got 9"),
        ({"n": 30, "blocks": 31}, "31 blocks need at least 31 images, got 30"),
        ({"n": 30, "blocks": 0}, "blocks must be at least 1, got 0"),
        ({"n": 30, "kept": -1, "start": -1}, "kept must be at least 0, got -1; start must be"),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            Tally(D, K, **options)


# Two processes

SHARES = """
import sys
import torch
from torch import distributed
from ganlab.metrics import Tally
from ganlab.metrics.features import Features

folder, rank = sys.argv[1], int(sys.argv[2])
store = distributed.FileStore(f"{folder}/store", 2)
distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
vectors, logits = torch.load(f"{folder}/features.pt")
shares = [slice(0, 41), slice(41, 103)]

def own(start):
    tally = Tally(5, 7, 103, kept=60, blocks=4, splits=3, start=start)
    for part in (slice(0, 20), slice(20, None)):
        tally.update(Features(vectors[shares[rank]][part], logits[shares[rank]][part]))
    return tally

mine = own(shares[rank].start)
total = mine.gathered()
try:
    own(0).gathered()
except ValueError as error:
    refused = str(error)
if rank == 1:
    vectors[50, 2] = torch.nan
spoilt = own(shares[rank].start).gathered()
try:
    spoilt.moments
except ValueError as error:
    broken = str(error)
moments = [(block.n, block.sum, block.products) for block in total.blocks]
kept = (total.vectors, total.predicted, total.histogram)
found = (mine.seen, moments, kept, total.inception_score(), refused, broken)
torch.save(found, f"{folder}/{rank}.pt")
distributed.destroy_process_group()
"""


@pytest.mark.long
def test_two_processes_tally_what_one_does(tmp_path):
    """Of unequal shares, on both ranks; both saying that theirs is the first is refused.

    What one of them has seen that is not finite both know.
    """
    found = features()
    torch.save(tuple(found), tmp_path / "features.pt")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
    running = []
    for rank in (0, 1):
        command = [sys.executable, "-c", SHARES, str(tmp_path), str(rank)]
        running.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE))
    errors = [process.communicate(timeout=120)[1].decode() for process in running]
    assert [process.returncode for process in running] == [0, 0], errors
    one = tally(found, kept=60, blocks=4, splits=3)
    for rank, share in ((0, 41), (1, 62)):
        seen, moments, kept, score, refused, broken = torch.load(tmp_path / f"{rank}.pt")
        assert seen == share
        for (n, total, products), block in zip(moments, one.blocks, strict=True):
            assert n == block.n
            torch.testing.assert_close(total, block.sum, rtol=1e-13, atol=0)
            torch.testing.assert_close(products, block.products, rtol=1e-13, atol=0)
        for got, whole in zip(kept, (one.vectors, one.predicted, one.histogram), strict=True):
            assert torch.equal(got, whole)
        assert score == pytest.approx(one.inception_score(), rel=1e-13)
        assert refused == "the processes' shares are not the 103 images, each once"
        assert broken == "features must be finite; those of 1 of 103 images are not"
