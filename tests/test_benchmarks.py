"""The benchmarks run and compare like with like; training keeps nothing of what it has done."""

import contextlib
import functools
import gc
import os
import re
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
from pytorch_lightning import Callback
from torch.func import grad, vmap

import arithmetic
import gpu
import health
import many
import memory
import reading
import scoring
import startup
import threads
import training
from commands import completed, run_train, runs_in
from conftest import ROOT, fit, small_gan
from ganlab.callbacks import Journal
from ganlab.data import MNIST, Folder
from ganlab.experiments.session import quiet_lightning
from loops import GAMES, Criteria, Work, bare, documented, noisy, tutorial
from training import ours, require_same

NARROW = {
    **GAMES,
    "sngan": replace(
        GAMES["sngan"],
        generator=functools.partial(GAMES["sngan"].generator, width=8),
        discriminator=functools.partial(GAMES["sngan"].discriminator, width=8),
    ),
}


def rows(script: str, *words: str) -> list[list[str]]:
    """The cells of all tables that a benchmark prints, without their rules."""
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / script, *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return cells(done.stdout)


def cells(printed: str) -> list[list[str]]:
    """Of all tables, without their rules."""
    lines = printed.splitlines()
    assert all(re.fullmatch(r"\|.*\||", line) for line in lines), printed
    found = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines if line]
    return [row for row in found if set(row) != {"---"}]


@pytest.mark.long
def test_training_prints_a_row_for_every_model_and_loop():
    words = ("iterations=3", "repeats=1", "images=32", "batch=8", "workers=1", "precision=bf16")
    titles, *found = rows("training.py", "models=vanilla,dcgan", *words)
    loops = ("(a) bare PyTorch", "(b) tutorial", "(c) Lightning's documentation", "(d) ganlab")
    assert titles[:4] == ["model", "loop", "iterations/s", "ratio"]
    assert [row[:2] for row in found] == [[m, loop] for m in ("vanilla", "dcgan") for loop in loops]
    assert [row[3] for row in found[::4]] == ["1.00", "1.00"]
    assert all(float(row[2]) > 0 for row in found)


def test_threads_are_timed_in_every_way_beside_all_company(monkeypatch, capsys):
    """Ratios are to the first row of the same repeat."""
    crowds = []

    def company(n):
        crowds.append(n)
        return contextlib.nullcontext()

    monkeypatch.setattr(threads, "company", company)
    monkeypatch.setattr(threads, "seconds", lambda *_: 10.0 * len(crowds))
    monkeypatch.setattr(sys, "argv", ["threads.py", "busy=0,2", "repeats=2", "spins=77"])
    threads.main()
    lines = capsys.readouterr().out.splitlines()
    found = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines[2:]]
    ways = ["libgomp's own", "GOMP_SPINCOUNT=77", "OMP_WAIT_POLICY=PASSIVE", "OMP_NUM_THREADS=1"]
    assert [row[:2] for row in found] == [[n, way] for n in ("0", "2") for way in ways]
    assert crowds == [0, 0, 0, 0, 2, 2, 2, 2] * 2
    assert found[0][2:] == ["50.0", "1.00", "1.00 - 1.00"]  # 10 and 90
    assert found[-1][2:] == ["120.0", "4.89", "1.78 - 8.00"]  # 80 and 160


@pytest.mark.long
def test_a_run_is_timed_without_its_start():
    options = {**threads.OPTIONS, "iterations": "1", "model": "vanilla"}
    started = time.monotonic()
    assert 0 < threads.seconds({"OMP_NUM_THREADS": "1"}, options) < time.monotonic() - started


def test_busy_processes_end_with_what_they_keep_company():
    with threads.company(2) as others:
        assert [other.poll() for other in others] == [None, None]
    assert all(other.poll() is not None for other in others)


def test_what_was_said_of_threads_before_is_not_heard(monkeypatch):
    """Each way is the only word in the environment of its runs."""
    monkeypatch.setenv("GOMP_SPINCOUNT", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    heard = []

    def run(command, env, **_):
        heard.append({n: v for n, v in env.items() if n.startswith(("GOMP_", "OMP_"))})
        raise SystemExit

    monkeypatch.setattr(threads.subprocess, "run", run)
    for said in threads.ways("2000").values():
        with pytest.raises(SystemExit):
            threads.seconds(said, threads.OPTIONS)
    assert heard == list(threads.ways("2000").values())


@pytest.mark.parametrize(
    "benchmark",
    [training, memory, many, startup, health, scoring, arithmetic, reading, threads, gpu],
)
def test_a_misspelt_option_is_answered_with_all_of_them(benchmark, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["benchmark", "iteration=1"])
    with pytest.raises(SystemExit, match=r"(iterations|repeats|seeds|ways|parts)="):
        benchmark.main()


def test_graphs_are_timed_on_a_gpu_alone(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["benchmark", "loops=a,e"])
    with pytest.raises(SystemExit, match="set device=cuda"):
        training.main()


@pytest.mark.long
def test_many_prints_three_ways_to_train_several_runs(monkeypatch, capsys):
    words = ["models=tiny", "n=2", "iterations=2", "repeats=1", "batch=8"]
    monkeypatch.setattr(sys, "argv", ["many.py", *words])
    many.main()
    found = cells(capsys.readouterr().out)
    assert found[0][:2] == ["model", "runs"]
    assert [row[1] for row in found[1:]] == ["one after another", "processes at once", "stacked"]
    assert all(float(row[2]) > 0 for row in found[1:])


def test_stacked_replicas_learn_as_one_alone_does():
    """Replica by replica the gradients of torch.func are those of backward()."""
    game = many.MODELS["tiny"]
    work = Work(game, noisy(game, 8), 1)
    torch.manual_seed(0)
    (g, d), z, x = work.networks(), torch.randn(2, 4, game.z), torch.randn(2, 4, 1, 28, 28)
    for module in d.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    of_d, of_g = many.losses(g, d, game.bare)
    weights = [{n: p.detach() for n, p in player.named_parameters()} for player in (g, d)]
    stacks = [{n: torch.stack([p, 2 * p]) for n, p in w.items()} for w in weights]
    found = vmap(grad(of_d), randomness="different")(stacks[1], stacks[0], x, z)
    game.bare.real(d(x[0])).backward()
    game.bare.fake(d(g(z[0]).detach())).backward()
    for name, parameter in d.named_parameters():
        torch.testing.assert_close(found[name][0], parameter.grad, rtol=1e-4, atol=1e-6)
    found = vmap(grad(of_g), randomness="different")(stacks[0], stacks[1], z)
    game.bare.g(d(g(z[0]))).backward()
    for name, parameter in g.named_parameters():
        torch.testing.assert_close(found[name][0], parameter.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.long
def test_memory_prints_growth_and_peaks():
    words = ("iterations=4", "every=2", "model=dcgan", "batch=128", "part=8")
    found = rows("memory.py", *words)
    assert [row[0] for row in found[:4]] == ["iteration", "2", "4", "growth"]
    assert [row[:2] for row in found[5:]] == [["8", "1"], ["128", "16"], ["128", "1"]]
    _, in_parts, at_once = (float(row[2]) for row in found[5:])
    assert in_parts < at_once


@pytest.mark.long
def test_reading_prints_first_starts_and_a_second_one(tmp_path):
    reading.write(tmp_path / "images", n=40, size=8)
    titles, *found = rows("reading.py", "repeats=1", f"root={tmp_path / 'images'}")
    assert titles[0].startswith("40 images, ")
    assert [row[0] for row in found] == list(reading.WAYS)
    assert found[0][3] == "1.00"
    assert float(found[3][3]) > 0


@pytest.mark.long
def test_every_row_of_health_is_a_config_that_can_be_made(monkeypatch, tmp_path):
    monkeypatch.setattr(health, "ten_images", lambda data, root, output: output)
    options = {**health.OPTIONS, "output": str(tmp_path)}
    rows = health.rows(options)
    assert len(rows) == 7 + 4 + 1 + 2 * len(health.LOSSES)
    unseen = health.rows({**options, "only": "unseen"})
    assert len(unseen) == len(health.UNSEEN)
    rows |= unseen
    assert sum(row.ailment == "" for row in rows) == 2 * len(health.LOSSES)
    for row, words in rows.items():
        assert completed(*words)["health"] is not None, row


class Judged:
    """A run of which nothing is known but what was said of its health."""

    def __init__(self, **verdicts):
        self.verdicts = [{"ailment": a, "iteration": i} for a, i in verdicts.items()]

    def summary(self):
        return {"health": self.verdicts}


def test_health_counts_who_is_called_by_name_and_who_is_called_nothing():
    ill, well = health.Row("this", "divergence"), health.Row("that", "")
    other = Judged(oscillation=9)
    found = {ill: [Judged(divergence=7, oscillation=8), other], well: [Judged(), other]}
    _, _, of_ill, of_well = health.table(found).splitlines()
    assert of_ill == (
        "| this | 2 | divergence | 1 of 2 | 1 - 99% | divergence 7; oscillation 8, 9 |"
    )
    assert of_well == "| that | 2 |  | 1 of 2 | 1 - 99% | oscillation 9 |"


def test_a_share_has_an_exact_interval():
    """5 of 5 is at least 48%; a normal interval would say 100%."""
    assert health.exact(5, 5) == "48 - 100%"
    assert health.exact(4, 5) == "28 - 99%"
    assert health.exact(0, 3) == "0 - 71%"


def test_health_has_one_picture_of_each_digit(data_root, tmp_path):
    folder = health.ten_images("mnist", data_root, tmp_path)
    found = Folder(folder, size=28).read().images
    images, labels = MNIST(data_root, download=False).read()
    assert len(found) == 10
    for picture, digit in zip(found, range(10), strict=True):
        first = images[labels == digit][0]
        assert torch.equal(picture, first), digit


def reuses_fakes(work, g, d):
    """The bare loop, wrong: G is judged by the last noise that D has seen."""

    def draw(work, iteration):
        chosen, (*for_d, _) = ours(work, iteration)
        return chosen, [*for_d, for_d[-1]]

    return bare(work, g, d, draw)


def forgets_fakes(work, g, d):
    """The bare loop, wrong: D never looks at generated images."""
    real, _, of_g = work.game.bare
    half = Criteria(real, lambda logits: 0 * logits.sum(), of_g)
    return bare(replace(work, game=replace(work.game, bare=half)), g, d, ours)


def diverges(work, g, d):
    """The bare loop, wrong: no number is left."""
    seconds = bare(work, g, d, ours)
    with torch.no_grad():
        next(iter(g.parameters())).fill_(float("nan"))
    return seconds


@pytest.mark.long
@pytest.mark.parametrize("model", NARROW)
def test_the_same_work_is_proven_and_another_refused(model):
    quiet_lightning()
    require_same(NARROW[model])
    for wrong in (reuses_fakes, forgets_fakes, diverges):
        with pytest.raises(SystemExit, match="not the same work"):
            require_same(NARROW[model], wrong)


def test_power_iterations_of_the_usual_loop_are_the_one_difference():
    quiet_lightning()

    def not_held(work, g, d):
        d._forward_pre_hooks.clear()
        return bare(work, g, d, ours)

    with pytest.raises(SystemExit, match="not the same work"):
        require_same(NARROW["sngan"], not_held)


@pytest.mark.parametrize("loop", [bare, tutorial, documented])
def test_an_iteration_is_k_updates_of_d_and_one_of_g(loop):
    quiet_lightning()
    updates = []

    class Counted(torch.optim.SGD):
        def step(self, closure=None):
            updates.append(id(self))
            return super().step(closure)

    rule = functools.partial(Counted, lr=1e-3)
    game = NARROW["sngan"]
    work = Work(game, noisy(game, 12), iterations=3, batch=4, rule=rule)
    loop(work, *work.networks())  # an epoch has three batches, an iteration five
    counts = sorted(updates.count(player) for player in set(updates))
    assert counts == [3, 3 * game.k]


class Count(Callback):
    """Tensors that are alive when the last iteration is over."""

    def on_train_end(self, *_):
        gc.collect()
        self.tensors = sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())


def sound(gan):
    return gan


def leaky(gan):
    """Keeps every loss of D, as a list of losses for a plot does."""
    d_loss, gan.kept = gan.d_loss, []

    def kept(*inputs):
        gan.kept.append(d_loss(*inputs))
        return gan.kept[-1]

    gan.d_loss = kept
    return gan


def alive(iterations, made, callbacks):
    count = Count()
    fit(made(small_gan(iterations=iterations)), callbacks=[*callbacks, count])
    return count.tensors


@pytest.mark.parametrize(
    ("made", "observed", "grows"),
    [(sound, True, False), (leaky, True, True), (sound, False, True)],
    ids=["sound", "leaky", "never read"],
)
def test_training_keeps_no_tensors(made, observed, grows):
    few, many = (alive(n, made, [Journal(8)] if observed else []) for n in (24, 72))
    assert (many > few) == grows, (few, many)


@pytest.mark.long
@pytest.mark.parametrize(
    ("only", "works"), [("jobs", ["pre-flight"]), ("rows", ["go on", "curves"])]
)
def test_work_at_scale_is_measured_with_its_size_and_a_tenth(only, works):
    titles, *found = rows("scale.py", "jobs=20", "rows=200", f"only={only}")
    assert titles[:2] == ["of", "work"]
    assert [row[1] for row in found] == works
    assert all(float(cell) > 0 for row in found for cell in row[2:])


@pytest.mark.long
def test_the_live_laboratory_is_timed_beside_a_bare_loop():
    found = rows("live.py", "iterations=2", "repeats=1", "setup=g_width=4&d_width=4")
    assert [row[0] for row in found] == [
        "",
        "bare",
        "play",
        "live",
        "frame",
        "a second of one core",
        "live",
    ]


@pytest.mark.long
def test_samples_of_boltzmann_machines_are_measured_by_their_share_of_annealed_sweeps(tmp_path):
    small = ("trainer=smoke", "logger=csv", "model=rbm", "model.generator.hidden=12")
    small += ("model.chains=10", "model.generator.sweeps=6", "callback.likelihood.n=20")
    for units in ((), ("model.generator.visible=gaussian", "model.binarise=none")):
        assert run_train(*small, *units, f"output_dir={tmp_path}").code == 0
    words = f"runs={','.join(map(str, runs_in(tmp_path)))}", "rises=0.5,0", "chains=4", "sweeps=3"
    titles, *found = rows("rise.py", *words)
    assert len(titles) == 5
    assert [row[0] for row in found] == ["0.5", "0", "chains of training"]
    for row in found[:2]:
        inks, distances = map(float, row[1::2]), map(float, row[2::2])
        assert all(0 < ink < 256 for ink in inks)
        assert all(0 < distance < 1 for distance in distances)
    assert [cell == "" for cell in found[2]] == [False, False, True, False, True]
