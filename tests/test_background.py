"""Files are written in order while training goes on, and what fails is heard of."""

import threading
import time

import pytest
import torch
from pytorch_lightning import Callback

from conftest import fit, small_gan
from ganlab.callbacks import Checkpoints
from ganlab.storage import checkpoint
from ganlab.storage.background import MOST, Background, Snapshot


@pytest.fixture
def background():
    made = Background()
    yield made
    made.settle()


def failing():
    raise OSError(28, "No space left on device")


def test_jobs_are_done_in_order_in_another_thread(background):
    done = []
    for i in range(10):
        background.submit(lambda i=i: done.append((i, threading.current_thread())))
    background.drain()
    assert [i for i, _ in done] == list(range(10))
    assert threading.main_thread() not in {thread for _, thread in done}


def test_results_are_handed_over_in_the_thread_that_asks(background):
    told = []
    background.submit(lambda: 1, then=lambda x: told.append((x, threading.current_thread())))
    time.sleep(0.05)
    assert told == [], "not before it is asked for"
    background.deliver()
    assert told == [(1, threading.main_thread())]


def test_deliver_does_not_wait_for_what_nobody_wants_to_hear_of(background):
    gate = threading.Event()
    background.submit(lambda: 1, then=lambda _: None)
    background.submit(gate.wait)
    background.deliver()
    assert not gate.is_set()
    gate.set()


@pytest.mark.parametrize("call", ["deliver", "drain"])
def test_a_failure_is_raised_where_it_is_asked(background, call):
    background.submit(failing, then=lambda _: None)
    with pytest.raises(OSError, match="No space left"):
        getattr(background, call)()


def test_a_failure_ends_what_would_wait_for_ever(background):
    for _ in range(MOST):
        background.submit(failing)
    with pytest.raises(OSError, match="No space left"):
        background.submit(failing)


def test_only_so_many_jobs_wait(background):
    """Each holds what it writes in memory."""
    gate, asked = threading.Event(), []
    ask = threading.Thread(
        target=lambda: [(background.submit(gate.wait), asked.append(i)) for i in range(MOST + 1)]
    )
    ask.start()
    time.sleep(0.2)
    assert len(asked) == MOST
    gate.set()
    ask.join()
    assert len(asked) == MOST + 1


def test_after_a_failure_the_rest_is_done_without_a_word(background):
    told = []
    background.submit(failing)
    background.submit(lambda: 2, then=told.append)
    background.settle()
    assert told == [2]


def test_threads_end_with_their_work(background):
    before = threading.active_count()
    background.submit(lambda: None)
    background.drain()
    assert threading.active_count() == before


# Snapshots ----------------------------------------------------------------------------------------


def test_a_snapshot_does_not_change_with_the_tensors():
    weight = torch.zeros(2, requires_grad=True)
    found = {"a": [weight, (weight, 1)], "b": "text"}
    now = Snapshot(found)
    with torch.no_grad():
        weight.fill_(1)
    content = now.arrived()
    assert content["a"][0].tolist() == content["a"][1][0].tolist() == [0, 0]
    assert not content["a"][0].requires_grad
    assert (content["a"][1][1], content["b"]) == (1, "text")


def test_a_snapshot_keeps_what_a_state_dict_says_of_its_modules():
    """Versions, by which modules know how old a checkpoint is."""
    state = torch.nn.BatchNorm1d(2).state_dict()
    content = Snapshot(state).arrived()
    assert content._metadata == state._metadata
    assert list(content) == list(state)


class Slow(Background):
    """Begins when training has gone on for a while."""

    def submit(self, work, then=None):
        super().submit(lambda: (time.sleep(0.05), work())[1], then)


def test_a_checkpoint_is_of_the_iteration_in_which_it_was_asked_for(tmp_path):
    gan, seen = small_gan(6), {}
    saving = Checkpoints(tmp_path, every=2, keep=3, background=Slow())

    class Seen(Callback):
        def on_train_batch_end(self, trainer, gan, *_):
            seen[gan.iterations] = [p.detach().clone() for p in gan.generator.parameters()]

    fit(gan, callbacks=[Seen(), saving])
    saved = checkpoint.listed(tmp_path)
    assert [checkpoint.iteration(path) for path in saved] == [2, 4, 6]
    for path in saved:
        state = checkpoint.read(path)["state_dict"]
        names = [name for name, _ in gan.generator.named_parameters()]
        for name, value in zip(names, seen[checkpoint.iteration(path)], strict=True):
            assert torch.equal(state[f"generator.{name}"], value)


def test_a_full_disk_ends_the_run_that_goes_on_meanwhile(tmp_path, monkeypatch):
    monkeypatch.setattr("ganlab.storage.files.write", lambda path, content: failing())
    with pytest.raises(OSError, match="No space left"):
        fit(small_gan(6), callbacks=[Checkpoints(tmp_path, every=2, background=Slow())])
