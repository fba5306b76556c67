"""Two processes on gloo: the same science as one."""

import json
import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from conftest import ROOT, fit, same, small_gan
from ddp_worker import made, scores
from ganlab.callbacks import Checkpoints
from ganlab.scoring import Scorecard


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """The folder in which two processes have written what they ended with."""
    folder = tmp_path_factory.mktemp("ddp")
    path = os.pathsep.join([str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    for name in ("LOCAL_RANK", "WORLD_SIZE", "NODE_RANK", "MASTER_PORT", "MASTER_ADDR"):
        environment.pop(name, None)
    command = [sys.executable, str(ROOT / "tests" / "ddp_worker.py"), str(folder)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def ends(written):
    """Final weights by (norm, rank) of two-process runs, and the scores by rank."""
    ranks = [(norm, rank) for norm in ("layer", "batch") for rank in (0, 1)]
    found = {
        (norm, rank): torch.load(written / f"{norm}-{rank}.pt", weights_only=True)
        for norm, rank in ranks
    }
    cards = {rank: json.loads((written / f"layer-{rank}.json").read_text()) for rank in (0, 1)}
    return found | cards


def alone(norm: str) -> dict[str, torch.Tensor]:
    fit(gan := made(norm), precision="64-true")
    return gan.state_dict()


@pytest.mark.long
def test_two_processes_find_the_scores_of_one(ends, tmp_path):
    """Each makes its share of the images; all get every score, and one best checkpoint."""
    fit(made("layer"), callbacks=[callback := scores(tmp_path)], precision="64-true")
    assert ends[0] == ends[1]
    for name, card in callback.cards().items():
        found = Scorecard.from_dict(ends[0][name])
        assert (found.protocol, found.iterations) == (card.protocol, card.iterations)
        for score, expected in card.scores.items():
            assert found.scores[score].value == pytest.approx(expected.value, rel=1e-6), score


def test_two_processes_equal_one(ends):
    """Same images, same noise, averaged gradients, clipped as a whole: same weights."""
    one = alone("layer")
    for name, tensor in ends["layer", 0].items():
        torch.testing.assert_close(tensor, one[name], rtol=1e-9, atol=1e-11, msg=name)


@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_both_ranks_end_with_the_same_weights_and_statistics(ends, norm):
    """BatchNorm's running statistics included: what rank 0 saves is what both have."""
    assert same(ends[norm, 0], ends[norm, 1])


def test_batchnorm_normalises_each_ranks_share_by_itself(ends):
    """The one known difference from a single process; the check sees it."""
    one, two = alone("batch"), ends["batch", 0]
    assert all(torch.isfinite(t).all() for t in two.values())
    assert any((one[n] - two[n]).abs().max() > 1e-6 for n in one if "weight" in n)


def test_a_signal_to_one_rank_stops_all_after_the_same_iteration_and_all_pass_it_on(written):
    """It is the first rank's handler that requeues a job, whichever rank is told."""
    stopped = written / "stopped"
    found = [json.loads((stopped / f"{rank}.json").read_text()) for rank in (0, 1)]
    assert found == 2 * [{"iterations": 2, "passed on": [signal.SIGUSR2]}]
    assert [file.name for file in stopped.glob("*.ckpt")] == ["iteration-0000002.ckpt"]


def test_ranks_that_would_go_on_from_different_checkpoints_say_so(tmp_path):
    def broadcast(mine):
        return mine + theirs

    trainer = SimpleNamespace(global_rank=1, strategy=SimpleNamespace(broadcast=broadcast))
    for theirs in (0, 4):
        expected = pytest.raises(RuntimeError, match="process 1 would go on from iteration 0, the")
        with expected if theirs else nullcontext():
            Checkpoints(tmp_path, every=1).on_train_start(trainer, small_gan())


def test_both_ranks_go_by_the_slower_clock_and_end_together(written):
    """Otherwise one would wait for the other's gradients for ever."""
    ranks = [json.loads((written / "timed" / f"{rank}.json").read_text()) for rank in (0, 1)]
    assert ranks[0] == ranks[1] == {"iterations": 3, "progress": [0.0, 2 / 6, 4 / 6]}
